"""The probable reason of each difference, from what the entry, its spans and their neighbours tell."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from spanledger.model import State
from spanledger.reconcile.difference import Kind, moment

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from spanledger.ledger.facts import Fact
    from spanledger.reconcile.compare import Comparison, Service
    from spanledger.reconcile.difference import Difference, Differences

_RUN = 8
"""Calls without a span that make a lost batch more likely than single losses."""
_GAP = 4
"""As many calls of other processes of the service may lie between two calls of a run."""
_PAUSE = 60.0
"""Seconds that may lie between two calls of one process that an outage of the ledger took."""
_SAMPLED = 0.1
"""The share of a service's calls that have no span and are in no run from which on sampling is more likely than loss."""


class Evidence(NamedTuple):
    """What is known beside the entry itself."""

    comparison: Comparison
    unread: int
    """Lines of the span files that could not be read."""
    first_entry: float | None
    """When the ledger's first entry began, of all it has; None if it has none."""
    spilled: frozenset[str] = frozenset()
    """Entries whose settlements wait in spill files of this host."""
    alone: Mapping[str | None, int] = MappingProxyType({})
    """By service, how many entries without spans are in no run."""


Reason = tuple[int, Kind, str]

_SPILLED = (
    "the ledger could not be reached when the call ended; its settlement waits in a spill file, which the next program that uses this "
    "ledger replays"
)


@dataclass(slots=True)
class _Run:
    """Neighbours that are missing together for the same reason; any other difference is alone. It may be long: only numbers are kept."""

    first: Difference
    last: Difference
    general: str
    """What each of them tells by itself; empty if only the run as a whole tells."""
    numbers: list[int]

    @property
    def alone(self) -> bool:
        """Whether neither each by itself nor all together tell why."""
        return not self.general and len(self.numbers) < _RUN


def explain(differences: Differences, evidence: Evidence) -> Iterator[Reason]:
    """The reason of every difference. Goes through them twice: what is lost here and there shows only in the end."""
    alone: Counter[str | None] = Counter()
    for run in _runs(differences.by_place(), evidence):
        if run.first.kinds[0] is Kind.MISSING_IN_SPANS and run.alone:
            alone[run.first.either.service] += len(run.numbers)
    evidence = evidence._replace(alone=alone)
    for run in _runs(differences.by_place(), evidence):
        sentence = run.general or (reason(run.first, evidence) if run.alone else _of_run(run, evidence))
        for number in run.numbers:
            yield number, run.first.kinds[0], sentence


def _runs(differences: Iterable[Difference], evidence: Evidence) -> Iterator[_Run]:
    run: _Run | None = None
    for one in differences:
        general = reason(one, evidence, alone=False)
        if run and general == run.general and _continues(run.last, one):
            run.last = one
            run.numbers.append(one.number)
            continue
        if run:
            yield run
        run = _Run(one, one, general, [one.number])
    if run:
        yield run


def _continues(last: Difference, one: Difference) -> bool:
    if one.kinds[0] is not last.kinds[0] or one.either.service != last.either.service:
        return False
    if one.kinds[0] is Kind.MISSING_IN_LEDGER:
        return last.spans[0].instance == one.spans[0].instance and one.spans[0].time - last.spans[0].time <= _PAUSE
    return one.kinds[0] is Kind.MISSING_IN_SPANS and one.position - last.position <= _GAP


def _of_run(run: _Run, evidence: Evidence) -> str:
    first, last = run.first.either, run.last.either
    calls = f"one of {len(run.numbers):,} calls of service {first.service or '(no name)'}"
    when = f"({moment(first.time)} to {moment(last.time)})"
    if run.first.kinds[0] is Kind.MISSING_IN_LEDGER:
        return (
            f"{calls} shortly after each other {when} that have a span, but no entry: the ledger could not be reached, and "
            "what was kept aside has not been replayed; or these entries were deleted"
        )
    return f"{calls} in a row {when} without a span: the SDK's queue overflowed, or its exporter lost a batch{_perhaps_unread(evidence)}"


def reason(one: Difference, evidence: Evidence, *, alone: bool = True) -> str:
    """The reason of one difference, in a sentence. With ``alone`` false: empty if only its neighbours can tell."""
    kind, entry = one.kinds[0], one.ledger
    if entry is None:
        return _missing_in_ledger(one, evidence, alone=alone)
    if kind is Kind.MISSING_IN_SPANS:
        return _missing_in_spans(one, entry, evidence, alone=alone)
    if kind is Kind.UNKNOWN_IN_LEDGER:
        return _unknown(one, evidence)
    if kind is Kind.DOUBLED:
        return _doubled(one)
    if kind is Kind.DELIVERED_TWICE:
        return (
            "the same span was delivered again, after a timeout or a restart on its way: delivery is at least once; it is counted once here"
        )
    return _other_numbers(kind, entry, min(one.spans, key=lambda span: span.state != State.EXACT))


def _missing_in_ledger(one: Difference, evidence: Evidence, *, alone: bool) -> str:
    span = one.spans[0]
    if one.id in evidence.spilled:
        return _SPILLED
    service = evidence.comparison.span_services.get(span.service)
    if evidence.first_entry is not None and span.time < evidence.first_entry:
        return f"the call is older than the ledger's first entry ({moment(evidence.first_entry)}): its books began later, or were cut"
    if service is not None and not service.met:
        return f"no call of service {span.service or '(no name)'} has an entry in this ledger: the service uses another ledger"
    if not alone:
        return ""
    return (
        "the ledger could not be reached when the call ended and let it pass, and what was kept aside has not been replayed; "
        "or the entry was deleted"
    )


def _missing_in_spans(one: Difference, entry: Fact, evidence: Evidence, *, alone: bool) -> str:
    service = evidence.comparison.entry_services[entry.service]
    if one.spans:
        return "only the correction of the call arrived; the span that counts it was lost"
    if entry.span_id is None:
        return "the call had no span: the program has no tracer provider"
    if not service.met:
        return f"no call of service {entry.service or '(no name)'} has a span here: it exports no spans, or to another place"
    if entry.time > service.newest:
        return (
            "the call is newer than the last span of its service: the process ended before it exported its last spans, "
            "or has not exported them yet"
        )
    return _lost(entry, service, evidence) if alone else ""


def _lost(entry: Fact, service: Service, evidence: Evidence) -> str:
    share = evidence.alone.get(entry.service, 0) / service.facts
    if service.facts >= 2 * _RUN and share >= _SAMPLED:
        name = entry.service or "(no name)"
        return f"{share:.0%} of the calls of service {name} have no span, here and there: spans are sampled before they are written"
    return f"a single span was lost between the process and the span file{_perhaps_unread(evidence)}"


def _perhaps_unread(evidence: Evidence) -> str:
    return f"; or it is in one of the {evidence.unread:,} lines that could not be read" if evidence.unread else ""


def _unknown(one: Difference, evidence: Evidence) -> str:
    if one.id in evidence.spilled:
        return _SPILLED
    if not one.spans:
        return "the process was killed during the call: nobody settled it, and its span was never exported"
    return (
        "nobody settled the call, yet it has a span: the process was killed between the two, or its settlement was kept aside "
        "(the ledger could not be reached) and has not been replayed"
    )


def _doubled(one: Difference) -> str:
    count, instances = len(one.spans), {span.instance for span in one.spans}
    if len(instances) > 1:
        return (
            f"{count} spans of {len(instances)} processes count the same call: it was ended in a forked child too, or run again elsewhere"
        )
    return f"{count} different spans count the same call: a second instrumentation, or code that copies attributes, counts it again"


def _other_numbers(kind: Kind, entry: Fact, span: Fact) -> str:
    if kind is Kind.ACTIVITY_DIFFERS:
        return f"booked as {entry.activity}, counted as {span.activity or '(none)'}: the span was changed on its way, or versions differ"
    if kind is Kind.STATE_DIFFERS:
        return _other_state(entry, span)
    if kind is Kind.TOKENS_DIFFER:
        return _other_tokens(entry, span)
    if None in (entry.nano_usd, span.nano_usd):
        return f"priced {'on the span' if entry.nano_usd is None else 'in the ledger'} only: a price was added, or the other side lost it"
    if entry.price != span.price:
        return f"priced by {entry.price or '(nothing)'} in the ledger and by {span.price or '(nothing)'} on the span: a price was changed"
    return "same tokens and same price, another amount: one side was changed afterwards"


def _other_state(entry: Fact, span: Fact) -> str:
    if entry.state == State.EXACT:
        return f"the ledger learned the exact numbers later; the span is {span.state}, and that of the correction did not arrive"
    if span.state == State.EXACT:
        return f"the span has exact numbers, the ledger has {entry.state} ones: the last settlement did not reach it"
    return f"the ledger has {entry.state} numbers, the span {span.state} ones: one side was told before the other"


def _other_tokens(entry: Fact, span: Fact) -> str:
    told = (span.input, span.cache_read, span.cache_write, span.output, span.reasoning, span.plugin)
    if not any(told):
        return "the span has no token counts: something on its way removed them, such as a redaction of all keys with 'token'"
    if entry.state == State.ESTIMATED:
        return "two estimates of the same call, made at different moments"
    return "the same call with other token counts: the span was changed on its way, or one side was written by another version"
