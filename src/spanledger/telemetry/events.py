"""Live events: what happens while it happens, for ``subscribe`` and as OpenTelemetry log records.

Events: workflow_started, tool_called, workflow_completed, workflow_failed, budget_threshold, budget_refused.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from opentelemetry._logs import LogRecord, SeverityNumber

from spanledger.telemetry import semconv as s

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opentelemetry._logs import Logger
    from opentelemetry.context import Context

_SEVERITY = {
    s.EVENT_WORKFLOW_FAILED: SeverityNumber.ERROR,
    s.EVENT_BUDGET_THRESHOLD: SeverityNumber.WARN,
    s.EVENT_BUDGET_REFUSED: SeverityNumber.ERROR,
    s.EVENT_AUDIT: SeverityNumber.FATAL,
}


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. ``attributes`` hold numbers and names, never prompts or answers."""

    name: str
    time: float
    attributes: Mapping[str, Any] = field(default_factory=dict)


class Events:
    """Hands events to subscribers and to the OpenTelemetry logger."""

    def __init__(self, logger: Logger | None, on_error: Callable[[str, BaseException], None]) -> None:
        self._logger, self._on_error = logger, on_error

    def emit(self, name: str, attributes: Mapping[str, Any], context: Context | None = None) -> None:
        """Tells everybody. A subscriber that raises is reported and hurts nobody else."""
        event = Event(name, time.time(), attributes)
        for callback in _subscribers:
            try:
                callback(event)
            except Exception as error:  # noqa: BLE001  # a subscriber is the application's code; its bug must not break a call
                self._on_error("subscriber", error)
        self.log(s.EVENT_PREFIX + name, attributes, _SEVERITY.get(name, SeverityNumber.INFO), context)

    def log(self, name: str, attributes: Mapping[str, Any], severity: SeverityNumber, context: Context | None = None) -> None:
        """Emits a log record that is an event (``event_name``)."""
        if self._logger is not None:
            record = LogRecord(
                timestamp=time.time_ns(),
                context=context,
                severity_number=severity,
                severity_text=severity.name,
                event_name=name,
                attributes=dict(attributes),
            )
            self._logger.emit(record)

    def log_content(self, attributes: dict[str, Any], content: Mapping[str, Any], context: Context) -> None:
        """Emits captured content as the conventions' details event: structured, with what the span says; severity DEBUG."""
        captured = {s.CONTENT[key]: value for key, value in content.items() if value and key in s.CONTENT}
        self.log(s.EVENT_INFERENCE_DETAILS, {**attributes, **captured}, SeverityNumber.DEBUG, context)


_subscribers: tuple[Callable[[Event], None], ...] = ()
_lock = threading.Lock()


def subscribe(callback: Callable[[Event], None]) -> Callable[[], None]:
    """Calls ``callback(event)`` for every live event, in the thread where it happens; returns a function that ends the subscription.

    The callback should be quick. An exception in it is logged and counted, never raised.
    """
    global _subscribers  # noqa: PLW0603  # one list for the process, replaced whole so that emitting needs no lock
    mine = partial(callback)  # an object of its own: who subscribes the same callback again has another subscription
    with _lock:
        _subscribers = (*_subscribers, mine)

    def unsubscribe() -> None:
        global _subscribers  # noqa: PLW0603
        with _lock:
            _subscribers = tuple(known for known in _subscribers if known is not mine)

    return unsubscribe
