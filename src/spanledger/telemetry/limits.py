"""Limits on the length of values (``OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT`` and the like), applied after redaction instead of before.

The SDK cuts values when they are set, and half an address or key is none that anybody recognises. So a provider's limits are lifted, and
values are cut when they have been redacted, by processors that only providers with such limits get.
See docs/decisions/0015-cut-after-redaction.md.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, NamedTuple

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.trace import Event
from opentelemetry.trace import Link

from spanledger.telemetry.late import STORES, CheckedAttributes, plain
from spanledger.telemetry.processor import RedactingLogProcessor, RedactingSpanProcessor, each

if TYPE_CHECKING:
    from spanledger.redaction.redactor import Redactor


class Lengths(NamedTuple):
    """The longest text in an attribute of a span, and of its events and links."""

    of_spans: int | None
    of_others: int | None


def of_tracers(provider: Any) -> Lengths | None:
    """The limits of a provider of tracers, also when they are lifted; ``None`` if it has none."""
    limits = getattr(provider, "_span_limits", None)
    lifted: Lengths | None = getattr(limits, "lifted", None)
    lengths = lifted or Lengths(getattr(limits, "max_span_attribute_length", None), getattr(limits, "max_attribute_length", None))
    return None if lengths == (None, None) else lengths


def of_loggers(provider: Any) -> int | None:
    """The limit of a provider of loggers, also when it is lifted."""
    limits = getattr(provider, "_log_record_limits", None)
    length: int | None = getattr(limits, "lifted", None)
    return getattr(limits, "max_log_record_attribute_length", None) if length is None else length


def lift_tracers(provider: Any, lengths: Lengths) -> None:
    """Makes spans keep whole what is set on them, also of tracers made before."""
    lifted = _lifted(provider._span_limits, lengths, "max_span_attribute_length", "max_attribute_length")  # noqa: SLF001  # see the module
    provider._span_limits = lifted  # noqa: SLF001  # before the list is read: a tracer that is made meanwhile has them from here
    for tracer in list(provider._tracers.values()):  # noqa: SLF001
        tracer._span_limits = lifted  # noqa: SLF001


def lift_loggers(provider: Any, length: int) -> None:
    """Makes log records keep whole what they are made with, also of loggers made before."""
    lifted = _lifted(provider._log_record_limits, length, "max_log_record_attribute_length")  # noqa: SLF001
    provider._log_record_limits = lifted  # noqa: SLF001  # see above
    with provider._active_loggers_lock:  # noqa: SLF001
        loggers = list(provider._active_loggers)  # noqa: SLF001
    for logger in loggers:
        logger._log_record_limits = lifted  # noqa: SLF001


def lift_record(log_record: Any) -> None:
    """The same for one log record, before its attributes are stored."""
    length = getattr(log_record.limits, "max_log_record_attribute_length", None)
    if length is not None:
        log_record.limits = _lifted(log_record.limits, length, "max_log_record_attribute_length")


def _lifted(limits: Any, asked: Any, *names: str) -> Any:
    """A copy, as the application may give one object to several providers."""
    lifted = copy.copy(limits)
    for name in names:
        setattr(lifted, name, None)
    lifted.lifted = asked
    return lifted


class CuttingSpanProcessor(RedactingSpanProcessor):
    """Redacts, then cuts."""

    def __init__(self, lengths: Lengths, redactor: Redactor, **more: Any) -> None:
        super().__init__(redactor, **more)
        self._lengths = lengths

    def finish(self, span: Any) -> None:
        """Redacts the span, then cuts."""
        super().finish(span)
        try:
            self._cut(span)
        except Exception as error:  # noqa: BLE001  # telemetry never hurts the application
            self._empty(span)
            self._tell(error)

    def _cut(self, span: Any) -> None:
        attributes, others = span._attributes, self._lengths.of_others  # noqa: SLF001  # see processor.py
        if self._lengths.of_spans is not None:
            late = type(attributes) in STORES or type(attributes) is CheckedAttributes
            span._attributes = self.late(attributes, self._short) if late else _short(attributes, self._lengths.of_spans)  # noqa: SLF001
        if others is not None:
            events = each(span._events, lambda event: Event(event.name, _short(event.attributes, others), event.timestamp))  # noqa: SLF001
            links = each(span._links, lambda link: Link(link.context, _short(link.attributes, others)))  # noqa: SLF001
            span._events, span._links = events or span._events, links or span._links  # noqa: SLF001

    def _short(self, attributes: BoundedAttributes) -> dict[str, Any]:
        return plain(_short(plain(attributes), self._lengths.of_spans))


class CuttingLogProcessor(RedactingLogProcessor):
    """The same of log records, whose attributes alone are limited."""

    def __init__(self, length: int, redactor: Redactor, **more: Any) -> None:
        super().__init__(redactor, **more)
        self._length = length

    def finish(self, log_record: Any) -> None:
        """Redacts a record that leaves where that is needed, and cuts one that the processors of its provider did not cut."""
        super().finish(log_record)
        if getattr(log_record.log_record.attributes, "max_value_len", None) != self._length:
            self.on_emit(log_record)

    def _replace(self, log_record: Any) -> None:
        super()._replace(log_record)
        record = log_record.log_record
        record.attributes = _short(record.attributes, self._length, immutable=False)


def _short(attributes: Any, length: int | None, *, immutable: bool = True) -> BoundedAttributes:
    """The same attributes, cut as the SDK does.

    Not by the SDK, which logs each cut: a handler that makes log records of that, with attributes that are cut, too, would never end.
    """
    cut = {key: _cut(value, length) for key, value in (attributes or {}).items()}
    short = BoundedAttributes(getattr(attributes, "maxlen", None), cut, immutable=immutable)
    short.max_value_len = length  # for what is written later
    short.dropped = getattr(attributes, "dropped", 0)
    return short


def _cut(value: Any, length: int | None) -> Any:
    if isinstance(value, str):
        return value[:length]
    if isinstance(value, (tuple, list)):
        return tuple(_cut(item, length) for item in value)
    return {key: _cut(item, length) for key, item in value.items()} if isinstance(value, dict) else value
