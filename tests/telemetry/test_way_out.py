"""What passes none of our processors is redacted where the SDK hands it to exporters or adds it up."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest
from opentelemetry._logs import LogRecord
from opentelemetry.metrics import Observation
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanContext, TraceFlags

from spanledger.telemetry.processor import RedactingSpanProcessor

SECRET = "jane.roe" + "@" + "corp.example.com"


class Announcing(SpanProcessor):
    """As Logfire has it: exports a copy of each span when it starts."""

    def __init__(self, inner: SpanProcessor) -> None:
        self.inner = inner

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        del parent_context
        fields = {name: getattr(span, name) for name in ("name", "context", "parent", "resource", "events", "links", "kind", "status")}
        self.inner.on_end(ReadableSpan(**fields, attributes=dict(span.attributes), instrumentation_scope=span.instrumentation_scope))


@pytest.mark.parametrize("exporting", [SimpleSpanProcessor, BatchSpanProcessor])
def test_what_is_exported_of_a_span_that_is_still_open_is_redacted(make_house: Any, exporting: Any) -> None:
    make_house()
    provider, exporter = TracerProvider(shutdown_on_exit=False), InMemorySpanExporter()
    provider.add_span_processor(Announcing(exporting(exporter)))
    provider.get_tracer("app").start_span(
        f"for {SECRET}", attributes={"who": SECRET}, links=[Link(SpanContext(1, 2, is_remote=True), {"of": SECRET})]
    )
    provider._active_span_processor._span_processors[1].inner.force_flush()  # type: ignore[attr-defined]  # see above
    (told,) = exporter.get_finished_spans()
    assert SECRET not in told.to_json()
    assert (told.name, dict(told.attributes or {})) == ("for [EMAIL]", {"who": "[EMAIL]"})


def test_so_is_what_comes_from_a_provider_that_nobody_knows_of(make_house: Any) -> None:
    provider, exporter = TracerProvider(shutdown_on_exit=False), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    make_house()
    provider.get_tracer("app").start_span(SECRET, attributes={"who": SECRET}).end()
    assert [(span.name, dict(span.attributes or {})) for span in exporter.get_finished_spans()] == [("[EMAIL]", {"who": "[EMAIL]"})]


def test_with_the_name_of_the_scope_it_comes_from(make_house: Any) -> None:
    spans, logs = InMemorySpanExporter(), InMemoryLogRecordExporter()
    tracers, loggers = TracerProvider(shutdown_on_exit=False), LoggerProvider(shutdown_on_exit=False)
    tracers.add_span_processor(SimpleSpanProcessor(spans))
    loggers.add_log_record_processor(SimpleLogRecordProcessor(logs))
    tracer, logger = tracers.get_tracer(SECRET, attributes={"who": SECRET}), loggers.get_logger(SECRET)
    make_house()
    tracer.start_span("work").end()
    logger.emit(LogRecord(body="x"))
    assert SECRET not in repr([one.instrumentation_scope for one in (*spans.get_finished_spans(), *logs.get_finished_logs())])


def test_what_is_measured_with_a_provider_that_nobody_knows_of_is_redacted(make_house: Any) -> None:
    readers = InMemoryMetricReader(), InMemoryMetricReader()
    provider = MeterProvider(readers, Resource({"host": SECRET}), shutdown_on_exit=False)
    meter = provider.get_meter("app")
    counter = meter.create_counter("calls")
    meter.create_observable_gauge("load", [lambda _: [Observation(1, {"who": SECRET})]])
    make_house()
    counter.add(1, {"who": SECRET})
    counter.add(2, {"who": "another." + SECRET})
    for reader in readers:
        told = reader.get_metrics_data().to_json()  # type: ignore[union-attr]  # there is something
        assert SECRET not in told
        assert '"value": 3' in told


def test_but_not_a_second_time(make_house: Any, monkeypatch: Any) -> None:
    make_house()
    provider, finished = TracerProvider(shutdown_on_exit=False), []
    finish = RedactingSpanProcessor.finish
    monkeypatch.setattr(RedactingSpanProcessor, "finish", lambda one, span: finished.append(span) or finish(one, span))
    for _ in range(3):
        provider.add_span_processor(SimpleSpanProcessor(InMemorySpanExporter()))
    provider.get_tracer("app").start_span(SECRET).end()
    assert len(finished) == 1


def test_what_cannot_be_redacted_there_is_not_exported(make_house: Any, monkeypatch: Any, caplog: Any) -> None:
    make_house().runtime.guard.debug = False
    exporter = InMemorySpanExporter()
    monkeypatch.setattr(RedactingSpanProcessor, "finish", lambda _one, _span: 1 / 0)
    SimpleSpanProcessor(exporter).on_end(ReadableSpan(SECRET, SpanContext(1, 2, is_remote=False, trace_flags=TraceFlags(1))))
    assert exporter.get_finished_spans() == ()
    assert "internal error in processors: ZeroDivisionError" in caplog.text


def test_stand_ins_of_spans_pass_as_they_are(make_house: Any) -> None:
    make_house()
    exporter, span = mock.Mock(), mock.Mock(spec=ReadableSpan)
    SimpleSpanProcessor(exporter).on_end(span)
    exporter.export.assert_called_once_with((span,))


def test_addresses_of_schemas_and_versions_are_redacted_too(make_house: Any) -> None:
    make_house()
    exporter = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource({"a": "b"}, f"https://{SECRET}/1"), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    for version in (f"1.0 {SECRET}", "10.20.30.40"):
        provider.get_tracer("app", version, schema_url=f"https://x/{SECRET}").start_span("work").end()
    first, second = exporter.get_finished_spans()
    assert SECRET not in f"{first.instrumentation_scope!r} {first.resource.schema_url}"
    assert second.instrumentation_scope.version == "10.20.30.40"  # type: ignore[union-attr]  # there is one
    assert dict(first.resource.attributes) == {"a": "b"}
