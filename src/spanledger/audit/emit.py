"""Audit records as OpenTelemetry log records, so that a copy of each, with its hash, is kept in another place than the ledger.

The record in the ledger is what counts. A collector that is away costs this copy, nothing else: records wait in the SDK's queue, and no
call here waits or raises.
"""

from __future__ import annotations

import json
import logging
import threading
from typing import TYPE_CHECKING

from spanledger import __version__
from spanledger.audit.records import SEVERITY
from spanledger.telemetry import semconv as s

if TYPE_CHECKING:
    from opentelemetry._logs import LogRecord
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import LogRecordExporter

    from spanledger.model import AuditRecord
    from spanledger.settings import Settings

log = logging.getLogger("spanledger")

_EXPORT_SECONDS = 5
_SERVICE = "spanledger-audit"


class Emitter:
    """Sends audit records to where OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_LOGS_ENDPOINT says; nowhere if neither is set."""

    def __init__(self, settings: Settings) -> None:
        self._provider: LoggerProvider | None = None
        if settings.otlp_endpoint or settings.otlp_logs_endpoint:
            try:
                self._provider = _provider(settings)
            except Exception as error:  # noqa: BLE001  # exporters raise anything for an address they cannot use; it may hold a password
                log.warning("audit records are not sent as log records: the OTLP exporter cannot be made (%s)", type(error).__name__)

    def emit(self, record: AuditRecord) -> None:
        """Queues a log record of severity FATAL; its body holds the audit record, its event name is ``spanledger.audit``."""
        if self._provider is None:
            return
        try:
            self._provider.get_logger("spanledger", __version__).emit(_log_record(record))
        except Exception as error:  # noqa: BLE001  # the record is in the ledger; a copy that fails must not look as if it were not
            log.warning("audit record %d is not sent as a log record (%s)", record.sequence, type(error).__name__)

    def close(self) -> None:
        """Sends what is queued, for as long as one export may take; the SDK itself would wait for half a minute."""
        if self._provider is not None:
            closing = threading.Thread(target=self._provider.shutdown, daemon=True)
            closing.start()
            closing.join(_EXPORT_SECONDS)
            self._provider = None


def _log_record(record: AuditRecord) -> LogRecord:
    from opentelemetry._logs import LogRecord, SeverityNumber  # noqa: PLC0415  # only where there is an endpoint

    return LogRecord(
        timestamp=int(record.time * 1e9),
        severity_number=SeverityNumber.FATAL,
        severity_text=SEVERITY,
        event_name=s.EVENT_PREFIX + s.EVENT_AUDIT,
        body={**record._asdict(), "text": json.loads(record.text)},
    )


def _provider(settings: Settings) -> LoggerProvider:
    from opentelemetry.sdk._logs import LoggerProvider  # noqa: PLC0415  # the SDK and its exporters take 200 ms
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor  # noqa: PLC0415
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource  # noqa: PLC0415

    from spanledger.redaction.redactor import Redactor  # noqa: PLC0415
    from spanledger.telemetry.processor import RedactingLogProcessor  # noqa: PLC0415

    resource = Resource.create(None if settings.service else {SERVICE_NAME: _SERVICE})
    provider = LoggerProvider(resource, shutdown_on_exit=False)
    provider.add_log_record_processor(RedactingLogProcessor(Redactor("mask")))  # records are redacted already; the resource is not
    provider.add_log_record_processor(BatchLogRecordProcessor(_exporter(settings)))
    return provider


def _exporter(settings: Settings) -> LogRecordExporter:
    """The exporter finds address, headers and certificates in the environment by itself."""
    if (settings.otlp_logs_protocol or settings.otlp_protocol).startswith("http"):
        from opentelemetry.exporter.otlp.proto.http import _log_exporter as http  # noqa: PLC0415

        return http.OTLPLogExporter(timeout=_EXPORT_SECONDS)
    from opentelemetry.exporter.otlp.proto.grpc import _log_exporter as grpc  # noqa: PLC0415

    return grpc.OTLPLogExporter(timeout=_EXPORT_SECONDS)
