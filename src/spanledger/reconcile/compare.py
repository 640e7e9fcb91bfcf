"""Ledger against spans, entry by entry: what each side sums up to, and every entry about which they differ."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from spanledger.ledger.facts import Fact
from spanledger.model import State
from spanledger.reconcile import buckets
from spanledger.reconcile.buckets import Buckets
from spanledger.reconcile.difference import Difference, Kind, moment
from spanledger.reconcile.sums import Sums

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from spanledger.ledger.facts import FactRow
    from spanledger.reconcile.difference import Differences


class Ledger(Protocol):
    """What is asked of the ledger beside the entries that are compared."""

    def known(self, number: int, ids: set[str]) -> set[str]:
        """Those of the entry ids of a bucket that it holds, in the selection or not."""

    def services(self) -> set[str | None]:
        """All services that ever kept their books here."""


_FROM, _TO = Fact._fields.index("activity"), Fact._fields.index("plugin") + 1
_TOKENS_FROM = Fact._fields.index("input")
_TIME, _SERVICE, _CORRECTION, _SWEPT = map(Fact._fields.index, ("time", "service", "correction", "swept"))
_SPAN = slice(Fact._fields.index("trace_id"), Fact._fields.index("span_id") + 1)
"""What makes two facts the same span."""
_TRUST = {State.EXACT.value: 0, State.ESTIMATED.value: 1, State.UNKNOWN.value: 2}


class Selection(NamedTuple):
    """Which calls are compared: those that started in ``since <= time < until``, or those of one execution.

    An entry's time is the ledger's; the span's own counts only where the ledger has no entry, so that clocks never make a difference.
    """

    since: float | None = None
    until: float | None = None
    execution: str | None = None
    services: tuple[str, ...] = ()
    """Only calls of these services; of all, if none is named."""

    @property
    def text(self) -> str:
        """For people."""
        bounds = [f"{word} {moment(time)}" for word, time in (("from", self.since), ("to", self.until)) if time is not None]
        when = f"of execution {self.execution}" if self.execution is not None else " ".join(bounds) or "of all time"
        return f"of service {' and '.join(self.services)} {when}" if self.services else when

    def has(self, span: Fact) -> bool:
        """Whether a call that only spans know is one of them. Calls outside of any workflow are booked to their trace as execution."""
        if not self.of(span.service):
            return False
        if self.execution is not None:
            return self.execution == (span.execution or span.trace_id)
        return (self.since is None or span.time >= self.since) and (self.until is None or span.time < self.until)

    def of(self, service: str | None) -> bool:
        """Whether calls of this service are asked about."""
        return not self.services or service in self.services


@dataclass(slots=True)
class Service:
    """What is known of one service (as one side names it), to find reasons."""

    facts: int = 0
    """Entries, or counted spans."""
    met: int = 0
    """Those of them that the other side has too."""
    newest: float = float("-inf")
    """When the last call began that the other side has too."""


@dataclass
class Comparison:
    """What came of comparing."""

    differences: Differences
    arriving: float = float("inf")
    """A call that began then or later and that only one side has is no difference: the other side may still be on its way."""
    pending: int = 0
    """How many such calls there are. They are in no sum."""
    elsewhere: Counter[str] = field(default_factory=Counter)
    """How many calls there are of services that keep their books elsewhere, by service. They are in no sum."""
    ledger: Sums = field(default_factory=Sums)
    spans: Sums = field(default_factory=Sums)
    """Every span once; a correction in the place of what it corrects."""
    repeated: Sums = field(default_factory=Sums)
    """What arrived again."""
    agreed: Sums = field(default_factory=Sums)
    entries: int = 0
    entry_services: dict[str | None, Service] = field(default_factory=dict)
    span_services: dict[str | None, Service] = field(default_factory=dict)

    @property
    def counted(self) -> int:
        """Spans of calls that were compared, each once."""
        return sum(service.facts for service in self.span_services.values())


class Folders(NamedTuple):
    """Where facts lie in buckets."""

    entries: Path
    spans: Sequence[Path]
    """One for each way on which spans came: one that came on several is no second delivery, and the first way counts."""
    aside: Path
    """A new one, for calls that only spans know."""


def compare(folders: Folders, selection: Selection, ledger: Ledger, comparison: Comparison) -> Iterator[int]:
    """Compares all buckets, and yields the number of each bucket that is done; ``comparison`` is complete after the last.

    Rows of the ledger carry one value more than a fact, the entry's position in its service. Calls that only spans know are put
    aside, and looked at when all the others tell which services keep their books here.
    """
    orphans = Buckets(folders.aside)
    for number in range(buckets.COUNT):
        found = _by_entry(folders.spans, number)
        for row in buckets.rows(folders.entries, number):
            _entry(comparison, row, found.pop(row[0], ()))
        for rows in found.values():
            if any(selection.has(Fact(*row)) for row in rows):
                orphans.add(rows)
        yield number
    orphans.flush()
    _orphans(comparison, folders.aside, selection, ledger)
    for sums in (comparison.ledger, comparison.spans):
        sums.absorb(comparison.agreed)


def _by_entry(spans: Sequence[Path], number: int) -> dict[str, list[FactRow]]:
    found: dict[str, list[FactRow]] = {}
    for row in buckets.rows(spans[0], number):
        found.setdefault(row[0], []).append(row)
    for folder in spans[1:]:
        for row in buckets.rows(folder, number):
            there = found.setdefault(row[0], [])
            if all(row[_SPAN] != one[_SPAN] for one in there):
                there.append(row)
    return found


def _entry(comparison: Comparison, row: FactRow, spans: Sequence[FactRow]) -> None:
    comparison.entries += 1
    if not spans and row[_TIME] >= comparison.arriving and not row[_SWEPT]:
        comparison.pending += 1
        return
    _note(comparison.entry_services, row, met=bool(spans))
    if len(spans) == 1 and row[_FROM:_TO] == spans[0][_FROM:_TO] and not spans[0][_CORRECTION]:
        _note(comparison.span_services, spans[0], met=True)
        comparison.agreed.add(row)
        return
    entry = Fact(*row[:-1])
    one = Difference(entry.id, (), entry, _distinct(comparison, spans), len(spans), row[-1])
    comparison.ledger.add(entry)
    final = _add_spans(comparison, one.spans, met=True)
    one.kinds = _kinds(one, final)
    if one.kinds:
        comparison.differences.add(one)


def _orphans(comparison: Comparison, folder: Path, selection: Selection, ledger: Ledger) -> None:
    """Calls that only spans know. Where the ledger holds an entry outside of the selection, the call is not asked about."""
    here: set[str | None] | None = None
    for number in range(buckets.COUNT):
        orphans = _by_entry([folder], number)
        if not orphans:
            continue
        if here is None:
            here = {*ledger.services(), *(name for name, service in comparison.span_services.items() if service.met), *selection.services}
        not_asked = ledger.known(number, set(orphans)) if selection != Selection() else set()
        for id_, rows in orphans.items():
            if id_ not in not_asked:
                _orphan(comparison, id_, rows, here)


def _orphan(comparison: Comparison, id_: str, rows: Sequence[FactRow], here: set[str | None]) -> None:
    service = rows[0][_SERVICE]
    if service is not None and service not in here:  # without a name nobody can say whose call it is
        comparison.elsewhere[service] += 1
    elif min(row[_TIME] for row in rows) >= comparison.arriving:
        comparison.pending += 1
    else:
        one = Difference(id_, (), None, _distinct(comparison, rows), len(rows))
        one.kinds = _kinds(one, _add_spans(comparison, one.spans, met=False))
        comparison.differences.add(one)


def _note(services: dict[str | None, Service], row: FactRow, *, met: bool) -> None:
    service = services.get(row[_SERVICE]) or services.setdefault(row[_SERVICE], Service())
    service.facts += 1
    if met:
        service.met += 1
        service.newest = max(service.newest, row[_TIME])


def _distinct(comparison: Comparison, rows: Sequence[FactRow]) -> list[Fact]:
    """Each span once; the others are added up as repeated."""
    found: dict[tuple[str | None, str | None], Fact] = {}
    for row in rows:
        span = Fact(*row)
        if found.setdefault((span.trace_id, span.span_id), span) is not span:
            comparison.repeated.add(row, 0 if span.correction else 1)
    return sorted(found.values(), key=lambda span: (span.time, span.span_id or ""))


def _add_spans(comparison: Comparison, spans: Sequence[Fact], *, met: bool) -> Fact | None:
    """Adds the spans of one entry to the sums; returns the numbers that count in the end, those of the best state."""
    if not spans:
        return None
    for span in spans:
        _note(comparison.span_services, span, met=met)
    counting = sorted((span for span in spans if not span.correction), key=_trust)
    final = min((*counting[:1], *(span for span in spans if span.correction)), key=_trust)
    if counting:  # a correction may be made elsewhere, within a step of another activity
        final = final._replace(activity=counting[0].activity)
    comparison.spans.add(final, min(len(counting), 1))
    for span in counting[1:]:
        comparison.spans.add(span)
    return final


def _trust(span: Fact) -> int:
    return _TRUST.get(span.state, len(_TRUST))


def _kinds(one: Difference, final: Fact | None) -> tuple[Kind, ...]:
    entry, operations = one.ledger, sum(not span.correction for span in one.spans)
    repeated = [Kind.DELIVERED_TWICE] if one.deliveries > len(one.spans) else []
    if entry is None:
        return (Kind.MISSING_IN_LEDGER, *repeated)
    if entry.swept and (final is None or final.state != State.UNKNOWN):
        return (Kind.UNKNOWN_IN_LEDGER, *repeated)
    kinds = [Kind.MISSING_IN_SPANS] if operations == 0 else [Kind.DOUBLED] if operations > 1 else []
    if final is not None:
        kinds += _numbers(entry, final if operations else final._replace(activity=entry.activity))
    return (*kinds, *repeated)


def _numbers(entry: Fact, span: Fact) -> list[Kind]:
    """In which numbers an entry and its span differ. Where one side's usage is unknown, there is nothing to compare but that."""
    kinds = [Kind.ACTIVITY_DIFFERS] if entry.activity != span.activity else []
    if entry.state != span.state:
        kinds.append(Kind.STATE_DIFFERS)
        if State.UNKNOWN in (entry.state, span.state):
            return kinds
    if entry[_TOKENS_FROM:_TO] != span[_TOKENS_FROM:_TO]:
        kinds.append(Kind.TOKENS_DIFFER)
    if entry.nano_usd != span.nano_usd:
        kinds.append(Kind.COST_DIFFERS)
    return kinds
