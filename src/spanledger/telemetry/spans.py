"""Spans of calls: what they are called, what they start with and what they end with."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.trace import SpanKind, Status, StatusCode

from spanledger.model import Activity, State
from spanledger.scopes import NOBODY
from spanledger.telemetry import semconv as s

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer

    from spanledger.model import Entry, Execution, Request, Response, Usage
    from spanledger.scopes import Scope
    from spanledger.telemetry.recon import Group, Replaced
    from spanledger.telemetry.semconv import Generation

_ERROR = Status(StatusCode.ERROR)


def start_call(tracer: Tracer, request: Request, scope: Scope, entry_id: str, context: Context) -> Span:
    """Starts the span of one call. The attributes a sampler may decide on are given at creation, as the conventions ask."""
    if request.activity is Activity.PLUGIN:
        name, kind = f"{s.EXECUTE_TOOL} {request.tool_name}", SpanKind.INTERNAL
        decisive: dict[str, Any] = {s.OPERATION: request.operation, s.TOOL_NAME: request.tool_name, s.TOOL_TYPE: "function"}
    else:
        name, kind = f"{request.operation} {request.model}" if request.model else request.operation, SpanKind.CLIENT
        decisive = _decisive(request)
    span = tracer.start_span(name, context=context, kind=kind, attributes=decisive)
    if span.is_recording():
        attributes: dict[str, Any] = {s.ENTRY_ID: entry_id, s.ACTIVITY: (scope.activity or request.activity).value}
        _describe(attributes, request)
        if scope is not NOBODY:
            attributes.update(scope_attributes(scope))
        write(span, attributes)
    return span


def _decisive(request: Request) -> dict[str, Any]:
    attributes: dict[str, Any] = {s.OPERATION: request.operation, s.PROVIDER: request.provider}
    if request.model:
        attributes[s.REQUEST_MODEL] = request.model
    if request.server_address:
        attributes[s.SERVER_ADDRESS] = request.server_address
        if request.server_port:
            attributes[s.SERVER_PORT] = request.server_port
    return attributes


def _describe(attributes: dict[str, Any], request: Request) -> None:
    if request.stream:
        attributes[s.REQUEST_STREAM] = True
    if request.max_output is not None:
        attributes[s.REQUEST_MAX_TOKENS] = request.max_output
    for short, value in request.params.items():
        pair = s.request_param(short, value)
        if pair is not None:
            attributes[pair[0]] = pair[1]


_ROOM = 128
"""The SDK's default limit, which our spans stay far below."""


def write(span: Span, attributes: dict[str, Any]) -> None:
    """Sets attributes whose values are of the right types already.

    The SDK checks and copies each value, two dozen of them a call. Where no limit is set that could apply, ours go in as they are;
    see docs/decisions/0005-attributes-past-the-checks.md.
    """
    store = getattr(span, "_attributes", None)
    if type(store) is BoundedAttributes and store.max_value_len is None and (store.maxlen is None or store.maxlen >= _ROOM):
        with store._lock:  # noqa: SLF001  # see the docstring
            store._dict.update(attributes)  # noqa: SLF001
    else:
        span.set_attributes(attributes)


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
    attributes = _decisive(request)
    _describe(attributes, request)
    attributes.update(_result(entry, response))
    _numbers(attributes, entry, names)
    return {name: value for name, value in attributes.items() if not name.startswith(s.EVENT_PREFIX) and name not in _COST}


_COST = (s.COST_AMOUNT, s.COST_CURRENCY)
"""Proposed for spans only."""


def end_call(span: Span, entry: Entry, response: Response, standing: dict[str, Any], names: Generation) -> None:
    """Writes the result on the span and ends it. Never writes a message of an exception: it may echo the prompt.

    ``standing``: the attributes that say how the call ended and how it stands in the books. One that is not counted (its response is in
    the books already) says what the response says, but has no cost.
    """
    if span.is_recording():
        attributes = _result(entry, response)
        attributes.update(standing)
        if standing[s.COUNTED]:
            _numbers(attributes, entry, names)
        else:
            _usage(attributes, entry.usage, names)
        write(span, attributes)
        if entry.error is not None:
            span.set_status(_ERROR)
    span.end()


def _result(entry: Entry, response: Response) -> dict[str, Any]:
    attributes: dict[str, Any] = {}
    if response.id:
        attributes[s.RESPONSE_ID] = response.id
    if response.model:
        attributes[s.RESPONSE_MODEL] = response.model
    if response.finish_reasons:
        attributes[s.FINISH_REASONS] = tuple(response.finish_reasons)
    if response.fingerprint:
        attributes[s.OPENAI_FINGERPRINT] = response.fingerprint
    if response.status and entry.operation == s.FETCH_RESPONSE:
        attributes[s.RESPONSE_STATUS] = response.status
    if entry.time_to_first_chunk is not None:
        attributes[s.TIME_TO_FIRST_CHUNK] = entry.time_to_first_chunk
    if entry.error is not None:
        attributes[s.ERROR_TYPE] = entry.error
    return attributes


def _numbers(attributes: dict[str, Any], entry: Entry, names: Generation) -> None:
    attributes[s.USAGE_STATE] = entry.usage.state.value
    if entry.plugin is not None:
        attributes[s.PLUGIN_TOKENS] = entry.usage.total
    elif entry.usage.state is not State.UNKNOWN:
        _usage(attributes, entry.usage, names)
    _cost(attributes, entry)


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


def _cost(attributes: dict[str, Any], entry: Entry) -> None:
    cost = entry.cost
    attributes[s.COST_STATUS] = cost.status.value
    if cost.nano_usd is not None:
        attributes[s.COST_NANO_USD] = cost.nano_usd
        if entry.plugin is None:  # the proposed attributes belong to inference spans
            attributes[s.COST_AMOUNT] = cost.nano_usd / 1e9
            attributes[s.COST_CURRENCY] = "USD"
    if cost.source:
        attributes[s.PRICE_SOURCE] = cost.source
    if cost.version:
        attributes[s.PRICE_VERSION] = cost.version
    if cost.model:
        attributes[s.PRICE_MODEL] = cost.model
    if cost.effective_from:
        attributes[s.PRICE_EFFECTIVE] = cost.effective_from


def refuse_call(span: Span, error_type: str) -> None:
    """Ends the span of a call that was never sent."""
    span.set_attributes({s.ERROR_TYPE: error_type, s.OUTCOME: "refused", s.COUNTED: False})
    span.set_status(_ERROR)
    span.end()


def set_content(span: Span, content: Mapping[str, Any]) -> None:
    """Records captured content as JSON strings, which every backend can show."""
    for key, name in s.CONTENT.items():
        if content.get(key):
            span.set_attribute(name, json.dumps(content[key], ensure_ascii=False, default=str))


def replaced_attributes(replaced: Mapping[Group, Replaced]) -> dict[str, int]:
    """What the end of a step's attempt replaced, by activity."""
    attributes: dict[str, int] = defaultdict(int)
    for (activity, _state), amounts in replaced.items():
        for field, count in amounts._asdict().items():
            attributes[f"{s.SUPERSEDED}.{activity}.{field}"] += count
    return attributes


def end_workflow(span: Span, execution: Execution) -> None:
    """Writes the totals per activity on the workflow's span and ends it."""
    span.set_attribute(s.WORKFLOW_STATUS, execution.status)
    for activity, total in execution.totals.items():
        prefix = f"{s.TOTALS_PREFIX}{activity}."
        span.set_attributes({prefix + name: value for name, value in total._asdict().items()})
    if execution.error:
        span.set_attribute(s.ERROR_TYPE, execution.error)
        span.set_status(_ERROR)
    span.end()
