"""Spans in the ledger's SQLite file, so that ``spanledger trace`` works without a tracing backend."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spanledger.ledger import rows
from spanledger.ledger.database import Database
from spanledger.outside import sound

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

MOST_SPANS = 1_000_000
_SAVED_AT_ONCE = 64
"""Spans written in one transaction: calls of this and other processes wait for it to end."""
_PRUNED_AT_ONCE = 500

_TEXTS = ("trace_id", "span_id", "parent_id", "name", "kind", "start_ns", "end_ns", "status", "status_message", "scope")
_JSONS = ("attributes", "events", "resource", "links")
_NAMES = ", ".join((*_TEXTS, *_JSONS))
_ADD = f"INSERT INTO span ({_NAMES}) VALUES ({rows.marks(14)}) ON CONFLICT (trace_id, span_id) DO NOTHING"  # noqa: S608  # constants
_TRACE = f"SELECT {_NAMES} FROM span WHERE trace_id >= ? AND trace_id < ? ORDER BY trace_id, start_ns, rowid"  # noqa: S608  # constants
_ROOT = "SELECT name, start_ns FROM span WHERE trace_id = ? ORDER BY parent_id IS NOT NULL, start_ns LIMIT 1"
# Spans are only ever removed from the old end, so that row numbers have no holes.
_PRUNE = "DELETE FROM span WHERE rowid <= (SELECT max(rowid) FROM span) - ? AND rowid < (SELECT min(rowid) FROM span) + ?"


@dataclass(slots=True)
class SpanRow:
    """One finished span. Ids are lower-case hex, times nanoseconds since the epoch; the last four fields must be JSON."""

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    kind: str
    start_ns: int
    end_ns: int
    status: str
    status_message: str | None = None
    scope: str = ""
    """Name of the instrumentation scope."""
    attributes: dict[str, Any] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    resource: dict[str, Any] = field(default_factory=dict)
    links: list[dict[str, Any]] = field(default_factory=list)


class SpanStore:
    """Safe for threads, forks and several processes, like the ledger. All methods raise ``LedgerError`` if the file cannot be used."""

    def __init__(self, path: str | Path, most_spans: int = MOST_SPANS, *, migrate: bool = True) -> None:
        self._most = most_spans
        self._database = Database(Path(path).absolute(), migrate=migrate)

    def save(self, spans: Sequence[SpanRow]) -> None:
        """Adds spans, except those that are there already; forgets the oldest beyond ``most_spans``."""
        ready = [rows.sound_row(_from_span(span)) for span in spans]
        for start in range(0, len(ready), _SAVED_AT_ONCE):
            self._save_some(ready[start : start + _SAVED_AT_ONCE])

    def trace(self, trace_id_prefix: str) -> list[SpanRow]:
        """The spans of all traces whose id begins so, trace by trace in the order of their start."""
        prefix = sound(trace_id_prefix.lower())
        after_all = prefix + "g"  # the first letter behind the hex digits
        return self._database.read(lambda db: [_to_span(row) for row in db.execute(_TRACE, (prefix, after_all))])

    def recent(self, limit: int) -> list[tuple[str, str, int]]:
        """The traces saved last, newest first: trace id, name of the root (else of the first span), its start in ns."""
        found = self._database.read(lambda db: [(trace_id, *db.execute(_ROOT, (trace_id,)).fetchone()) for trace_id in _last(db, limit)])
        return sorted(found, key=lambda trace: trace[2], reverse=True)

    def close(self) -> None:
        """Closes the file; it reopens when needed."""
        self._database.close()

    def _save_some(self, ready: Sequence[rows.Row]) -> None:
        def work(db: sqlite3.Connection) -> None:
            db.executemany(_ADD, ready)
            db.execute(_PRUNE, (self._most, _PRUNED_AT_ONCE))

        self._database.write(work)


def _last(db: sqlite3.Connection, limit: int) -> list[str]:
    found: dict[str, None] = {}
    for (trace_id,) in db.execute("SELECT trace_id FROM span ORDER BY rowid DESC"):
        if len(found) >= limit:
            break
        found[trace_id] = None
    return list(found)


def _from_span(span: SpanRow) -> rows.Row:
    return (*(getattr(span, name) for name in _TEXTS), *(rows.encode(getattr(span, name)) for name in _JSONS))


@rows.from_file
def _to_span(row: Sequence[Any]) -> SpanRow:
    return SpanRow(*row[: len(_TEXTS)], *(json.loads(text) for text in row[len(_TEXTS) :]))
