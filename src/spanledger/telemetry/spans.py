"""Spans of calls: what they are called, what they start with and what they end with."""

from __future__ import annotations

import json
from collections import defaultdict
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.trace import SpanKind, Status, StatusCode

from spanledger.model import Activity, State
from spanledger.outside import sound
from spanledger.telemetry import semconv as s
from spanledger.telemetry.creation import is_looked_at
from spanledger.telemetry.late import LateAttributes, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer

    from spanledger.errors import BudgetExceeded
    from spanledger.model import Entry, Execution, Request, Response, Usage
    from spanledger.scopes import Scope
    from spanledger.telemetry.recon import Group, Replaced
    from spanledger.telemetry.semconv import Generation

_ERROR = Status(StatusCode.ERROR)
_PLUGIN, _CLIENT = Activity.PLUGIN, SpanKind.CLIENT  # see docs/decisions/0010-straight-lines-on-the-hot-path.md


Asked = tuple["str | None", "int | None", bool, "int | None", "Mapping[str, Any]"]
"""What a span tells of a request beside its entry: the server's address and port, stream, max_output and params; not the request itself,
since a span lives until it is exported. A plain tuple, because every call makes one."""
Work = tuple[Any, ...]
"""A function and its arguments: done when somebody reads the span."""
Answer = tuple["str | None", tuple[str, ...], "str | None"]
"""The same of a response: its status, told of one that was fetched, its finish reasons and its fingerprint."""


def answered(response: Response) -> Answer:
    """The response as a span tells of it."""
    return response.status, tuple(response.finish_reasons), response.fingerprint


def start_call(tracer: Tracer, request: Request, context: Context) -> Span:
    """Starts the span of one call. The attributes a sampler may decide on are given at creation, as the conventions ask; the rest,
    which ``described`` makes, when it ends."""
    if request.activity is _PLUGIN:
        name, kind = f"{s.EXECUTE_TOOL} {request.tool_name}", SpanKind.INTERNAL
        decisive = _asked_tool(request.operation, request.tool_name)
    else:
        kind = _CLIENT
        name, decisive = _asked(request.operation, request.provider, request.model, request.server_address, request.server_port)
    # By position: by name it costs every call.
    return tracer.start_span(name, context, kind, {**decisive} if is_looked_at(tracer) else None)


def described(entry: Entry, scope: Scope, asked: Asked) -> dict[str, Any]:
    """What is known of a call when it starts, as attributes."""
    address, port, stream, max_output, params = asked
    if entry.plugin is not None:
        decisive = _asked_tool(entry.operation, entry.plugin)
    else:
        _, decisive = _asked(entry.operation, entry.provider, entry.model, address, port)
    attributes = {**decisive, s.ENTRY_ID: entry.id, s.ACTIVITY: entry.activity.value}
    _describe(attributes, stream, max_output, params)
    return {**attributes, **scope_attributes(scope)}


def _asked_tool(operation: str, name: str | None) -> Mapping[str, Any]:
    return {s.OPERATION: operation, s.TOOL_NAME: name, s.TOOL_TYPE: "function"}


@lru_cache(maxsize=1024)
def _asked(operation: str, provider: str, model: str | None, address: str | None, port: int | None) -> tuple[str, Mapping[str, Any]]:
    """Name of the span and what a sampler may decide on: the same for all calls of one model."""
    attributes: dict[str, Any] = {s.OPERATION: operation, s.PROVIDER: provider}
    if model:
        attributes[s.REQUEST_MODEL] = sound(model)
    if address:
        attributes[s.SERVER_ADDRESS] = address
        if port:
            attributes[s.SERVER_PORT] = port
    return sound(f"{operation} {model}") if model else operation, attributes


def _describe(attributes: dict[str, Any], stream: bool, max_output: int | None, params: Mapping[str, Any]) -> None:
    if stream:
        attributes[s.REQUEST_STREAM] = True
    if max_output is not None:
        attributes[s.REQUEST_MAX_TOKENS] = max_output
    attributes.update(params)


_ROOM = 128
"""The SDK's default limit, which our spans stay far below."""


def scope_attributes(scope: Scope) -> dict[str, Any]:
    """The scope as attributes: execution, step, attempt and every key."""
    attributes: dict[str, Any] = {s.SCOPE_PREFIX + key: value for key, value in scope.keys.items()}
    if scope.workflow:
        attributes[s.SCOPE_PREFIX + "workflow"] = scope.workflow
    if scope.execution:
        attributes[s.EXECUTION_ID] = scope.execution
    if scope.step:
        attributes[s.STEP_NAME] = scope.step
    if scope.attempt is not None:
        attributes[s.STEP_ATTEMPT] = scope.attempt
    return attributes


def details(request: Request, entry: Entry, response: Response, names: Generation) -> dict[str, Any]:
    """What the span of an inference says in the conventions' words, for the details event."""
    _, decisive = _asked(request.operation, request.provider, request.model, request.server_address, request.server_port)
    attributes = dict(decisive)
    _describe(attributes, request.stream, request.max_output, request.params)
    attributes.update(told(entry, answered(response), names))
    if entry.error is not None:
        attributes[s.ERROR_TYPE] = entry.error
    return {name: value for name, value in attributes.items() if not name.startswith(s.EVENT_PREFIX) and name not in _COST}


_COST = (s.COST_AMOUNT, s.COST_CURRENCY)
"""Proposed for spans only."""


def end_call(span: Span, error: str | None, run: Callable[..., Any], work: Sequence[Work]) -> None:
    """Writes the result on the span and ends it. Never writes a message of an exception: it may echo the prompt.

    Args:
        span: of the call.
        error: its ``error.type``.
        run: as ``Guard.run``, catches what goes wrong when the span is read.
        work: what to call for its attributes, as told by ``described``, ``standing`` and ``told``.
    """
    # The SDK checks and copies each value, two dozen of them a call, for limits that are not set or that we stay far below. Ours are of
    # the right types already and go in as they are. See docs/decisions/0005-attributes-past-the-checks.md.
    store = getattr(span, "_attributes", None)
    if type(store) is BoundedAttributes and store.max_value_len is None and (store.maxlen is None or store.maxlen >= _ROOM):
        span._attributes = LateAttributes(store, _ended, run, work)  # type: ignore[attr-defined]  # noqa: SLF001  # see above
    elif span.is_recording():
        span.set_attributes(_what_counts_last(_all(getattr(span, "attributes", None) or {}, run, work)))
    if error is not None:
        span.set_status(_ERROR)
    span.end()


def _ended(written: BoundedAttributes, run: Callable[..., Any], work: Sequence[Work]) -> dict[str, Any]:
    return _all(plain(written), run, work)


def _what_counts_last(attributes: dict[str, Any]) -> dict[str, Any]:
    """The same in another order: beyond its limit a span loses its oldest attributes, which should not be those that others count by."""
    counted = {name: attributes.pop(name) for name in _COUNTED_BY if name in attributes}
    return {**attributes, **counted}


_COUNTED_BY = (
    s.INPUT_TOKENS, s.OUTPUT_TOKENS, s.CACHE_READ_TOKENS, s.DEFAULT.cache_write_tokens, s.LATEST.cache_write_tokens,
    s.REASONING_TOKENS, s.PLUGIN_TOKENS, s.COST_NANO_USD, s.USAGE_STATE, s.ACTIVITY, s.SUPERSEDED, s.CORRECTION, s.COUNTED, s.ENTRY_ID,
)  # fmt: skip
"""What the collector and ``spanledger reconcile`` read, the dearest last."""


def _all(written: Mapping[str, Any], run: Callable[..., Any], work: Sequence[Work]) -> dict[str, Any]:
    """``written``: what was put on the span while it was open, by the application as a rule; it wins over what was known at the start."""
    start, end, entry = (run("span", *one) or {} for one in work)
    return {**start, **written, **end, **entry}


def standing(entry: Entry, outcome: str, counted: bool, completes: Entry | None, superseded: bool) -> dict[str, Any]:
    """How a call ended and how it stands in the books."""
    attributes: dict[str, Any] = {s.OUTCOME: outcome, s.COUNTED: counted}
    if entry.error is not None:
        attributes[s.ERROR_TYPE] = entry.error
    if completes is not None:
        attributes[s.ENTRY_ID], attributes[s.CORRECTION] = completes.id, True
        attributes[s.ACTIVITY] = entry.activity.value
    if superseded:
        attributes[s.SUPERSEDED] = True
    return attributes


def told(entry: Entry, answer: Answer, names: Generation) -> dict[str, Any]:
    """What an entry says in a span's words."""
    attributes = _response(entry, answer)
    _numbers(attributes, entry, names)
    return attributes


def told_again(entry: Entry, answer: Answer, names: Generation) -> dict[str, Any]:
    """The same of an entry that is not counted, as its response is in the books already: what the response says, without a cost."""
    attributes = _response(entry, answer)
    _usage(attributes, entry.usage, names)
    return attributes


def _response(entry: Entry, answer: Answer) -> dict[str, Any]:
    status, finish_reasons, fingerprint = answer
    attributes: dict[str, Any] = {}
    if finish_reasons:
        attributes[s.FINISH_REASONS] = finish_reasons
    if fingerprint:
        attributes[s.OPENAI_FINGERPRINT] = fingerprint
    if entry.response_id:
        attributes[s.RESPONSE_ID] = entry.response_id
    if entry.response_model:
        attributes[s.RESPONSE_MODEL] = entry.response_model
    if status and entry.operation == s.FETCH_RESPONSE:
        attributes[s.RESPONSE_STATUS] = status
    if entry.time_to_first_chunk is not None:
        attributes[s.TIME_TO_FIRST_CHUNK] = entry.time_to_first_chunk
    return attributes


def _numbers(attributes: dict[str, Any], entry: Entry, names: Generation) -> None:
    usage, cost = entry.usage, entry.cost
    attributes[s.USAGE_STATE] = usage.state._value_
    if entry.plugin is not None:
        attributes[s.PLUGIN_TOKENS] = usage.total
    elif usage.state is not State.UNKNOWN:
        _usage(attributes, usage, names)
    attributes[s.COST_STATUS] = cost.status._value_
    if cost.nano_usd is not None:
        attributes[s.COST_NANO_USD] = cost.nano_usd
        if entry.plugin is None:  # the proposed attributes belong to inference spans
            attributes[s.COST_AMOUNT] = cost.nano_usd / 1e9
            attributes[s.COST_CURRENCY] = "USD"
    attributes.update(_provenance(cost.source, cost.version, cost.model, cost.effective_from))


@lru_cache(maxsize=1024)
def _provenance(source: str | None, version: str | None, model: str | None, effective_from: str | None) -> Mapping[str, str]:
    """Where the price came from: the same for all calls of one model."""
    told = {s.PRICE_SOURCE: source, s.PRICE_VERSION: version, s.PRICE_MODEL: model, s.PRICE_EFFECTIVE: effective_from}
    return {name: value for name, value in told.items() if value}


def tool_called(entry: Entry) -> dict[str, Any]:
    """The event of a plugin call."""
    attributes: dict[str, Any] = {s.TOOL_NAME: entry.plugin, s.ENTRY_ID: entry.id, s.DURATION: entry.duration}
    if entry.error is not None:
        attributes[s.ERROR_TYPE] = entry.error
    return attributes


def _usage(attributes: dict[str, Any], usage: Usage, names: Generation) -> None:
    if usage.input is not None:
        attributes[s.INPUT_TOKENS] = usage.input
    if usage.output is not None:
        attributes[s.OUTPUT_TOKENS] = usage.output
    if usage.cache_read is not None:
        attributes[s.CACHE_READ_TOKENS] = usage.cache_read
    if usage.cache_write is not None or usage.cache_write_1h is not None:
        attributes[names.cache_write_tokens] = (usage.cache_write or 0) + (usage.cache_write_1h or 0)
    if usage.cache_write_1h is not None:
        attributes[s.CACHE_WRITE_1H] = usage.cache_write_1h
    if usage.reasoning is not None:
        attributes[s.REASONING_TOKENS] = usage.reasoning
    if usage.tools:
        attributes[s.TOOLS_USED] = sum(usage.tools.values())
    if usage.clamped:
        attributes[s.USAGE_CLAMPED] = True
    for field, name in names.modality.items():
        count = getattr(usage, field)
        if count is not None:
            attributes[name] = count


def refuse_call(span: Span, described: Mapping[str, Any], refusal: BudgetExceeded) -> None:
    """Ends the span of a call that was never sent, with the refusal as an event. ``described``: see there."""
    span.add_event(s.EVENT_PREFIX + s.EVENT_BUDGET_REFUSED, _refusal(refusal))
    span.set_attributes({**described, s.ERROR_TYPE: type(refusal).__qualname__, s.OUTCOME: "refused", s.COUNTED: False})
    span.set_status(_ERROR)
    span.end()


def _refusal(refusal: BudgetExceeded) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        s.BUDGET_NAME: refusal.budget, s.BUDGET_SCOPE: refusal.scope, s.BUDGET_UNIT: str(refusal.unit), s.BUDGET_LIMIT: refusal.limit,
        s.BUDGET_SPENT: refusal.spent, s.BUDGET_RESERVED: refusal.reserved, s.BUDGET_ASKED: refusal.asked,
    }  # fmt: skip
    if refusal.window_end is not None:
        attributes[s.BUDGET_WINDOW_END] = refusal.window_end.isoformat()
    if refusal.reason:
        attributes[s.BUDGET_REASON] = refusal.reason
    return attributes


def set_content(span: Span, content: Mapping[str, Any]) -> None:
    """Records captured content as JSON strings, which every backend can show."""
    for key, name in s.CONTENT.items():
        if content.get(key):
            span.set_attribute(name, sound(json.dumps(content[key], ensure_ascii=False, default=str)))


def replaced_attributes(replaced: Mapping[Group, Replaced]) -> dict[str, int]:
    """What the end of a step's attempt replaced, by activity."""
    attributes: dict[str, int] = defaultdict(int)
    for (activity, _state), amounts in replaced.items():
        for field, count in amounts._asdict().items():
            attributes[f"{s.SUPERSEDED}.{activity}.{field}"] += count
    return attributes


def end_workflow(span: Span, execution: Execution) -> None:
    """Writes the totals per activity on the workflow's span and ends it; no cost where no call has one."""
    span.set_attribute(s.WORKFLOW_STATUS, execution.status)
    for activity, total in execution.totals.items():
        told = total._asdict()
        if 0 < total.calls <= total.unpriced:
            del told["nano_usd"]
        span.set_attributes({f"{s.TOTALS_PREFIX}{activity}.{name}": value for name, value in told.items()})
    if execution.error:
        span.set_attribute(s.ERROR_TYPE, execution.error)
        span.set_status(_ERROR)
    span.end()
