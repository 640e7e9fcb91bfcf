"""The ledger's sums and budgets as metrics, told by a process of its own: for applications that do not live long enough to tell them."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricExportResult
from opentelemetry.sdk.resources import SERVICE_NAME, Resource

from spanledger.errors import LedgerError
from spanledger.redaction.redactor import Redactor
from spanledger.telemetry import metrics, recon
from spanledger.telemetry.measurements import redact_metrics
from spanledger.telemetry.observed import Observed

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.sdk.metrics.export import MetricExporter

    from spanledger.ledger.ledger import Ledger
    from spanledger.settings import Settings

log = logging.getLogger("spanledger")
_SERVICE = "spanledger-ledger"
_EXPORT_SECONDS = 10


class LedgerExporter:
    """Reads the ledger and sends what it says through OTLP, to where OTEL_EXPORTER_OTLP_ENDPOINT or its METRICS variant says."""

    def __init__(self, ledger: Ledger, settings: Settings) -> None:
        self._ledger, self._books = ledger, recon.LedgerSums(ledger)
        self._reader = InMemoryMetricReader()
        resource = Resource.create(None if settings.service else {SERVICE_NAME: _SERVICE})
        self._provider = MeterProvider([self._reader], resource, shutdown_on_exit=False)
        redact_metrics(self._provider, Redactor(settings.redaction, settings.redaction_key), _not_redacted)
        observed = Observed(self._provider)
        recon.observe(observed, {"ledger": self._books.values})
        metrics.observe_budgets(observed, lambda: ledger.balances(time.time()))
        self._exporter = _exporter(settings)

    def export(self) -> bool:
        """Sends the sums once; False, with a log line that says why, if that failed. Raises LedgerError if the ledger cannot be read."""
        self._books.refresh()
        data = self._reader.get_metrics_data()
        return data is None or self._exporter.export(data, timeout_millis=_EXPORT_SECONDS * 1000) is MetricExportResult.SUCCESS

    def run(self, interval: float, wait: Callable[[float], bool]) -> None:
        """Sends the sums every ``interval`` seconds until ``wait`` says to stop, and then a last time; goes on after failures."""
        stopping = False
        while not stopping:
            stopping = wait(interval)
            try:
                self.export()
            except LedgerError as error:
                log.warning("%s; trying again in %g s", error, interval)

    def close(self) -> None:
        """Releases connections."""
        self._exporter.shutdown()
        self._provider.shutdown()


def _exporter(settings: Settings) -> MetricExporter:
    """The exporter finds address, headers and certificates in the environment by itself."""
    if (settings.otlp_metrics_protocol or settings.otlp_protocol).startswith("http"):
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as Http  # noqa: PLC0415  # only one is needed

        return Http(timeout=_EXPORT_SECONDS)
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as Grpc  # noqa: PLC0415

    return Grpc(timeout=_EXPORT_SECONDS)


def _not_redacted(error: BaseException) -> None:
    log.warning("labels that could not be redacted were left out: %s", type(error).__name__)
