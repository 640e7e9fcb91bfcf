"""Processors of other makes write into ending spans, past the SDK's checks: what exporters behind them get is redacted all the same."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.trace import Event, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanContext, Status, StatusCode, TraceFlags, TraceState

from spanledger.telemetry.late import CheckedAttributes, LateAttributes

SECRET = "jane.roe" + "@" + "corp.example.com"
REMOTE = SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(1), trace_state=TraceState([("who", SECRET)]))


class Starting(SpanProcessor):
    def on_start(self, span: Any, parent_context: Any = None) -> None:
        del parent_context
        span.set_attribute("start", SECRET)
        span.update_name(f"started {SECRET}")
        span.add_event(SECRET, {"a": SECRET})
        span.add_link(REMOTE, {"a": SECRET})


class Ending(SpanProcessor):
    """The span itself, when ours has seen it."""

    def _on_ending(self, span: Any) -> None:
        span._name = f"ending {SECRET}"
        span._events._dq.append(Event(SECRET, {"a": SECRET}))
        span._status = Status(StatusCode.ERROR, SECRET)


class Replacing(SpanProcessor):
    def _on_ending(self, span: Any) -> None:
        span._attributes = BoundedAttributes(attributes={**span._attributes, "who": SECRET})


class Ended(SpanProcessor):
    """What exporters get."""

    def on_end(self, span: Any) -> None:
        span._name = f"ended {SECRET}"
        span._events = (*span._events, Event(SECRET))
        span._status = Status(StatusCode.ERROR, SECRET)
        span._attributes = {**span._attributes, "end": SECRET}


class Renaming(SpanProcessor):
    def on_end(self, span: Any) -> None:
        span._name = f"renamed {SECRET}"


class Sending(InMemorySpanExporter):
    """Writes each span when it gets it, as those that send them do."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[str] = []

    def export(self, spans: Any) -> Any:
        self.sent += [f"{span.to_json()} {[link.context.trace_state for link in span.links]}" for span in spans]
        return super().export(spans)


@pytest.mark.parametrize("exporting", [SimpleSpanProcessor, BatchSpanProcessor])
@pytest.mark.parametrize("writing", [Starting, Ending, Replacing, Ended, Renaming])
@pytest.mark.parametrize("order", list(itertools.permutations(["first", "second", "writing"])), ids="-".join)
@pytest.mark.parametrize("limits", [None, SpanLimits(max_attribute_length=9)])
def test_what_they_write_is_redacted(make_house: Any, exporting: Any, writing: Any, order: Any, limits: Any) -> None:
    make_house()
    provider = TracerProvider(span_limits=limits, shutdown_on_exit=False)
    exporters = {"first": Sending(), "second": Sending()}
    for name in order:
        provider.add_span_processor(writing() if name == "writing" else exporting(exporters[name]))
    with provider.get_tracer("app").start_as_current_span("work", attributes={"who": SECRET}, links=[Link(REMOTE, {"b": SECRET})]) as span:
        span.record_exception(ValueError(SECRET))
    provider.force_flush()
    for name, exporter in exporters.items():
        assert len(exporter.sent) == 1
        queued = exporting is BatchSpanProcessor and order.index("writing") > order.index(name) and writing in {Ended, Renaming}
        assert queued or "jane" not in exporter.sent[0]


def test_spans_are_looked_at_once_where_nobody_else_writes(make_house: Any) -> None:
    house = make_house()
    for processors, kind in (([], LateAttributes), ([Starting()], LateAttributes), ([Renaming()], CheckedAttributes)):
        provider, exporter = TracerProvider(shutdown_on_exit=False), InMemorySpanExporter()
        for processor in processors:
            provider.add_span_processor(processor)
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        provider.get_tracer("app").start_span("work").end()
        assert type(exporter.get_finished_spans()[0]._attributes) is kind
    assert house.spans == []


def test_attributes_are_redacted_once(make_house: Any) -> None:
    make_house()
    provider, exporter = TracerProvider(shutdown_on_exit=False), InMemorySpanExporter()
    provider.add_span_processor(Renaming())
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    provider.get_tracer("app").start_span("work", attributes={"who": SECRET}).end()
    (done,) = exporter.get_finished_spans()
    assert (done.name, dict(done.attributes or {})) == ("renamed [EMAIL]", {"who": "[EMAIL]"})
    assert type(done._attributes._source) is BoundedAttributes  # type: ignore[union-attr]  # its store
