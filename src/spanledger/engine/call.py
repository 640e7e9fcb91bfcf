"""One call's life: read the request, ask the gate, start the span, fold what comes back, end once."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from weakref import ref

from opentelemetry import context as otel_context
from opentelemetry import trace

from spanledger import scopes
from spanledger.engine import fetched, numbers, runs
from spanledger.engine.context import current, within
from spanledger.engine.loops import is_cancelled
from spanledger.engine.runtime import IN_16_DIGITS, IN_32_DIGITS, digits, new_id
from spanledger.errors import BudgetExceeded, LedgerBusy
from spanledger.model import Cost, CostStatus, Entry, Request, Response, State, Usage
from spanledger.telemetry import semconv as s
from spanledger.telemetry import spans
from spanledger.telemetry.metrics import Note

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opentelemetry.context import Context
    from opentelemetry.trace import Span, SpanContext

    from spanledger.budgets.gate import Admission
    from spanledger.engine.adapter import Target
    from spanledger.engine.runtime import Runtime

_INSIDE = otel_context.create_key("spanledger-call")
_NEVER = object()
_NO_CONTENT: Mapping[str, Any] = MappingProxyType({})
_NOTHING_KNOWN = (Usage(), Cost(None, CostStatus.UNPRICED))
"""Shared by drafts: a draft's numbers are replaced, never changed."""


def library_in_call(context: Context | None = None) -> str | None:
    """The library whose call is being driven in this context, if any: its own nested calls are part of that one."""
    return call.library if (call := current_call(context)) is not None else None


def current_call(context: Context | None = None) -> Call | None:
    """The call being driven in this context, unless it is over: tasks and threads that it started keep its context, and outlive it."""
    known: Any = otel_context.get_value(_INSIDE, context)
    call = known() if known is not None else None
    return call if call is not None and call.opened else None


class Call:
    """One provider or plugin call. Methods that may fail are guarded; only ``BudgetExceeded`` and ``LedgerBusy`` leave ``admit``.

    Args:
        runtime: the installation in force.
        library, target: what was called.
        function, args, kwargs: the original and what it is really to be called with.
        request: what the arguments ask for.
        context: the OpenTelemetry context of the caller.
    """

    __slots__ = (
        "__weakref__", "_admission", "_started", "args", "chunks", "completes", "content", "context", "counted", "entry", "function",
        "identity", "is_async", "kwargs", "library", "opened", "reader", "request", "response", "runtime", "scope", "span", "superseded",
        "target", "withdrawn",
    )  # fmt: skip

    def __init__(  # noqa: PLR0913, PLR0917  # made in few places, and by name it costs every call
        self,
        runtime: Runtime,
        library: str,
        target: Target,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        request: Request,
        context: Context,
    ) -> None:
        self.runtime, self.library, self.target, self.reader = runtime, library, target, target.reader
        self.function, self.args, self.kwargs = function, args, kwargs
        self.request, self.context = request, context
        self.response = Response(output=[] if runtime.capture_spans or runtime.capture_events else None)
        self.opened: list[bool] = []  # filled by start, popped by whoever ends the call first: atomic, and cheaper than a lock
        self.is_async = self.superseded = False
        self.withdrawn = False  # True when nobody waits for the gate's answer any more
        self.counted = True
        self.chunks = 0
        self.completes: Entry | None = None
        """The entry, as it was, whose numbers this call completes."""
        self.span: Span = trace.INVALID_SPAN
        self.identity: SpanContext = trace.INVALID_SPAN_CONTEXT
        self.content: Mapping[str, Any] = _NO_CONTENT
        self._admission: Admission | None = None
        self._started = 0.0
        scope = self.scope = scopes.current(context) if context else scopes.NOBODY
        id_, execution = new_id(), scope.execution
        usage, cost = request.charge or _NOTHING_KNOWN
        if execution is None:  # without an explicit workflow the trace is the workflow
            parent = trace.get_current_span(context).get_span_context() if context else None
            execution = trace.format_trace_id(parent.trace_id) if parent and parent.trace_id else id_
        if request.operation == s.FETCH_RESPONSE:  # reading a stored response costs nothing
            usage, cost = Usage(0, 0, state=State.ESTIMATED), Cost(0, CostStatus.ESTIMATED)
        # By position: 18 keywords cost a microsecond more.
        self.entry = Entry(
            id_, time.time(), scope.activity or request.activity, request.provider, request.operation, request.model,
            None, None, request.tool_name, None, None, runtime.settings.service, scope.workflow, execution,
            scope.step, scope.attempt, scope.keys, usage, cost,
        )  # fmt: skip

    # --- before the request leaves

    def admit(self, *, wait: bool) -> None:
        """Asks the gate. Raises BudgetExceeded (nothing may be sent) or, with ``wait=False``, LedgerBusy (ask again, waiting)."""
        try:
            self._admission = self.runtime.gate.admit(self.entry, self.request, wait=wait)
        except BudgetExceeded as refusal:
            self.runtime.guard.run("refusal", self._refused, refusal)
            raise
        except LedgerBusy:
            raise
        except Exception as error:  # noqa: BLE001  # a bug in the gate must not stop the application's call
            self.runtime.guard.caught("gate", error)

    def _refused(self, refusal: BudgetExceeded) -> None:
        self.runtime.reaper.start()
        span = spans.start_call(self.runtime.tracer, self.request, self.context)
        spans.refuse_call(span, spans.described(self.entry, self.scope, self._asked()), refusal)

    def _asked(self) -> spans.Asked:
        request = self.request
        return request.server_address, request.server_port, request.stream, request.max_output, request.params

    def admit_in_thread(self) -> None:
        """Asks the gate, waiting, while a coroutine waits for the answer; nothing stays reserved if that was cancelled."""
        self.admit(wait=True)
        if self.withdrawn:
            self.runtime.guard.run("withdraw", partial(self.give_back, wait=True))

    def withdraw(self) -> None:
        """The call will not be sent: gives its reservation back, now or as soon as the gate has made one. Does not wait."""
        self.withdrawn = True  # first: see admit_in_thread
        self.runtime.guard.run("withdraw", partial(self.give_back, wait=False))

    def give_back(self, *, wait: bool) -> None:
        """Gives the reservation back, if there is one; with ``wait=False`` and a busy ledger, in the background."""
        gate, admission = self.runtime.gate, self._admission
        if admission is not None:
            try:
                gate.release(self.entry.id, admission, wait=wait)
            except LedgerBusy:
                self.runtime.reaper.put(partial(gate.release, self.entry.id, admission))

    def now(self) -> Call:
        """The call as it is to be sent now: a coroutine may be awaited, a manager be entered, long after it was made, and elsewhere."""
        if current() is not self.context:
            return self.runtime.guard.run("again", self.again) or self
        self.entry.time = time.time()
        return self

    def again(self) -> Call:
        """The same call, to be sent once more, from the context in force."""
        request = replace(self.request)
        return Call(self.runtime, self.library, self.target, self.function, self.args, self.kwargs, request, current())

    def send(self) -> Any:
        """Calls the original with the arguments that are really to be sent; its failure ends the call."""
        try:
            return self.function(*self.args, **self.kwargs)
        except BaseException as error:
            self.end(error)
            raise

    def start(self) -> None:
        """Starts the span; from here on the call is open and must end."""
        runtime = self.runtime
        if not runtime.reaper.running:  # a forked child
            runtime.reaper.start()
        self._started = time.perf_counter()
        self.opened.append(True)
        entry, context = self.entry, self.context
        try:
            self.span = span = spans.start_call(runtime.tracer, self.request, context)
            self.identity = identity = span.get_span_context()
            trace_id, span_id, *_ = identity  # a tuple, which takes no calls to read
            if trace_id:
                entry.trace_id, entry.span_id = digits(trace_id, IN_32_DIGITS), digits(span_id, IN_16_DIGITS)
                if entry.execution == entry.id:
                    entry.execution = entry.trace_id
            self.context = within(context, span, _INSIDE, ref(self))  # whoever keeps it does not keep all that was sent
            if self.response.output is not None and self.reader.content is not None:
                self.content = self.reader.content(self.kwargs if self.request.tool_name is None else self.request.content)
        except Exception as error:  # noqa: BLE001  # as Guard.run, a call shallower; so below wherever each call passes
            self._caught("start", error)
        runtime.open_calls[entry.id] = self

    # --- what comes back

    @property
    def hidden(self) -> object:
        """What an adapter's ``chunk`` returns for an event that the application must not see: only if we asked for it."""
        return True if self.request.ask_usage else _NEVER

    def first_chunk(self) -> None:
        """The first stream event came."""
        self.chunks = 1
        if self.opened:  # what is in the books does not change
            self.entry.time_to_first_chunk = time.perf_counter() - self._started

    def chunk(self, event: Any) -> bool:
        """Folds one stream event; True if the application must not see it."""
        if not self.chunks:
            self.first_chunk()
        try:
            return self.reader.chunk(event, self.response) is self.hidden
        except Exception as error:  # noqa: BLE001  # an adapter's bug must not break the application's stream
            self._caught("adapter.chunk", error)
            return False

    def result(self, value: Any) -> None:
        """Folds a whole result."""
        self.chunks = 1
        try:
            fold = self.reader.response
            fold(value, self.response)
        except Exception as error:  # noqa: BLE001  # an adapter's bug must not break the application's call
            self._caught("adapter.response", error)
        self.response.complete = True

    def _caught(self, place: str, error: Exception) -> None:
        """As ``Guard.caught``; what goes on to the application ends the call."""
        try:
            self.runtime.guard.caught(place, error)
        except BaseException as foreign:
            self.end(foreign)
            raise

    # --- the end

    @property
    def is_open(self) -> bool:
        """Whether the call was sent and nobody has ended it yet."""
        return bool(self.opened)

    def abandon(self, outcome: str) -> None:
        """Ends the call from a finaliser: queues it, does no I/O."""
        if self.opened:
            self.runtime.reaper.put(partial(self.end, outcome=outcome))

    def end(self, error: BaseException | None = None, outcome: str | None = None) -> None:
        """Settles, records and ends the span; every call but the first does nothing. Never raises what is ours."""
        try:
            self.opened.pop()
        except IndexError:
            return
        try:
            self._end(error, outcome or ("completed" if error is None else _outcome(error)))
        except Exception as problem:  # noqa: BLE001
            self.runtime.guard.caught("end", problem)
        finally:  # only now: a budget's threshold is told on the span, and is looked for here
            self.runtime.open_calls.pop(self.entry.id, None)

    def _end(self, error: BaseException | None, outcome: str) -> None:
        entry, response, runtime = self.entry, self.response, self.runtime
        entry.duration = time.perf_counter() - self._started
        if error is not None and not self.chunks and (answer := runtime.guard.run("error", getattr, error, "completion", None)) is not None:
            self.result(answer)  # openai's LengthFinishReasonError brings what came back
        entry.error = error_type(error) if error is not None else response.error_type
        entry.response_id, entry.response_model = response.id, response.model
        if response.finish_reasons:
            entry.finish_reason = response.finish_reasons[0]
        try:
            if entry.plugin is None:  # a plugin's price is known before it runs
                told = response.usage
                if told is None or (self.request.stream and (not response.complete or told.output is None)):
                    told = numbers.usage(self, error)
                entry.usage = told
                entry.cost = numbers.cost(self)
        finally:  # a failure or a time limit must not cost us the books, nor theirs the span, nor the span's the metrics
            if entry.operation == s.FETCH_RESPONSE:
                fetched.settle(self, partial(self._tell, outcome))
            else:
                try:
                    self.settle()
                finally:
                    self._tell(outcome)

    def _tell(self, outcome: str) -> None:
        entry, runtime = self.entry, self.runtime
        try:
            if self.counted and self.scope.run is not None:
                self.superseded = bool(runtime.guard.run("run", self._add_to_run))
            if self.response.output is not None:
                self._record_content({**self.content, **self._output()})
            # The entry is not changed any more; the rest of the call, with all that was sent, need not live until the span is read.
            standing = (spans.standing, entry, outcome, self.counted, self.completes, self.superseded)
            tell = (spans.told if self.counted else spans.told_again, entry, spans.answered(self.response), runtime.names)
            spans.end_call(self.span, entry.error, runtime.guard.run, ((spans.described, entry, self.scope, self._asked()), standing, tell))
        except Exception as problem:  # noqa: BLE001
            runtime.guard.caught("span", problem)
        finally:
            if self.counted:
                request, run = self.request, self.scope.run or runs.outside
                note = Note(entry, request.server_address, request.server_port, self.identity, run, self.completes, self.superseded)
                runtime.metrics.record(note)
                if entry.plugin is not None:
                    runtime.events.emit(s.EVENT_TOOL_CALLED, spans.tool_called(entry), self.context)

    def _add_to_run(self) -> bool:
        run: runs.Run = self.scope.run
        if self.completes is None:
            return run.add(self.entry)
        if self.completes.execution == self.entry.execution:
            run.complete(self.completes, self.entry)
        return False

    def _record_content(self, content: Mapping[str, Any]) -> None:
        """Content on the span and as an event, where that was asked for; the processors redact it."""
        if self.runtime.capture_spans:
            spans.set_content(self.span, content)
        if self.runtime.capture_events and self.request.operation in s.INFERENCE:
            told = spans.details(self.request, self.entry, self.response, self.runtime.names)
            self.runtime.events.log_content(told, content, self.context)

    def _output(self) -> dict[str, Any]:
        output = self.response.output
        if self.entry.plugin is not None:
            return {"tool_result": output[0] if output else None}
        return {"output_messages": output or self._streamed_output()}

    def _streamed_output(self) -> list[dict[str, Any]]:
        if not self.response.text:
            return []
        part = {"type": "text", "content": "".join(self.response.text)}
        return [{"role": "assistant", "parts": [part], "finish_reason": self.entry.finish_reason or "error"}]

    def settle(self) -> None:
        """Writes the books."""
        gate, admission = self.runtime.gate, self._admission
        if admission is not None:
            gate.settle(self.entry, admission, wait=not self.is_async)
        else:
            gate.settle_unreserved(self.entry, wait=not self.is_async)


def error_type(error: BaseException) -> str:
    """``error.type``: the exception's class, with its module unless it is a builtin. Never its message."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _outcome(error: BaseException) -> str:
    return "cancelled" if is_cancelled(error) else "error"
