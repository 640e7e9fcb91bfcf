"""No private value leaves in any of the places where a span or a log record can hold one."""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor
from opentelemetry.sdk._logs._internal import ConcurrentMultiLogRecordProcessor
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, Status, StatusCode, TraceFlags, TraceState, set_span_in_context

from spanledger.redaction.redactor import Redactor
from spanledger.telemetry import semconv as s
from spanledger.telemetry.leading import lead_logs, lead_spans
from spanledger.telemetry.processor import RedactingLogProcessor, RedactingSpanProcessor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SECRET = "jane.roe" + "@" + "corp.example.com"
KEPT = {
    s.ENTRY_ID: "a1j9zabcdef4155550132",
    s.RESPONSE_ID: "chatcmpl-9wQ2xkLm4155550132aBcDeFg",
    s.REQUEST_MODEL: "gpt-4o-2024-08-06",
    s.INPUT_TOKENS: 4155550132,
    s.OUTPUT_TOKENS: 17,
    s.REQUEST_MAX_TOKENS: 4096,
    s.COST_NANO_USD: 4111111111111111,
    s.FINISH_REASONS: ("stop",),
    "gen_ai.request.temperature": 0.30000000000000004,
    "url.scheme": "https",
}

Chain = tuple[TracerProvider, InMemorySpanExporter]


class Leaky(BaseException):
    """Not an ``Exception``, as ``KeyboardInterrupt`` is not."""


def leaks(texts: Sequence[str]) -> list[str]:
    return [text for text in texts if SECRET in text]


def spans_of(chain: Chain) -> list[Any]:
    provider, exporter = chain
    provider.force_flush()
    return list(exporter.get_finished_spans())


def wire(spans: Sequence[Any]) -> str:
    """What the OTLP exporters send: bytes of protobuf, in which texts are plain UTF-8."""
    return encode_spans(spans).SerializeToString().decode("latin-1")


@pytest.fixture(params=["first", "last"])
def position(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[SimpleSpanProcessor, BatchSpanProcessor], ids=["simple", "batch"])
def exporting(request: pytest.FixtureRequest) -> Callable[[Any], SpanProcessor]:
    return request.param  # type: ignore[no-any-return]


def chain_of(processor: SpanProcessor, exporting: Any = SimpleSpanProcessor, position: str = "first", **provider: Any) -> Chain:
    tracers, exporter = TracerProvider(**provider), InMemorySpanExporter()
    both = [processor, exporting(exporter)]
    for each in both if position == "first" else reversed(both):
        tracers.add_span_processor(each)
    return tracers, exporter


def span_with_secrets(tracers: TracerProvider) -> None:
    """Eleven places: name, attributes, events and their names, link, trace states, status, exception message, stack."""
    context = SpanContext(
        1, 2, is_remote=True, trace_flags=TraceFlags(1), trace_state=TraceState([("acme", f"by:{SECRET}"), ("rojo", "00f067aa")])
    )
    tracer, parent = tracers.get_tracer("app"), set_span_in_context(NonRecordingSpan(context))
    links = [Link(context, {"of": SECRET})]
    with suppress(ValueError), tracer.start_as_current_span(f"GET /users/{SECRET}", parent, links=links) as span:
        span.set_attributes({"note": SECRET, f"by {SECRET}": 1, "json": f'{{"a": ["{SECRET}"]}}', **KEPT})
        span.set_attribute("nested", [{"a": ("b", SECRET)}, {SECRET: "c"}])
        span.add_event(f"asked {SECRET}", {"who": SECRET, "several": ["x", SECRET]})
        raise ValueError(f"no such user {SECRET}")  # noqa: EM102  # as applications do


def test_no_place_in_a_span_leaks(position: str, exporting: Any) -> None:
    chain = chain_of(RedactingSpanProcessor(Redactor()), exporting, position, resource=Resource({"owner": SECRET}))
    span_with_secrets(chain[0])
    (span,) = spans_of(chain)
    assert leaks([span.to_json(), wire([span]), repr(span.attributes), repr(span.events), repr(span.links)]) == []
    assert span.name == "GET /users/[EMAIL]"
    assert span.attributes["nested"] == ({"a": ("b", "[EMAIL]")}, {"[EMAIL]": "c"})
    assert span.attributes["json"] == '{"a": ["[EMAIL]"]}'
    assert span.attributes["by [EMAIL]"] == 1
    assert [event.name for event in span.events] == ["asked [EMAIL]", "exception"]
    assert span.events[1].attributes["exception.message"] == "no such user [EMAIL]"
    assert "[EMAIL]" in span.events[1].attributes["exception.stacktrace"]
    assert dict(span.links[0].attributes) == {"of": "[EMAIL]"}
    for context in (span.context, span.parent, span.links[0].context):
        assert dict(context.trace_state) == {"acme": "by:[EMAIL]", "rojo": "00f067aa"}
        assert (context.trace_id, context.trace_flags) == (1, TraceFlags(1))
    assert span.status.description == "ValueError: no such user [EMAIL]"
    assert span.status.status_code is StatusCode.ERROR
    assert span.resource.attributes["owner"] == "[EMAIL]"


def test_without_the_processor_all_places_do_leak() -> None:
    """The test above can fail."""
    tracers, exporter = TracerProvider(resource=Resource({"owner": SECRET})), InMemorySpanExporter()
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    span_with_secrets(tracers)
    (span,) = exporter.get_finished_spans()
    parts = [
        span.name, span.attributes["note"], repr(span.attributes["nested"]), span.events[0].name, repr(span.events[0].attributes), repr(span.links[0].attributes),
        repr(span.links[0].context.trace_state), repr(span.context.trace_state), repr(span.parent.trace_state),
        span.status.description, span.events[1].attributes["exception.message"], span.events[1].attributes["exception.stacktrace"],
    ]  # fmt: skip
    assert len(leaks(parts)) == len(parts)


def test_counts_and_identifiers_survive_as_they_are(position: str, exporting: Any) -> None:
    chain = chain_of(RedactingSpanProcessor(Redactor("hash", "k")), exporting, position)
    span_with_secrets(chain[0])
    (span,) = spans_of(chain)
    survived = {key: span.attributes[key] for key in KEPT}
    assert survived == KEPT
    assert {key: type(value) for key, value in survived.items()} == {key: type(value) for key, value in KEPT.items()}
    assert span.links[0].context.trace_id == 1


def test_nothing_is_copied_when_nothing_is_private() -> None:
    seen: list[Any] = []

    class Before(SpanProcessor):
        def _on_ending(self, span: Any) -> None:
            seen.append((span._name, span._attributes, span._events, span._links, span._status, span._resource))

    tracers, exporter = TracerProvider(), InMemorySpanExporter()
    for each in (Before(), RedactingSpanProcessor(Redactor()), SimpleSpanProcessor(exporter)):
        tracers.add_span_processor(each)
    with tracers.get_tracer("spanledger").start_as_current_span("chat gpt-4o") as span:
        span.set_attributes(KEPT)
        span.add_event("started", {"n": 1})
    (done,) = exporter.get_finished_spans()
    name, attributes, *rest = seen[0]
    assert done._name is name
    assert done._attributes._dict is attributes._dict  # the same, once it is read
    after = (done._events, done._links, done._status, done._resource)
    assert all(new is old for new, old in zip(after, rest, strict=True))


def test_resources_of_several_providers_are_redacted_once_each() -> None:
    class Counting(Redactor):
        resources = 0

        def attributes(self, attributes: Any) -> Any:
            self.resources += "owner" in (attributes or {})
            return super().attributes(attributes)

    redactor = Counting()
    processor = RedactingSpanProcessor(redactor)
    chains = [chain_of(processor, resource=Resource({"owner": f"{n} {SECRET}"})) for n in range(3)]
    for _ in range(4):
        for chain in chains:
            chain[0].get_tracer("app").start_span("work").end()
    shown = [[span.resource.attributes["owner"] for span in spans_of(chain)] for chain in chains]
    assert shown == [[f"{n} [EMAIL]"] * 4 for n in range(3)]
    assert redactor.resources == 3


def test_more_resources_than_are_remembered_are_redacted_too() -> None:
    chain = chain_of(RedactingSpanProcessor(Redactor()))
    for n in range(100):
        chain[0]._update_resource(Resource({"owner": f"{n} {SECRET}"}))
        chain[0].get_tracer("app").start_span("work").end()
    assert [span.resource.attributes["owner"] for span in spans_of(chain)] == [f"{n} [EMAIL]" for n in range(100)]


def test_span_limits_and_drop_counts_stay() -> None:
    limits = SpanLimits(max_span_attributes=2, max_events=1, max_attribute_length=60)
    chain = chain_of(RedactingSpanProcessor(Redactor()), span_limits=limits)
    with chain[0].get_tracer("app").start_as_current_span("x") as span:
        for number in range(4):
            span.set_attribute(f"a{number}", f"{SECRET} {'x' * 90}")
            span.add_event("e", {"k": SECRET})
    (done,) = spans_of(chain)
    assert (done.dropped_attributes, done.dropped_events) == (2, 3)
    assert list(done.attributes) == ["a2", "a3"]
    assert done._attributes.max_value_len == 60
    assert leaks([done.to_json(), wire([done])]) == []
    with pytest.raises(TypeError):
        done._attributes["new"] = 1


def test_a_cut_off_stack_trace_is_still_redacted() -> None:
    chain = chain_of(RedactingSpanProcessor(Redactor()), span_limits=SpanLimits(max_attribute_length=80))
    with chain[0].get_tracer("app").start_as_current_span("x") as span:
        span.set_attribute("json", '{"a": "' + SECRET + '", "b": "' + "y" * 100 + '"}')
    assert leaks([spans_of(chain)[0].to_json()]) == []


def test_unsampled_spans_stay_unexported() -> None:
    chain = chain_of(RedactingSpanProcessor(Redactor()), sampler=ALWAYS_OFF)
    with chain[0].get_tracer("app").start_as_current_span(SECRET):
        pass
    assert spans_of(chain) == []


class Broken(Redactor):
    """Fails at one of its methods, as a bug of ours would."""

    def __init__(self, method: str, error: type[BaseException] = RuntimeError) -> None:
        super().__init__()

        def fail(*_: Any) -> Any:
            raise error(SECRET)

        setattr(self, method, fail)


@pytest.mark.parametrize("method", ["text", "attributes"])
def test_a_bug_of_ours_costs_the_contents_and_nothing_else(
    method: str, position: str, exporting: Any, caplog: pytest.LogCaptureFixture
) -> None:
    errors: list[BaseException] = []
    chain = chain_of(RedactingSpanProcessor(Broken(method), on_error=errors.append), exporting, position)
    span_with_secrets(chain[0])
    (span,) = spans_of(chain)
    assert leaks([span.to_json(), wire([span]), caplog.text]) == []
    assert [type(error) for error in errors] == [RuntimeError]
    assert (span.name, span.events, span.links, span.status.status_code) == ("internal", (), (), StatusCode.ERROR)
    assert span.attributes[s.INPUT_TOKENS] == KEPT[s.INPUT_TOKENS]
    assert span.attributes[s.ENTRY_ID] == KEPT[s.ENTRY_ID]


def test_an_error_in_the_last_place_leaves_nothing_half_redacted(exporting: Any) -> None:
    def fail(_: Any) -> Any:
        raise RuntimeError(SECRET)

    errors: list[BaseException] = []
    processor = RedactingSpanProcessor(Redactor(), on_error=errors.append)
    processor._resources.redacted = fail  # type: ignore[method-assign]
    chain = chain_of(processor, exporting)
    span_with_secrets(chain[0])
    (span,) = spans_of(chain)
    assert leaks([span.to_json(), wire([span])]) == []
    assert (span.name, span.events, span.links, len(errors)) == ("internal", (), (), 1)
    assert dict(span.context.trace_state) == {}


def test_an_interrupt_while_redacting_exports_nothing() -> None:
    chain = chain_of(RedactingSpanProcessor(Broken("text", Leaky)))
    with pytest.raises(Leaky):
        chain[0].get_tracer("app").start_span(SECRET).end()
    assert spans_of(chain) == []


def test_a_detector_that_fails_drops_the_value() -> None:
    counted: list[str] = []
    redactor = Redactor(on_redact=lambda label, _: counted.append(label))
    redactor._engine = object()  # type: ignore[assignment]
    chain = chain_of(RedactingSpanProcessor(redactor))
    span_with_secrets(chain[0])
    (span,) = spans_of(chain)
    assert leaks([span.to_json(), wire([span])]) == []
    assert span.name == "[REDACTED:error]"
    assert span.attributes[s.INPUT_TOKENS] == KEPT[s.INPUT_TOKENS]
    assert set(counted) == {"error"}


def test_hooks_run_before_redaction_and_at_the_start() -> None:
    order: list[str] = []

    def before(span: Any) -> None:
        order.append(span._name)
        span._attributes = {**span._attributes, "added": SECRET}

    chain = chain_of(RedactingSpanProcessor(Redactor(), before=before, on_start_hook=lambda span, _: order.append(f"start {span.name}")))
    chain[0].get_tracer("app").start_span(SECRET).end()
    assert order == [f"start {SECRET}", SECRET]
    assert spans_of(chain)[0].attributes == {"added": "[EMAIL]"}


def test_an_error_of_the_hook_is_told_and_the_span_is_redacted() -> None:
    errors: list[BaseException] = []

    def before(_: Any) -> None:
        raise KeyError(SECRET)

    chain = chain_of(RedactingSpanProcessor(Redactor(), before=before, on_error=errors.append))
    chain[0].get_tracer("app").start_span(SECRET).end()
    assert [type(error) for error in errors] == [KeyError]
    assert spans_of(chain)[0].name == "[EMAIL]"


def test_the_start_hook_can_stop_a_span() -> None:
    def stop(_: Any, __: Any) -> None:
        raise PermissionError("too dear")  # noqa: EM101  # as applications do

    chain = chain_of(RedactingSpanProcessor(Redactor(), on_start_hook=stop))
    with pytest.raises(PermissionError):
        chain[0].get_tracer("app").start_span("x")
    assert spans_of(chain) == []


def test_mode_off_changes_nothing() -> None:
    chain = chain_of(RedactingSpanProcessor(Redactor("off")))
    chain[0].get_tracer("app").start_span(SECRET).end()
    assert spans_of(chain)[0].name == SECRET


def test_an_sdk_without_on_ending_is_redacted_at_the_end_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    processor = RedactingSpanProcessor(Redactor())
    chain = chain_of(processor)
    processor._on_ending = lambda _: None  # type: ignore[method-assign]
    for _ in range(2):
        chain[0].get_tracer("app").start_span(SECRET).end()
    assert [span.name for span in spans_of(chain)] == ["[EMAIL]", "[EMAIL]"]
    assert caplog.text.count("does not call SpanProcessor._on_ending") == 1


def test_an_sdk_with_other_fields_exports_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class Renaming(SpanProcessor):
        def _on_ending(self, span: Any) -> None:
            del span._status

    processor = RedactingSpanProcessor(Redactor(), before=Renaming()._on_ending)
    chain = chain_of(processor)
    chain[0].get_tracer("app").start_span(SECRET).end()
    assert spans_of(chain) == []
    assert "spans are not exported" in caplog.text
    assert leaks([caplog.text]) == []


# --- logs


def log_chain(processor: RedactingLogProcessor, exporting: Any) -> tuple[LoggerProvider, InMemoryLogRecordExporter]:
    loggers, exporter = LoggerProvider(resource=Resource({"owner": SECRET})), InMemoryLogRecordExporter()
    loggers.add_log_record_processor(processor)
    loggers.add_log_record_processor(exporting(exporter))
    return loggers, exporter


def emit_with_secrets(loggers: LoggerProvider) -> None:
    record = LogRecord(
        severity_number=SeverityNumber.ERROR, severity_text="ERROR", body={"messages": [{"content": SECRET}], "raw": SECRET.encode()},
        attributes={"note": SECRET, "nested": [{"a": SECRET}], s.INPUT_TOKENS: 12, s.RESPONSE_ID: "chatcmpl-1"}, event_name=f"for {SECRET}",
        exception=ValueError(SECRET),
    )  # fmt: skip
    loggers.get_logger("app").emit(record)


@pytest.fixture(params=[SimpleLogRecordProcessor, BatchLogRecordProcessor], ids=["simple", "batch"])
def exporting_logs(request: pytest.FixtureRequest) -> Any:
    return request.param


def test_no_place_in_a_log_record_leaks(exporting_logs: Any) -> None:
    loggers, exporter = log_chain(RedactingLogProcessor(Redactor()), exporting_logs)
    emit_with_secrets(loggers)
    loggers.force_flush()
    (done,) = exporter.get_finished_logs()
    record = done.log_record
    assert leaks([done.to_json(), encode_logs([done]).SerializeToString().decode("latin-1")]) == []
    assert record.body == {"messages": [{"content": "[EMAIL]"}], "raw": b"[EMAIL]"}
    assert record.attributes["nested"] == ({"a": "[EMAIL]"},)
    assert record.attributes["exception.message"] == "[EMAIL]"
    assert record.event_name == "for [EMAIL]"
    assert (record.attributes[s.INPUT_TOKENS], record.attributes[s.RESPONSE_ID]) == (12, "chatcmpl-1")
    assert done.resource.attributes["owner"] == "[EMAIL]"
    loggers.shutdown()


@pytest.mark.parametrize("method", ["text", "value", "attributes"])
def test_a_bug_of_ours_costs_the_record_its_contents(method: str, exporting_logs: Any) -> None:
    errors: list[BaseException] = []
    loggers, exporter = log_chain(RedactingLogProcessor(Broken(method), on_error=errors.append), exporting_logs)
    emit_with_secrets(loggers)
    loggers.force_flush()
    (done,) = exporter.get_finished_logs()
    assert [type(error) for error in errors] == [RuntimeError]
    assert done.log_record.body is None
    assert dict(done.log_record.attributes) == {}
    assert SECRET not in repr((done.log_record.body, done.log_record.attributes, done.log_record.event_name))
    loggers.shutdown()


# --- getting to the front


def test_live_providers_are_led_and_once(exporting: Any, exporting_logs: Any) -> None:
    spans, logs = InMemorySpanExporter(), InMemoryLogRecordExporter()
    tracers, loggers = TracerProvider(), LoggerProvider()
    tracers.add_span_processor(exporting(spans))
    loggers.add_log_record_processor(exporting_logs(logs))
    tracer, logger = tracers.get_tracer("made before"), loggers.get_logger("made before")
    for _ in range(2):
        assert lead_spans(tracers, RedactingSpanProcessor(Redactor()))
        assert lead_logs(loggers, RedactingLogProcessor(Redactor()))
    assert [type(each) for each in tracers._active_span_processor._span_processors] == [RedactingSpanProcessor, exporting]
    assert [type(each) for each in loggers._multi_log_record_processor._log_record_processors] == [RedactingLogProcessor, exporting_logs]
    tracer.start_span(SECRET).end()
    logger.emit(LogRecord(body=SECRET))
    tracers.force_flush()
    loggers.force_flush()
    assert spans.get_finished_spans()[0].name == "[EMAIL]"
    assert logs.get_finished_logs()[0].log_record.body == "[EMAIL]"
    loggers.shutdown()


def test_processors_that_work_at_the_same_time_all_see_redacted_records() -> None:
    class Slow(Redactor):
        """Is not ready before the exporter was asked, unless the exporter waits for it."""

        def value(self, key: str | None, value: Any) -> Any:
            asked.wait(0.2)
            return super().value(key, value)

    class Early(LogRecordProcessor):
        def on_emit(self, log_record: Any) -> None:
            seen.append(log_record.log_record.body)
            asked.set()

        def shutdown(self) -> None: ...

        def force_flush(self, timeout_millis: int = 30000) -> bool:
            return True

    asked, seen = threading.Event(), []
    loggers = LoggerProvider(multi_log_record_processor=ConcurrentMultiLogRecordProcessor())
    loggers.add_log_record_processor(Early())
    for _ in range(2):
        assert lead_logs(loggers, RedactingLogProcessor(Slow()))
    loggers.get_logger("app").emit(LogRecord(body=SECRET))
    assert seen == ["[EMAIL]"]
    loggers.shutdown()


def test_processors_are_added_the_public_way_where_nothing_else_is_known_and_once(caplog: pytest.LogCaptureFixture) -> None:
    class Provider:
        def __init__(self) -> None:
            self.added: list[Any] = []

        def add_span_processor(self, processor: Any) -> None:
            self.added.append(processor)

        add_log_record_processor = add_span_processor

    tracers, loggers = Provider(), Provider()
    span_processor, log_processor = RedactingSpanProcessor(Redactor()), RedactingLogProcessor(Redactor())
    for _ in range(2):
        assert lead_spans(tracers, span_processor), "spans are redacted in any position"
        with caplog.at_level(logging.WARNING):
            assert not lead_logs(loggers, log_processor)
    assert (tracers.added, loggers.added) == ([span_processor], [log_processor])
    assert "logs may leave unredacted" in caplog.text


def test_other_providers_are_left_alone() -> None:
    assert not lead_spans(object(), RedactingSpanProcessor(Redactor()))
    assert not lead_logs(object(), RedactingLogProcessor(Redactor()))


def test_status_without_description_is_untouched() -> None:
    chain = chain_of(RedactingSpanProcessor(Redactor()))
    span = chain[0].get_tracer("app").start_span("x")
    span.set_status(Status(StatusCode.OK))
    span.end()
    assert spans_of(chain)[0].status.status_code is StatusCode.OK
