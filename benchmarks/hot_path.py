"""What Spanledger adds to one call, beside the least that any instrumentation must do.

    python benchmarks/hot_path.py [--rounds 30] [--ledger memory:]

One process, interleaved, CPU time of the calling thread. ``bare`` is a span with 12 attributes and two histogram records. ``ours`` has the
span with our attributes, redaction, the token estimate, one budget, the ledger, cost and metrics. The client is the real one; its transport
answers in the process and its time is subtracted. Look at the ratios: machines differ, and so do moments.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from typing import TYPE_CHECKING, Any

import openai
from openai import _base_client
from opentelemetry import context, metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

import spanledger
from spanledger import settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentelemetry.sdk.trace import ReadableSpan

httpx: Any = getattr(_base_client, "httpx", None) or _base_client.httpx2  # type: ignore[attr-defined]  # openai 3 speaks httpx2

USAGE = {
    "prompt_tokens": 57, "completion_tokens": 120, "total_tokens": 177,
    "prompt_tokens_details": {"cached_tokens": 32, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 24, "audio_tokens": 0},
}  # fmt: skip
HEAD = {"id": "chatcmpl-AbCdEfGhIjKlMnOpQrStUv", "created": 1, "model": "gpt-4o-mini-2024-07-18", "system_fingerprint": "fp_06737"}
ANSWER = {
    **HEAD, "object": "chat.completion", "usage": USAGE,
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "A short answer."}}],
}  # fmt: skip
PROMPT = "Explain in a few sentences how a ledger keeps the sums of many accounts apart. " * 3


def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {**HEAD, "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


CHUNKS = [
    chunk({"role": "assistant"}),
    *[chunk({"content": " word"})] * 200,
    chunk({}, "stop"),
    {**chunk({}), "choices": [], "usage": USAGE},
]
STREAM = b"".join(b"data: " + json.dumps(piece).encode() + b"\n\n" for piece in CHUNKS) + b"data: [DONE]\n\n"


def answer(request: Any) -> Any:
    if b'"stream":true' in request.content:
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=STREAM)
    return httpx.Response(200, json=ANSWER)


class Nothing(SpanExporter):
    """Exports nothing."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:  # noqa: ARG002
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Nothing to close."""


def bare(tracer: Any, duration: Any, tokens: Any, call: Callable[[], Any]) -> None:
    """The least: what the conventions ask of one call."""
    span = tracer.start_span(
        "chat gpt-4o-mini",
        kind=trace.SpanKind.CLIENT,
        attributes={
            "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o-mini",
            "gen_ai.request.temperature": 0.7, "gen_ai.request.max_tokens": 256, "server.address": "api.openai.com", "server.port": 443,
        },
    )  # fmt: skip
    token = context.attach(trace.set_span_in_context(span))
    started = time.perf_counter()
    result = call()
    context.detach(token)
    usage = result.usage
    span.set_attributes(
        {
            "gen_ai.response.id": result.id, "gen_ai.response.model": result.model, "gen_ai.usage.input_tokens": usage.prompt_tokens,
            "gen_ai.usage.output_tokens": usage.completion_tokens, "gen_ai.response.finish_reasons": ("stop",),
        }
    )  # fmt: skip
    span.end()
    labels = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.response.model": result.model}
    duration.record(time.perf_counter() - started, labels)
    tokens.record(usage.total_tokens, labels)


def timed(function: Callable[[], Any], calls: int) -> float:
    """CPU microseconds of the calling thread per call: the first decile, because other load on a machine only ever adds."""
    times = []
    for _ in range(calls):
        started = time.thread_time_ns()
        function()
        times.append(time.thread_time_ns() - started)
    return statistics.quantiles(times, n=10)[0] / 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--ledger", default="memory:")
    options = parser.parse_args()

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(Nothing()))
    trace.set_tracer_provider(provider)
    metrics.set_meter_provider(MeterProvider([InMemoryMetricReader()]))
    meter, tracer = metrics.get_meter("bare"), trace.get_tracer("bare")
    duration, tokens = meter.create_histogram("bare.duration"), meter.create_histogram("bare.tokens")

    client = openai.OpenAI(api_key="local", max_retries=0, http_client=httpx.Client(transport=httpx.MockTransport(answer)))
    arguments: Any = {
        "model": "gpt-4o-mini", "temperature": 0.7, "max_tokens": 256, "top_p": 1.0,
        "messages": [{"role": "system", "content": "You are terse."}, {"role": "user", "content": PROMPT}],
    }  # fmt: skip

    def plain() -> Any:
        return client.chat.completions.create(**arguments)

    def stream() -> None:
        for _ in client.chat.completions.create(stream=True, stream_options={"include_usage": True}, **arguments):
            pass

    config = settings.load({"SPANLEDGER_LEDGER": options.ledger, "SPANLEDGER_BUDGET_DAY": "100000 USD per day"})
    rows: dict[str, list[float]] = {"bare": [], "ours": [], "ours, 200 chunks": []}
    for number in range(options.rounds + 1):
        none, none_stream = timed(plain, 40), timed(stream, 8)
        with_bare = timed(lambda: bare(tracer, duration, tokens, plain), 40)
        spanledger.instrument(config)
        plain()  # the first call of an installation compiles the price
        with_ours, with_ours_stream = timed(plain, 40), timed(stream, 8)
        spanledger.uninstrument()
        if number:  # the first round warms up
            rows["bare"].append(with_bare - none)
            rows["ours"].append(with_ours - none)
            rows["ours, 200 chunks"].append(with_ours_stream - none_stream)
    ratio = statistics.median(ours / least for ours, least in zip(rows["ours"], rows["bare"], strict=True))
    for name, values in rows.items():
        quarters = statistics.quantiles(values, n=4)
        print(f"{name:18} adds {statistics.median(values):7.1f} us a call   (quartiles {quarters[0]:.1f} to {quarters[2]:.1f})")
    print(f"ours / bare: {ratio:.2f}")


if __name__ == "__main__":
    main()
