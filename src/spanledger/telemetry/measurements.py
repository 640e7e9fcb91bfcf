"""Redacts the labels of metrics, and their resource, before anything is summed up: masked series add up, and exemplars are masked, too.

The SDK has no processors for metrics. All that is measured, by whatever instrument, passes ``consume_measurement`` of each reader's storage
(https://github.com/open-telemetry/opentelemetry-python/blob/main/opentelemetry-sdk/src/opentelemetry/sdk/metrics/_internal/measurement_consumer.py).
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from spanledger.telemetry.processor import kept
from spanledger.telemetry.resources import redacted_resource

if TYPE_CHECKING:
    from collections.abc import Callable

    from spanledger.redaction.redactor import Redactor

log = logging.getLogger("spanledger")


class RedactingStorage:
    """Stands before a reader's storage; a later one replaces its redactor."""

    def __init__(self, consume: Callable[..., None]) -> None:
        self._consume = consume
        self.redactor: Redactor | None = None
        self.on_error: Callable[[BaseException], None] = lambda _error: None

    def __call__(self, measurement: Any, *args: Any, **kwargs: Any) -> None:
        """Hands a measurement on; with our own words only if its labels cannot be redacted."""
        if measurement.attributes and self.redactor is not None:
            try:
                safe = self.redactor.attributes(measurement.attributes)
            except Exception as error:  # noqa: BLE001  # what cannot be redacted is not exported
                safe = kept(measurement.attributes)
                self.on_error(error)
            if safe is not None:
                measurement = replace(measurement, attributes=safe)
        self._consume(measurement, *args, **kwargs)


def redact_metrics(provider: Any, redactor: Redactor, on_error: Callable[[BaseException], None]) -> bool:
    """Redacts all that this meter provider exports from now on. Idempotent: a later call replaces an earlier one's redactor.

    Returns:
        False, with a warning, if it is the SDK's and keeps its readers where we cannot lead them. Other providers are left alone.
    """
    consumer = getattr(provider, "_measurement_consumer", None)
    if consumer is None:
        return True
    try:
        _lead_all(consumer, redactor, on_error)
        _lead_later_ones(consumer, redactor, on_error)
        _redact_resource(consumer, redactor)
    except AttributeError:
        log.warning("redaction: this version of opentelemetry-sdk keeps metric readers where we do not find them; labels are not redacted")
        return False
    return True


def _lead_all(consumer: Any, redactor: Redactor, on_error: Callable[[BaseException], None]) -> None:
    for storage in consumer._reader_storages.values():  # noqa: SLF001  # see the module
        _lead(storage, redactor, on_error)


def _lead(storage: Any, redactor: Redactor, on_error: Callable[[BaseException], None]) -> None:
    if not isinstance(storage.consume_measurement, RedactingStorage):
        storage.consume_measurement = RedactingStorage(storage.consume_measurement)
    storage.consume_measurement.redactor, storage.consume_measurement.on_error = redactor, on_error


MEASURED = ("opentelemetry.sdk.metrics._internal.metric_reader_storage", "MetricReaderStorage.consume_measurement")
"""What is measured with a provider that we do not know arrives here."""


def is_led(storage: Any) -> bool:
    """Whether what this storage is given is redacted."""
    return type(vars(storage).get("consume_measurement")) is RedactingStorage


def redact_storage(storage: Any, redactor: Redactor, on_error: Callable[[BaseException], None]) -> None:
    """``redact_metrics`` for one reader of a provider that we do not know."""
    _lead(storage, redactor, on_error)
    _redact_resource(storage, redactor)


def _lead_later_ones(consumer: Any, redactor: Redactor, on_error: Callable[[BaseException], None]) -> None:
    add = getattr(consumer.add_metric_reader, "original", consumer.add_metric_reader)

    def add_and_lead(reader: Any) -> None:
        add(reader)
        _lead_all(consumer, redactor, on_error)

    add_and_lead.original = add  # type: ignore[attr-defined]  # for a later call, which replaces ours
    consumer.add_metric_reader = add_and_lead


def _redact_resource(consumer: Any, redactor: Redactor) -> None:
    config = consumer._sdk_config  # noqa: SLF001  # see the module
    config.resource = redacted_resource(redactor, config.resource) or config.resource
