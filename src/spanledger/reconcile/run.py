"""One reconciliation from end to end: read both sides into buckets on disk, compare, explain."""

from __future__ import annotations

import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from spanledger.budgets import spill
from spanledger.errors import ConfigurationError
from spanledger.ledger.facts import Fact, execution, facts, known, services, stored_spans
from spanledger.reconcile import buckets, files, otlp
from spanledger.reconcile.buckets import Buckets
from spanledger.reconcile.compare import Comparison, Folders, Selection, compare
from spanledger.reconcile.difference import Differences
from spanledger.reconcile.execution import ExecutionResult, check
from spanledger.reconcile.reading import Reading, read_files
from spanledger.reconcile.reasons import Evidence, explain
from spanledger.reconcile.result import Result
from spanledger.telemetry import semconv as s

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from spanledger.ledger.ledger import Ledger
    from spanledger.model import Entry

_SERVICE, _CORRECTION, _INSTANCE = map(Fact._fields.index, ("service", "correction", "instance"))
_EVERY = 10_000
"""Entries after which the progress is told."""


class Progress(Protocol):
    """Is told what is being done; each stage has its own unit."""

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        """``done`` more of ``total`` (None: nobody knows) of this stage."""


class Sources(NamedTuple):
    """Where both sides are."""

    ledger: Ledger
    ledger_name: str
    """For people; without a password."""
    files: Sequence[Path] = ()
    """Span files: what came through the collectors."""
    table: Path | None = None
    """The SQLite ledger whose own table holds spans, too: what programs stored there themselves."""
    spills: spill.Folder | None = None
    """Where settlements wait that the ledger has not taken yet."""

    @property
    def spans_name(self) -> list[str]:
        """Where spans are looked for, for people."""
        return [*map(str, self.files), *([f"the span table of {self.ledger_name}"] if self.table else [])]


def silent(stage: str, done: int, total: int | None) -> None:
    """Progress that nobody watches."""


class Reconciliation:
    """The comparison of a ledger with spans. Its intermediate files are private and gone when the ``with`` ends; so are the differences.

    Args:
        sources: both sides.
        selection: which calls.
        workers: how many processes may read span files.
        arriving: calls that began then or later may be on their way to one side; see ``Comparison``.
    """

    def __init__(self, sources: Sources, selection: Selection, *, workers: int = 2, arriving: float = float("inf")) -> None:
        self._sources, self._selection, self._workers, self._arriving = sources, selection, workers, arriving
        self._progress: Progress = silent
        self._folder = Path()
        self._differences: Differences | None = None

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="spanledger-reconcile-"))  # mode 0700
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        if self._differences is not None:
            self._differences.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def result(self, progress: Progress = silent) -> Result:
        """Reads, compares and explains, and says how far it is.

        Raises:
            LedgerError: the ledger cannot be read.
            ConfigurationError: a span file cannot be read, or one side has nothing to compare.
        """
        self._progress = progress
        entries = self._folder / "entries"
        with ThreadPoolExecutor(1) as beside:  # span files are read in other processes meanwhile
            booked = beside.submit(self._read_ledger, entries)
            reading = self._read_files(self._spans[0])
            reading.add(self._read_table(self._spans[1]))
            booked.result()
        self._differences = Differences(self._folder / "differences.db")
        comparison = self._compare(entries, self._differences)
        self._demand_both(comparison, reading)
        spilled = frozenset(entry.id for entry in self._spilled())
        evidence = Evidence(comparison, reading.torn + reading.unreadable, self._first_entry(), spilled)
        self._differences.explain(explain(self._differences, evidence))
        return Result(self._selection, self._sources.ledger_name, self._sources.spans_name, comparison, reading, self._run())

    @property
    def _spans(self) -> tuple[Path, Path]:
        """Spans as they came through the collectors, and as the ledger's own table has them."""
        return self._folder / "spans", self._folder / "stored"

    def _read_files(self, folder: Path) -> Reading:
        chunks = files.chunks(self._sources.files)
        total = sum(chunk.end - chunk.start for chunk in chunks)
        return read_files(chunks, folder, workers=self._workers, advance=lambda done: self._progress("span files", done, total))

    def _read_table(self, folder: Path) -> Reading:
        into, reading = Buckets(folder), Reading()
        for span in stored_spans(self._sources.table, s.ENTRY_ID) if self._sources.table else ():
            reading.lines += 1
            try:
                row = otlp.fact(*span)
            except otlp.MALFORMED:
                reading.unreadable += 1
                continue
            if row is not None:
                into.add([row])
                reading.spans += 1
        into.flush()
        return reading

    def _read_ledger(self, folder: Path) -> None:
        """Gives each entry its position among those of its service, so that calls that are missing in a row can be seen."""
        into, chosen = Buckets(folder), self._selection
        positions: dict[str | None, int] = {}
        rows = facts(self._sources.ledger, since=chosen.since, until=chosen.until, execution=chosen.execution)
        for number, row in enumerate((row for row in rows if chosen.of(row[_SERVICE])), 1):
            position = positions[row[_SERVICE]] = positions.get(row[_SERVICE], 0) + 1
            into.add([(*row, position)])
            if number % _EVERY == 0:
                self._progress("ledger entries", _EVERY, None)
        into.flush()

    def _compare(self, entries: Path, into: Differences) -> Comparison:
        comparison = Comparison(into, self._arriving)
        folders = Folders(entries, self._spans, self._folder / "aside")
        for _ in compare(folders, self._selection, self, comparison):
            self._progress("comparison", 1, buckets.COUNT)
        return comparison

    def known(self, number: int, ids: set[str]) -> set[str]:
        """Those of the ids of a bucket that the ledger holds at all. A ledger that cannot be asked by id is read once as a whole."""
        asked = known(self._sources.ledger, ids)
        if asked is not None:
            return asked
        everything = self._folder / "everything"
        if not everything.exists():
            into = Buckets(everything)
            into.add((entry.id,) for entry in self._sources.ledger.entries())
            into.flush()
        return ids & {id_ for (id_,) in buckets.rows(everything, number)}

    def services(self) -> set[str | None]:
        """All services that keep their books in the ledger; those of which only a settlement waits for it do, too."""
        return services(self._sources.ledger) | {entry.service for entry in self._spilled()}

    def _demand_both(self, comparison: Comparison, reading: Reading) -> None:
        """An empty side is a wrong place more often than a loss of everything: it is no result. Books that are missed by name are one."""
        found = f"{reading.spans:,} spans of calls in {reading.lines:,} lines ({reading.torn + reading.unreadable:,} could not be read)"
        chosen = self._selection.text
        if not comparison.entries and not (self._selection.services and comparison.counted):
            raise ConfigurationError(self._sources.ledger_name, f"has no entries {chosen}", f"entries to compare with {found}")
        if not comparison.counted:
            where = ", ".join(self._sources.spans_name)
            problem = f"none of the calls asked about is there ({found})"
            elsewhere = "if a collector wrote them, name its folder by --spans, or by SPANLEDGER_STACK_DIR that of a spanledger stack"
            wanted = f"spans of the {comparison.entries:,} entries that the ledger has {chosen}; {elsewhere}"
            raise ConfigurationError(where, problem, wanted)

    def _first_entry(self) -> float | None:
        first = next(iter(self._sources.ledger.entries()), None)
        return first.time if first else None

    def _spilled(self) -> list[Entry]:
        spills = self._sources.spills
        waiting = (record for path in (spills.files() if spills else ()) for record in spill.read(path))
        return [record.entry for record in waiting if isinstance(record, spill.Settlement)]

    def _run(self) -> ExecutionResult | None:
        if self._selection.execution is None:
            return None
        record = execution(self._sources.ledger, self._selection.execution)
        return check(self._sources.ledger, record, self._processes) if record else None

    def _processes(self, ids: set[str]) -> dict[str, str | None]:
        """Which process made each of these calls, as the span tells that counts it."""
        spans = (row for folder in self._spans for number in range(buckets.COUNT) for row in buckets.rows(folder, number))
        return {row[0]: row[_INSTANCE] for row in spans if row[0] in ids and not row[_CORRECTION]}
