"""Whatever provider is made or set after ``instrument()``, by whomever, what it exports is redacted."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from typing import Any
from unittest import mock

import pytest
from opentelemetry import metrics, trace
from opentelemetry._logs import LogRecord
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ConcurrentMultiSpanProcessor, SpanProcessor, SynchronousMultiSpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from spanledger import install, protection, settings
from spanledger.engine.guard import Guard
from spanledger.engine.runtime import active
from spanledger.telemetry import leading
from spanledger.telemetry.identities import Identities
from spanledger.telemetry.processor import RedactingLogProcessor, RedactingSpanProcessor

SECRET = "jane.roe" + "@" + "corp.example.com"


class Vendor(TracerProvider):
    """As vendors' packages have them: with processors of its own."""

    def __init__(self, exporter: Any, **more: Any) -> None:
        super().__init__(**more)
        self.add_span_processor(SimpleSpanProcessor(exporter))


class Emptying(TracerProvider):
    """As that of arize-phoenix-otel 0.12: the first processor of the application replaces those that are there."""

    def add_span_processor(self, span_processor: Any) -> None:
        self._active_span_processor._span_processors = ()
        super().add_span_processor(span_processor)


def shown(provider: Any, exporter: InMemorySpanExporter) -> list[str]:
    provider.get_tracer("app").start_span(f"for {SECRET}", attributes={"who": SECRET}).end()
    return [span.name + span.attributes["who"] for span in exporter.get_finished_spans()]


def kinds(provider: TracerProvider) -> list[type]:
    return [type(each) for each in provider._active_span_processor._span_processors]


def test_a_tracer_provider_made_later_is_redacted(make_house: Any) -> None:
    make_house()
    provider, exporter = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    assert shown(provider, exporter) == ["for [EMAIL][EMAIL]"]
    assert kinds(provider) == [RedactingSpanProcessor, SimpleSpanProcessor]


def test_so_is_a_vendors_own(make_house: Any) -> None:
    make_house()
    exporter = InMemorySpanExporter()
    provider = Vendor(exporter)
    assert shown(provider, exporter) == ["for [EMAIL][EMAIL]"]
    assert kinds(provider) == [RedactingSpanProcessor, SimpleSpanProcessor]


@pytest.mark.parametrize("several", [SynchronousMultiSpanProcessor, ConcurrentMultiSpanProcessor])
def test_and_one_that_is_made_with_its_processors(make_house: Any, several: Any) -> None:
    make_house()
    given, exporter = several(), InMemorySpanExporter()
    given.add_span_processor(SimpleSpanProcessor(exporter))
    provider = TracerProvider(active_span_processor=given)
    assert shown(provider, exporter) == ["for [EMAIL][EMAIL]"]
    assert kinds(provider) == [RedactingSpanProcessor, SimpleSpanProcessor]
    provider.shutdown()


def test_a_subclass_that_empties_its_list_is_led_again(make_house: Any) -> None:
    make_house()
    provider, exporter = Emptying(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    assert shown(provider, exporter) == ["for [EMAIL][EMAIL]"]


def test_one_that_keeps_its_processors_elsewhere_gets_ours_once(make_house: Any) -> None:
    class Elsewhere(SpanProcessor):
        def __init__(self) -> None:
            self.all: list[SpanProcessor] = []

        def add_span_processor(self, processor: SpanProcessor) -> None:
            self.all.append(processor)

        def _on_ending(self, span: Any) -> None:
            for each in self.all:
                each._on_ending(span)

        def on_end(self, span: Any) -> None:
            for each in self.all:
                each.on_end(span)

    make_house()
    elsewhere, exporter = Elsewhere(), InMemorySpanExporter()
    provider = TracerProvider(active_span_processor=elsewhere)  # type: ignore[arg-type]  # what is tested
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    assert [type(each) for each in elsewhere.all] == [RedactingSpanProcessor, SimpleSpanProcessor]
    assert shown(provider, exporter) == ["for [EMAIL][EMAIL]"]


def test_a_logger_provider_made_later_is_redacted(make_house: Any) -> None:
    make_house()
    provider, exporter = LoggerProvider(shutdown_on_exit=False), InMemoryLogRecordExporter()
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    provider.get_logger("app").emit(LogRecord(body=SECRET))
    assert [done.log_record.body for done in exporter.get_finished_logs()] == ["[EMAIL]"]
    assert [type(each) for each in provider._multi_log_record_processor._log_record_processors] == [
        RedactingLogProcessor, SimpleLogRecordProcessor
    ]  # fmt: skip


def test_a_meter_provider_made_later_is_redacted(make_house: Any) -> None:
    make_house()
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    provider.get_meter("app").create_counter("calls").add(1, {"user": SECRET})
    data = reader.get_metrics_data()
    assert data is not None
    assert SECRET not in data.to_json()
    assert "[EMAIL]" in data.to_json()


def exported_scopes(made_before: bool, protect: Any) -> str:
    """What exporters say of a tracer, a logger and a meter whose names and attributes are private, ``made_before`` or after protection."""
    if not made_before:
        protect((None, None, None))
    spans, logs, reader = InMemorySpanExporter(), InMemoryLogRecordExporter(), InMemoryMetricReader()
    tracers, loggers = TracerProvider(shutdown_on_exit=False), LoggerProvider(shutdown_on_exit=False)
    meters = MeterProvider([reader], shutdown_on_exit=False)
    tracers.add_span_processor(SimpleSpanProcessor(spans))
    loggers.add_log_record_processor(SimpleLogRecordProcessor(logs))
    origin: Any = {"name": f"agent of {SECRET}", "attributes": {"owner": SECRET, "kind": "mailer"}}
    tracer = tracers.get_tracer(origin["name"], attributes=origin["attributes"])
    logger, meter = loggers.get_logger(**origin), meters.get_meter(**origin)
    counter = meter.create_counter("calls")
    if made_before:
        protect((tracers, meters, loggers))
    tracer.start_span("work").end()
    logger.emit(LogRecord(body="done"))
    counter.add(1)
    data = reader.get_metrics_data()
    assert data is not None
    encoded = (encode_spans(spans.get_finished_spans()), encode_logs(logs.get_finished_logs()), encode_metrics(data))
    return "".join(each.SerializeToString().decode("latin-1") for each in encoded)


@pytest.mark.parametrize("made_before", [True, False])
def test_names_and_attributes_of_tracers_loggers_and_meters_are_redacted(made_before: bool) -> None:
    def protect(providers: Any) -> None:
        assert protection.protect(settings.load({}), Guard(debug=True), providers)

    try:
        told = exported_scopes(made_before, protect)
    finally:
        protection.release()
    assert SECRET not in told
    assert (told.count("agent of [EMAIL]"), told.count("mailer")) == (3, 3)


def test_what_is_no_secret_in_a_tracers_name_stays(make_house: Any) -> None:
    make_house()
    scope = InstrumentationScope("opentelemetry.instrumentation.httpx", "0.66b1", "https://opentelemetry.io/schemas/1.11.0", {"a": 1})
    assert (scope.name, scope.version, dict(scope.attributes or {})) == ("opentelemetry.instrumentation.httpx", "0.66b1", {"a": 1})
    assert scope.schema_url == "https://opentelemetry.io/schemas/1.11.0"


@pytest.mark.usefixtures("nothing_set")
def test_one_made_before_and_set_after_is_redacted(make_house: Any) -> None:
    provider, exporter = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    make_house()
    trace.set_tracer_provider(provider)
    assert shown(provider, exporter) == ["for [EMAIL][EMAIL]"]


def test_a_second_protection_replaces_the_first_everywhere(make_house: Any) -> None:
    house = make_house()
    provider, exporter = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    redacting = provider._active_span_processor._span_processors[0]
    assert protection.protect(house.runtime.settings, house.runtime.guard, (house.tracer_provider, None, None))
    assert kinds(provider) == [RedactingSpanProcessor, SimpleSpanProcessor]
    assert provider._active_span_processor._span_processors[0] is not redacting


def test_uninstrument_puts_the_constructors_back(make_house: Any) -> None:
    classes: Any = (TracerProvider, LoggerProvider, MeterProvider, InstrumentationScope, BatchSpanProcessor, SimpleSpanProcessor)
    setter = trace._set_tracer_provider
    before = [dict(vars(one)) for one in classes]
    make_house()
    assert vars(TracerProvider)["__init__"] is not before[0]["__init__"]
    install.uninstrument()
    assert [dict(vars(one)) for one in classes] == before
    assert trace._set_tracer_provider is setter
    assert kinds(TracerProvider()) == []


def test_a_bug_of_ours_does_not_reach_the_application(make_house: Any, monkeypatch: Any, caplog: Any) -> None:
    house = make_house()
    house.runtime.guard.debug = False
    monkeypatch.setattr(leading, "_put_first", lambda *_args: 1 / 0)
    assert kinds(TracerProvider()) == []
    assert "internal error in processors: ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("taken", [mock.Mock, mock.MagicMock])
def test_the_applications_processors_stay_whatever_attributes_they_have(make_house: Any, taken: Any) -> None:
    make_house()
    tracers, loggers = TracerProvider(shutdown_on_exit=False), LoggerProvider(shutdown_on_exit=False)
    first, second = taken(), taken()  # has every attribute that is asked for, ``led`` among them
    for processor in (first, second):
        tracers.add_span_processor(processor)
        loggers.add_log_record_processor(processor)
    assert tracers._active_span_processor._span_processors[1:] == (first, second)
    assert loggers._multi_log_record_processor._log_record_processors[1:] == (first, second)


def test_whether_a_record_is_wanted_is_for_the_applications_processors_to_say(make_house: Any) -> None:
    class Deaf(SimpleLogRecordProcessor):
        def enabled(self, **_asked: Any) -> bool:
            return False

    make_house()
    provider = LoggerProvider(shutdown_on_exit=False)
    logger = provider.get_logger("app")
    assert not logger.enabled()
    provider.add_log_record_processor(Deaf(InMemoryLogRecordExporter()))
    assert not logger.enabled()
    provider.add_log_record_processor(SimpleLogRecordProcessor(InMemoryLogRecordExporter()))
    assert logger.enabled()


def test_an_exception_of_the_constructor_is_the_applications(make_house: Any) -> None:
    make_house()
    with pytest.raises(TypeError, match="nonsense"):
        TracerProvider(nonsense=True)  # type: ignore[call-arg]  # what is tested


class Foreign(trace.TracerProvider):
    """Another vendor's, which takes no processors."""

    def get_tracer(self, *_args: Any, **_kwargs: Any) -> trace.Tracer:
        return trace.NoOpTracer()


@pytest.fixture
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "_TRACER_PROVIDER_SET_ONCE", type(trace._TRACER_PROVIDER_SET_ONCE)())
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)


CAPTURING = {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_AND_EVENT"}


@pytest.mark.usefixtures("nothing_set")
def test_no_content_from_when_a_provider_is_set_that_cannot_be_redacted(make_house: Any, caplog: Any) -> None:
    del make_house  # uninstruments
    install.instrument(settings.load({"SPANLEDGER_LEDGER": "memory:", "HOME": "/nonexistent", **CAPTURING}))
    runtime = active()
    assert runtime is not None
    assert (runtime.capture_spans, runtime.capture_events) == (True, True)
    trace.set_tracer_provider(Foreign())
    assert (runtime.capture_spans, runtime.capture_events) == (False, False)
    assert "content is not recorded" in caplog.text


@dataclass
class Standing:
    """For another provider, as Logfire's does: a dataclass, which has no hash."""

    provider: TracerProvider

    def get_tracer(self, *args: Any, **more: Any) -> trace.Tracer:
        return self.provider.get_tracer(*args, **more)

    def add_span_processor(self, processor: SpanProcessor) -> None:
        self.provider.add_span_processor(processor)


@pytest.mark.usefixtures("nothing_set")
@pytest.mark.parametrize("set_first", [True, False])
def test_content_is_recorded_where_the_provider_stands_for_one_that_is_redacted(make_house: Any, set_first: bool, caplog: Any) -> None:
    del make_house  # uninstruments
    real, exporter = TracerProvider(shutdown_on_exit=False), InMemorySpanExporter()
    real.add_span_processor(SimpleSpanProcessor(exporter))
    steps = [
        lambda: trace.set_tracer_provider(Standing(real)),  # type: ignore[arg-type]  # what is tested
        lambda: install.instrument(settings.load({"SPANLEDGER_LEDGER": "memory:", "HOME": "/nonexistent", **CAPTURING})),
    ]
    for step in steps if set_first else reversed(steps):
        step()
    runtime = active()
    assert runtime is not None
    assert runtime.capture_spans
    assert "internal error" not in caplog.text
    assert shown(trace.get_tracer_provider(), exporter) == ["for [EMAIL][EMAIL]"]
    assert kinds(real) == [RedactingSpanProcessor, SimpleSpanProcessor]


def test_identities_are_forgotten_with_what_they_are_of() -> None:
    known, one = Identities(), Standing(TracerProvider())
    known.add(one)
    known.add(one)
    assert (one in known, Standing(one.provider) in known, list(known)) == (True, False, [one])
    del one
    gc.collect()
    assert list(known) == []


@pytest.mark.usefixtures("nothing_set")
def test_the_books_name_the_service_of_a_provider_that_is_set_later(make_house: Any) -> None:
    del make_house  # uninstruments
    install.instrument(settings.load({"SPANLEDGER_LEDGER": "memory:", "HOME": "/nonexistent"}))
    runtime = active()
    assert runtime is not None
    assert runtime.settings.service is None
    trace.set_tracer_provider(TracerProvider(resource=Resource({"service.name": "mailer"})))
    assert runtime.settings.service == "mailer"


@pytest.mark.usefixtures("nothing_set")
def test_the_books_name_the_service_as_spans_do_or_else_metrics_or_else_the_environment(make_house: Any) -> None:
    del make_house  # uninstruments
    install.instrument(settings.load({"SPANLEDGER_LEDGER": "memory:", "HOME": "/nonexistent", "OTEL_SERVICE_NAME": "environment"}))
    runtime = active()
    assert runtime is not None
    assert runtime.settings.service == "environment"
    metrics.set_meter_provider(MeterProvider(resource=Resource({"service.name": "measured"})))
    assert runtime.settings.service == "measured"
    trace.set_tracer_provider(TracerProvider(resource=Resource({"service.name": "traced"})))
    assert runtime.settings.service == "traced"


@pytest.mark.usefixtures("nothing_set")
def test_a_second_provider_which_the_api_refuses_changes_nothing(make_house: Any) -> None:
    del make_house  # uninstruments
    install.instrument(settings.load({"SPANLEDGER_LEDGER": "memory:", "HOME": "/nonexistent", **CAPTURING}))
    runtime = active()
    assert runtime is not None
    first = TracerProvider()
    trace.set_tracer_provider(first)
    trace.set_tracer_provider(Foreign())
    trace.set_tracer_provider(TracerProvider(resource=Resource({"service.name": "refused"})))
    assert trace.get_tracer_provider() is first
    assert (runtime.capture_spans, runtime.capture_events) == (True, True)
    assert runtime.settings.service != "refused"


@pytest.mark.usefixtures("nothing_set")
def test_a_provider_may_be_set_by_the_name_of_the_argument(make_house: Any) -> None:
    provider = TracerProvider()
    make_house()
    trace._set_tracer_provider(log=False, tracer_provider=provider)
    assert trace.get_tracer_provider() is provider
    assert kinds(provider) == [RedactingSpanProcessor]


@pytest.mark.usefixtures("nothing_set")
def test_but_ours_go_where_we_were_told_whatever_is_set(make_house: Any) -> None:
    runtime = make_house(**CAPTURING).runtime
    trace.set_tracer_provider(Foreign())
    assert (runtime.capture_spans, runtime.capture_events) == (True, True)
