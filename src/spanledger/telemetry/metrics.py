"""Metrics: the conventions' histograms, and our own counters.

Histograms and counters are among the dearest things the SDK does in a call. So a call only notes what happened; the notes are recorded
when metrics are collected (an observable instrument's callback runs first in every collection) or when there are many. Our own counters are
added up in plain dictionaries. Both also let a forked child start from zero instead of reporting its parent's calls a second time.
"""

from __future__ import annotations

import threading
import weakref
from collections import defaultdict, deque
from typing import TYPE_CHECKING, Any, NamedTuple

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.metrics import Observation

from spanledger import fork
from spanledger.model import State
from spanledger.telemetry import forked, recon
from spanledger.telemetry import semconv as s

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from opentelemetry.context import Context
    from opentelemetry.metrics import CallbackOptions, Histogram, Meter
    from opentelemetry.trace import SpanContext

    from spanledger.model import Balance, Entry, Usage
    from spanledger.telemetry.observed import Observed
    from spanledger.telemetry.semconv import Generation

Labels = tuple[tuple[str, Any], ...]


class Tally:
    """Monotonic sums by label set, observed by the SDK when it collects."""

    def __init__(self) -> None:
        self._sums: defaultdict[Labels, int] = defaultdict(int)
        self._lock = threading.Lock()
        _tallies.add(self)

    def add(self, labels: Labels, amount: int = 1) -> None:
        """Adds to one label set."""
        with self._lock:
            self._sums[labels] += amount

    def observe(self, _options: CallbackOptions) -> Iterable[Observation]:
        """The SDK's callback."""
        with self._lock:
            items = list(self._sums.items())
        return [Observation(value, dict(labels)) for labels, value in items]

    def restart(self) -> None:
        """In a forked child: the parent reports what was counted so far. Its lock may be held by a thread that does not exist here."""
        self._sums, self._lock = defaultdict(int), threading.Lock()


_tallies: weakref.WeakSet[Tally] = weakref.WeakSet()
_all: weakref.WeakSet[Metrics] = weakref.WeakSet()


def _restart_all() -> None:
    for tally in list(_tallies):
        tally.restart()
    for metrics in list(_all):
        metrics.restart()


fork.in_child(_restart_all)


_EMPTY = otel_context.Context()
_MANY_NOTES = 256
"""Written at once in the background when there are so many, so that memory stays bounded between two collections."""


class Note(NamedTuple):
    """What a call leaves for its metrics."""

    entry: Entry
    """Must not change any more, except that it may become superseded."""
    address: str | None
    """The server's, as ``port``."""
    port: int | None
    span: SpanContext
    """For exemplars."""
    run: recon.Counts
    """The workflow run that the call belongs to."""
    completes: Entry | None = None
    """The entry, as it was counted before, whose numbers this call completes: of a response that it fetched."""
    superseded: bool = False
    """It was superseded when it ended; what is superseded later is told when that happens."""


class Metrics:
    """All instruments, and what is recorded when a call ends."""

    def __init__(  # noqa: PLR0913  # each by its name
        self,
        *,
        observed: Observed,
        names: Generation,
        balances: Callable[[], Sequence[Balance]],
        defer: Callable[[Callable[[], None]], None],
        sources: Mapping[str, recon.Source],
        refresh: Callable[[], object],
    ) -> None:
        """``sources`` are told beside our own counts; ``refresh`` is called once before each collection."""
        self._names, self._defer, self._refresh = names, defer, refresh
        self.sdk, meter = observed.kept("sdk", recon.Sums), observed.meter
        self._notes: deque[Note] = deque()
        _all.add(self)
        observed.counter(s.METRIC_INTERNAL_NOTES, [self._before_collection])
        recon.observe(observed, {"sdk": self.sdk.values, **sources})
        self._durations = {op: _seconds(meter, name, s.DURATION_BUCKETS) for op, name in names.duration.items()}
        self._first_chunk = _seconds(meter, names.time_to_first_chunk, s.DURATION_BUCKETS)
        self._tool_duration = _seconds(meter, s.METRIC_TOOL_DURATION, s.DURATION_BUCKETS)
        self._workflow_duration = _seconds(meter, names.workflow_duration, s.WORKFLOW_BUCKETS)
        self._tokens = _tokens(meter, names.token_usage) if names.token_usage else None
        self._sides = {side: _tokens(meter, name) for side, name in names.operation_tokens.items()}
        self._counters = {field: _counter(observed, name, "{token}", "Tokens used.") for field, name in names.usage_counters.items()}
        self.cost = _counter(
            observed,
            s.METRIC_COST,
            "{nano_usd}",
            "Cost of calls in nano-USD (1e-9 USD), without background responses until they are fetched.",
        )
        self.calls = _counter(observed, s.METRIC_CALLS, "{call}", "Calls in the books.")
        self.unpriced = _counter(
            observed, s.METRIC_UNPRICED, "{call}", "Calls without a cost: the model has no price, or the usage is unknown."
        )
        self.refusals = _counter(observed, s.METRIC_REFUSALS, "{call}", "Calls refused by a budget before they were sent.")
        self.errors = _counter(
            observed, s.METRIC_INTERNAL_ERRORS, "{error}", "Errors inside Spanledger, none of which reached the application."
        )
        observe_budgets(observed, balances)

    def record(self, note: Note) -> None:
        """One call ended."""
        self._notes.append(note)
        if not len(self._notes) % _MANY_NOTES:
            self._defer(self.write_notes)

    def write_notes(self) -> None:
        """Records all calls noted so far."""
        while True:
            try:
                note = self._notes.popleft()
            except IndexError:
                return
            self._write(note)

    def _write(self, note: Note) -> None:
        entry, context = note.entry, trace.set_span_in_context(trace.NonRecordingSpan(note.span), _EMPTY)
        if entry.plugin is not None:
            self._record_tool(entry, context)
        else:
            self._record_call(note, context)
        operation = note.completes is None
        self.sdk.count(entry, operation=operation, superseded=note.superseded)
        note.run.count(entry, operation=operation, superseded=note.superseded)
        if operation:
            self.calls.add(_books(entry, entry))
        self._count_cost(entry, note.completes)

    def _count_cost(self, entry: Entry, completes: Entry | None) -> None:
        """A counter takes nothing back: a response still being made is not counted yet, and an estimate only gets what it was short of."""
        labels, nano_usd = _books(completes or entry, entry), entry.cost.nano_usd
        before = completes.cost.nano_usd if completes is not None and not _is_awaited(completes) else 0
        if nano_usd is None:
            if completes is None or completes.cost.nano_usd is not None:
                self.unpriced.add(labels)
        elif not _is_awaited(entry):
            self.cost.add(labels, max(0, nano_usd - (before or 0)))

    def restart(self) -> None:
        """In a forked child: the parent records its notes, and reports what was recorded so far."""
        self._notes.clear()
        forked.begin_at_zero(self._workflow_duration)

    def _before_collection(self, _options: CallbackOptions) -> Iterable[Observation]:
        self.write_notes()
        self._refresh()
        return ()

    def _record_tool(self, entry: Entry, context: Context) -> None:
        attributes: dict[str, Any] = {s.TOOL_NAME: entry.plugin, s.TOOL_TYPE: "function"}
        if entry.error is not None:
            attributes[s.ERROR_TYPE] = entry.error
        self._tool_duration.record(entry.duration or 0.0, attributes, context)

    def _record_call(self, note: Note, context: Context) -> None:
        entry = note.entry
        attributes: dict[str, Any] = {s.OPERATION: entry.operation, s.PROVIDER: entry.provider}
        if entry.model:
            attributes[s.REQUEST_MODEL] = entry.model
        if entry.response_model:
            attributes[s.RESPONSE_MODEL] = entry.response_model
        if note.address:
            attributes[s.SERVER_ADDRESS] = note.address
            attributes[s.SERVER_PORT] = note.port
        self._record_tokens(entry, note.completes, attributes, context)
        if entry.time_to_first_chunk is not None:
            self._first_chunk.record(entry.time_to_first_chunk, attributes, context)
        if entry.error is not None:
            attributes = {**attributes, s.ERROR_TYPE: entry.error}
        histogram = self._durations.get(entry.operation) or self._durations[""]
        histogram.record(entry.duration or 0.0, attributes, context)

    def _record_tokens(self, entry: Entry, completes: Entry | None, attributes: dict[str, Any], context: Context) -> None:
        """Tokens that nobody told are no usage: the conventions forbid to report them."""
        if entry.usage.state is State.UNKNOWN:
            return
        if completes is not None:
            attributes = {**attributes, s.OPERATION: completes.operation}
            if completes.model:
                attributes[s.REQUEST_MODEL] = completes.model
        estimate = completes.usage if completes is not None and completes.usage.state is State.ESTIMATED else None
        if estimate is None:  # a histogram cannot take back what was recorded then
            self._record_sides(entry.usage, attributes, context)
        if self._counters and attributes[s.OPERATION] in s.INFERENCE:
            self._count_tokens(entry.usage, estimate, attributes)

    def _record_sides(self, usage: Usage, attributes: dict[str, Any], context: Context) -> None:
        for side, count in (("input", usage.input), ("output", usage.output)):
            if count is None:
                continue
            if self._tokens is not None:
                self._tokens.record(count, {**attributes, s.TOKEN_TYPE: side}, context)
            elif attributes[s.OPERATION] in s.INFERENCE:
                self._sides[side].record(count, attributes, context)

    def _count_tokens(self, usage: Usage, estimate: Usage | None, attributes: dict[str, Any]) -> None:
        for field, counter in self._counters.items():
            count = _tokens_of(usage, field) - (_tokens_of(estimate, field) if estimate is not None else 0)
            if count > 0:
                counter.add((*attributes.items(), (s.TOKEN_MODALITY, "unknown")), count)

    def record_workflow(self, name: str, seconds: float, error: str | None) -> None:
        """One workflow run ended."""
        attributes = {s.WORKFLOW_NAME: name, **({s.ERROR_TYPE: error} if error else {})}
        self._workflow_duration.record(seconds, attributes)


def observe_budgets(observed: Observed, balances: Callable[[], Sequence[Balance]]) -> None:
    """Makes the gauges of budget accounts."""
    for field, name in s.METRIC_BUDGETS.items():
        observed.gauge(name, [_budget_callback(field, balances)], "{unit}", f"Budgets: {field}, in the budget's unit.")


def _budget_callback(field: str, balances: Callable[[], Sequence[Balance]]) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def observe(_options: CallbackOptions) -> Iterable[Observation]:
        # The scope's value (a customer, a user) is left out: it may be personal, and is unbounded. The fullest account speaks.
        fullest: dict[str, Balance] = {}
        for balance in balances():
            known = fullest.get(balance.budget)
            if known is None or balance.spent + balance.reserved > known.spent + known.reserved:
                fullest[balance.budget] = balance
        return [Observation(getattr(b, field), {s.BUDGET_NAME: b.budget, s.BUDGET_UNIT: str(b.unit)}) for b in fullest.values()]

    return observe


def _books(call: Entry, numbers: Entry) -> Labels:
    return (
        (s.ACTIVITY, call.activity.value),
        (s.PROVIDER, call.provider),
        (s.REQUEST_MODEL, call.model or call.plugin or ""),
        (s.USAGE_STATE, numbers.usage.state.value),
    )


def _is_awaited(entry: Entry) -> bool:
    """A response that had an id but no usage yet is still being made; what it used is told when it is fetched."""
    return entry.usage.state is State.UNKNOWN and entry.response_id is not None


def _tokens_of(usage: Usage, field: str) -> int:
    count: int = getattr(usage, field) or 0
    return count + (usage.cache_write_1h or 0) if field == "cache_write" else count


def _seconds(meter: Meter, name: str, buckets: Sequence[float]) -> Histogram:
    return meter.create_histogram(name, "s", "Duration.", explicit_bucket_boundaries_advisory=buckets)


def _tokens(meter: Meter, name: str) -> Histogram:
    return meter.create_histogram(name, "{token}", "Tokens used.", explicit_bucket_boundaries_advisory=s.TOKEN_BUCKETS)


def _counter(observed: Observed, name: str, unit: str, description: str) -> Tally:
    tally = observed.kept(name, Tally)
    observed.counter(name, [tally.observe], unit, description)
    return tally
