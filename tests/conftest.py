"""A whole house for tests: real SDK providers with exporters in memory, a ledger, and internal errors raised again."""

from __future__ import annotations

import gc
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from spanledger import install, settings
from spanledger.engine.runtime import active

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from opentelemetry.sdk.trace import ReadableSpan

    from spanledger.engine.runtime import Runtime
    from spanledger.model import Entry


@dataclass
class House:
    """An installation and what came out of it."""

    tracer_provider: TracerProvider
    exporter: InMemorySpanExporter
    reader: InMemoryMetricReader
    logs: InMemoryLogRecordExporter

    @property
    def runtime(self) -> Runtime:
        runtime = active()
        assert runtime is not None
        return runtime

    def settle(self) -> None:
        """Until everything that was dropped or queued is in the books."""
        gc.collect()
        assert install.flush(10.0)

    @property
    def spans(self) -> list[ReadableSpan]:
        self.settle()
        return list(self.exporter.get_finished_spans())

    @property
    def call_spans(self) -> list[ReadableSpan]:
        return [span for span in self.spans if "spanledger.entry.id" in (span.attributes or {})]

    @property
    def entries(self) -> list[Entry]:
        self.settle()
        return list(self.runtime.ledger.entries())

    def metric(self, name: str) -> list[Any]:
        data = self.reader.get_metrics_data()
        points: list[Any] = []
        for resource in data.resource_metrics if data else ():
            for scope in resource.scope_metrics:
                points += [point for metric in scope.metrics if metric.name == name for point in metric.data.data_points]
        return points

    def log_events(self) -> list[Any]:
        return [data.log_record for data in self.logs.get_finished_logs()]


@pytest.fixture(scope="module", autouse=True)
def _small_heap() -> None:
    """``House.settle`` collects garbage. What was imported so far is none, and looking through all of it takes a tenth of a second."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def make_house() -> Iterator[Callable[..., House]]:
    """Installs Spanledger with settings from a dictionary of environment variables; uninstalls at the end of the test."""

    def make(*adapters: Any, sampler: Any = None, **environ: str) -> House:
        config = settings.load({"SPANLEDGER_LEDGER": "memory:", "SPANLEDGER_DEBUG": "true", "HOME": "/nonexistent", **environ})
        exporter, reader, logs = InMemorySpanExporter(), InMemoryMetricReader(), InMemoryLogRecordExporter()
        tracer_provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        tracer_provider.add_span_processor(SimpleSpanProcessor(exporter))
        logger_provider = LoggerProvider(shutdown_on_exit=False)
        logger_provider.add_log_record_processor(SimpleLogRecordProcessor(logs))
        meter_provider = MeterProvider([reader], shutdown_on_exit=False)
        install.instrument(
            replace(config), tracer_provider=tracer_provider, meter_provider=meter_provider, logger_provider=logger_provider, adapters=adapters
        )  # fmt: skip
        return House(tracer_provider, exporter, reader, logs)

    yield make
    install.uninstrument()
    assert not trace.get_current_span().get_span_context().is_valid, "a span stayed active after the test"


@pytest.fixture(scope="session")
def binaries() -> dict[str, Path]:
    """The programs of the stack by name, found or built; without them the test is skipped, or fails if SPANLEDGER_REQUIRE_STACK=true."""
    from spanledger.errors import StackError
    from spanledger.stack import binaries as programs

    try:
        return {name: programs.ensure(name) for name in programs.BINARIES}
    except StackError as error:
        if os.environ.get("SPANLEDGER_REQUIRE_STACK") == "true":
            raise
        pytest.skip(f"the programs of the stack were not found and cannot be built: {error}")
