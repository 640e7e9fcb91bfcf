"""What a ledger says about each call, as plain tuples: for comparing a million entries with their spans, in little memory and time."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from spanledger.ledger import rows
from spanledger.ledger.database import Database
from spanledger.ledger.queries import Filter
from spanledger.ledger.sqlite import SqliteLedger
from spanledger.model import State

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from spanledger.ledger.ledger import Ledger
    from spanledger.model import Entry, Execution

_PAGE = 5000
"""Rows read at a time; nobody waits while the reader thinks about them."""


class Fact(NamedTuple):
    """One call as one source tells it: the ledger in an entry, or telemetry in a span. Streams of facts are plain tuples in this order."""

    id: str
    """The entry's id; ``spanledger.entry.id`` on a span."""
    time: float
    """When the call started."""
    activity: str
    state: str
    nano_usd: int | None
    """None where nothing is known: no price, or unknown usage (what the ledger holds then is an estimate)."""
    input: int
    """Tokens in types that do not overlap, as ``Entry.tokens_by_type`` says; all 0 where the state is unknown."""
    cache_read: int
    cache_write: int
    output: int
    reasoning: int
    plugin: int
    service: str | None
    execution: str | None
    price: str | None
    """Source, version and row of the price."""
    trace_id: str | None
    span_id: str | None
    swept: bool = False
    """Nobody settled the entry: the sweep wrote it when its lease ran out."""
    correction: bool = False
    """The span completes the numbers of an operation that another span counted."""
    instance: str | None = None
    """The process that sent the span, ``service.instance.id``."""


FactRow = tuple[Any, ...]
"""The values of a ``Fact``: making a million named tuples takes longer than reading them."""


def exclusive(input_: int | None, cache_read: int | None, cache_write: int, output: int | None, reasoning: int | None) -> tuple[int, ...]:
    """Tokens of one call in types that do not overlap: input, cache_read, cache_write, output, reasoning (``Entry.tokens_by_type``).

    ``input_`` and ``output`` are inclusive totals; what is None was not told and counts nothing. A part larger than its total leaves 0.
    """
    read, thought = cache_read or 0, reasoning or 0
    return max(0, (input_ or 0) - read - cache_write), read, cache_write, max(0, (output or 0) - thought), thought


def price_name(source: str | None, version: str | None, model: str | None) -> str:
    """What a price is called; ``_SELECT`` says the same in SQL."""
    return f"{source or ''} {version or ''} {model or ''}".strip()


NO_TOKENS = (0, 0, 0, 0, 0, 0)


def facts(
    ledger: Ledger, *, since: float | None = None, until: float | None = None, execution: str | None = None
) -> Iterator[FactRow]:  # fmt: skip
    """The facts of entries in the order of their start, chosen as by ``Ledger.entries``. Raises LedgerError."""
    if isinstance(ledger, SqliteLedger):
        return _stored_facts(ledger.path, Filter(since, until, execution))
    return (_from_entry(entry) for entry in ledger.entries(since=since, until=until, execution=execution))


def known(ledger: Ledger, ids: set[str]) -> set[str] | None:
    """Those of the entry ids that the ledger holds, whenever they were; None if it cannot be asked by id. Raises LedgerError."""
    if not isinstance(ledger, SqliteLedger):
        return None
    database = Database(ledger.path, migrate=False)
    try:
        found = database.read(lambda db: db.execute(_KNOWN, (json.dumps(sorted(ids)),)).fetchall())
    finally:
        database.close()
    return {id_ for (id_,) in found}


def services(ledger: Ledger) -> set[str | None]:
    """All services that ever had an entry in the ledger, as far as it knows; None if one had no name. Raises LedgerError.

    Its sums know of entries that were deleted, but not of those that are older than the sums.
    """
    told = {one.service or None for one in ledger.sums()}
    return told | {total.group["service"] for total in ledger.totals(("service",))}


def execution(ledger: Ledger, id_: str) -> Execution | None:
    """The record of one run of a workflow; None if it has not ended, or was killed. Raises LedgerError."""
    if not isinstance(ledger, SqliteLedger):
        return next((one for one in ledger.executions() if one.id == id_), None)
    found = next(_pages(ledger.path, "SELECT rowid, * FROM execution WHERE id = ? AND rowid > ?", [id_], (0,)), None)
    return rows.to_execution(found[1:]) if found else None


_KNOWN = "SELECT id FROM entry WHERE id IN (SELECT value FROM json_each(?))"

_SELECT = """SELECT time, rowid, id, activity, usage_state, nano_usd, input_tokens, cache_read,
    ifnull(cache_write, 0) + ifnull(cache_write_1h, 0), output_tokens, reasoning, plugin IS NOT NULL, service, execution,
    trim(ifnull(price_source, '') || ' ' || ifnull(price_version, '') || ' ' || ifnull(price_model, '')), trace_id, span_id, swept
    FROM entry"""


def _stored_facts(path: Path, chosen: Filter) -> Iterator[FactRow]:
    where, values = chosen.where()
    sql = f"{_SELECT} WHERE {where} AND (time, rowid) > (?, ?) ORDER BY time, rowid LIMIT {_PAGE}"  # constants
    for row in _pages(path, sql, values, (float("-inf"), 0)):
        yield _from_row(row)


def _from_row(row: tuple[Any, ...]) -> FactRow:
    time, _, id_, activity, state, nano_usd, input_, read, written, output, thought, plugin, service, execution, price, *rest = row
    tokens: tuple[int, ...] = NO_TOKENS
    if state == State.UNKNOWN:
        nano_usd = None
    elif plugin:
        tokens = (0, 0, 0, 0, 0, (input_ or 0) + (output or 0))
    else:
        tokens = (*exclusive(input_, read, written, output, thought), 0)
    trace_id, span_id, swept = rest
    return (id_, time, activity, state, nano_usd, *tokens, service, execution, price, trace_id, span_id, bool(swept), False, None)


def _from_entry(entry: Entry) -> FactRow:
    cost, tokens = entry.cost, entry.tokens_by_type()
    unknown = entry.usage.state is State.UNKNOWN
    return (
        entry.id,
        entry.time,
        entry.activity.value,
        entry.usage.state.value,
        None if unknown else cost.nano_usd,
        *(tokens.get(name, 0) for name in ("input", "cache_read", "cache_write", "output", "reasoning", "plugin")),
        entry.service,
        entry.execution,
        price_name(cost.source, cost.version, cost.model),
        entry.trace_id,
        entry.span_id,
        unknown and entry.duration is None,  # what was settled, by whomever, has lasted some time
        False,
        None,
    )


def stored_spans(path: Path, attribute: str) -> Iterator[tuple[str, str, int, Mapping[str, Any], Mapping[str, Any]]]:
    """Spans of the ledger's own table that carry this attribute: trace id, span id, start (ns), attributes, resource.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    sql = f"""SELECT rowid, trace_id, span_id, start_ns, attributes, resource FROM span
        WHERE instr(attributes, ?) AND rowid > ? ORDER BY rowid LIMIT {_PAGE // 10}"""  # noqa: S608  # constants
    for _, trace_id, span_id, start_ns, attributes, resource in _pages(path, sql, [json.dumps(attribute)], (0,)):
        yield trace_id, span_id, start_ns, json.loads(attributes), json.loads(resource)


def has_spans(path: Path) -> bool:
    """Whether the ledger's own table has any span. Raises LedgerError."""
    database = Database(path, migrate=False)
    try:
        return bool(database.read(lambda db: db.execute("SELECT EXISTS (SELECT 1 FROM span)").fetchone())[0])
    finally:
        database.close()


def _pages(path: Path, sql: str, values: list[Any], place: tuple[float, ...]) -> Iterator[tuple[Any, ...]]:
    """All rows, a page at a time; their first columns, as many as ``place`` has, say where the next page begins."""
    database = Database(path, migrate=False)
    try:
        while page := _page(database, sql, [*values, *place]):
            yield from page
            place = page[-1][: len(place)]
    finally:
        database.close()


def _page(database: Database, sql: str, values: list[Any]) -> list[tuple[Any, ...]]:
    return database.read(lambda db: db.execute(sql, values).fetchall())
