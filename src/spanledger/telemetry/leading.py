"""Puts the processors that redact in front of all others of a live provider, also for tracers and loggers made before.

The lists are private to the SDK (``_active_span_processor._span_processors``, ``_multi_log_record_processor._log_record_processors``,
tuples that are replaced under their lock). Where they are not found, the processor is added at the end instead.
A provider that is not the SDK's takes no processors and is left alone.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from spanledger.telemetry.late import CheckedAttributes
from spanledger.telemetry.processor import RedactingLogProcessor, RedactingSpanProcessor

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger("spanledger")


def lead_spans(provider: Any, processor: RedactingSpanProcessor) -> bool:
    """Puts ``processor`` before all other processors of the provider; one that an earlier call put there is replaced.

    Returns:
        Whether everything this provider exports is redacted, which for spans does not depend on the position. If not, record no content.
    """
    led = _put_first(provider, "_active_span_processor", "_span_processors", processor, "add_span_processor")
    owner = getattr(provider, "_active_span_processor", None)
    if any(_may_write(other) for other in getattr(owner, "_span_processors", ())):
        processor.late = CheckedAttributes
    return led is not None


def _may_write(other: Any) -> bool:
    """Whether a processor does something with an ending span that is neither ours nor the SDK's."""
    methods = (getattr(type(other), name, None) for name in ("_on_ending", "on_end"))
    return not all((getattr(method, "__module__", None) or "").startswith(_KNOWN) for method in methods)


_KNOWN = ("opentelemetry.sdk.", "spanledger.")


def lead_logs(provider: Any, processor: RedactingLogProcessor) -> bool:
    """The same of a provider of loggers; with a warning where the processor is not the first, which is too late."""
    led = _put_first(provider, "_multi_log_record_processor", "_log_record_processors", processor, "add_log_record_processor")
    if led is False:
        log.warning(
            "redaction: this version of opentelemetry-sdk keeps log processors where we cannot lead them; logs may leave unredacted"
        )
    owner = getattr(provider, "_multi_log_record_processor", None)
    if led and hasattr(owner, "_executor"):  # hands each record to all processors at the same time: the first must be ready before that
        owner.on_emit = _ahead(processor, partial(type(owner).on_emit, owner))  # type: ignore[union-attr]  # see above
    return bool(led)


def _ahead(processor: RedactingLogProcessor, others: Callable[[Any], None]) -> Callable[[Any], None]:
    def on_emit(log_record: Any) -> None:
        processor.on_emit(log_record)
        others(log_record)

    return on_emit


def _put_first(provider: Any, owner_name: str, list_name: str, processor: Any, add_name: str) -> bool | None:
    """True: it is the first. False: it was added behind others. None: the provider takes no processors."""
    owner = getattr(provider, owner_name, None)
    present = getattr(owner, list_name, None)
    lock = getattr(owner, "_lock", None)
    if isinstance(present, tuple) and lock is not None:
        with lock:
            others = [other for other in getattr(owner, list_name) if other is not processor and not _was_led(other)]
            setattr(owner, list_name, (processor, *others))
            processor.led = True
        return True
    add = getattr(provider, add_name, None)
    if add is None:
        return None
    if provider not in processor.behind:
        processor.behind.add(provider)
        add(processor)
    return False


def _was_led(processor: Any) -> bool:
    return isinstance(processor, (RedactingSpanProcessor, RedactingLogProcessor)) and processor.led
