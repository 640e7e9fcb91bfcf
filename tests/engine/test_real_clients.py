"""The matrix on the real clients: every shape they have, every way of leaving it, synchronous and asynchronous."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import anthropic
import openai
import pytest
from opentelemetry import context as otel_context

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Stalls(BaseHTTPRequestHandler):
    def do_POST(self) -> None:  # http.server's naming
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        self.wfile.write(START["messages" in self.path])
        self.server.over.wait()  # type: ignore[attr-defined]

    def log_message(self, *_: Any) -> None:
        """Tests are quiet."""


@pytest.fixture
def stalling() -> Iterator[str]:
    """A provider that sends the beginning of a stream and then nothing."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Stalls) as server:
        server.over = over = threading.Event()  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        over.set()
        server.shutdown()


def _chunk(text: str) -> bytes:
    return (
        b'data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"gpt-4o-mini","choices":[{"index":0,"delta":{"content":"%s"},"finish_reason":null}]}\n\n'
        % text.encode()
    )


START = {
    False: _chunk("Hello, this is ") + _chunk("only the beginning"),
    True: b"event: message_start\n"
    b'data: {"type":"message_start","message":{"id":"m1","type":"message","role":"assistant","content":[],"model":"claude-sonnet-5","stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":11,"cache_read_input_tokens":32,"output_tokens":1}}}\n\n'
    b'event: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}\n\n'
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello, this is only the beginning"}}\n\n',
}

CHAT = {"messages": [{"role": "user", "content": "Write a long story about the sea."}], "max_tokens": 200}
MESSAGES = {"messages": [{"role": "user", "content": "Write a long story about the sea."}], "max_tokens": 200}


class LeftError(Exception):
    """The application's own."""


class Sync:
    """The shapes of the synchronous clients."""

    def __init__(self, url: str, model: str, **options: Any) -> None:
        self.openai = openai.OpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0, **options)
        self.anthropic = anthropic.Anthropic(base_url=url, api_key="k", max_retries=0, **options)
        self.chat, self.messages = (
            {"model": f"gpt-4o-mini+{model}" if model else "gpt-4o-mini", **CHAT},
            {"model": f"claude-sonnet-5+{model}" if model else "claude-sonnet-5", **MESSAGES},
        )

    def openai_create(self) -> Any:
        return self.openai.chat.completions.create(**self.chat)

    def openai_raw(self) -> Any:
        return self.openai.chat.completions.with_raw_response.create(**self.chat).parse()

    def openai_responses(self) -> Any:
        return self.openai.responses.create(model=self.chat["model"], input="hello")

    def openai_embeddings(self) -> Any:
        return self.openai.embeddings.create(model=self.chat["model"], input="hello")

    def anthropic_create(self) -> Any:
        return self.anthropic.messages.create(**self.messages)

    def anthropic_raw(self) -> Any:
        return self.anthropic.messages.with_raw_response.create(**self.messages).parse()

    # streams: each a context manager giving an iterable

    def openai_stream(self) -> Any:
        return self.openai.chat.completions.create(stream=True, stream_options={"include_usage": True}, **self.chat)

    def openai_raw_stream(self) -> Any:
        return self.openai.chat.completions.with_raw_response.create(
            stream=True, stream_options={"include_usage": True}, **self.chat
        ).parse()

    def openai_manager(self) -> Any:
        completions = self.openai.chat.completions
        if not hasattr(completions, "stream"):  # older clients have it under beta alone
            completions = self.openai.beta.chat.completions
        return completions.stream(stream_options={"include_usage": True}, **self.chat)

    def openai_responses_manager(self) -> Any:
        return self.openai.responses.stream(model=self.chat["model"], input="Write a long story about the sea.")

    def openai_responses_stream(self) -> Any:
        return self.openai.responses.create(model=self.chat["model"], input="Write a long story about the sea.", stream=True)

    def anthropic_stream(self) -> Any:
        return self.anthropic.messages.create(stream=True, **self.messages)

    def anthropic_raw_stream(self) -> Any:
        return self.anthropic.messages.with_raw_response.create(stream=True, **self.messages).parse()

    def anthropic_manager(self) -> Any:
        return self.anthropic.messages.stream(**self.messages)


class Async(Sync):
    """The same on the asynchronous clients."""

    def __init__(self, url: str, model: str, **options: Any) -> None:
        super().__init__(url, model, **options)
        self.openai = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0, **options)
        self.anthropic = anthropic.AsyncAnthropic(base_url=url, api_key="k", max_retries=0, **options)

    async def openai_raw(self) -> Any:
        return (await self.openai.chat.completions.with_raw_response.create(**self.chat)).parse()

    async def anthropic_raw(self) -> Any:
        parsed = (await self.anthropic.messages.with_raw_response.create(**self.messages)).parse()
        return await parsed if hasattr(parsed, "__await__") else parsed

    async def openai_raw_stream(self) -> Any:
        return (
            await self.openai.chat.completions.with_raw_response.create(stream=True, stream_options={"include_usage": True}, **self.chat)
        ).parse()

    async def anthropic_raw_stream(self) -> Any:
        parsed = (await self.anthropic.messages.with_raw_response.create(stream=True, **self.messages)).parse()
        return await parsed if hasattr(parsed, "__await__") else parsed


PLAIN = [name for name in vars(Sync) if name.endswith(("_create", "_raw", "_responses", "_embeddings"))]
STREAMS = [name for name in vars(Sync) if name.endswith(("_stream", "_manager"))]
ENDINGS = ("ok", "error_before", "cut", "body_error", "break", "gc")
BEHAVIOUR = {"error_before": "error-500", "cut": "cut"}


def _leave(ending: str, seen: int) -> bool:
    """After how many events the application goes, and whether with an error."""
    if seen < 6:
        return False
    if ending == "body_error":
        raise LeftError
    return ending in ("break", "gc")


def _read(opened: Any, ending: str) -> None:
    if ending == "gc" and not hasattr(opened, "__next__"):
        opened = opened.__enter__()
    if ending == "gc":
        for seen, _ in enumerate(opened):
            if _leave(ending, seen):
                return
    with opened as stream:
        for seen, _ in enumerate(stream):
            if _leave(ending, seen):
                break


async def _aread(opened: Any, ending: str) -> None:
    if hasattr(opened, "__await__"):
        opened = await opened
    if ending == "gc":
        stream = opened if hasattr(opened, "__anext__") else await opened.__aenter__()
        seen = 0
        async for _ in stream:
            seen += 1
            if _leave(ending, seen):
                return
    async with opened as stream:
        seen = 0
        async for _ in stream:
            seen += 1
            if _leave(ending, seen):
                break


def _check(house: Any, ending: str, *, failed: bool) -> Any:
    assert otel_context.get_current() == {}, "a context stayed attached"
    (entry,) = house.entries
    spans = [span for span in house.call_spans if span.attributes.get("spanledger.entry.id") == entry.id]
    assert len(spans) == 1
    assert spans[0].attributes["spanledger.usage.state"] == entry.usage.state.value
    state = {"ok": "exact", "error_before": "unknown"}.get(ending, "estimated")
    assert entry.usage.state.value == state, (ending, entry)
    assert (entry.error is not None) == failed, entry.error
    if state == "exact":
        assert entry.usage.input > 0
    elif state == "estimated":
        assert entry.usage.input > 0
        assert entry.usage.output > 0
    assert house.runtime.open_calls == {}
    assert house.runtime.ledger.open_leases() == 0
    return entry


FAILS = {"error_before": Exception, "body_error": LeftError}


@pytest.mark.parametrize("ending", ["ok", "error_before"])
@pytest.mark.parametrize("shape", PLAIN)
def test_plain(make_house: Any, provider: Any, shape: str, ending: str) -> None:
    house = make_house()
    with pytest.raises(FAILS[ending]) if ending in FAILS else contextlib.nullcontext():
        getattr(Sync(provider.url, BEHAVIOUR.get(ending, "")), shape)()
    _check(house, ending, failed=ending == "error_before")


@pytest.mark.parametrize("ending", ["ok", "error_before", "cancel", "timeout"])
@pytest.mark.parametrize("shape", PLAIN)
def test_plain_async(make_house: Any, provider: Any, shape: str, ending: str) -> None:
    house = make_house()

    async def main() -> None:
        client = Async(
            provider.url,
            {"cancel": "slow-5", "timeout": "slow-5", **BEHAVIOUR}.get(ending, ""),
            **({"timeout": 0.2} if ending == "timeout" else {}),
        )
        if ending == "cancel":
            await asyncio.wait_for(getattr(client, shape)(), 0.2)
        await getattr(client, shape)()

    expected: Any = {"cancel": TimeoutError, "timeout": (openai.APITimeoutError, anthropic.APITimeoutError), **FAILS}.get(ending)
    with pytest.raises(expected) if expected else contextlib.nullcontext():
        asyncio.run(main())
    _check(house, "error_before" if ending in ("cancel", "timeout") else ending, failed=ending != "ok")


def _may_raise(ending: str) -> Any:
    if ending in FAILS:
        return pytest.raises(FAILS[ending])
    return contextlib.suppress(Exception) if ending == "cut" else contextlib.nullcontext()


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("shape", STREAMS)
def test_streams(make_house: Any, provider: Any, shape: str, ending: str) -> None:
    house = make_house()
    with _may_raise(ending):
        _read(getattr(Sync(provider.url, BEHAVIOUR.get(ending, "")), shape)(), ending)
    entry = _check(house, ending, failed=ending in ("error_before", "cut"))
    assert (entry.time_to_first_chunk is None) == (ending == "error_before")


@pytest.mark.parametrize("ending", [*ENDINGS, "cancel"])
@pytest.mark.parametrize("shape", STREAMS)
def test_streams_async(make_house: Any, provider: Any, stalling: str, shape: str, ending: str, caplog: Any) -> None:
    if ending == "cancel" and "responses" in shape:
        pytest.skip("the stalling provider speaks chat completions and messages only")
    house = make_house()

    async def main() -> None:
        client = Async(stalling if ending == "cancel" else provider.url, BEHAVIOUR.get(ending, ""))
        if ending == "cancel":
            await asyncio.wait_for(_aread(getattr(client, shape)(), ending), 0.5)
        await _aread(getattr(client, shape)(), ending)

    with pytest.raises(TimeoutError) if ending == "cancel" else _may_raise(ending):
        asyncio.run(main())
    _check(house, ending, failed=ending in ("error_before", "cut", "cancel"))
    assert "detach" not in caplog.text


@pytest.mark.parametrize("shape", [name for name in STREAMS if "responses" not in name])
def test_read_timeout_in_the_middle(make_house: Any, stalling: str, shape: str) -> None:
    house = make_house()
    with pytest.raises(Exception, match=r"(?i)time"):
        _read(getattr(Sync(stalling, "", timeout=0.3), shape)(), "ok")
    entry = _check(house, "cut", failed=True)
    if "anthropic" in shape:
        assert (entry.usage.input, entry.usage.cache_read) == (43, 32), "what message_start told is exact"


def test_helpers_that_read_past_a_proxy(make_house: Any, provider: Any) -> None:
    house = make_house()
    client = Sync(provider.url, "")
    with client.anthropic_manager() as stream:
        text = "".join(stream.text_stream)
    with client.anthropic_manager() as stream:
        message = stream.get_final_message()
    with client.openai_manager() as stream:
        completion = stream.get_final_completion()
    assert text
    first, second, third = house.entries
    assert (second.usage.input, second.usage.output) == (message.usage.input_tokens, message.usage.output_tokens)
    assert (first.usage.input, first.usage.output) == (second.usage.input, second.usage.output)
    assert (third.usage.input, third.usage.output) == (completion.usage.prompt_tokens, completion.usage.completion_tokens)
    assert {entry.usage.state.value for entry in house.entries} == {"exact"}


def test_streaming_response_read_as_bytes(make_house: Any, provider: Any) -> None:
    house = make_house()
    client = Sync(provider.url, "")
    with client.openai.chat.completions.with_streaming_response.create(**client.chat) as response:
        told = response.json()["usage"]
    with client.openai.chat.completions.with_streaming_response.create(**client.chat) as response:
        list(response.iter_bytes())
    with client.openai.chat.completions.with_streaming_response.create(
        stream=True, stream_options={"include_usage": True}, **client.chat
    ) as response:
        list(response.iter_lines())
    with client.anthropic.messages.with_streaming_response.create(stream=True, **client.messages) as response:
        list(response.parse())
    assert [(e.usage.input, e.usage.output) for e in house.entries[:3]] == [(told["prompt_tokens"], told["completion_tokens"])] * 3
    assert [e.usage.state.value for e in house.entries] == ["exact"] * 4


def test_usage_chunk_asked_for_is_hidden(make_house: Any, provider: Any) -> None:
    client = Sync(provider.url, "")
    plain = [chunk.model_dump() for chunk in client.openai.chat.completions.create(stream=True, **client.chat)]
    house = make_house(SPANLEDGER_STREAM_USAGE="true")
    seen = [chunk.model_dump() for chunk in client.openai.chat.completions.create(stream=True, **client.chat)]
    assert [c["choices"] for c in seen] == [c["choices"] for c in plain]
    (entry,) = house.entries
    assert entry.usage.state.value == "exact"
    asked = client.openai.chat.completions.create(stream=True, stream_options={"include_usage": True}, **client.chat)
    assert list(asked)[-1].usage is not None, "who asked for usage gets it"


def test_stream_without_usage_is_estimated_never_dropped(make_house: Any, provider: Any) -> None:
    house = make_house()
    client = Sync(provider.url, "")
    text = "".join(c.choices[0].delta.content or "" for c in client.openai.chat.completions.create(stream=True, **client.chat) if c.choices)
    (entry,) = house.entries
    assert entry.usage.state.value == "estimated"
    assert entry.usage.output >= len(text) // 12
    assert house.call_spans[0].attributes["spanledger.usage.state"] == "estimated"


def test_anthropic_tracing_itself_is_in_the_books_once(make_house: Any, provider: Any) -> None:
    house = make_house()
    client = anthropic.Anthropic(base_url=provider.url, api_key="k", max_retries=0)
    if not hasattr(client, "_open_telemetry"):
        pytest.skip("this version of anthropic does not trace itself")
    client._lazy_tracer = house.tracer_provider.get_tracer("com.anthropic.sdk.python")  # the global provider is not the test's
    client.messages.create(model="claude-sonnet-5", **MESSAGES)
    spans = house.spans
    native = [span for span in spans if span.instrumentation_scope.name == "com.anthropic.sdk.python"]
    assert native, "anthropic made no span of its own"
    assert len(house.entries) == 1
    with_tokens = [span for span in spans if "gen_ai.usage.input_tokens" in span.attributes]
    assert [span.instrumentation_scope.name for span in with_tokens] == ["spanledger"]
    assert native[0].attributes["spanledger.counted"] is False


def test_a_response_fetched_again_is_in_the_books_once(make_house: Any, provider: Any) -> None:
    house = make_house()
    client = Sync(provider.url, "").openai
    created = client.responses.create(model="gpt-4o-mini", input="hello")
    reader = next(t.reader for t in _openai_targets() if t.name == "Responses.retrieve")

    class Stored:
        """The local provider stores nothing, so the fetch is made by a function that hands out what was created."""

        def retrieve(self, response_id: str) -> Any:
            return created

    from spanledger.engine import drive
    from spanledger.engine.adapter import Target

    fetch = drive.wrap(Stored.retrieve, "openai", Target("", "Responses.retrieve", reader))
    fetch(client.responses, created.id)
    fetch(client.responses, created.id)
    assert len(house.entries) == 1
    counted = [span.attributes["spanledger.counted"] for span in house.call_spans]
    assert counted == [True, False, False]
    assert "spanledger.cost.nano_usd" not in house.call_spans[1].attributes


def _openai_targets() -> Any:
    from spanledger.adapters import load

    return load("openai").targets
