"""Attributes at creation: there for whoever looks at them."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider, sampling
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SimpleSpanProcessor
from opentelemetry.trace import NoOpTracerProvider

from spanledger.model import Activity, Request
from spanledger.telemetry.creation import is_looked_at
from spanledger.telemetry.spans import start_call

DECISIVE = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "m", "server.address": "host"}


class Looks(SpanProcessor):
    """Keeps what it sees when a span starts."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        self.seen.append(dict(span.attributes))


class Decides(sampling.Sampler):
    """Keeps what it is asked with."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []

    def should_sample(
        self, parent_context: Any, trace_id: int, name: str, kind: Any = None, attributes: Any = None, *_: Any, **__: Any
    ) -> Any:  # the SDK's
        self.seen.append(dict(attributes or {}))
        return sampling.SamplingResult(sampling.Decision.RECORD_AND_SAMPLE, attributes)

    def get_description(self) -> str:
        return "keeps"


def start(provider: Any) -> Any:
    request = Request("chat", Activity.LLM, "openai", "m", server_address="host")
    return start_call(provider.get_tracer("test"), request, {})


@pytest.mark.parametrize(
    "sampler",
    [sampling.ALWAYS_ON, sampling.DEFAULT_ON, sampling.TraceIdRatioBased(1.0), sampling.ParentBasedTraceIdRatio(1.0)],
    ids=lambda sampler: type(sampler).__name__,
)
def test_the_sdks_own_parts_do_not_look(sampler: Any) -> None:
    provider = TracerProvider(sampler=sampler)
    for processor in (BatchSpanProcessor(ConsoleSpanExporter()), SimpleSpanProcessor(ConsoleSpanExporter()), SpanProcessor()):
        provider.add_span_processor(processor)
    assert not is_looked_at(provider.get_tracer("test"))


def test_behind_the_apis_stand_in_is_the_sdks_tracer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    monkeypatch.setattr(trace, "_PROXY_TRACER_PROVIDER", trace.ProxyTracerProvider())
    tracer = trace.get_tracer("test")
    assert is_looked_at(tracer)
    looks, provider = Looks(), TracerProvider()
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    assert not is_looked_at(tracer)
    provider.add_span_processor(looks)
    assert is_looked_at(tracer)
    span = start(provider)
    assert DECISIVE.items() <= dict(span.attributes).items()
    assert span.name == "chat m"


def test_a_processor_that_looks_sees_them() -> None:
    provider, looks = TracerProvider(), Looks()
    assert not is_looked_at(provider.get_tracer("test"))
    provider.add_span_processor(looks)
    start(provider)
    assert looks.seen == [DECISIVE], "also one that is added after the first span"


@pytest.mark.parametrize("wrap", [lambda it: it, sampling.ParentBased], ids=["plain", "as the root of ParentBased"])
def test_a_sampler_that_decides_by_them_sees_them(wrap: Any) -> None:
    decides = Decides()
    span = start(TracerProvider(sampler=wrap(decides)))
    assert decides.seen == [DECISIVE]
    assert DECISIVE.items() <= dict(span.attributes).items()


def test_one_that_keeps_its_attributes_in_slots_is_asked_too() -> None:
    class Slotted(Decides):
        __slots__ = ()
        __dict__ = property()  # as a class of slots alone, or of C, has none to look into

        def __init__(self) -> None:
            """Keeps nothing."""

        def should_sample(self, *arguments: Any, **named: Any) -> Any:
            told.append(dict(named.get("attributes") or arguments[4]))
            return sampling.SamplingResult(sampling.Decision.RECORD_AND_SAMPLE, told[-1])

    told: list[dict[str, Any]] = []
    assert start(TracerProvider(sampler=Slotted())).attributes["gen_ai.request.model"] == "m"
    assert told == [DECISIVE]


def test_a_processor_whose_hook_was_replaced_sees_them() -> None:
    provider, looks, plain = TracerProvider(), Looks(), SpanProcessor()
    plain.on_start = looks.on_start
    provider.add_span_processor(plain)
    start(provider)
    assert looks.seen == [DECISIVE]


def test_tracers_of_others_get_them() -> None:
    assert is_looked_at(NoOpTracerProvider().get_tracer("test"))
