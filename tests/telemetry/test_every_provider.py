"""Whatever provider is made or set after ``instrument()``, by whomever, what it exports is redacted."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry._logs import LogRecord
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ConcurrentMultiSpanProcessor, SpanProcessor, SynchronousMultiSpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from spanledger import install, protection, settings
from spanledger.engine.runtime import active
from spanledger.telemetry import leading
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
    classes, setter = (TracerProvider, LoggerProvider, MeterProvider), trace._set_tracer_provider
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
def test_but_ours_go_where_we_were_told_whatever_is_set(make_house: Any) -> None:
    runtime = make_house(**CAPTURING).runtime
    trace.set_tracer_provider(Foreign())
    assert (runtime.capture_spans, runtime.capture_events) == (True, True)


PROGRAM = f"""
import logging, sys
logging.basicConfig(level=logging.WARNING)
import spanledger
{{start}}
assert ("opentelemetry.sdk.metrics" in sys.modules) == {{metrics}}
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
spans, reader = InMemorySpanExporter(), InMemoryMetricReader()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))
trace.set_tracer_provider(provider)
metrics.set_meter_provider(MeterProvider([reader]))
with spanledger.workflow("report for {SECRET}"):
    trace.get_tracer("app").start_span("{SECRET}").end()
metrics.get_meter("app").create_counter("calls").add(1, {{{{"user": "{SECRET}"}}}})
print([span.name for span in spans.get_finished_spans()])
told = reader.get_metrics_data().to_json()
print("{SECRET}" in told, "[EMAIL]" in told, "spanledger.redactions" in told)
"""


def run(start: str, metrics: bool, tmp_path: Any) -> tuple[str, str]:
    environ = {**os.environ, "SPANLEDGER_LEDGER": "memory:", "XDG_STATE_HOME": str(tmp_path), "SPANLEDGER_DEBUG": "true"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(start=start, metrics=metrics)], capture_output=True, text=True, env=environ, timeout=120, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def test_our_own_spans_and_metrics_are_recorded_and_redacted_by_providers_set_later(tmp_path: Any) -> None:
    out, err = run("spanledger.instrument()", False, tmp_path)
    assert "'[EMAIL]'" in out
    assert "report for [EMAIL]" in out
    assert out.endswith("False True True\n")
    assert err == ""


def test_what_redacts_from_the_start_waits_for_the_sdks_metrics(tmp_path: Any) -> None:
    """Loading them would cost every program that is started with ``opentelemetry-instrument``."""
    out, _ = run("from spanledger import otel; otel.pre_instrument()", False, tmp_path)
    assert "'[EMAIL]'" in out
    assert out.endswith("False True True\n")
