"""``workflow``, ``step`` and ``scope``: who is paying, as context managers and decorators, synchronous and asynchronous."""

from __future__ import annotations

import time
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from opentelemetry import baggage, trace
from opentelemetry import context as otel_context
from opentelemetry.trace import SpanKind, Status, StatusCode

from spanledger import scopes
from spanledger.budgets.spill import RunEnd, StepEnd
from spanledger.engine import runs
from spanledger.engine.call import error_type
from spanledger.engine.decorator import Managed
from spanledger.engine.guard import log
from spanledger.engine.loops import is_cancelled, running_loop
from spanledger.engine.runtime import Runtime, active, new_id
from spanledger.ledger.ledger import GROUPS
from spanledger.model import Activity, Execution
from spanledger.outside import sound
from spanledger.telemetry import semconv as s
from spanledger.telemetry import spans

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span

    from spanledger.model import ActivityTotal


class _Traced(Managed):
    """What has a span of its own, and a name."""

    def __new__(cls, name: Any = None, *_given: Any, **_keys: Any) -> Any:
        """A function that is decorated without a call comes instead of a name: it is wrapped, under its own."""
        if not _is_function(name):
            return super().__new__(cls)
        kind: Any = cls
        return kind(getattr(name, "__name__", type(name).__name__))(name)

    def __init__(self) -> None:
        super().__init__()
        self._span: Span = trace.INVALID_SPAN

    def _start_span(self, runtime: Runtime, name: str, attributes: dict[str, Any], context: Context) -> Context:
        """Starts the span and returns the context with it; the same context if that failed."""
        runtime.reaper.start()
        span: Span | None = runtime.guard.run("start", runtime.tracer.start_span, name, context, SpanKind.INTERNAL, attributes)
        if span is None:
            return context
        self._span = span
        return trace.set_span_in_context(span, context)


def _is_function(value: object) -> bool:
    return isinstance(value, classmethod) or (callable(value) and not isinstance(value, (str, type)))


def _text(value: object, what: str) -> str | None:
    """Names and ids may come as numbers, UUIDs or members of an enumeration; ledgers and telemetry take text."""
    return sound(value) if isinstance(value, str) else scopes.text(value, what)


def _name(value: object, what: str) -> str:
    """The name of a run or step; of an object that cannot tell one, what it is."""
    name = _text(value, what)
    return type(value).__name__ if name is None else name


def _with_baggage(runtime: Runtime | None, keys: dict[str, str], context: Context) -> Context:
    """Our keys go into baggage only where that was asked for: other libraries send baggage to any host they call."""
    if runtime is not None and runtime.settings.baggage:
        for key, value in keys.items():
            context = baggage.set_baggage(key, value, context)
    return context


def _keys(given: dict[str, Any]) -> dict[str, str]:
    for name in given.keys() & GROUPS:
        _tell_reserved(name)
    return scopes.text_keys(given)


@cache
def _tell_reserved(name: str) -> None:
    instead = _INSTEAD.get(name, "choose another name")
    log.warning("scope key %s: reports have a group of this name, which is not what you give here; %s", name, instead)


_INSTEAD = {
    "workflow": "write spanledger.workflow(name)",
    "execution": "write spanledger.workflow(name, execution_id=...)",
    "step": "write spanledger.step(name)",
    "activity": "write spanledger.step(name, activity=...)",
    "service": "set OTEL_SERVICE_NAME, or choose another name",
}


class scope(Managed):  # noqa: N801  # reads as a verb at its use: with scope(customer="acme")
    """Books all calls made inside to these keys: customer, user, agent, campaign, session and any other. Values are made strings.

    Nested scopes add to the outer ones; the inner value wins. None and an empty text are no value. The groups that reports have
    anyway (model, service, day, ...) are no names for keys.
    """

    def __init__(self, **keys: Any) -> None:
        super().__init__()
        self._keys = _keys(keys)

    def _fresh(self) -> scope:
        return scope(**self._keys)

    def _enter(self) -> None:
        context = otel_context.get_current()
        entered = scopes.within(scopes.current(context).derive(self._keys), context)
        self._attach(_with_baggage(active(), self._keys, entered))

    def _leave(self, error: BaseException | None) -> None:
        """Nothing to record."""


class workflow(_Traced):  # noqa: N801
    """One run of a named workflow. Opens a span, books calls made inside to the run, and records its totals however it ends.

    Each ``with`` of the same object is a run of its own; ``as`` gives that run, the object itself tells of its first. A function that is
    decorated without a call, ``@spanledger.workflow``, gives it its name.

    Args:
        name: low-cardinality name, ``gen_ai.workflow.name``.
        execution_id: id of this run; a new one for each if not given. Give the same id to continue a run elsewhere, or to try one again
            that failed: its steps then go on counting their attempts, in the same process.
        keys: scope keys, as for ``scope``.
    """

    def __init__(self, name: str, execution_id: str | None = None, **keys: Any) -> None:
        super().__init__()
        self.name, self._keys = _name(name, "the name of a workflow"), _keys(keys)
        self._given = None if execution_id is None else _text(execution_id, "execution_id of a workflow")
        self.execution_id = self._given or new_id()
        self._run, self._started = runs.Run(), 0.0
        self._identity: dict[str, Any] = {}
        """Whose run it is, for its span and its events."""

    def _fresh(self) -> workflow:
        return workflow(self.name, self._given, **self._keys)

    def totals(self) -> dict[str, ActivityTotal]:
        """Sums by activity so far."""
        return self._run.totals()

    def _enter(self) -> None:
        runtime, context = active(), otel_context.get_current()
        entered = scopes.current(context).derive(
            self._keys, workflow=self.name, execution=self.execution_id, step=None, attempt=None, run=self._run
        )
        context = _with_baggage(runtime, self._keys, scopes.within(entered, context))
        self._started = time.time()
        if self._given is not None and (before := runs.failed_before(self._given)) is not None:
            self._run.go_on(before)
        runs.opened(self._run)
        self._identity = {s.WORKFLOW_NAME: self.name, **spans.scope_attributes(entered)}
        if runtime is not None:
            attributes = {s.OPERATION: s.INVOKE_WORKFLOW, **self._identity}
            context = self._start_span(runtime, f"{s.INVOKE_WORKFLOW} {self.name}", attributes, context)
            runtime.guard.run("events", runtime.events.emit, s.EVENT_WORKFLOW_STARTED, {**self._identity}, context)
        self._attach(context)

    def _leave(self, error: BaseException | None) -> None:
        runs.closed(self._run)
        if self._given is not None and _failure(_trouble(error)) is not None:
            runs.failed(self._given, self._run)
        runtime = active()
        if runtime is not None:
            runtime.guard.run("workflow", self._record, runtime, _trouble(error))

    def _record(self, runtime: Runtime, error: BaseException | None) -> None:
        ended = max(time.time(), self._started)  # a clock that was set back makes no run negative
        execution = Execution(
            self.execution_id, self.name, self._started, ended, _status(error), self._keys, self._run.totals(), _failure(error)
        )  # fmt: skip
        try:
            runtime.guard.run("end_execution", _write_end, runtime, RunEnd(execution))
        finally:  # a time limit that strikes while the ledger is waited for must not cost us the rest
            self._tell(runtime, execution)

    def _tell(self, runtime: Runtime, execution: Execution) -> None:
        spans.end_workflow(self._span, execution)
        if runtime.settings.reconcile == "execution":
            runtime.reaper.put(partial(runtime.guard.run, "reconcile", _reconcile, runtime, execution, self._run))
        runtime.metrics.record_workflow(self.name, execution.ended - execution.started, execution.error)
        name = s.EVENT_WORKFLOW_COMPLETED if execution.error is None else s.EVENT_WORKFLOW_FAILED
        runtime.events.emit(name, {**self._identity, s.WORKFLOW_STATUS: execution.status, **_flat(execution)}, self._context)


def _write_end(runtime: Runtime, record: StepEnd | RunEnd) -> None:
    """Where an event loop runs, nothing waits for a busy ledger: all its tasks would."""
    runtime.gate.spool.end(record, wait=running_loop() is None)


def _reconcile(runtime: Runtime, execution: Execution, run: runs.Run) -> None:
    from spanledger.reconcile.execution import watch  # noqa: PLC0415  # only where it was asked for

    runtime.gate.spool.flush(5.0)
    if not watch(runtime.ledger, execution, run.totals):
        runtime.events.emit(s.EVENT_AUDIT, {s.WORKFLOW_NAME: execution.workflow, s.EXECUTION_ID: execution.id})


def _flat(execution: Execution) -> dict[str, int]:
    """Sums over all activities; no cost where no call has one, and how many have none."""
    totals = execution.totals.values()
    calls, unpriced = sum(t.calls for t in totals), sum(t.unpriced for t in totals)
    flat = {"calls": calls, "tokens": sum(t.input_tokens + t.output_tokens for t in totals), "unpriced": unpriced}
    if unpriced < calls or not calls:
        flat["nano_usd"] = sum(t.nano_usd for t in totals)
    return {s.TOTALS_PREFIX + name: value for name, value in flat.items()}


def _trouble(error: BaseException | None) -> BaseException | None:
    """What kept a run or step from its end; ``sys.exit()`` with no code or 0 is an orderly one."""
    return None if isinstance(error, SystemExit) and not error.code else error


def _failure(error: BaseException | None) -> str | None:
    """The ``error.type`` of a run or step; that a reader closes a generator early is no error."""
    return None if error is None or isinstance(error, GeneratorExit) else error_type(error)


def _status(error: BaseException | None) -> str:
    if error is None:
        return "completed"
    if isinstance(error, TimeoutError) or "Timeout" in type(error).__name__:
        return "timeout"
    return "cancelled" if is_cancelled(error) or isinstance(error, GeneratorExit) else "failed"


class step(_Traced):  # noqa: N801
    """One attempt of a named step of the workflow. A step that runs again with the same name in one execution is a retry:
    earlier attempts are superseded (consumed, but not billable). So parallel branches and the turns of a loop need names of their own.
    A function that is decorated without a call, ``@spanledger.step``, gives it its name.

    Args:
        name: the step's id within its workflow, such as ``f"summarise {document}"`` where there are many.
        activity: what calls inside are booked as, if not what they are: memory, classification, ...
        attempt: its number, from 1; counted within the run if not given (give it where retries run in other processes).
    """

    def __init__(self, name: str, activity: str | Activity | None = None, attempt: int | None = None) -> None:
        super().__init__()
        self.name, self._given = _name(name, "the name of a step"), _number(attempt)
        self.activity = _activity(activity)
        self.attempt = self._given or 1
        self._execution: str | None = None
        self._run: runs.Run | None = None

    def _fresh(self) -> step:
        return step(self.name, self.activity, self._given)

    def _enter(self) -> None:
        runtime, context = active(), otel_context.get_current()
        outer = scopes.current(context)
        self._execution, self._run = outer.execution, outer.run
        self.attempt = outer.run.next_attempt(self.name, self._given) if outer.run is not None else self.attempt
        entered = outer.derive(step=self.name, attempt=self.attempt, activity=self.activity or outer.activity)
        context = scopes.within(entered, context)
        if runtime is not None:
            context = self._start_span(runtime, f"step {self.name}", spans.scope_attributes(entered), context)
        self._attach(context)

    def _leave(self, error: BaseException | None) -> None:
        runtime, error = active(), _trouble(error)
        if runtime is None:
            return
        try:
            runtime.guard.run("end_step", self._end_step, runtime, error is None)
        finally:  # as in workflow
            runtime.guard.run("superseded", self._end_attempt, runtime, error is None)
            runtime.guard.run("span", self._end_span, error)

    def _end_step(self, runtime: Runtime, ok: bool) -> None:
        if self._execution is not None:
            _write_end(runtime, StepEnd(self._execution, self.name, self.attempt, ok))

    def _end_attempt(self, runtime: Runtime, ok: bool) -> None:
        """Counts what this end replaced, and says so on the span."""
        if self._run is not None:
            replaced = self._run.end_attempt(self.name, self.attempt, ok=ok)
            runtime.metrics.sdk.add_replaced(replaced)
            self._span.set_attributes(spans.replaced_attributes(replaced))

    def _end_span(self, error: BaseException | None) -> None:
        if (kind := _failure(error)) is not None:
            self._span.set_attribute(s.ERROR_TYPE, kind)
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()


def _number(attempt: object) -> int | None:
    """The number of an attempt, which may come as text from a header or a queue. A wrong one must not stop the application."""
    if attempt is None:
        return None
    told = attempt if isinstance(attempt, int) else scopes.text(attempt, "the attempt of a step")
    if told is None:
        return None
    try:
        number = int(told)
        if abs(number) < _TOO_MANY:
            return number
    except ValueError:
        pass
    log.warning("step: attempt %.100r is no number of an attempt; the attempts of this run are counted", told)
    return None


_TOO_MANY = 2**31
"""An id or a time that was given as an attempt's number; ledgers take 64 bits."""


def _activity(name: str | Activity | None) -> Activity | None:
    """A wrong name must not stop the application: it is reported and what calls really are stands."""
    if name is None:
        return None
    if isinstance(name, str) and name in set(Activity):
        return Activity(name)
    log.warning("step: activity %r is not known; expected one of %s", name, ", ".join(Activity))
    return None


def totals() -> dict[str, ActivityTotal]:
    """Sums by activity of the workflow run in force (consumed); empty outside of a workflow."""
    run = scopes.current().run
    return run.totals() if run is not None else {}
