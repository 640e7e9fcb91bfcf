"""What can be read from a SQLite ledger, for reports and metrics: totals, entries, executions, balances, sums, audit records."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, NamedTuple

from spanledger.ledger import rows, stored
from spanledger.ledger.ledger import GROUPS
from spanledger.ledger.rules import IDLE_ACCOUNTS_SHOWN
from spanledger.ledger.sums import ordered
from spanledger.model import AuditRecord, BookSum, Total, Unsettled
from spanledger.outside import sound

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

    from spanledger.ledger.database import Database
    from spanledger.model import Balance, Entry, Execution

_PAGE = 500
"""Rows read at a time; nobody waits while the reader thinks about them."""

_ENTRY = ", ".join(f'"{name}"' for name in rows.COLUMNS)
_SUMS = """count(*), ifnull(sum(input_tokens), 0), ifnull(sum(output_tokens), 0), ifnull(sum(cache_read), 0),
    ifnull(sum(ifnull(cache_write, 0) + ifnull(cache_write_1h, 0)), 0), ifnull(sum(reasoning), 0), ifnull(sum(nano_usd), 0),
    ifnull(sum(1 - superseded), 0), ifnull(sum((ifnull(input_tokens, 0) + ifnull(output_tokens, 0)) * (1 - superseded)), 0),
    ifnull(sum(nano_usd * (1 - superseded)), 0), ifnull(sum(cost_status = 'unpriced'), 0),
    ifnull(sum(usage_state = 'estimated'), 0), ifnull(sum(usage_state = 'unknown'), 0), count(error), ifnull(sum(duration), 0.0),
    ifnull(sum(cost_status = 'unpriced' AND NOT superseded), 0),
    ifnull(sum(cost_status = 'unpriced' AND usage_state = 'unknown' AND input_tokens IS NULL AND output_tokens IS NULL), 0),
    ifnull(sum(cost_status = 'estimated' AND usage_state = 'exact'), 0), ifnull(sum(cost_status = 'partial'), 0)"""
_AMOUNTS = [field.name for field in fields(Total)][1:]
_COLUMNS = {name: f'"{name}"' for name in (*GROUPS, *rows.KEYS)} | {"day": "date(CAST(time AS INTEGER), 'unixepoch')"}
_OTHER_KEY = "(SELECT value FROM json_each(other_keys) WHERE key = ?)"


class Filter(NamedTuple):
    """Which entries: ``since <= time < until``, of one execution, of one trace; None does not restrict."""

    since: float | None = None
    until: float | None = None
    execution: str | None = None
    trace_id: str | None = None

    def where(self) -> tuple[str, list[Any]]:
        """An SQL condition and its values."""
        tests = {"time >= ?": self.since, "time < ?": self.until, "execution = ?": self.execution, "trace_id = ?": self.trace_id}
        chosen = {test: value for test, value in tests.items() if value is not None}
        return " AND ".join(chosen) or "1", [sound(value) if isinstance(value, str) else value for value in chosen.values()]


def totals(db: sqlite3.Connection, group_by: Sequence[str], chosen: Filter) -> list[Total]:
    """See ``Ledger.totals``."""
    where, values = chosen.where()
    groups = [_COLUMNS.get(name, _OTHER_KEY) for name in group_by]
    others = [sound(name) for name in group_by if name not in _COLUMNS]
    by = f"GROUP BY {', '.join(str(number + 1) for number in range(len(groups)))}" if groups else ""
    sql = f"SELECT {''.join(f'{group}, ' for group in groups)}{_SUMS} FROM entry WHERE {where} {by}"  # noqa: S608  # constants; values are bound
    found = db.execute(sql, [*others, *values]).fetchall()
    return ordered((_to_total((dict(zip(group_by, row, strict=False)), *row[len(groups) :])) for row in found), group_by)


@rows.from_file
def _to_total(row: Sequence[Any]) -> Total:
    """What SQLite adds up is whole, unless it met something else, which it takes for a number as far as it can."""
    total = Total(*row)
    for name, amount in zip(_AMOUNTS, row[1:], strict=True):
        if name != "seconds" and type(amount) is not int:
            msg = f"{name} of calls add up to {amount!r}"
            raise TypeError(msg)
    return total


def entries(reader: Database, chosen: Filter) -> Iterator[Entry]:
    """See ``Ledger.entries``."""
    where, values = chosen.where()
    sql = f"SELECT time, rowid, {_ENTRY} FROM entry WHERE {where} AND (time, rowid) > (?, ?) ORDER BY time, rowid LIMIT {_PAGE}"  # noqa: S608  # constants
    return (rows.to_entry(row) for row in _pages(reader, sql, values))


def executions(reader: Database, since: float | None, until: float | None) -> Iterator[Execution]:
    """See ``Ledger.executions``."""
    sql = f"""SELECT started, rowid, * FROM execution WHERE started >= ? AND started < ? AND (started, rowid) > (?, ?)
        ORDER BY started, rowid LIMIT {_PAGE}"""  # noqa: S608  # constants
    bounds = [float("-inf") if since is None else since, float("inf") if until is None else until]
    return (rows.to_execution(row) for row in _pages(reader, sql, bounds))


def _pages(reader: Database, sql: str, values: list[Any]) -> Iterator[rows.Row]:
    """All rows, a page at a time, without the two leading columns, which say where the next page begins."""
    place: tuple[float, int] = (float("-inf"), 0)
    while True:
        page = _page(reader, sql, [*values, *place])
        for row in page:
            yield row[2:]
        if len(page) < _PAGE:
            return
        place = page[-1][:2]


def _page(reader: Database, sql: str, values: list[Any]) -> list[rows.Row]:
    return reader.read(lambda db: db.execute(sql, values).fetchall())


def find_response(db: sqlite3.Connection, response_id: str) -> Entry | None:
    """See ``Ledger.find_response``."""
    sql = f"SELECT {_ENTRY} FROM entry WHERE response_id = ? ORDER BY time DESC, rowid DESC LIMIT 1"  # noqa: S608  # constants
    row = db.execute(sql, (response_id,)).fetchone()
    return rows.to_entry(row) if row else None


def balances(db: sqlite3.Connection, now: float) -> list[Balance]:
    """See ``Ledger.balances``."""
    is_open = "ends IS NULL OR ends > :now OR (ends < 0 AND -ends > :lately)"  # as ``rules.is_open`` says
    sql = f"SELECT {stored.COLUMNS} FROM account WHERE {is_open} ORDER BY budget, scope, id"  # noqa: S608  # constants
    found = db.execute(sql, {"now": now, "lately": now - IDLE_ACCOUNTS_SHOWN})
    return [account.balance() for account in stored.readable(found)]


_ESTIMATE = f"iif(json_valid(draft), json_extract(draft, '$[{rows.COLUMNS.index('nano_usd')}]'), 0)"
"""A draft that cannot be read is for the sweep to tell of."""


def unsettled(db: sqlite3.Connection, now: float) -> Unsettled:
    """See ``Ledger.unsettled``."""
    sql = f"SELECT count(*), ifnull(sum({_ESTIMATE}), 0) FROM lease WHERE expires < ?"  # noqa: S608  # constants
    calls, nano = db.execute(sql, (now,)).fetchone()
    return Unsettled(calls, int(nano))


def sums(db: sqlite3.Connection) -> list[BookSum]:
    """See ``Ledger.sums``; triggers keep them (``schema.py``)."""
    sql = f"SELECT {', '.join(BookSum._fields)} FROM tally ORDER BY service, activity, usage_state"  # noqa: S608  # constants
    return [BookSum(*row) for row in db.execute(sql)]


AUDIT = ", ".join(AuditRecord._fields)
"""The columns of ``audit``."""


def audit(reader: Database, after: int) -> Iterator[AuditRecord]:
    """See ``Ledger.audit``."""
    sql = f"SELECT {AUDIT} FROM audit WHERE sequence > ? ORDER BY sequence LIMIT {_PAGE}"  # noqa: S608  # constants
    while page := _page(reader, sql, [after]):
        records = [AuditRecord(*row) for row in page]
        yield from records
        after = records[-1].sequence
