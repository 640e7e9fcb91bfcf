"""Replays recorded provider traffic through the real clients, instrumented, and compares what the spans say with what the wire said.

    python tests/tools/corpus_report.py --corpus ../shared/corpus/public --providers openai,azure-openai,anthropic [--async] [--json]

The expectation is computed from the recorded bytes by a few lines of its own (``expected``), which share nothing with the adapters.
A folder of recordings (``<provider>.jsonl.gz``) and the server that replays them (``tools/replay.py`` in a parent folder) are needed.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import inspect
import json
import re
import sys
import tempfile
import warnings
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

ENDPOINTS = {
    "chat.completions": "/chat/completions",
    "completions": "/completions",
    "responses": "/responses",
    "embeddings": "/embeddings",
    "messages": "/v1/messages",
}
REQUIRED: dict[str, dict[str, Any]] = {
    "chat.completions": {"messages": []},
    "completions": {"prompt": ""},
    "responses": {},
    "embeddings": {"input": ""},
    "messages": {"messages": [], "max_tokens": 1},
}
NAMES = {
    "input": "gen_ai.usage.input_tokens",
    "output": "gen_ai.usage.output_tokens",
    "cache_read": "gen_ai.usage.cache_read.input_tokens",
    "cache_write": "gen_ai.usage.cache_creation.input_tokens",
    "reasoning": "gen_ai.usage.reasoning.output_tokens",
}
COLUMNS = ("tried", "equal", "client cannot parse", "no usage recorded", "differs")


# --- what the wire said


def events(body: bytes) -> list[Any]:
    """The JSON of each server-sent event."""
    found = []
    for block in re.split(r"\r?\n\r?\n", body.decode("utf-8", "replace")):
        data = "\n".join(line[5:].strip() for line in block.splitlines() if line.startswith("data:"))
        if data and data != "[DONE]":
            found.append(json.loads(data))
    return found


def raw_usage(record: Any) -> dict[str, Any] | None:
    """The usage object of a recording; of a stream the last one, or what its events add up to."""
    body = record.response_bytes
    if record["stream_format"] != "sse":
        return json.loads(body).get("usage")
    merged: dict[str, Any] = {}
    for event in events(body):
        choices = event.get("choices") or [{}]
        started = event.get("response") or event.get("message") or {}
        for usage in (event.get("usage"), started.get("usage"), (event.get("x_groq") or {}).get("usage"), choices[0].get("usage")):
            merged.update({key: value for key, value in (usage or {}).items() if value is not None})
    return merged or None


def expected(provider: str, endpoint: str, usage: dict[str, Any] | None) -> dict[str, int] | None:
    """Inclusive totals and parts, by the table of what providers mean; None if the provider told nothing."""
    if not usage:
        return None
    if set(usage) == {"total_tokens"}:  # of embeddings, where all tokens are input
        return {"input": usage["total_tokens"]}
    numbers = _anthropic(usage) if endpoint == "messages" else _openai(provider, usage)
    if numbers["input"] is not None:  # parts are disjoint, and no larger than their total
        numbers["cache_read"] = _at_most(numbers["input"], numbers["cache_read"])
        numbers["cache_write"] = _at_most(numbers["input"] - (numbers["cache_read"] or 0), numbers["cache_write"])
    numbers["reasoning"] = _at_most(numbers["output"], numbers["reasoning"])
    return {key: value for key, value in numbers.items() if value is not None}


def _at_most(limit: int | None, value: int | None) -> int | None:
    return value if value is None or limit is None else min(limit, value)


def _anthropic(usage: dict[str, Any]) -> dict[str, Any]:
    read, written = usage.get("cache_read_input_tokens"), usage.get("cache_creation_input_tokens")
    numbers = {
        "input": usage["input_tokens"] + (read or 0) + (written or 0),
        "output": usage["output_tokens"],
        "cache_read": read,
        "cache_write": written,
        "reasoning": (usage.get("output_tokens_details") or {}).get("thinking_tokens"),
    }
    for extra in usage.get("iterations") or []:  # billed, but not in the totals: compactions and advisors
        if extra["type"] in ("compaction", "advisor_message"):
            read, written = extra["cache_read_input_tokens"], extra["cache_creation_input_tokens"]
            numbers["input"] += extra["input_tokens"] + read + written
            numbers["output"] += extra["output_tokens"]
            numbers["cache_read"] += read
            numbers["cache_write"] += written
    return numbers


def _openai(provider: str, usage: dict[str, Any]) -> dict[str, Any]:
    def get(*names: str) -> Any:
        return next((usage[name] for name in names if usage.get(name) is not None), None)

    into, out = get("prompt_tokens_details", "input_tokens_details") or {}, get("completion_tokens_details", "output_tokens_details") or {}
    numbers = {
        "input": get("prompt_tokens", "input_tokens"),
        "output": get("completion_tokens", "output_tokens"),
        "cache_read": into.get("cached_tokens"),
        "cache_write": into.get("cache_write_tokens"),
        "reasoning": out.get("reasoning_tokens"),
    }
    if numbers["cache_read"] is None:
        numbers["cache_read"] = get("prompt_cache_hit_tokens", "num_cached_tokens", "cached_tokens", "cache_read_input_tokens")
    if numbers["cache_write"] is None:
        numbers["cache_write"] = usage.get("cache_creation_input_tokens")
    if numbers["reasoning"] is None:
        numbers["reasoning"] = usage.get("reasoning_tokens")
    if provider == "xai" and "completion_tokens" in usage:
        numbers["output"] += numbers["reasoning"] or 0
    if provider == "perplexity":
        more = (usage.get("reasoning_tokens") or 0) + (usage.get("citation_tokens") or 0)
        numbers["output"] = numbers["output"] + more if more else numbers["output"]
    if provider == "google":
        numbers["output"] = usage["total_tokens"] - usage["prompt_tokens"]
        numbers["reasoning"] = numbers["output"] - usage["completion_tokens"] or numbers["reasoning"]
    if provider == "mistral" and into.get("audio_tokens"):  # the totals show that the audio is not in prompt_tokens
        numbers["input"] += into["audio_tokens"]
    return numbers


# --- the calls


def split_path(record: Any) -> tuple[str, dict[str, str]]:
    """Path and query as recorded; of Azure's dated API the version belongs into the client's default query."""
    parts = urlsplit(record["path"])
    return parts.path, dict(parse_qsl(parts.query))


def client_for(record: Any, url: str, *, asynchronous: bool) -> Any:
    """The real client, pointed at this recording."""
    import anthropic
    import openai

    path, query = split_path(record)
    tail = ENDPOINTS[record["endpoint"]]
    base = url + path[: path.index(tail)]
    common: dict[str, Any] = {"api_key": "test", "base_url": base, "max_retries": 0, "timeout": 60}
    if record["endpoint"] == "messages":
        return (anthropic.AsyncAnthropic if asynchronous else anthropic.Anthropic)(**common)
    version = {key: value for key, value in query.items() if key == "api-version"}
    return (openai.AsyncOpenAI if asynchronous else openai.OpenAI)(**common, default_query=version)


def method_and_arguments(client: Any, record: Any) -> tuple[Any, dict[str, Any]]:
    """The SDK method that sends such a request, and its arguments; what this version does not know goes through ``extra_body``."""
    path, query = split_path(record)
    if record["endpoint"] == "messages":
        method = client.beta.messages.create if "beta" in query else client.messages.create
    elif record["method"] == "GET":
        stream = {"stream": True} if record["stream_format"] == "sse" else {}
        return client.responses.retrieve, {"response_id": path.rsplit("/", 1)[-1], **stream}
    else:
        resource = client.chat.completions if record["endpoint"] == "chat.completions" else getattr(client, record["endpoint"])
        method = resource.create
    # Some recordings lack the request; Azure names the model in the path.
    body = {**REQUIRED[record["endpoint"]], "model": record["model"] or "unknown", **json.loads(record.request_bytes or b"{}")}
    names = inspect.signature(inspect.unwrap(method)).parameters
    known = {key: value for key, value in body.items() if key in names}
    extra = {key: value for key, value in body.items() if key not in names}
    # The recording decides whether a stream comes back, the body only asks for it.
    known["stream"] = record["stream_format"] == "sse"
    if record["endpoint"] == "embeddings":
        del known["stream"]
    return method, {**known, **({"extra_body": extra} if extra else {})}


def send(record: Any, url: str) -> None:
    """One call, its stream read to the end."""
    with client_for(record, url, asynchronous=False) as client:
        method, arguments = method_and_arguments(client, record)
        result = method(**arguments)
        if record["stream_format"] == "sse":
            for _ in result:
                pass


async def send_async(record: Any, url: str) -> None:
    """The same with the asynchronous client."""
    async with client_for(record, url, asynchronous=True) as client:
        method, arguments = method_and_arguments(client, record)
        result = await method(**arguments)
        if record["stream_format"] == "sse":
            async for _ in result:
                pass


# --- the comparison


class Spans:
    """Spanledger, instrumenting this process with a ledger in memory; the spans of each call."""

    def __init__(self) -> None:
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

        import spanledger
        from spanledger import settings

        self.exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.state = tempfile.TemporaryDirectory(prefix="spanledger-corpus-")
        config = settings.load({"SPANLEDGER_LEDGER": "memory:", "SPANLEDGER_DEBUG": "true", "XDG_STATE_HOME": self.state.name})
        spanledger.instrument(config, tracer_provider=provider)

    def stop(self) -> None:
        """Takes everything out again."""
        import spanledger

        spanledger.uninstrument()
        self.state.cleanup()

    def take(self) -> list[dict[str, Any]]:
        """Attributes of our spans since the last time; a response that is fetched a second time is not counted, but told."""
        spans = [dict(span.attributes or {}) for span in self.exporter.get_finished_spans()]
        self.exporter.clear()
        return [attributes for attributes in spans if "spanledger.counted" in attributes and "spanledger.entry.id" in attributes]


def wanted(record: Any) -> bool:
    """Successful calls of the APIs that the adapters read."""
    if record["endpoint"] not in ENDPOINTS or not 200 <= record["status"] < 300:
        return False
    if record["method"] == "GET":
        return record["endpoint"] == "responses" and bool(re.search(r"/responses/[^/]+$", split_path(record)[0]))
    return record["method"] == "POST" and ENDPOINTS[record["endpoint"]] in record["path"]


def works_without_us(record: Any, url: str, *, asynchronous: bool) -> bool:
    """Whether the bare client can read this recording."""
    from opentelemetry.instrumentation.utils import suppress_instrumentation

    with suppress_instrumentation():
        try:
            asyncio.run(send_async(record, url)) if asynchronous else send(record, url)
        except Exception:  # whatever it is: the client cannot read it
            return False
    return True


def judge(record: Any, url: str, spans: Spans, *, asynchronous: bool) -> tuple[str, Any]:
    """One of the columns, and what to tell about it."""
    spans.take()
    try:
        asyncio.run(send_async(record, url)) if asynchronous else send(record, url)
    except Exception as error:
        if not works_without_us(record, url, asynchronous=asynchronous):
            return "client cannot parse", f"{type(error).__name__}: {error}"[:200]
        return "differs", f"only the instrumented client raised {error!r}"
    told = spans.take()
    want = expected(record["provider"], record["endpoint"], raw_usage(record))
    if len(told) != 1:
        return "differs", f"{len(told)} spans"
    if want is None:
        exact = told[0].get("spanledger.usage.state") == "exact"
        return ("differs", "no usage on the wire, but the span calls it exact") if exact else ("no usage recorded", "")
    got = {key: told[0][name] for key, name in NAMES.items() if name in told[0]}
    return ("equal", "") if got == want else ("differs", {"want": want, "got": got})


def run(
    corpus: Path, providers: set[str], *, asynchronous: bool = False, recorder: Any = None
) -> tuple[dict[Any, Counter[str]], list[Any]]:
    """Counts per (provider, endpoint, streaming), and what differs or cannot be parsed."""
    replay = load_replay(corpus)
    files = sorted(path for path in corpus.glob("*.jsonl.gz") if path.name.split(".")[0] in providers or "all" in providers)
    records = replay.Corpus.load([str(path) for path in files], wanted)
    table: dict[Any, Counter[str]] = defaultdict(Counter)
    notes = []
    spans = Spans()
    warnings.simplefilter("ignore", DeprecationWarning)
    with replay.ReplayServer(records) as server:
        for record in records:
            verdict, note = judge(record, server.url(record["id"]), spans, asynchronous=asynchronous)
            row = table[record["provider"], record["endpoint"], record["stream_format"] == "sse"]
            row["tried"] += 1
            row[verdict] += 1
            if note:
                notes.append((verdict, record["provider"], record["endpoint"], record["id"], note))
    spans.stop()
    return table, notes


def load_replay(corpus: Path) -> Any:
    """The replay server that belongs to the recordings: ``tools/replay.py`` beside them or further up."""
    path = next(parent / "tools" / "replay.py" for parent in corpus.resolve().parents if (parent / "tools" / "replay.py").is_file())
    spec = importlib.util.spec_from_file_location("corpus_replay", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def main() -> int:
    """Prints the table; exit status 1 if anything differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--providers", default="openai,azure-openai,anthropic", help="names of recordings, or all")
    parser.add_argument("--async", dest="asynchronous", action="store_true")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    table, notes = run(chosen.corpus, set(chosen.providers.split(",")), asynchronous=chosen.asynchronous)
    if chosen.json:
        rows = [{"provider": p, "endpoint": e, "streaming": s, **row} for (p, e, s), row in sorted(table.items())]
        print(json.dumps({"rows": rows, "notes": notes}, indent=1))
    else:
        print_table(table, notes)
    return 1 if any(row["differs"] for row in table.values()) else 0


def print_table(table: dict[Any, Counter[str]], notes: list[Any]) -> None:
    """As plain text."""
    print(f"{'provider':24}{'endpoint':18}{'stream':8}" + "".join(f"{column:>21}" for column in COLUMNS))
    for (provider, endpoint, streaming), row in sorted(table.items()):
        print(f"{provider:24}{endpoint:18}{'yes' if streaming else 'no':8}" + "".join(f"{row[column]:21}" for column in COLUMNS))
    total = sum(table.values(), Counter())
    print(f"{'':50}" + "".join(f"{total[column]:21}" for column in COLUMNS))
    for note in notes:
        print(*note, sep="  ")


if __name__ == "__main__":
    sys.exit(main())
