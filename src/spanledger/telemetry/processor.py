"""Redacts every span and log record before any exporter sees it, whoever made it and wherever the exporters stand.

Spans are redacted in ``_on_ending``, which the SDK calls on all processors before the first ``on_end``. By then it has frozen the
attributes, so the private fields are replaced; the ``ReadableSpan`` that all exporters share is made of them afterwards
(https://github.com/open-telemetry/opentelemetry-python/blob/main/opentelemetry-sdk/src/opentelemetry/sdk/trace/__init__.py, ``Span.end``).
Attributes are redacted when they are read, all else at once; see docs/decisions/0011-attributes-when-read.md.
There is no such hook for log records: the log processor has to be the first.

What cannot be redacted is not exported: an error costs the contents of that span or record, never the application.
"""

from __future__ import annotations

import logging
import re
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk._logs import LogRecordProcessor
from opentelemetry.sdk.trace import Event, SpanProcessor
from opentelemetry.sdk.util import BoundedList
from opentelemetry.trace import DEFAULT_TRACE_STATE, Link, SpanContext, Status, TraceFlags, TraceState

from spanledger.telemetry import semconv as s
from spanledger.telemetry.identities import Identities
from spanledger.telemetry.late import STORES, CheckedAttributes, LateAttributes, plain
from spanledger.telemetry.resources import Resources
from spanledger.telemetry.watched import WatchedAttributes, watch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opentelemetry.context import Context

    from spanledger.redaction.redactor import Redactor

log = logging.getLogger("spanledger")

_FIELDS = ("_name", "_attributes", "_events", "_links", "_status")
_KEPT = frozenset(
    {
        s.OPERATION,
        s.PROVIDER,
        s.ENTRY_ID,
        s.ACTIVITY,
        s.USAGE_STATE,
        s.COST_STATUS,
        s.TOKEN_TYPE,
        s.ERROR_PLACE,
        s.REDACTION_LABEL,
        s.RECON_SOURCE,
        s.RECON_TOKEN_TYPE,
    }
)
"""Texts that spans and metrics keep when redaction fails; they are ours, and only kept if they look like names."""
_KEPT_NUMBERS = (s.USAGE_PREFIX, s.COST_NANO_USD, s.COUNTED)
_PLAIN = re.compile(r"[0-9a-z][0-9a-z_.-]{0,63}")
_TRACE_STATE = 4
"""Where it stands in a ``SpanContext``, which is a tuple with properties."""


class RedactingSpanProcessor(SpanProcessor):
    """Replaces private values in spans when they end: names, attributes, events, links, status, trace state and resource.

    Args:
        redactor: decides what is private.
        on_error: told of each error of ours; what it raises reaches the application.
        before: called with each ending span before it is redacted; may replace its private fields.
        on_start_hook: called with each starting span and its parent context. Its exceptions reach the caller of ``start_span``; that is how
            calls of foreign instrumentations are stopped.
    """

    led = False
    """Whether ``leading`` put it where it is."""

    def __init__(
        self,
        redactor: Redactor,
        *,
        on_error: Callable[[BaseException], None] | None = None,
        before: Callable[[Any], None] | None = None,
        on_start_hook: Callable[[Any, Context | None], None] | None = None,
    ) -> None:
        self.behind = Identities()
        """Providers to which it was added behind others."""
        self._redactor = redactor
        self._on_error = on_error
        self._before = before
        self._on_start_hook = on_start_hook
        self._resources = Resources(redactor)
        self._called = False
        self._warned = False
        self.late = LateAttributes
        """What keeps the attributes of spans; ``leading`` chooses another where other processors may write into them."""
        self._bare: Status | None = None
        """A status without a description, seen last: the SDK gives all spans that have none of their own the same."""

    def on_start(self, span: Any, parent_context: Context | None = None) -> None:
        """Runs the hook."""
        hook = self._on_start_hook
        if hook is not None:
            hook(span, parent_context)

    def _on_ending(self, span: Any) -> None:
        self._called = True
        self.finish(span)

    def on_end(self, span: Any) -> None:
        """Redacts here if the SDK did not call ``_on_ending``: too late for processors before this one, in time for those behind it."""
        if not self._called:
            self._warn(
                "this version of opentelemetry-sdk does not call SpanProcessor._on_ending; processors ahead of ours see spans unredacted"
            )
            self.finish(span)

    def finish(self, span: Any) -> None:
        """Redacts an ended span, or a copy of one, in place."""
        error: Exception | None = None
        before = self._before
        if before is not None:
            try:
                before(span)
            except Exception as caught:  # noqa: BLE001  # telemetry never hurts the application
                error = caught
        try:
            self._redact(span)
        except Exception as caught:  # noqa: BLE001  # see the module
            error = caught
            self._empty(span)
        if error is not None:
            self._tell(error)

    def _tell(self, error: Exception) -> None:
        if self._on_error is not None:
            self._on_error(error)

    def _redact(self, span: Any) -> None:
        """Reads everything first and replaces afterwards, so that an error leaves no half-redacted span."""
        redactor = self._redactor
        if redactor.off:
            return
        name = redactor.text(span._name)  # noqa: SLF001  # see the module
        attributes = span._attributes  # noqa: SLF001
        # Redacted when they are read. Doing it here would take the application's time, and a long text takes much of it.
        attributes = self.late(attributes, self._redacted) if type(attributes) in STORES else self._others(attributes)
        events = each(span._events, partial(_event, redactor)) if span._events else None  # noqa: SLF001
        links = each(span._links, partial(_link, redactor)) if span._links else None  # noqa: SLF001
        status = None if span._status is self._bare else self._status(span._status)  # noqa: SLF001
        resource = self._resources.redacted(getattr(span, "_resource", None))
        trace_state = span._context[_TRACE_STATE]  # noqa: SLF001
        contexts = () if trace_state is DEFAULT_TRACE_STATE else _contexts(redactor, span)
        span._name = name  # noqa: SLF001
        if events is not None:
            span._events = events  # noqa: SLF001
        if links is not None:
            span._links = links  # noqa: SLF001
        if status is not None:
            span._status = status  # noqa: SLF001
        if resource is not None:
            span._resource = resource  # noqa: SLF001
        for field, context in contexts:
            setattr(span, field, context)
        if attributes is not None:  # last: they tell that the span is redacted
            span._attributes = attributes  # noqa: SLF001

    def _redacted(self, attributes: BoundedAttributes) -> dict[str, Any]:
        try:
            redacted = _attributes(self._redactor, attributes)
            return plain(attributes if redacted is None else redacted)
        except Exception as error:  # noqa: BLE001  # see the module
            self._tell(error)
            return kept(attributes)

    def _others(self, attributes: Any) -> BoundedAttributes | None:
        """Attributes in a store that is not the SDK's; those that were redacted before stay."""
        return None if type(attributes) is CheckedAttributes else _attributes(self._redactor, attributes)

    def _status(self, status: Status) -> Status | None:
        if not status.description:
            self._bare = status
            return None
        description = self._redactor.text(status.description)
        return None if description is status.description else Status(status.status_code, description)

    def _empty(self, span: Any) -> None:
        """Keeps identity, timing, kind and numbers; all else goes."""
        context = span.get_span_context()
        flags = context.trace_flags
        if not all(hasattr(span, field) for field in _FIELDS):
            self._warn("this version of opentelemetry-sdk keeps spans in other fields than we know; spans are not exported")
            flags = TraceFlags(TraceFlags.DEFAULT)  # processors export what is sampled
        span._context = _bare(context, flags)  # noqa: SLF001
        parent = getattr(span, "_parent", None)
        if parent is not None:
            span._parent = _bare(parent, parent.trace_flags)  # noqa: SLF001
        shown = kept(getattr(span, "_attributes", None))
        span._name = shown.get(s.OPERATION) or span.kind.name.lower()  # noqa: SLF001
        span._attributes = BoundedAttributes(attributes=shown)  # noqa: SLF001
        span._events = BoundedList(0)  # noqa: SLF001
        span._links = BoundedList(0)  # noqa: SLF001
        status = getattr(span, "_status", None)
        span._status = Status(status.status_code) if status is not None else Status()  # noqa: SLF001
        span._resource = self._resources.shown(getattr(span, "_resource", None))  # noqa: SLF001

    def _warn(self, message: str) -> None:
        if not self._warned:
            self._warned = True
            log.warning("redaction: %s", message)


class RedactingLogProcessor(LogRecordProcessor):
    """Replaces private values in log records, in place: body, attributes and event name. Must be the first processor of its provider.

    What processors behind it write into a record is redacted when it is handed to an exporter, see ``finish``.
    """

    led = False
    """Whether ``leading`` put it where it is."""

    def __init__(self, redactor: Redactor, *, on_error: Callable[[BaseException], None] | None = None) -> None:
        self.behind = Identities()
        """Providers to which it was added behind others."""
        self._redactor = redactor
        self._on_error = on_error
        self._resources = Resources(redactor)

    def on_emit(self, log_record: Any) -> None:
        """Redacts the record; on an error of ours only its severity, time and trace remain."""
        self._replace(log_record)
        if not self._redactor.off:
            watch(log_record.log_record.attributes, self._redactor)
            with suppress(AttributeError):  # a record that takes no further fields is redacted twice
                log_record.redacted = _state(log_record)

    def finish(self, log_record: Any) -> None:
        """Redacts a record that leaves, if it was not, or if somebody wrote into it since."""
        is_watched = type(log_record.log_record.attributes) is WatchedAttributes
        if not is_watched or getattr(log_record, "redacted", None) != _state(log_record):
            self.on_emit(log_record)

    def _replace(self, log_record: Any) -> None:
        if self._redactor.off:
            return
        record = log_record.log_record
        try:
            self._redact(log_record, record)
        except Exception as error:  # noqa: BLE001  # see the module
            record.body, record.event_name, record.severity_text = None, None, None
            record.attributes = BoundedAttributes(immutable=False)
            log_record.resource = self._resources.shown(log_record.resource)
            if self._on_error is not None:
                self._on_error(error)

    def _redact(self, log_record: Any, record: Any) -> None:
        redactor = self._redactor
        body = redactor.value(None, record.body)
        attributes = _attributes(redactor, record.attributes, immutable=False)
        event = redactor.text(record.event_name) if record.event_name else record.event_name
        severity = redactor.text(record.severity_text) if record.severity_text else record.severity_text
        resource = self._resources.redacted(log_record.resource)
        record.body, record.event_name, record.severity_text = body, event, severity
        if attributes is not None:
            record.attributes = attributes
        if resource is not None:
            log_record.resource = resource

    def enabled(self, **_asked: Any) -> bool:
        """Nobody needs to make a record for us: whether one is wanted is for the other processors to say."""
        return False

    def shutdown(self) -> None:
        """Nothing to do."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Nothing to do."""
        del timeout_millis
        return True


def _state(log_record: Any) -> tuple[Any, ...]:
    """What a log record says outside of its attributes. A body that is no text may have been changed in place, so it equals nothing."""
    record = log_record.log_record
    body = record.body if record.body is None or isinstance(record.body, str) else object()
    return body, record.event_name, record.severity_text, log_record.resource


def _attributes(redactor: Redactor, attributes: Mapping[str, Any] | None, *, immutable: bool = True) -> BoundedAttributes | None:
    """A redacted equivalent with the same limits and count of dropped attributes; ``None`` if nothing changes."""
    safe = redactor.attributes(plain(attributes) if type(attributes) in STORES else attributes)  # type: ignore[arg-type]  # one of them
    if safe is None:
        return None
    limit, length = getattr(attributes, "maxlen", None), getattr(attributes, "max_value_len", None)
    redacted = BoundedAttributes(limit, safe, immutable=immutable, max_value_len=length)
    redacted.dropped = getattr(attributes, "dropped", 0)
    return redacted


def each(items: Any, change: Callable[[Any], Any]) -> BoundedList[Any] | None:
    """A list with the same limit and count of dropped items, some of them replaced; ``None`` if none is."""
    old = list(items)
    new = [change(item) for item in old]
    if all(safe is item for safe, item in zip(new, old, strict=True)):
        return None
    redacted: BoundedList[Any] = BoundedList.from_seq(None, new)
    redacted.dropped = getattr(items, "dropped", 0)
    return redacted


def _event(redactor: Redactor, event: Any) -> Any:
    name, attributes = redactor.text(event.name), _attributes(redactor, event.attributes)
    if name is event.name and attributes is None:
        return event
    return Event(name, event.attributes if attributes is None else attributes, event.timestamp)


def _link(redactor: Redactor, link: Any) -> Any:
    attributes, context = _attributes(redactor, link.attributes), _context(redactor, link.context)
    if attributes is None and context is None:
        return link
    return Link(context or link.context, link.attributes if attributes is None else attributes)


def _bare(context: SpanContext, flags: TraceFlags) -> SpanContext:
    """Without trace state."""
    return SpanContext(context.trace_id, context.span_id, context.is_remote, flags)


def _contexts(redactor: Redactor, span: Any) -> list[tuple[str, SpanContext]]:
    """What to put instead of a span's own context and its parent's, which a remote parent gave its trace state."""
    both = ((field, getattr(span, field, None)) for field in ("_context", "_parent"))
    return [(field, safe) for field, context in both if context is not None and (safe := _context(redactor, context)) is not None]


def _context(redactor: Redactor, context: SpanContext) -> SpanContext | None:
    """The same with redacted trace state (the header ``tracestate`` of requests); ``None`` if nothing changes."""
    state = redactor.attributes(context.trace_state)
    if state is None:
        return None
    return SpanContext(context.trace_id, context.span_id, context.is_remote, context.trace_flags, TraceState(list(state.items())))


def kept(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    """What can be shown of attributes that could not be redacted: numbers of ours, and our own words."""
    shown: dict[str, Any] = {}
    for key, value in (attributes or {}).items():
        is_number = isinstance(value, (int, float)) and key.startswith(_KEPT_NUMBERS) and _PLAIN.fullmatch(key)
        if is_number or (key in _KEPT and isinstance(value, str) and _PLAIN.fullmatch(value)):
            shown[key] = value
    return shown
