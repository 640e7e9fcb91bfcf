"""Where redaction itself fails, nothing private is left in the places that are not the span's own: its resource, its parent's context."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry._logs import LogRecord
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState, set_span_in_context

from spanledger.redaction.redactor import Redactor
from spanledger.telemetry.leading import lead_logs, lead_spans
from spanledger.telemetry.processor import RedactingLogProcessor, RedactingSpanProcessor

SECRET = "jane.roe" + "@" + "corp.example.com"
RESOURCE = Resource({"service.name": "shop", "owner": SECRET})


class Broken(Redactor):
    """Fails in one of its methods."""

    def __init__(self, method: str) -> None:
        super().__init__()

        def fail(*_: Any) -> Any:
            raise RuntimeError(SECRET)

        setattr(self, method, fail)


@pytest.mark.parametrize(("method", "shown"), [("text", {"service.name": "shop", "owner": "[EMAIL]"}), ("attributes", {})])
def test_of_a_span(method: str, shown: dict[str, str]) -> None:
    provider, exporter = TracerProvider(resource=RESOURCE, shutdown_on_exit=False), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    lead_spans(provider, RedactingSpanProcessor(Broken(method)))
    remote = SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(1), trace_state=TraceState([("who", SECRET)]))
    provider.get_tracer("app").start_span("work", set_span_in_context(NonRecordingSpan(remote))).end()
    (span,) = exporter.get_finished_spans()
    assert dict(span.resource.attributes) == shown
    assert (span.parent.span_id, dict(span.parent.trace_state), dict(span.context.trace_state)) == (2, {}, {})  # type: ignore[union-attr]


@pytest.mark.parametrize(("method", "shown"), [("value", {"service.name": "shop", "owner": "[EMAIL]"}), ("attributes", {})])
def test_of_a_log_record(method: str, shown: dict[str, str]) -> None:
    provider, exporter = LoggerProvider(RESOURCE, shutdown_on_exit=False), InMemoryLogRecordExporter()
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    lead_logs(provider, RedactingLogProcessor(Broken(method)))
    provider.get_logger("app").emit(LogRecord(body=SECRET, attributes={"who": SECRET}))
    (told,) = exporter.get_finished_logs()
    assert (told.log_record.body, dict(told.log_record.attributes or {})) == (None, {})
    assert dict(told.resource.attributes) == shown
