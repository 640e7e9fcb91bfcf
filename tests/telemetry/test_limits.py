"""Limits on the length of values cut what is redacted already: no limit makes an address leave in half."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st
from opentelemetry._logs import LogRecord
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler, LogRecordLimits
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanContext

from spanledger import protection, settings
from spanledger.engine.guard import Guard
from spanledger.redaction.redactor import Redactor
from spanledger.telemetry import semconv as s
from spanledger.telemetry import spans
from spanledger.telemetry.late import LateAttributes
from spanledger.telemetry.processor import RedactingSpanProcessor

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "jane.roe" + "@" + "corp.example.com"
KEY = "sk-proj-" + "aB3dE6gH9jK2mN5pQ8sT1vW4"
WORDS = st.lists(st.sampled_from(["the", "order", "of", "was sent to", "today,", "and", "is late"]), max_size=8).map(" ".join)
TEXTS = st.tuples(WORDS, st.sampled_from([SECRET, KEY]), WORDS).map(" ".join)
LIMITS = st.integers(0, 120)
ELSEWHERE = SpanContext(1, 2, is_remote=True)
clean = Redactor().text


@pytest.fixture(scope="module", autouse=True)
def _protected() -> Iterator[None]:
    others = (TracerProvider(shutdown_on_exit=False), MeterProvider(shutdown_on_exit=False), LoggerProvider(shutdown_on_exit=False))
    assert protection.protect(settings.load({}), Guard(debug=True), others)
    yield
    protection.release()


def tracing(limits: SpanLimits, **more: Any) -> tuple[TracerProvider, InMemorySpanExporter]:
    tracers, exporter = TracerProvider(span_limits=limits, shutdown_on_exit=False, **more), InMemorySpanExporter()
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    return tracers, exporter


def longest(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    return max(map(longest, value.values() if isinstance(value, dict) else value), default=0)


@effort(max_examples=150, deadline=None)
@given(TEXTS, LIMITS)
def test_all_attributes_of_a_span_are_redacted_first_and_cut_then(text: str, limit: int) -> None:
    tracers, exporter = tracing(SpanLimits(max_attribute_length=limit))
    span = tracers.get_tracer("app").start_span("work", attributes={"born": text}, links=[Link(ELSEWHERE, {"link": text})])
    span.set_attribute("set", text)
    span.set_attributes({"nested": [{"a": text}, text], "number": 1})
    span.add_event("asked", {"event": text})
    span.record_exception(ValueError(text))
    span.end()
    (done,) = exporter.get_finished_spans()
    told, expected = dict(done.attributes or {}), clean(text)[:limit]
    assert told == {"born": expected, "set": expected, "nested": ({"a": expected}, expected), "number": 1}
    assert dict(done.links[0].attributes or {}) == {"link": expected}
    assert dict(done.events[0].attributes or {}) == {"event": expected}
    assert longest([dict(event.attributes or {}) for event in done.events]) <= limit
    assert (done.events[1].attributes or {})["exception.message"] == expected


@effort(max_examples=150, deadline=None)
@given(TEXTS, LIMITS)
def test_attributes_of_log_records_too(text: str, limit: int) -> None:
    loggers = LoggerProvider(log_record_limits=LogRecordLimits(max_log_record_attribute_length=limit), shutdown_on_exit=False)
    exporter = InMemoryLogRecordExporter()
    loggers.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    loggers.get_logger("app").emit(LogRecord(body=text, attributes={"note": text, "nested": {"a": text}}))
    (done,) = exporter.get_finished_logs()
    expected = clean(text)[:limit]
    assert dict(done.log_record.attributes or {}) == {"note": expected, "nested": {"a": expected}}
    assert done.log_record.body == clean(text), "which the SDK does not limit"


@pytest.mark.filterwarnings("ignore:`LoggingHandler`:DeprecationWarning")
def test_cutting_is_not_logged_to_be_cut_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK logs each value that it cuts; where what is logged is exported, under a limit, that never ends."""
    loggers = LoggerProvider(log_record_limits=LogRecordLimits(max_log_record_attribute_length=8), shutdown_on_exit=False)
    exporter = InMemoryLogRecordExporter()
    loggers.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    monkeypatch.setattr(logging.getLogger("opentelemetry.attributes"), "handlers", [LoggingHandler(logger_provider=loggers)])
    loggers.get_logger("app").emit(LogRecord(body="x", attributes={"note": "x" * 20, "nested": [{"a": ("y" * 20, b"z" * 20)}]}))
    (done,) = exporter.get_finished_logs()
    assert dict(done.log_record.attributes or {}) == {"note": "x" * 8, "nested": ({"a": ("y" * 8, b"z" * 20)},)}


def test_each_limit_is_for_its_own() -> None:
    tracers, exporter = tracing(SpanLimits(max_attribute_length=20, max_span_attribute_length=10))
    span = tracers.get_tracer("app").start_span("work", attributes={"a": "x" * 30})
    span.add_event("asked", {"a": "x" * 30})
    span.end()
    (done,) = exporter.get_finished_spans()
    assert (dict(done.attributes or {}), dict(done.events[0].attributes or {})) == ({"a": "x" * 10}, {"a": "x" * 20})


def test_limits_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "12")
    tracers, exporter = tracing(SpanLimits())
    tracers.get_tracer("app").start_span("work", attributes={"who": f"from {SECRET}"}).end()
    assert dict(exporter.get_finished_spans()[0].attributes or {}) == {"who": "from [EMAIL]"}


def test_the_applications_own_object_stays_as_it_is_and_serves_several() -> None:
    limits = SpanLimits(max_attribute_length=8)
    for _ in range(2):
        tracers, exporter = tracing(limits)
        tracers.get_tracer("app").start_span("work", attributes={"who": SECRET}).end()
        assert dict(exporter.get_finished_spans()[0].attributes or {}) == {"who": "[EMAIL]"}
    assert (limits.max_attribute_length, limits.max_span_attribute_length) == (8, 8)


def test_tracers_made_before_and_a_second_protection() -> None:
    protection.release()
    tracers, exporter = tracing(SpanLimits(max_attribute_length=8))
    tracer = tracers.get_tracer("made before")
    for _ in range(2):
        assert protection.protect(settings.load({}), Guard(debug=True), (tracers, None, None))
    tracer.start_span("work", attributes={"who": SECRET, "long": "x" * 20}).end()
    assert dict(exporter.get_finished_spans()[0].attributes or {}) == {"who": "[EMAIL]", "long": "x" * 8}


def test_a_tracer_that_is_made_while_limits_are_lifted_has_none_either() -> None:
    class Busy(dict[Any, Any]):
        def values(self) -> Any:
            found = list(super().values())
            made.append(tracers.get_tracer("made meanwhile"))
            return found

    protection.release()
    tracers, exporter = tracing(SpanLimits(max_attribute_length=8))
    made: list[Any] = []
    tracers._tracers = Busy()
    assert protection.protect(settings.load({}), Guard(debug=True), (tracers, None, None))
    made[0].start_span("work", attributes={"who": SECRET}).end()
    assert dict(exporter.get_finished_spans()[0].attributes or {}) == {"who": "[EMAIL]"}


def test_values_are_cut_where_nothing_is_redacted() -> None:
    tracers, exporter = tracing(SpanLimits(max_attribute_length=8))
    assert protection.protect(settings.load({"SPANLEDGER_REDACTION": "off"}), Guard(debug=True), (tracers, None, None))
    tracers.get_tracer("app").start_span("work", attributes={"long": "x" * 20}).end()
    assert protection.protect(settings.load({}), Guard(debug=True), (tracers, None, None))
    assert dict(exporter.get_finished_spans()[0].attributes or {}) == {"long": "x" * 8}


def test_dropped_attributes_are_still_counted() -> None:
    tracers, exporter = tracing(SpanLimits(max_attribute_length=8, max_span_attributes=2, max_events=1))
    span = tracers.get_tracer("app").start_span("work", attributes={"a": "1", "b": SECRET, "c": "3"})
    span.add_event("one")
    span.add_event("two", {"a": SECRET})
    span.end()
    (done,) = exporter.get_finished_spans()
    assert (dict(done.attributes or {}), done.dropped_attributes) == ({"b": "[EMAIL]", "c": "3"}, 1)
    assert ([event.name for event in done.events], done.dropped_events) == (["two"], 1)


def test_without_limits_nothing_is_added() -> None:
    tracers, _ = tracing(SpanLimits())
    assert type(tracers._active_span_processor._span_processors[0]) is RedactingSpanProcessor


def test_a_call_of_ours_is_cut_like_any_span() -> None:
    tracers, exporter = tracing(SpanLimits(max_attribute_length=9))
    span = tracers.get_tracer("spanledger").start_span("chat")
    model, usage = {s.REQUEST_MODEL: "gpt-4o-mini-2024"}, {s.INPUT_TOKENS: 7}
    spans.end_call(span, None, Guard().run, ((lambda: model,), (lambda: {s.OUTCOME: "completed"},), (lambda: usage,)))
    (done,) = exporter.get_finished_spans()
    assert type(done._attributes) is LateAttributes
    assert dict(done.attributes or {}) == {s.OUTCOME: "completed", s.REQUEST_MODEL: "gpt-4o-mi", s.INPUT_TOKENS: 7}
