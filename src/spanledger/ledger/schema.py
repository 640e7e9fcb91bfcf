"""The tables of a SQLite ledger, their versions, and how a file becomes one.

``PRAGMA user_version`` is the number of migrations a file has seen; ``PRAGMA application_id`` says that it is ours. To change the
tables append a tuple of statements to ``MIGRATIONS``; never edit an earlier one. New columns of ``entry`` go to the end:
``rows.COLUMNS`` and drafts in ``lease`` count on the order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spanledger.errors import LedgerError, LedgerTooNew, LedgerTooOld

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence
    from pathlib import Path

APPLICATION_ID = 0x5350_4C47
"""``SPLG``."""

_CHECKPOINT_PAGES = 4000
"""Length of the write-ahead log (16 MB) at which a call copies it into the main file and waits for the disk. Rarely reached, because the
sweep does it too."""

_VERSION_1 = (
    """CREATE TABLE account (
        id TEXT PRIMARY KEY, budget TEXT NOT NULL, scope TEXT NOT NULL, unit TEXT NOT NULL, "limit" INTEGER NOT NULL, ends REAL,
        blocking INTEGER NOT NULL, spent INTEGER NOT NULL, reserved INTEGER NOT NULL) WITHOUT ROWID""",
    # holds: JSON [[account, amount], ...]; draft: JSON list of the values of an entry's row
    "CREATE TABLE lease (entry TEXT PRIMARY KEY, expires REAL NOT NULL, holds TEXT NOT NULL, draft TEXT NOT NULL) WITHOUT ROWID",
    # charges: JSON as holds, kept only while a later settlement may replace the entry; swept: the sweep wrote it, not the caller
    """CREATE TABLE entry (
        id TEXT NOT NULL UNIQUE, time REAL NOT NULL, activity TEXT NOT NULL, provider TEXT NOT NULL, operation TEXT NOT NULL,
        model TEXT, response_model TEXT, response_id TEXT, plugin TEXT, trace_id TEXT, span_id TEXT, service TEXT,
        workflow TEXT, execution TEXT, step TEXT, attempt INTEGER,
        customer TEXT, "user" TEXT, agent TEXT, campaign TEXT, session TEXT, other_keys TEXT,
        input_tokens INTEGER, output_tokens INTEGER, cache_read INTEGER, cache_write INTEGER, cache_write_1h INTEGER,
        reasoning INTEGER, other_usage TEXT, usage_state TEXT NOT NULL,
        nano_usd INTEGER, cost_status TEXT NOT NULL, price_source TEXT, price_version TEXT, price_model TEXT, price_date TEXT,
        duration REAL, first_chunk REAL, finish_reason TEXT, error TEXT,
        superseded INTEGER NOT NULL, charges TEXT, swept INTEGER NOT NULL)""",
    "CREATE INDEX entry_time ON entry (time)",
    "CREATE INDEX entry_execution ON entry (execution, step) WHERE execution IS NOT NULL",
    "CREATE INDEX entry_trace ON entry (trace_id) WHERE trace_id IS NOT NULL",
    "CREATE INDEX entry_response ON entry (response_id) WHERE response_id IS NOT NULL",
    """CREATE TABLE attempt (
        execution TEXT NOT NULL, step TEXT NOT NULL, number INTEGER NOT NULL, ok INTEGER NOT NULL,
        PRIMARY KEY (execution, step, number)) WITHOUT ROWID""",
    """CREATE TABLE execution (
        id TEXT NOT NULL UNIQUE, workflow TEXT NOT NULL, started REAL NOT NULL, ended REAL NOT NULL, status TEXT NOT NULL,
        keys TEXT NOT NULL, totals TEXT NOT NULL, error TEXT)""",
    "CREATE INDEX execution_started ON execution (started)",
    """CREATE TABLE span (
        trace_id TEXT NOT NULL, span_id TEXT NOT NULL, parent_id TEXT, name TEXT NOT NULL, kind TEXT NOT NULL,
        start_ns INTEGER NOT NULL, end_ns INTEGER NOT NULL, status TEXT NOT NULL, status_message TEXT, scope TEXT NOT NULL,
        attributes TEXT NOT NULL, events TEXT NOT NULL, resource TEXT NOT NULL, links TEXT NOT NULL,
        UNIQUE (trace_id, span_id))""",
)

_TALLIED = ("operations", "nano_usd", "input", "cache_read", "cache_write", "output", "reasoning", "plugin")
_SUPERSEDED = ("superseded_operations", "superseded_tokens", "superseded_nano_usd")
_WRITTEN = "coalesce(NEW.cache_write, 0) + coalesce(NEW.cache_write_1h, 0)"
_AMOUNTS = {
    "nano_usd": "coalesce(NEW.nano_usd, 0)",
    "input": f"max(0, coalesce(NEW.input_tokens, 0) - coalesce(NEW.cache_read, 0) - ({_WRITTEN}))",
    "cache_read": "coalesce(NEW.cache_read, 0)",
    "cache_write": _WRITTEN,
    "output": "max(0, coalesce(NEW.output_tokens, 0) - coalesce(NEW.reasoning, 0))",
    "reasoning": "coalesce(NEW.reasoning, 0)",
    "plugin": "coalesce(NEW.input_tokens, 0) + coalesce(NEW.output_tokens, 0)",
}
"""As ``Entry.tokens_by_type`` says."""


def _counts(name: str) -> str:
    """The amount of one column, 0 where it does not apply: unknown usage has no tokens, and a plugin's are a type of their own."""
    if name == "nano_usd":
        return _AMOUNTS[name]
    return f"iif(NEW.usage_state <> 'unknown' AND (NEW.plugin IS {'NOT ' if name == 'plugin' else ''}NULL), {_AMOUNTS[name]}, 0)"


_TOKENS = "iif(NEW.usage_state <> 'unknown', coalesce(NEW.input_tokens, 0) + coalesce(NEW.output_tokens, 0), 0)"


def _tally(operations: int, superseded: str, superseded_operations: int, *, amounts: bool = True) -> str:
    """Adds a row of ``entry`` to its row of ``tally``: operations, amounts, and if ``superseded`` holds the part that is superseded."""
    values = {
        "operations": str(operations),
        **{name: _counts(name) if amounts else "0" for name in _AMOUNTS},
        "superseded_operations": f"iif({superseded}, {superseded_operations}, 0)",
        "superseded_tokens": f"iif({superseded}, {_TOKENS}, 0)",
        "superseded_nano_usd": f"iif({superseded}, {_AMOUNTS['nano_usd']}, 0)",
    }
    added = ", ".join(f"{name} = {name} + excluded.{name}" for name in values)
    return f"""INSERT INTO tally (service, activity, usage_state, {", ".join(values)})
        VALUES (coalesce(NEW.service, ''), NEW.activity, NEW.usage_state, {", ".join(values.values())})
        ON CONFLICT (service, activity, usage_state) DO UPDATE SET {added};"""  # noqa: S608  # constants


_VERSION_2 = (
    # What was ever written, for metrics: it never falls, so a replaced entry adds its new amounts, and its operation stays counted once.
    f"""CREATE TABLE tally (service TEXT NOT NULL, activity TEXT NOT NULL, usage_state TEXT NOT NULL,
        {", ".join(f"{name} INTEGER NOT NULL DEFAULT 0" for name in (*_TALLIED, *_SUPERSEDED))},
        PRIMARY KEY (service, activity, usage_state)) WITHOUT ROWID""",
    f"CREATE TRIGGER entry_added AFTER INSERT ON entry BEGIN {_tally(1, 'NEW.superseded', 1)} END",
    f"""CREATE TRIGGER entry_replaced AFTER UPDATE OF usage_state ON entry
        BEGIN {_tally(0, "NEW.superseded AND OLD.superseded", 0)} END""",
    f"""CREATE TRIGGER entry_superseded AFTER UPDATE OF superseded ON entry WHEN NEW.superseded AND NOT OLD.superseded
        BEGIN {_tally(0, "1", 1, amounts=False)} END""",
    "CREATE TABLE identity (id TEXT NOT NULL)",
    "INSERT INTO identity VALUES (lower(hex(randomblob(8))))",
    """CREATE TABLE audit (sequence INTEGER PRIMARY KEY, time REAL NOT NULL, key TEXT NOT NULL UNIQUE, text TEXT NOT NULL,
        previous TEXT NOT NULL, hash TEXT NOT NULL)""",
    "CREATE TRIGGER audit_unchanged BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'audit records are never changed'); END",
    "CREATE TRIGGER audit_kept BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'audit records are never deleted'); END",
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (_VERSION_1, _VERSION_2)
"""Migration n (counted from 0) makes version n + 1 of version n."""


def prepare(db: sqlite3.Connection, path: Path, migrations: Sequence[tuple[str, ...]] = MIGRATIONS) -> None:
    """Makes a fresh connection ready for use: checks whose file it is, turns on the write-ahead log, brings the tables up to date.

    Raises:
        LedgerTooNew: a newer version of Spanledger wrote the file. It is not changed then.
        LedgerError: it is another program's database. Not changed either.
    """
    version = _version(db, path, migrations)
    db.execute("PRAGMA synchronous=NORMAL")
    db.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
    if _pragma(db, "journal_mode") != "wal":
        db.execute("PRAGMA journal_mode=WAL")
    if version < len(migrations):
        _migrate(db, migrations)


def check(db: sqlite3.Connection, path: Path, migrations: Sequence[tuple[str, ...]] = MIGRATIONS) -> None:
    """Whether a fresh connection can be used as it is. Nothing is changed: processes of an older version may be using the file.

    Raises:
        LedgerTooOld: its tables are not those of this version yet.
        LedgerError: as ``prepare`` does.
    """
    version = _version(db, path, migrations)
    if version < len(migrations):
        older = f"has the tables of an older version of Spanledger (version {version}, this one uses {len(migrations)})"
        none = f"has no tables: nothing was written to it yet, or it was copied without what was beside it in {path.name}-wal"
        msg = f"the ledger {path} {older if version else none}"
        raise LedgerTooOld(msg)


def _version(db: sqlite3.Connection, path: Path, migrations: Sequence[tuple[str, ...]]) -> int:
    _check_owner(db, path)
    version: int = _pragma(db, "user_version")
    if version > len(migrations):
        msg = (
            f"the ledger {path} was written by a newer version of Spanledger (its tables have version {version}, "
            f"this one knows {len(migrations)}); upgrade spanledger or choose another path"
        )
        raise LedgerTooNew(msg)
    return version


def _check_owner(db: sqlite3.Connection, path: Path) -> None:
    """In one snapshot: between two looks another process may make an empty file a ledger."""
    db.execute("BEGIN")
    try:
        owner = _pragma(db, "application_id")
        used = _pragma(db, "user_version") or db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    finally:
        db.execute("ROLLBACK")
    if owner != APPLICATION_ID and (owner or used):
        msg = f"the ledger {path} cannot be used: it is the database of another program; choose another path"
        raise LedgerError(msg)


def _migrate(db: sqlite3.Connection, migrations: Sequence[tuple[str, ...]]) -> None:
    """In one transaction, in which the version is read again: another process may have been faster."""
    db.execute("BEGIN IMMEDIATE")
    try:
        for script in migrations[_pragma(db, "user_version") :]:
            for statement in script:
                db.execute(statement)
        db.execute(f"PRAGMA application_id={APPLICATION_ID}")
        db.execute(f"PRAGMA user_version={len(migrations)}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _pragma(db: sqlite3.Connection, name: str) -> Any:
    return db.execute(f"PRAGMA {name}").fetchone()[0]
