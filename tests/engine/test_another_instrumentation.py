"""Another instrumentation that was there first stands between the library and us: what it hands out stands for the library's objects."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import anthropic
import openai
import pytest
import wrapt
from anthropic.resources.messages.messages import AsyncMessages, Messages
from openai.resources.chat.completions import AsyncCompletions, Completions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

MESSAGES: Any = {"model": "claude-sonnet-5", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 50}
CHAT: Any = {
    "model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}], "stream": True, "stream_options": {"include_usage": True},
}  # fmt: skip
ObjectProxy: Any = wrapt.ObjectProxy


class Stream(ObjectProxy):
    """As openinference makes one: for both kinds of stream, and read in no way but ``for``."""

    def __iter__(self) -> Iterator[Any]:
        yield from self.__wrapped__

    async def __aiter__(self) -> AsyncIterator[Any]:
        async for event in self.__wrapped__:
            yield event


class Manager(ObjectProxy):
    """Of a synchronous manager; that ``wrapt.ObjectProxy`` has ``__aenter__`` says nothing."""

    def __enter__(self) -> Any:
        return self.__wrapped__.__enter__()


class Parsed:
    """As OpenTelemetry's own instrumentation of openai makes one: of a raw answer it is what ``parse`` gave, and says so."""

    def __init__(self, raw: Any) -> None:
        self._stream = raw.parse()

    def __iter__(self) -> Parsed:
        return self

    def __next__(self) -> Any:
        return next(self._stream)

    def __aiter__(self) -> Parsed:
        return self

    async def __anext__(self) -> Any:
        return await self._stream.__anext__()

    def parse(self) -> Parsed:
        return self


async def _parsed_async(wrapped: Any, _instance: Any, args: Any, kwargs: Any) -> Any:
    return Parsed(await wrapped(*args, **kwargs))


def _wrapper(stands_in: type[Any]) -> Any:
    return lambda wrapped, _instance, args, kwargs: stands_in(wrapped(*args, **kwargs))


async def _async_wrapper(wrapped: Any, _instance: Any, args: Any, kwargs: Any) -> Any:
    return Stream(await wrapped(*args, **kwargs))


@pytest.fixture(autouse=True)
def _first(monkeypatch: pytest.MonkeyPatch) -> None:
    for cls, name, wrapper in (
        (Messages, "create", _wrapper(Stream)),
        (Messages, "stream", _wrapper(Manager)),
        (AsyncMessages, "create", _async_wrapper),
        (AsyncMessages, "stream", _wrapper(Manager)),
        (Completions, "create", _wrapper(Parsed)),
        (AsyncCompletions, "create", _parsed_async),
    ):
        monkeypatch.setattr(cls, name, wrapt.FunctionWrapper(getattr(cls, name), wrapper))


def _check(house: Any, *said: int) -> None:
    assert [(entry.usage.state.value, entry.usage.output) for entry in house.entries] == [("exact", output) for output in said]
    assert house.runtime.open_calls == {}


def test_streams_are_read_and_managers_entered(make_house: Any, provider: Any) -> None:
    house = make_house()
    client = anthropic.Anthropic(base_url=provider.url, api_key="k", max_retries=0)
    stream = client.messages.create(stream=True, **MESSAGES)
    assert stream.__class__ is anthropic.Stream  # what isinstance asks; anthropic before 1.0 answers it in a way of its own
    assert [event.usage.output_tokens for event in stream if event.type == "message_delta"] == [19]
    with client.messages.stream(**MESSAGES) as opened:
        assert opened.get_final_message().usage.output_tokens == 19
    assert client.messages.create(**MESSAGES).usage.output_tokens == 19
    _check(house, 19, 19, 19)


def test_asynchronous_streams_are_read_and_managers_entered(make_house: Any, provider: Any) -> None:
    async def main() -> None:
        async with anthropic.AsyncAnthropic(base_url=provider.url, api_key="k", max_retries=0) as client:
            stream = await client.messages.create(stream=True, **MESSAGES)
            assert [event.usage.output_tokens async for event in stream if event.type == "message_delta"] == [19]
            async with client.messages.stream(**MESSAGES) as opened:
                assert (await opened.get_final_message()).usage.output_tokens == 19

    house = make_house()
    asyncio.run(main())
    _check(house, 19, 19)


def test_a_raw_answer_is_read(make_house: Any, provider: Any) -> None:
    house = make_house()
    client = anthropic.Anthropic(base_url=provider.url, api_key="k", max_retries=0)
    assert client.messages.with_raw_response.create(**MESSAGES).parse().usage.output_tokens == 19
    events = client.messages.with_raw_response.create(stream=True, **MESSAGES).parse()
    assert [event.usage.output_tokens for event in events if event.type == "message_delta"] == [19]
    _check(house, 19, 19)


def test_a_raw_answer_that_is_handed_out_as_its_stream_is_read(make_house: Any, provider: Any) -> None:
    house = make_house()
    client = openai.OpenAI(base_url=f"{provider.url}/v1", api_key="k", max_retries=0)
    chunks = client.chat.completions.with_raw_response.create(**CHAT).parse()
    told = [chunk.usage.completion_tokens for chunk in chunks if chunk.usage]
    assert len(told) == 1
    _check(house, *told)


def test_an_asynchronous_raw_answer_that_is_handed_out_as_its_stream_is_read(make_house: Any, provider: Any) -> None:
    async def main() -> list[int]:
        async with openai.AsyncOpenAI(base_url=f"{provider.url}/v1", api_key="k", max_retries=0) as client:
            raw: Any = await client.chat.completions.with_raw_response.create(**CHAT)
            return [chunk.usage.completion_tokens async for chunk in raw.parse() if chunk.usage]

    house = make_house()
    told = asyncio.run(main())
    assert len(told) == 1
    _check(house, *told)
