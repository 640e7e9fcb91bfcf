"""What the application gets instead of a stream is, to whoever asks, the library's own object."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Container, Iterable, Iterator, Sized
from typing import Any

import anthropic
import openai
import pytest

from spanledger import install

CHAT: Any = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Write a long story about the sea."}], "max_tokens": 50}
PROTOCOLS = (Iterable, Iterator, Sized, Container, AsyncIterator)


def _looks(thing: Any) -> dict[str, bool]:
    names = (
        "__iter__",
        "__next__",
        "__aiter__",
        "__anext__",
        "__len__",
        "__getitem__",
        "__int__",
        "__call__",
        "__enter__",
        "__aenter__",
        "__await__",
    )
    return {**{name: hasattr(type(thing), name) for name in names}, **{kind.__name__: isinstance(thing, kind) for kind in PROTOCOLS}}


def _openai(provider: Any) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{provider.url}/v1", api_key="k", max_retries=0)


def test_a_stream_has_the_protocols_of_the_library_s(make_house: Any, provider: Any) -> None:
    plain = _openai(provider).chat.completions.create(stream=True, **CHAT)
    make_house()
    ours = _openai(provider).chat.completions.create(stream=True, **CHAT)
    assert isinstance(ours, openai.Stream)
    assert _looks(ours) == _looks(plain)
    assert ours.response.status_code == 200
    assert ours == ours  # it is what is tested
    assert len({ours}) == 1
    assert set(dir(plain)) <= set(dir(ours))
    ours.note = "kept by the library's object"
    assert ours.__wrapped__.note == ours.note
    del ours.note
    assert not hasattr(ours, "note")
    ours.close()
    plain.close()


def test_an_asynchronous_stream_is_not_iterable(make_house: Any, provider: Any) -> None:
    async def main() -> None:
        async with anthropic.AsyncAnthropic(base_url=provider.url, api_key="k", max_retries=0) as client:
            messages: Any = {**CHAT, "model": "claude-sonnet-5"}
            stream = await client.messages.create(stream=True, **messages)
            assert not isinstance(stream, Iterable)
            assert not hasattr(stream, "__iter__")
            await stream.close()
            stream = await client.messages.create(stream=True, **messages)
            if hasattr(stream, "aclose"):  # as an application closes whatever it was given
                await stream.aclose()
            stream = await client.messages.create(stream=True, **messages)
            async with contextlib.aclosing(aiter(stream)) as events:
                assert [event.type async for event in events]
            manager = client.messages.stream(**messages)
            assert not hasattr(manager, "__enter__")
            async with manager as opened:
                await opened.until_done()

    house = make_house()
    asyncio.run(main())
    assert [entry.usage.state.value for entry in house.entries] == ["unknown", "unknown", "exact", "exact"]
    assert house.runtime.open_calls == {}


@pytest.mark.parametrize("failing_first", [False, True])
def test_a_manager_entered_again_is_another_call(make_house: Any, provider: Any, failing_first: bool) -> None:
    house = make_house()
    client = anthropic.Anthropic(base_url=provider.url, api_key="k", max_retries=0)
    manager = client.messages.stream(**{**CHAT, "model": "claude-sonnet-5+flaky" if failing_first else "claude-sonnet-5"})
    tokens = []
    for _ in range(3):
        with contextlib.suppress(anthropic.APIStatusError), manager as stream:
            tokens.append(stream.get_final_message().usage.output_tokens)
    assert len(tokens) == (1 if failing_first else 3)  # every other one fails
    assert [entry.usage.output for entry in house.entries if entry.error is None] == tokens
    assert len(house.entries) == 3
    assert house.runtime.open_calls == {}


def test_an_error_of_the_application_inside_a_manager_is_told_as_such(make_house: Any, provider: Any) -> None:
    house = make_house()
    client = anthropic.Anthropic(base_url=provider.url, api_key="k", max_retries=0)
    with contextlib.suppress(KeyError), client.messages.stream(**{**CHAT, "model": "claude-sonnet-5"}) as stream:
        next(iter(stream))
        raise KeyError
    (span,) = house.call_spans
    assert span.attributes["spanledger.outcome"] == "caller_error"


def test_a_raw_response_parsed_twice_gives_the_same_stream(make_house: Any, provider: Any) -> None:
    house = make_house(SPANLEDGER_STREAM_USAGE="true")
    raw = _openai(provider).chat.completions.with_raw_response.create(stream=True, **CHAT)
    raw.parse()
    chunks = list(raw.parse())
    assert all(chunk.choices for chunk in chunks), "the usage chunk that we asked for is hidden"
    (entry,) = house.entries
    assert entry.usage.state.value == "exact"


def test_lines_read_raw_are_what_the_application_asked_for(make_house: Any, provider: Any) -> None:
    house = make_house(SPANLEDGER_STREAM_USAGE="true")
    with _openai(provider).chat.completions.with_streaming_response.create(stream=True, **CHAT) as response:
        events = [json.loads(line[6:]) for line in response.iter_lines() if line.startswith("data: {")]
    assert all(event["choices"] for event in events)
    assert [entry.usage.state.value for entry in house.entries] == ["estimated"]


class _Both:
    """How other instrumentations wrap streams: one class for both kinds."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        return next(self.stream)

    def __aiter__(self) -> Any:
        return self

    async def __anext__(self) -> Any:
        return await self.stream.__anext__()


def test_streams_that_another_instrumentation_wraps_below_us(make_house: Any, provider: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from openai.resources.chat.completions import AsyncCompletions, Completions

    create, acreate = Completions.create, AsyncCompletions.create
    told = {"stream_options": {"include_usage": True}, "stream": True, **CHAT}

    async def another(self: Any, *args: Any, **kwargs: Any) -> Any:
        return _Both(await acreate(self, *args, **kwargs))

    monkeypatch.setattr(Completions, "create", lambda self, *args, **kwargs: _Both(create(self, *args, **kwargs)))
    monkeypatch.setattr(AsyncCompletions, "create", another)
    house = make_house()

    async def main() -> int:
        async with openai.AsyncOpenAI(base_url=f"{provider.url}/v1", api_key="k") as client:
            return len([chunk async for chunk in await client.chat.completions.create(**told)])

    read = len(list(_openai(provider).chat.completions.create(**told)))
    assert asyncio.run(main()) == read > 1
    first, second = house.entries
    assert first.usage == second.usage
    assert first.usage.state.value == "exact"


def test_what_we_asked_for_stays_hidden_when_we_leave(make_house: Any, provider: Any) -> None:
    make_house(SPANLEDGER_STREAM_USAGE="true")
    stream = _openai(provider).chat.completions.create(stream=True, **CHAT)
    chunks = [next(stream)]
    install.uninstrument()
    with contextlib.suppress(StopIteration):
        while True:
            chunks.append(next(stream))
    assert all(chunk.choices for chunk in chunks)
