"""Spans as the collector's file exporter writes them (OTLP in JSON), read for what they say about calls.

https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding: names in lowerCamelCase, 64-bit integers as strings, ids in hex.
Other writers use snake_case and plain integers; both are read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spanledger.ledger.facts import NO_TOKENS, FactRow, exclusive, price_name
from spanledger.model import State
from spanledger.reconcile.walk import decode, items, members, skip
from spanledger.telemetry import semconv as s

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

MALFORMED = (KeyError, TypeError, ValueError, AttributeError)
"""What reading something of another shape raises."""
_PARTS, _SCOPES = ("resourceSpans", "resource_spans"), ("scopeSpans", "scope_spans")
_SERVICE, _INSTANCE = "service.name", "service.instance.id"
_CACHE_WRITES = (s.DEFAULT.cache_write_tokens, s.LATEST.cache_write_tokens)

_ASKED = frozenset((
    s.ENTRY_ID, s.COUNTED, s.CORRECTION, s.ACTIVITY, s.USAGE_STATE, s.COST_NANO_USD, s.EXECUTION_ID, s.PRICE_SOURCE, s.PRICE_VERSION,
    s.PRICE_MODEL, s.PLUGIN_TOKENS, s.INPUT_TOKENS, s.OUTPUT_TOKENS, s.CACHE_READ_TOKENS, s.REASONING_TOKENS, *_CACHE_WRITES,
))  # fmt: skip
"""Half of a span's attributes; the others are passed over."""


def facts_of(text: str, rows: list[FactRow]) -> int:
    """Adds the facts of one ExportTraceServiceRequest to ``rows``; returns how many spans could not be understood.

    A resource that comes behind its spans is not seen: nobody writes that.

    Raises:
        ValueError: it is no JSON, or not of the shape of a request. Rows may have been added then.
    """
    request = _Request(text, rows)
    end = members(text, 0, request.member)
    if end != len(text):
        message = f"more behind the request, at character {end}"
        raise ValueError(message)
    return request.bad


class _Request:
    """One request on the walk through it."""

    def __init__(self, text: str, rows: list[FactRow]) -> None:
        self._text, self._rows = text, rows
        self._resource: dict[str, Any] = {}
        self.bad = 0

    def member(self, key: str, place: int) -> int:
        """A member of the request."""
        return items(self._text, place, self._part) if key in _PARTS else skip(self._text, place)

    def _part(self, place: int) -> int:
        self._resource = {}
        return members(self._text, place, self._of_part)

    def _of_part(self, key: str, place: int) -> int:
        if key in _SCOPES:
            return items(self._text, place, self._scope)
        value, place = decode(self._text, place)
        if key == "resource":
            self._resource = _resource(value)
        return place

    def _scope(self, place: int) -> int:
        return members(self._text, place, self._of_scope)

    def _of_scope(self, key: str, place: int) -> int:
        return items(self._text, place, self._span) if key == "spans" else skip(self._text, place)

    def _span(self, place: int) -> int:
        span, place = decode(self._text, place)
        try:
            row = _fact(span, _asked(span.get("attributes", ())), self._resource)
        except MALFORMED:
            self.bad += 1
        else:
            if row is not None:
                self._rows.append(row)
        return place


def _resource(resource: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return {pair["key"]: value for pair in resource.get("attributes", ()) for value in (pair.get("value") or {}).values()}
    except MALFORMED as error:
        message = "no resource"
        raise ValueError(message) from error


def _asked(pairs: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The attributes asked for, as values: of ``{"intValue": "12"}`` the text, which is made a number where one is needed."""
    return {name: value for pair in pairs if (name := pair["key"]) in _ASKED for value in (pair.get("value") or {}).values()}


def _fact(span: Mapping[str, Any], attributes: Mapping[str, Any], resource: Mapping[str, Any]) -> FactRow | None:
    if s.COUNTED not in attributes or s.ENTRY_ID not in attributes:
        return None
    start = span.get("startTimeUnixNano") or span.get("start_time_unix_nano") or 0
    trace_id, span_id = span.get("traceId") or span.get("trace_id"), span.get("spanId") or span.get("span_id")
    return fact(trace_id, span_id, int(start), attributes, resource)


def fact(
    trace_id: str | None, span_id: str | None, start_ns: int, attributes: Mapping[str, Any], resource: Mapping[str, Any]
) -> FactRow | None:
    """The fact that a span tells; None if it counts no call. Raises one of ``MALFORMED`` if a number is none."""
    get = attributes.get
    entry_id = get(s.ENTRY_ID)
    if get(s.COUNTED) is not True or not isinstance(entry_id, str):
        return None
    state = get(s.USAGE_STATE) or State.UNKNOWN.value
    unknown = state == State.UNKNOWN
    return (
        entry_id,
        start_ns / 1e9,
        get(s.ACTIVITY) or "",
        state,
        None if unknown else _int(get(s.COST_NANO_USD)),
        *(NO_TOKENS if unknown else _tokens(get)),
        resource.get(_SERVICE),
        get(s.EXECUTION_ID),
        price_name(get(s.PRICE_SOURCE), get(s.PRICE_VERSION), get(s.PRICE_MODEL)),
        trace_id,
        span_id,
        False,
        get(s.CORRECTION) is True,
        resource.get(_INSTANCE),
    )


def _tokens(get: Callable[[str], Any]) -> tuple[int, ...]:
    """Tokens in types that do not overlap; what is absent counts nothing."""
    plugin = get(s.PLUGIN_TOKENS)
    if plugin is not None:
        return (0, 0, 0, 0, 0, int(plugin))
    written = get(_CACHE_WRITES[0]) or get(_CACHE_WRITES[1]) or 0
    input_, output = _int(get(s.INPUT_TOKENS)), _int(get(s.OUTPUT_TOKENS))
    return (*exclusive(input_, _int(get(s.CACHE_READ_TOKENS)), int(written), output, _int(get(s.REASONING_TOKENS))), 0)


def _int(value: Any) -> int | None:
    return None if value is None else int(value)
