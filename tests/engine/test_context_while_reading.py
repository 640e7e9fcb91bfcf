"""Whose context is in force while a stream is read: the application's, or the call's where the reading may do more than decode."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import context as otel_context

import spanledger
from spanledger.engine.call import library_in_call

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

SHAPES = ("iterated", "by_next", "asynchronous")


class _Wrapped:
    """As another instrumentation wraps a library's stream: it makes a span of its own for each event."""

    def __init__(self, stream: Any, span: Callable[[], Any]) -> None:
        self._stream, self._span = stream, span

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        with self._span():
            return self._stream.__next__()


class _AsyncWrapped:
    def __init__(self, stream: Any, span: Callable[[], Any]) -> None:
        self._stream, self._span = stream, span

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        with self._span():
            return await self._stream.__anext__()


def _wrap_streams(client: Any, span: Callable[[], Any]) -> None:
    plain, coroutine = client.stream, client.coroutine_stream

    async def coroutine_stream(self: Any, **arguments: Any) -> Any:
        return _AsyncWrapped(await coroutine(self, **arguments), span)

    client.stream = lambda self, **arguments: _Wrapped(plain(self, **arguments), span)
    client.coroutine_stream = coroutine_stream


def _read(shape: str, client: Any, seen: Callable[[], None]) -> None:
    if shape == "asynchronous":
        asyncio.run(_read_async(client, seen))
        return
    stream = client.stream(kind="stream")
    if shape == "iterated":
        for _ in stream:
            seen()
        return
    while next(stream, None) is not None:
        seen()


async def _read_async(client: Any, seen: Callable[[], None]) -> None:
    async for _ in await client.coroutine_stream(kind="stream"):
        seen()


def _note_calls(chunk: Any) -> list[str | None]:
    """Which library's call is being driven, as each chunk is made."""
    noted: list[str | None] = []
    made = chunk.__init__

    def note(self: Any, *args: Any) -> None:
        noted.append(library_in_call())
        made(self, *args)

    chunk.__init__ = note
    return noted


@pytest.mark.parametrize("shape", SHAPES)
def test_the_library_s_own_stream_is_read_in_the_application_s_context(shape: str, make_house: Any, fake: Any) -> None:
    noted = _note_calls(fake.module.Chunk)
    house = make_house(fake.adapter)
    contexts: list[Any] = []
    with spanledger.scope(customer="acme"):
        outside = otel_context.get_current()
        _read(shape, fake.module.Client(), lambda: contexts.append(otel_context.get_current()))
    assert noted == [None] * 4
    assert contexts == [outside] * 4
    assert [(entry.usage.state.value, dict(entry.keys)) for entry in house.entries] == [("exact", {"customer": "acme"})]


@pytest.mark.parametrize("shape", SHAPES)
def test_what_another_s_stream_does_while_it_is_read_belongs_to_the_call(shape: str, make_house: Any, fake: Any) -> None:
    noted = _note_calls(fake.module.Chunk)
    _wrap_streams(fake.module.Client, lambda: house.tracer_provider.get_tracer("another").start_as_current_span("event"))
    house = make_house(fake.adapter)
    between: list[Any] = []
    _read(shape, fake.module.Client(), lambda: between.append(otel_context.get_current()))
    (call,) = house.call_spans
    events = [span.parent.span_id for span in house.spans if span.name == "event"]
    assert noted == ["fakelib"] * 4
    assert between == [{}] * 4, "the application's own"
    assert events == [call.context.span_id] * 5, "four chunks and the end"


def test_a_generator_that_calls_the_library_when_it_is_read_is_one_call_with_it(make_house: Any, fake: Any) -> None:
    def send_late(client: Any) -> Iterator[Any]:
        yield client.plain()

    fake.module.Client.generator_object = lambda client, **_: send_late(client)
    house = make_house(fake.adapter)
    assert [chunk.usage for chunk in fake.module.Client().generator_object(kind="stream")] == [(7, 5)]
    assert [entry.usage.state.value for entry in house.entries] == ["exact"]


class _Entering(_Wrapped):
    """As wrappers do that keep a context in force from the making of the stream to its end."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream, nullcontext)
        self._token = otel_context.attach(otel_context.set_value("theirs", 1))

    def __next__(self) -> Any:
        try:
            return super().__next__()
        except StopIteration:
            otel_context.detach(self._token)
            raise


def test_a_wrapper_may_leave_at_the_end_of_the_stream_what_it_entered_at_its_beginning(
    make_house: Any, fake: Any, caplog: pytest.LogCaptureFixture
) -> None:
    plain = fake.module.Client.stream
    fake.module.Client.stream = lambda self, **arguments: _Entering(plain(self, **arguments))
    house = make_house(fake.adapter)
    assert len(list(fake.module.Client().stream(kind="stream"))) == 4
    assert otel_context.get_current() == {}
    assert [record for record in caplog.records if "detach" in record.getMessage()] == []
    assert len(house.entries) == 1
