"""Attributes that are worked out when they are read: nobody can read them as they were before."""

from __future__ import annotations

import copy
import threading
from typing import Any

import pytest
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from spanledger.engine.guard import Guard
from spanledger.model import Activity, Cost, CostStatus, Entry, Response, Usage
from spanledger.redaction.redactor import Redactor
from spanledger.telemetry import semconv as s
from spanledger.telemetry import spans
from spanledger.telemetry.late import LateAttributes, plain
from spanledger.telemetry.processor import RedactingSpanProcessor

SECRET = "jane.roe" + "@" + "corp.example.com"


class Slow(Redactor):
    """Counts its work, and can fail at it."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.broken = False

    def attributes(self, attributes: Any) -> Any:
        self.asked += "who" in attributes  # the resource is redacted, too
        if self.broken:
            raise RuntimeError(SECRET)
        return super().attributes(attributes)


def ended(redactor: Redactor, attributes: dict[str, Any], **more: Any) -> Any:
    tracers, exporter = TracerProvider(span_limits=more.pop("limits", None)), InMemorySpanExporter()
    for processor in (RedactingSpanProcessor(redactor, **more), SimpleSpanProcessor(exporter)):
        tracers.add_span_processor(processor)
    tracers.get_tracer("app").start_span("work", attributes=attributes).end()
    (span,) = exporter.get_finished_spans()
    return span


def test_nothing_is_redacted_until_somebody_reads_and_then_once() -> None:
    redactor = Slow()
    span = ended(redactor, {"who": SECRET})
    assert redactor.asked == 0
    assert dict(span.attributes) == {"who": "[EMAIL]"}
    assert dict(span.attributes) == {"who": "[EMAIL]"}
    assert redactor.asked == 1


@pytest.mark.parametrize(
    "read",
    [
        lambda span: span.to_json(),
        lambda span: encode_spans([span]).SerializeToString().decode("latin-1"),
        lambda span: repr(span._attributes),
        lambda span: repr(list(span._attributes.items())),
        lambda span: repr(span._attributes.get("who")),
        lambda span: repr(span._attributes["who"]),
        lambda span: repr(span._attributes.copy()),
        lambda span: repr(dict(**span._attributes)),
        lambda span: repr(copy.copy(span._attributes)),
        lambda span: repr(copy.deepcopy(span._attributes)),
        lambda span: repr({**span._attributes}),
    ],
)
def test_every_way_of_reading_shows_the_redacted(read: Any) -> None:
    shown = read(ended(Redactor(), {"who": SECRET}))
    assert "[EMAIL]" in shown
    assert SECRET not in shown


def test_a_processor_ahead_that_reads_early_does_not_make_it_leak() -> None:
    class Early(SpanProcessor):
        def _on_ending(self, span: Any) -> None:
            assert span.attributes["who"] == SECRET

    tracers, exporter = TracerProvider(), InMemorySpanExporter()
    for processor in (Early(), RedactingSpanProcessor(Redactor()), SimpleSpanProcessor(exporter)):
        tracers.add_span_processor(processor)
    tracers.get_tracer("app").start_span("work", attributes={"who": SECRET}).end()
    assert dict(exporter.get_finished_spans()[0].attributes) == {"who": "[EMAIL]"}


def test_what_cannot_be_redacted_is_not_shown_and_the_error_is_told() -> None:
    redactor, errors = Slow(), []
    span = ended(redactor, {"who": SECRET, s.OPERATION: "chat", s.INPUT_TOKENS: 12}, on_error=errors.append)
    redactor.broken = True
    assert dict(span.attributes) == {s.OPERATION: "chat", s.INPUT_TOKENS: 12}
    assert [type(error) for error in errors] == [RuntimeError]


def test_limits_and_dropped_counts_are_those_of_the_span() -> None:
    span = ended(Redactor(), {"a": "1", "b": SECRET, "c": "3"}, limits=SpanLimits(max_span_attributes=2))
    assert dict(span.attributes) == {"b": "[EMAIL]", "c": "3"}
    assert span.dropped_attributes == 1
    with pytest.raises(TypeError):
        span._attributes["d"] = "4"


def test_readers_at_the_same_time_see_the_same() -> None:
    many, seen = 8, []
    gate = threading.Barrier(many)
    late = LateAttributes(BoundedAttributes(attributes={"n": 1}), lambda start: {**plain(start), "more": 2})

    def read() -> None:
        gate.wait()
        seen.append(dict(late))

    threads = [threading.Thread(target=read) for _ in range(many)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [{"n": 1, "more": 2}] * many


def entry() -> Entry:
    usage, cost = Usage(12, 3), Cost(900, CostStatus.EXACT, "file", "1", "openai/gpt-4o")
    return Entry("e", 1.0, Activity.LLM, "openai", "chat", "gpt-4o", usage=usage, cost=cost, response_id="r", response_model="gpt-4o-mini")


@pytest.mark.parametrize("limits", [None, SpanLimits(max_span_attribute_length=1000)], ids=["as they are", "checked by the SDK"])
def test_a_call_says_the_same_whether_its_attributes_come_late_or_not(limits: Any) -> None:
    exporter = InMemorySpanExporter()
    tracers = TracerProvider(span_limits=limits)
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    span, response = tracers.get_tracer("spanledger").start_span("chat", attributes={"before": True}), Response()
    response.finish_reasons = ["stop"]
    names = s.generation("default")
    start, standing = (lambda: {"start": 1, "before": "hidden"},), (spans.standing, entry(), "completed", True, None, False)
    spans.end_call(span, None, Guard().run, (start, standing, (spans.told, entry(), spans.answered(response), names)))
    (done,) = exporter.get_finished_spans()
    assert (type(done._attributes) is LateAttributes) == (limits is None)
    assert dict(done.attributes) == {
        "start": 1, "before": True, s.OUTCOME: "completed", s.COUNTED: True, s.FINISH_REASONS: ("stop",), s.RESPONSE_ID: "r", s.RESPONSE_MODEL: "gpt-4o-mini",
        s.USAGE_STATE: "exact", s.INPUT_TOKENS: 12, s.OUTPUT_TOKENS: 3, s.COST_STATUS: "exact", s.COST_NANO_USD: 900,
        s.COST_AMOUNT: 9e-7, s.COST_CURRENCY: "USD", s.PRICE_SOURCE: "file", s.PRICE_VERSION: "1", s.PRICE_MODEL: "openai/gpt-4o",
    }  # fmt: skip


def test_an_error_of_ours_costs_what_the_entry_says_and_no_more() -> None:
    exporter = InMemorySpanExporter()
    tracers = TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    span = tracers.get_tracer("spanledger").start_span("chat", attributes={"before": True})
    spans.end_call(span, "timeout", Guard().run, ((lambda: {"start": 1},), (lambda: {s.OUTCOME: "error"},), (int, "nonsense")))
    (done,) = exporter.get_finished_spans()
    assert (dict(done.attributes), done.status.is_ok) == ({"start": 1, "before": True, s.OUTCOME: "error"}, False)
