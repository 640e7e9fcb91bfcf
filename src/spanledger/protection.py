"""Puts the processors that redact in front of all others, before the first span; apart from the rest because it must start fast."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from opentelemetry import _logs, metrics, trace

from spanledger import __version__
from spanledger.redaction.redactor import Redactor
from spanledger.telemetry import measurements, processor, semconv
from spanledger.telemetry.foreign import Duplicates
from spanledger.telemetry.metrics import Tally

if TYPE_CHECKING:
    from spanledger.engine.guard import Guard
    from spanledger.settings import Settings

duplicates = Duplicates()
_redactions = Tally()


def protect(config: Settings, guard: Guard, tracer_provider: Any = None, meter_provider: Any = None, logger_provider: Any = None) -> bool:
    """Redacts all that leaves through these providers (the global ones if not given) from now on; a later call replaces an earlier one.

    Returns whether it really is all: a provider that is not the SDK's takes no processors.
    """
    duplicates.on_error = lambda error: guard.caught("foreign", error)
    redactor = Redactor(config.redaction, config.redaction_key, _count)
    on_error = partial(guard.caught, "redaction")
    span_processor = processor.RedactingSpanProcessor(
        redactor, on_error=on_error, before=duplicates.on_ending, on_start_hook=duplicates.on_start
    )
    log_processor = processor.RedactingLogProcessor(redactor, on_error=on_error)
    meter = metrics.get_meter("spanledger", __version__, meter_provider)
    meter.create_observable_counter(semconv.METRIC_REDACTIONS, [_redactions.observe], "{value}", "Values redacted, by kind.")
    led: bool | None = guard.run(
        "processors", processor.install_first, tracer_provider or trace.get_tracer_provider(),
        logger_provider or _logs.get_logger_provider(), span_processor, log_processor,
    )  # fmt: skip
    labels: bool | None = guard.run(
        "metrics", measurements.redact_metrics, meter_provider or metrics.get_meter_provider(), redactor, on_error
    )
    return bool(led and labels)


def _count(label: str, count: int) -> None:
    _redactions.add(((semconv.REDACTION_LABEL, label),), count)
