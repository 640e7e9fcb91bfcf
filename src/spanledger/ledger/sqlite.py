"""The ledger in a SQLite file, shared by all processes of one machine.

Writing and reading have a connection each, so that a long report does not keep calls waiting. With ``synchronous=NORMAL`` in WAL mode a
killed process loses nothing; a power cut may lose the last moments, but never damages the file (https://www.sqlite.org/pragma.html#pragma_synchronous).
"""

from __future__ import annotations

import logging
import math
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from spanledger.errors import LedgerDamaged, LedgerError
from spanledger.ledger import chain, queries, rows
from spanledger.ledger.database import Database
from spanledger.ledger.rules import CLOSED_ACCOUNTS_KEPT, IDLE_ACCOUNTS_KEPT, book, replaces, take
from spanledger.ledger.stored import StoredAccounts
from spanledger.ledger.sums import summed
from spanledger.model import AuditRecord, State
from spanledger.outside import sound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from spanledger.ledger.ledger import Standing
    from spanledger.ledger.rules import Account
    from spanledger.model import Balance, BookSum, Charge, Entry, Execution, Refusal, Total, Unsettled

log = logging.getLogger("spanledger")

_ADD_LEASE = "INSERT INTO lease (entry, expires, holds, draft) VALUES (?, ?, ?, ?) ON CONFLICT (entry) DO NOTHING"
_NAMES = ", ".join(f'"{name}"' for name in (*rows.COLUMNS, "charges", "swept"))
_ADD_ENTRY = f"INSERT INTO entry ({_NAMES}) VALUES ({rows.marks(len(rows.COLUMNS) + 2)}) ON CONFLICT (id) DO NOTHING"  # noqa: S608  # constants
_REPLACE_ENTRY = f"UPDATE entry SET ({_NAMES}) = ({rows.marks(len(rows.COLUMNS) + 2)}) WHERE id = ?"  # noqa: S608  # constants
_ID, _EXECUTION, _STEP, _ATTEMPT, _STATE, _SUPERSEDED = map(
    rows.COLUMNS.index, ("id", "execution", "step", "attempt", "usage_state", "superseded")
)
_PUT_EXECUTION = f"""INSERT INTO execution VALUES ({rows.marks(8)}) ON CONFLICT (id) DO UPDATE SET
    (workflow, started, ended, status, keys, totals, error)
    = (excluded.workflow, excluded.started, excluded.ended, excluded.status, excluded.keys, excluded.totals, excluded.error)
    WHERE excluded.ended >= execution.ended"""  # noqa: S608  # constants
_SUM_TOO_LARGE = "integer overflow"
"""What SQLite says of a sum beyond 64 bits (https://www.sqlite.org/lang_aggfunc.html#sumunc): a provider that tells nonsense in every
answer gets there with a thousand calls. Python's integers go on."""
_SWEPT_AT_ONCE = 200
"""Expired leases settled in one transaction; other processes get their turn in between."""

T = TypeVar("T")


class SqliteLedger:
    """See ``Ledger`` for what the methods promise. The file is created or opened by the first of them that runs.

    Args:
        path: the file.
        migrate: as in ``Database``.
    """

    shared = True

    def __init__(self, path: str | Path, *, migrate: bool = True) -> None:
        self.path = Path(path).absolute()
        self._writer, self._reader = Database(self.path, migrate=migrate), Database(self.path, migrate=migrate)

    def reserve(self, draft: Entry, charges: Sequence[Charge], expires: float, *, wait: bool = True) -> Refusal | None:
        """See ``Ledger.reserve``. A second reservation for the same entry changes nothing."""
        lease = (draft.id, expires, _amounts(charges), rows.encode(rows.from_entry(draft)))
        return self._write(_reserve, lease, charges, wait=wait)

    def settle(self, entry: Entry, charges: Sequence[Charge], *, wait: bool = True) -> list[Standing]:
        """See ``Ledger.settle``. What ``sweep`` wrote is replaced by any settlement."""
        return self._write(_settle, rows.from_entry(entry), charges, wait=wait)

    def release(self, entry_id: str, *, wait: bool = True) -> None:
        """See ``Ledger.release``."""

        def work(db: sqlite3.Connection) -> None:
            accounts = StoredAccounts(db)
            _free_lease(db, accounts, sound(entry_id))
            accounts.save()

        self._writer.write(work, wait=wait)

    def renew(self, entry_ids: Iterable[str], expires: float) -> None:
        """See ``Ledger.renew``. A lease is never shortened."""
        changes = [(expires, sound(entry_id)) for entry_id in entry_ids]
        if changes:
            self._writer.write(lambda db: db.executemany("UPDATE lease SET expires = max(expires, ?) WHERE entry = ?", changes))

    def sweep(self, now: float) -> list[Entry]:
        """See ``Ledger.sweep``. Also forgets accounts as the one in memory does, and copies the write-ahead log into the main file."""
        written: list[Entry] = []
        while self._reader.read(lambda db: _needs_sweep(db, now)):
            swept, damaged = self._writer.write(_sweep, now)
            written += swept
            for entry_id, error in damaged:
                log.error(_DAMAGED_LEASE, self.path, entry_id, error, entry_id)
        with suppress(LedgerError):  # housekeeping, which the next sweep tries again; what was settled must be returned
            self._reader.read(lambda db: db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone())  # passive: keeps nobody waiting
        return written

    def end_step(self, execution: str, step: str, attempt: int, *, ok: bool, wait: bool = True) -> None:
        """See ``Ledger.end_step``."""
        where = (sound(execution), sound(step))
        self._writer.write(lambda db: _end_step(db, where, attempt, ok=ok), wait=wait)

    def end_execution(self, execution: Execution, *, wait: bool = True) -> None:
        """See ``Ledger.end_execution``."""
        row = rows.sound_row(rows.from_execution(execution))
        self._writer.write(lambda db: db.execute(_PUT_EXECUTION, row), wait=wait)

    def find_response(self, response_id: str, *, wait: bool = True) -> Entry | None:
        """See ``Ledger.find_response``."""
        return self._reader.read(lambda db: queries.find_response(db, sound(response_id)), wait=wait)

    def balances(self, now: float) -> list[Balance]:
        """See ``Ledger.balances``."""
        return self._reader.read(lambda db: queries.balances(db, now))

    def totals(
        self,
        group_by: Sequence[str] = (),
        *,
        since: float | None = None,
        until: float | None = None,
        execution: str | None = None,
        trace_id: str | None = None,
    ) -> list[Total]:
        """See ``Ledger.totals``."""
        chosen = queries.Filter(since, until, execution, trace_id)
        try:
            return self._reader.read(lambda db: queries.totals(db, group_by, chosen))
        except LedgerError as error:
            if str(error.__cause__) != _SUM_TOO_LARGE:
                raise
            return summed(queries.entries(self._reader, chosen), (), group_by)

    def entries(
        self,
        *,
        since: float | None = None,
        until: float | None = None,
        execution: str | None = None,
        trace_id: str | None = None,
    ) -> Iterator[Entry]:
        """See ``Ledger.entries``."""
        return queries.entries(self._reader, queries.Filter(since, until, execution, trace_id))

    def executions(self, *, since: float | None = None, until: float | None = None) -> Iterator[Execution]:
        """See ``Ledger.executions``. ``since`` and ``until`` bound their start."""
        return queries.executions(self._reader, since, until)

    def identity(self) -> str:
        """See ``Ledger.identity``."""
        found: str = self._reader.read(lambda db: db.execute("SELECT id FROM identity").fetchone()[0])
        return found

    def sums(self) -> list[BookSum]:
        """See ``Ledger.sums``."""
        return self._reader.read(queries.sums)

    def append_audit(self, time: float, key: str, text: str) -> AuditRecord | None:
        """See ``Ledger.append_audit``."""
        return self._writer.write(_append_audit, time, sound(key), sound(text))

    def audit(self, after: int = 0) -> Iterator[AuditRecord]:
        """See ``Ledger.audit``."""
        return queries.audit(self._reader, after)

    def open_leases(self) -> int:
        """See ``Ledger.open_leases``."""
        count: int = self._reader.read(lambda db: db.execute("SELECT count(*) FROM lease").fetchone()[0])
        return count

    def unsettled(self, now: float) -> Unsettled:
        """See ``Ledger.unsettled``."""
        return self._reader.read(lambda db: queries.unsettled(db, now))

    def check(self) -> None:
        """Opens the ledger and begins to write: raises what a call would meet (``LedgerError``, ``LedgerBusy`` while others write)."""
        self._writer.write(_nothing, wait=False)

    def close(self) -> None:
        """See ``Ledger.close``."""
        self._reader.close()
        self._writer.close()

    def _write(
        self, work: Callable[[sqlite3.Connection, rows.Row, Sequence[Charge]], T], row: rows.Row, charges: Sequence[Charge], *, wait: bool
    ) -> T:
        """Values are cleaned only once they have proved not to be storable: looking at all of them beforehand would cost every call."""
        try:
            return self._writer.write(work, row, charges, wait=wait)
        except (UnicodeEncodeError, sqlite3.ProgrammingError):
            row, charges = rows.sound_row(row), rows.sound_charges(charges)
            return self._writer.write(work, row, charges, wait=wait)


def _append_audit(db: sqlite3.Connection, time: float, key: str, text: str) -> AuditRecord | None:
    if db.execute("SELECT 1 FROM audit WHERE key = ?", (key,)).fetchone():
        return None
    last = db.execute(f"SELECT {queries.AUDIT} FROM audit ORDER BY sequence DESC LIMIT 1").fetchone()  # noqa: S608  # constants
    record = chain.follow(AuditRecord(*last) if last else None, time, key, text)
    db.execute(f"INSERT INTO audit ({queries.AUDIT}) VALUES ({rows.marks(len(record))})", record)  # noqa: S608  # constants
    return record


def _nothing(db: sqlite3.Connection) -> None:
    """Work to begin with and not to do."""


def _amounts(charges: Iterable[Charge]) -> str:
    return rows.encode([(hold.account, amount) for hold, amount in charges])


def _reserve(db: sqlite3.Connection, lease: rows.Row, charges: Sequence[Charge]) -> Refusal | None:
    if db.execute(_ADD_LEASE, lease).rowcount == 0:
        return None
    accounts = StoredAccounts(db)
    refusal = take(accounts, charges)
    if refusal is not None:
        db.execute("DELETE FROM lease WHERE entry = ?", lease[:1])
    accounts.save()
    return refusal


def _settle(db: sqlite3.Connection, row: rows.Row, charges: Sequence[Charge]) -> list[Standing]:
    accounts = StoredAccounts(db)
    _free_lease(db, accounts, row[_ID])
    is_better = _add_entry(db, accounts, row, None if row[_STATE] == State.EXACT else _amounts(charges), swept=False)
    # The call is in the books, whatever its budgets are like.
    sound = [charge for charge in charges if accounts.is_sound(charge[0].account)]
    standings = book(accounts, (), sound) if is_better else []
    accounts.save()
    return standings


def _free_lease(db: sqlite3.Connection, accounts: StoredAccounts, entry_id: str) -> None:
    lease = db.execute("SELECT holds FROM lease WHERE entry = ?", (entry_id,)).fetchone()
    if not lease:
        return
    db.execute("DELETE FROM lease WHERE entry = ?", (entry_id,))
    for account, amount in _still_held(accounts, lease[0], entry_id):
        account.free(amount)


def _add_entry(db: sqlite3.Connection, accounts: StoredAccounts, row: rows.Row, charges: str | None, *, swept: bool) -> bool:
    """Writes the entry, unless a better one is there. One that gives way takes its charges with it."""
    row = (*_with_superseded(db, row), charges, int(swept))
    if db.execute(_ADD_ENTRY, row).rowcount:
        return True
    there = db.execute("SELECT usage_state, swept, charges FROM entry WHERE id = ?", (row[_ID],)).fetchone()
    if swept or not replaces(State(row[_STATE]), State(there[0]), swept=bool(there[1])):
        return False
    for account, amount in _still_held(accounts, there[2], row[_ID]):
        account.refund(amount)
    db.execute(_REPLACE_ENTRY, (*row, row[_ID]))
    return True


def _with_superseded(db: sqlite3.Connection, row: rows.Row) -> rows.Row:
    """The row of an entry that may be settled after its step's attempt ended."""
    where, number = (row[_EXECUTION], row[_STEP]), row[_ATTEMPT]
    if None in where or number is None:
        return row
    if db.execute(_HAS_ENDED, (*where, number)).fetchone() is None:
        return row
    return (*row[:_SUPERSEDED], int(number != _winner(db, where)), *row[_SUPERSEDED + 1 :])


_HAS_ENDED = "SELECT 1 FROM attempt WHERE execution = ? AND step = ? AND number = ?"
_WINNER = "SELECT number FROM attempt WHERE execution = ? AND step = ? ORDER BY ok DESC, number DESC LIMIT 1"
"""As ``rules.winner`` says, of steps that are tried thousands of times, too, such as the turns of a loop."""


def _winner(db: sqlite3.Connection, where: tuple[str, str]) -> int | None:
    found = db.execute(_WINNER, where).fetchone()
    return found[0] if found else None


def _end_step(db: sqlite3.Connection, where: tuple[str, str], number: int, *, ok: bool) -> None:
    before = _winner(db, where)
    db.execute("INSERT OR REPLACE INTO attempt VALUES (?, ?, ?, ?)", (*where, number, int(ok)))
    after = _winner(db, where)
    db.execute(  # all others stay replaced
        "UPDATE entry SET superseded = (attempt <> ?) WHERE execution = ? AND step = ? AND attempt IN (?, ?, ?)",
        (after, *where, number, before, after),
    )


_OVER = "account WHERE reserved = 0 AND ((ends >= 0 AND ends < :closed) OR (ends < 0 AND -ends < :idle))"
"""As ``rules.is_over`` says."""
_NEEDS_SWEEP = f"SELECT EXISTS (SELECT 1 FROM lease WHERE expires < :now) OR EXISTS (SELECT 1 FROM {_OVER})"  # noqa: S608  # constants
_FORGET = f"DELETE FROM {_OVER}"  # noqa: S608  # constants


def _times(now: float) -> dict[str, float]:
    return {"now": now, "closed": now - CLOSED_ACCOUNTS_KEPT, "idle": now - IDLE_ACCOUNTS_KEPT}


def _needs_sweep(db: sqlite3.Connection, now: float) -> bool:
    return bool(db.execute(_NEEDS_SWEEP, _times(now)).fetchone()[0])


_DAMAGED_LEASE = (
    "%s: the lease of call %s is left alone, and the call is not in the books: %s. Once its row in the table lease is repaired, "
    "UPDATE lease SET expires = 0 WHERE entry = '%s' has it swept"
)


_UNREADABLE = (LedgerDamaged, sqlite3.IntegrityError, sqlite3.InterfaceError, sqlite3.ProgrammingError, UnicodeError, OverflowError)
"""What a draft raises that is no entry, or one that cannot be stored."""


def _sweep(db: sqlite3.Connection, now: float) -> tuple[list[Entry], list[tuple[str, Exception]]]:
    """The entries written, and the leases that cannot be read: those never expire, so that they do not keep others from being swept."""
    expired = db.execute("SELECT entry, holds, draft FROM lease WHERE expires < ? LIMIT ?", (now, _SWEPT_AT_ONCE)).fetchall()
    accounts = StoredAccounts(db)
    written: list[rows.Row] = []
    damaged: list[tuple[str, Exception]] = []
    for entry_id, holds, draft in expired:
        try:
            held, row = _held(accounts, holds), rows.to_unknown(draft)
            is_new = _add_entry(db, accounts, row, holds, swept=True)  # not if it was settled by a process that lost track of its lease
        except _UNREADABLE as error:
            db.execute("UPDATE lease SET expires = ? WHERE entry = ?", (math.inf, entry_id))
            damaged.append((entry_id, error))
            continue
        _free_lease(db, accounts, entry_id)
        if is_new:
            written.append(_with_superseded(db, row))
            for account, amount in held:
                account.spent += amount
    accounts.save()
    db.execute(_FORGET, _times(now))
    return [rows.to_entry(row) for row in written], damaged


def _still_held(accounts: StoredAccounts, holds: str, entry_id: str) -> list[tuple[Account, int]]:
    """As ``_held``, but a damaged account does not keep the entry from being written."""
    try:
        return _held(accounts, holds)
    except LedgerDamaged as error:
        log.warning("what call %s was booked to stays booked until the windows of its budgets end: %s", entry_id, error)
        return []


def _held(accounts: StoredAccounts, holds: str) -> list[tuple[Account, int]]:
    held = [(account_id, amount) for account_id, amount in rows.to_held(holds) if accounts.is_sound(account_id)]
    return [(account, amount) for account_id, amount in held if (account := accounts.get(account_id))]
