"""The stack's real programs on free ports, and a sender of spans whose sums are known."""

from __future__ import annotations

import json
import random
import time
import urllib.parse
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from spanledger.stack import files
from spanledger.stack.ports import Ports
from spanledger.stack.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

SUMS = ("tokens", "cost", "operations")
SERVICE = "shop"


@pytest.fixture(scope="session")
def configuration() -> Path:
    """Where the configurations are."""
    return files.directory()


class Running:
    """A running stack, and what it says."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.directory = stack.layout.directory

    def query(self, expression: str) -> list[dict[str, Any]]:
        """An instant query: the result's series."""
        url = f"{self.stack.layout.url('prometheus')}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
        return list(_get(url)["data"]["result"])

    def exemplars(self, expression: str) -> list[dict[str, Any]]:
        """The exemplars of the last hour."""
        asked = {"query": expression, "start": time.time() - 3600, "end": time.time() + 60}
        url = f"{self.stack.layout.url('prometheus')}/api/v1/query_exemplars?{urllib.parse.urlencode(asked)}"
        return [exemplar for series in _get(url)["data"] for exemplar in series["exemplars"]]

    def names(self) -> set[str]:
        """All names of metrics that Prometheus knows."""
        return set(_get(f"{self.stack.layout.url('prometheus')}/api/v1/label/__name__/values")["data"])

    def exposed(self, port: str) -> set[str]:
        """The names of metrics that a collector exposes for a scrape."""
        with urllib.request.urlopen(f"{self.stack.layout.url(port)}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return {line.split("{")[0].split(" ")[0] for line in lines if line and not line.startswith("#")}

    def counted(self, source: str = "span", metric: str = "") -> dict[tuple[str, ...], int]:
        """Lifetime sums of one source: (tokens | cost | operations, activity, usage state, token type) -> value; the last two may be ''."""
        found: dict[tuple[str, ...], int] = {}
        for what in SUMS:
            name = f"spanledger_recon_{metric}{what}_total"
            # A series is gone from an instant query five minutes after its last sample.
            by = "activity_type, usage_state, token_type"
            for row in self.query(f'sum by ({by}) (max_over_time({name}{{source="{source}"}}[1h]))'):
                labels = row["metric"]
                key = (what, labels["activity_type"], labels.get("usage_state", ""), labels.get("token_type", ""))
                found[key] = int(row["value"][1])
        return {key: value for key, value in found.items() if value}

    def wait_for(self, expected: dict[tuple[str, ...], int], deadline: float = 60, **which: str) -> dict[tuple[str, ...], int]:
        """The sums as soon as they are as expected, or as they are at the deadline."""
        until = time.monotonic() + deadline
        while (counted := self.counted(**which)) != expected and time.monotonic() < until:
            time.sleep(0.2)
        return counted

    def span_file(self) -> list[dict[str, Any]]:
        """All spans in the file of evidence, rotated or not, with their attributes as a dictionary."""
        found = []
        for path in sorted((self.directory / "spans").glob("spans*.jsonl")):
            for line in path.read_text().splitlines():
                # A killed gateway may leave a line without its end; what comes after it is whole.
                for part in line.split('{"resourceSpans":')[1:]:
                    found += _spans_of('{"resourceSpans":' + part)
        return found

    def jaeger(self, trace_id: str) -> str:
        """A trace as Jaeger tells it, in JSON; '' if it has none."""
        try:
            return json.dumps(_get(f"{self.stack.layout.url('jaeger_query')}/api/v3/traces/{trace_id}"))
        except OSError:
            return ""


def _get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)


def _spans_of(request: str) -> list[dict[str, Any]]:
    try:
        parts = json.loads(request)["resourceSpans"]
    except ValueError:
        return []  # torn by a kill; the agent sent it again
    spans = [span for part in parts for scope in part["scopeSpans"] for span in scope["spans"]]
    return [{**span, "attributes": {pair["key"]: _value(pair["value"]) for pair in span.get("attributes", ())}} for span in spans]


def _value(value: dict[str, Any]) -> Any:
    kind, plain = next(iter(value.items()), ("", None))
    return int(plain) if kind == "intValue" else plain


@pytest.fixture
def running(tmp_path: Path, binaries: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Running]]:
    """Starts services of a stack of its own on free ports."""
    stacks: list[Stack] = []

    def start(*names: str, configuration: Path | None = None, **environment: str) -> Running:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        stack = Stack(tmp_path / "stack", Ports.free(), configuration)
        stacks.append(stack)
        stack.start(names)
        return Running(stack)

    yield start
    for stack in stacks:
        stack.stop()


@dataclass
class Sender:
    """One process of an application: it sends spans, and knows what they add up to."""

    endpoint: str
    service: str = SERVICE
    instance: str = "one"
    sums: Counter[tuple[str, ...]] = field(default_factory=Counter)
    sent: int = 0

    def __post_init__(self) -> None:
        self._memory = InMemorySpanExporter()
        self._provider = TracerProvider(
            resource=Resource({"service.name": self.service, "service.instance.id": self.instance}), shutdown_on_exit=False
        )
        self._provider.add_span_processor(SimpleSpanProcessor(self._memory))
        self._tracer = self._provider.get_tracer("tests")
        self._exporter = OTLPSpanExporter(endpoint=self.endpoint, insecure=True, timeout=30)

    def span(self, attributes: dict[str, Any], counts: dict[tuple[str, ...], int] | None = None, name: str = "chat m", **more: Any) -> str:
        """Ends a span with these attributes; ``counts`` is what it adds to the sums. Returns the trace's id."""
        span = self._tracer.start_span(name, attributes=attributes)
        if "status" in more:
            span.set_status(more["status"])
        for event in more.get("events", ()):
            span.add_event("event", event)
        span.end()
        self.sums.update(counts or {})
        return f"{span.get_span_context().trace_id:032x}"

    def send(self) -> None:
        """Hands over what has ended; the receiver must accept it."""
        spans = self._memory.get_finished_spans()
        self._memory.clear()
        assert self._exporter.export(spans) is SpanExportResult.SUCCESS
        self.sent += len(spans)


@pytest.fixture
def sender() -> Iterator[Callable[..., Sender]]:
    """Makes senders to the agent of a stack."""
    senders: list[Sender] = []

    def make(running: Running, **more: str) -> Sender:
        senders.append(Sender(running.stack.layout.address("agent_grpc"), **more))
        return senders[-1]

    yield make
    for each in senders:
        each._exporter.shutdown()


@pytest.fixture
def random_calls() -> Callable[[Sender, int, int], None]:
    """Ends a number of calls with random numbers: exclusive parts are drawn, and the totals of the conventions made of them."""
    return _random_calls


def _random_calls(sender: Sender, count: int, seed: int) -> None:
    draw = random.Random(seed)
    for _ in range(count):
        activity, state = draw.choice(("llm", "embedding", "memory", "classification")), draw.choice(("exact", "estimated"))
        parts = {kind: draw.choice((0, draw.randrange(5000))) for kind in ("input", "cache_read", "cache_write", "output", "reasoning")}
        cost = draw.randrange(10**9)
        write = draw.choice(("gen_ai.usage.cache_creation.input_tokens", "gen_ai.usage.cache_write.input_tokens"))
        told = {
            "gen_ai.usage.cache_read.input_tokens": parts["cache_read"],
            write: parts["cache_write"],
            "gen_ai.usage.reasoning.output_tokens": parts["reasoning"],
        }
        attributes = {
            "spanledger.counted": True, "spanledger.activity": activity, "spanledger.usage.state": state, "spanledger.cost.nano_usd": cost,
            "gen_ai.usage.input_tokens": parts["input"] + parts["cache_read"] + parts["cache_write"],
            "gen_ai.usage.output_tokens": parts["output"] + parts["reasoning"],
            **{name: number for name, number in told.items() if number},
        }  # fmt: skip
        counts = {("tokens", activity, state, kind): number for kind, number in parts.items()}
        sender.span(attributes, {**counts, ("cost", activity, state, ""): cost, ("operations", activity, state, ""): 1})


@pytest.fixture
def non_zero() -> Callable[[Sequence[Sender]], dict[tuple[str, ...], int]]:
    """What senders sent together, without what is nothing."""

    def add(senders: Sequence[Sender]) -> dict[tuple[str, ...], int]:
        together: Counter[tuple[str, ...]] = Counter()
        for each in senders:
            together.update(each.sums)
        return {key: value for key, value in together.items() if value}

    return add
