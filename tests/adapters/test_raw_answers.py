"""Answers that the application takes unparsed, in all the ways that servers write them: the books say the same as of a parsed one."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from typing import TYPE_CHECKING, Any

import openai
import pydantic
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHAT: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello there"}]}
PIECE = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-mini"}
EVENTS = [
    {**PIECE, "choices": [{"index": 0, "delta": {"content": "hello to you"}, "finish_reason": None}]},
    {**PIECE, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    {**PIECE, "choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}},
]
WHOLE = {
    **PIECE,
    "object": "chat.completion",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello to you"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8},
}
DEEP = b'{"a":' * 100_000 + b"1" + b"}" * 100_000


def sse(*, end: str = "\n", indent: int | None = None, between: str = "\n") -> bytes:
    """The events as a server may write them."""
    lines = [[f"data: {line}{end}" for line in json.dumps(event, indent=indent).split("\n")] for event in EVENTS]
    return "".join("".join(event) + between.replace("\n", end) for event in lines).encode() + f"data: [DONE]{end}{end}".encode()


WRITTEN = {
    "line feeds": (sse(), "text/event-stream"),
    "both": (sse(end="\r\n"), "text/event-stream"),
    "carriage returns": (sse(end="\r"), "text/event-stream"),
    "several lines each": (sse(indent=1), "text/event-stream"),
    "several lines each, both": (sse(indent=1, end="\r\n"), "text/event-stream"),
    "no empty lines": (sse(between=""), "text/event-stream"),
    "comments": (b": hi\n\n" + sse(between="\n: more to come\n\n"), "text/event-stream"),
    "no end": (sse().partition(b"data: [DONE]")[0].rstrip(b"\n"), "text/event-stream"),
    "an event nested too deep": (b"data: " + DEEP + b"\n\n" + sse(), "text/event-stream"),
    "a type in capitals": (sse(), "Text/Event-Stream; charset=UTF-8"),
    "no type": (sse(), ""),
    "the wrong type": (sse(), "application/json"),
}


@pytest.mark.parametrize("read", [lambda raw: raw.iter_lines(), lambda raw: raw.iter_bytes(), lambda raw: raw.iter_bytes(3)])
@pytest.mark.parametrize(("body", "kind"), WRITTEN.values(), ids=WRITTEN)
def test_events_are_read_as_the_standard_says(
    make_house: Any, loopback: Any, openai_client: Any, body: bytes, kind: str, read: Callable[[Any], Any]
) -> None:
    house = make_house()
    loopback.body, loopback.content_type = body, kind
    with openai_client.chat.completions.with_streaming_response.create(**CHAT, stream=True) as raw:
        seen = list(read(raw))
    assert seen
    (entry,) = house.entries
    assert (entry.usage.input, entry.usage.output, entry.usage.state.value, entry.error) == (5, 3, "exact", None)
    assert (entry.response_id, entry.response_model, entry.finish_reason) == ("c1", "gpt-4o-mini", "stop")


@pytest.mark.parametrize("body", [b"<html></html>", b"", b"null", DEEP, b'{"id": "\xff"}'], ids=["page", "empty", "null", "deep", "latin"])
def test_what_is_no_answer_is_no_error_of_ours(make_house: Any, loopback: Any, openai_client: Any, body: bytes) -> None:
    house = make_house()
    loopback.body, loopback.content_type = body, "text/html"
    openai_client.chat.completions.with_raw_response.create(**CHAT)
    (entry,) = house.entries
    assert (entry.usage.state.value, entry.error) == ("unknown", "invalid_response")


@pytest.fixture
def cut() -> Iterator[str]:
    """A provider whose connection breaks in the middle of the body."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            request = b""
            while not request.endswith(b"}"):  # what is left unread would reset the connection instead
                request += connection.recv(65536)
            connection.sendall(b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{"id": "c1"')

    threading.Thread(target=serve, daemon=True).start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    listener.close()


@pytest.mark.parametrize("how", ["read", "json", "parse", "text"])
def test_a_broken_connection_is_an_error_however_the_body_is_read(make_house: Any, cut: str, how: str) -> None:
    house = make_house()
    client = openai.OpenAI(api_key="k", base_url=cut, max_retries=0)
    with client, pytest.raises(Exception, match="closed"), client.chat.completions.with_streaming_response.create(**CHAT) as raw:
        getattr(raw, how)()
    told_error(house)


@pytest.mark.parametrize("how", ["read", "json", "parse", "text"])
def test_a_broken_connection_is_an_error_in_coroutines_too(make_house: Any, cut: str, how: str) -> None:
    async def ask() -> None:
        client = openai.AsyncOpenAI(api_key="k", base_url=cut, max_retries=0)
        async with client, client.chat.completions.with_streaming_response.create(**CHAT) as raw:
            await getattr(raw, how)()

    house = make_house()
    with pytest.raises(Exception, match="closed"):
        asyncio.run(ask())
    told_error(house)


def told_error(house: Any) -> None:
    (entry,) = house.entries
    assert entry.usage.state.value == "unknown"
    assert entry.error.endswith("RemoteProtocolError")
    (span,) = house.call_spans
    assert span.attributes["spanledger.outcome"] == "error"


def _create(client: Any) -> Any:
    with client.chat.completions.with_streaming_response.create(**CHAT) as raw:
        return raw.json()


def _read_stream(client: Any) -> Any:
    return list(client.chat.completions.create(**CHAT, stream=True))


@pytest.mark.parametrize("kind", ["text/html", "application/json"])
@pytest.mark.parametrize(("body", "read"), [(b"<html></html>", _create), (b"data: <html>\n\n", _read_stream)])
def test_a_body_that_is_no_json_is_an_error_of_its_reader(
    make_house: Any, loopback: Any, openai_client: Any, kind: str, body: bytes, read: Callable[[Any], Any]
) -> None:
    house = make_house(SPANLEDGER_BUDGET_DAY="1 USD per day")
    loopback.body, loopback.content_type = body, kind
    with pytest.raises(json.JSONDecodeError):
        read(openai_client)
    (entry,) = house.entries
    assert (entry.usage.state.value, entry.error) == ("unknown", "json.decoder.JSONDecodeError")
    assert entry.usage.output == 1024, "something came back, so it was sent, and stays booked as estimated"
    assert house.runtime.ledger.balances(0)[0].spent == entry.cost.nano_usd > 0


def test_so_it_is_in_coroutines(make_house: Any, loopback: Any) -> None:
    async def ask() -> None:
        client = openai.AsyncOpenAI(api_key="k", base_url=f"{loopback.url}/v1", max_retries=0)
        async with client, client.chat.completions.with_streaming_response.create(**CHAT) as raw:
            await raw.json()

    house = make_house()
    loopback.body, loopback.content_type = b"<html></html>", "text/html"
    with pytest.raises(json.JSONDecodeError):
        asyncio.run(ask())
    (entry,) = house.entries
    assert (entry.usage.output, entry.error) == (1024, "json.decoder.JSONDecodeError")


class City(pydantic.BaseModel):
    name: str


def test_an_answer_that_does_not_fit_has_told_its_usage(make_house: Any, loopback: Any, openai_client: Any) -> None:
    house = make_house()
    loopback.json(WHOLE)
    with (
        openai_client.beta.chat.completions.with_streaming_response.parse(**CHAT, response_format=City) as raw,
        pytest.raises(pydantic.ValidationError),
    ):
        raw.parse()
    (entry,) = house.entries
    assert (entry.usage.input, entry.usage.output, entry.usage.state.value) == (5, 3, "exact")
    assert entry.error.endswith("ValidationError")


@pytest.mark.parametrize("to", [{}, {"to": str}, {"to": dict[str, Any]}], ids=["declared", "str", "dict"])
def test_the_books_do_not_depend_on_what_it_is_parsed_into(make_house: Any, loopback: Any, openai_client: Any, to: dict[str, Any]) -> None:
    house = make_house()
    loopback.json(WHOLE)
    with openai_client.chat.completions.with_streaming_response.create(**CHAT) as raw:
        assert raw.parse(**to)
    (entry,) = house.entries
    assert (entry.usage.input, entry.usage.output, entry.usage.state.value, entry.error) == (5, 3, "exact", None)
    assert (entry.response_id, entry.finish_reason) == ("c1", "stop")
