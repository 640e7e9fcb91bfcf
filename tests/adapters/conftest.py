"""A loopback server that answers with what a test gives it, the real clients pointed at it, and the adapters' readers."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import anthropic
import openai
import pytest

from spanledger.adapters import load
from spanledger.engine.adapter import Wire
from spanledger.model import Response

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from spanledger.engine.adapter import Reader


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:  # http.server's naming
        loopback: Loopback = self.server.loopback  # type: ignore[attr-defined]
        length = int(self.headers.get("content-length") or 0)
        loopback.requests.append(json.loads(self.rfile.read(length) or b"null"))
        self.send_response(200)
        self.send_header("content-type", loopback.content_type)
        self.send_header("content-length", str(len(loopback.body)))
        self.end_headers()
        self.wfile.write(loopback.body)

    do_GET = do_POST  # noqa: N815

    def log_message(self, *_: Any) -> None:
        """Tests are quiet."""


class Loopback:
    """Answers every request with what was last given."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests: list[Any] = []
        self.body, self.content_type = b"", ""

    def json(self, value: Any) -> None:
        """Answer with a JSON document."""
        self.body, self.content_type = json.dumps(value).encode(), "application/json"

    def events(self, events: list[Any]) -> None:
        """Answer with server-sent events, named by their type as Anthropic does, and closed as OpenAI does."""
        named = [(f"event: {event['type']}\n" if "type" in event else "") + f"data: {json.dumps(event)}\n\n" for event in events]
        end = "" if any("type" in event for event in events) else "data: [DONE]\n\n"
        self.body, self.content_type = ("".join(named) + end).encode(), "text/event-stream"


@pytest.fixture(scope="session")
def _server() -> Iterator[Loopback]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.loopback = Loopback(f"http://127.0.0.1:{server.server_address[1]}")  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield server.loopback  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()


@pytest.fixture
def loopback(_server: Loopback) -> Loopback:
    _server.requests.clear()
    return _server


@pytest.fixture(scope="session")
def openai_client(_server: Loopback) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key="test", base_url=f"{_server.url}/v1", max_retries=0) as client:
        yield client


@pytest.fixture(scope="session")
def anthropic_client(_server: Loopback) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(api_key="test", base_url=_server.url, max_retries=0) as client:
        yield client


def _reader(library: str, name: str, *, module: str = "") -> Reader:
    adapter = load(library)
    return next(target.reader for target in adapter.targets if target.name == name and module in target.module)


@pytest.fixture(scope="session")
def reader() -> Callable[..., Reader]:
    """``reader("openai", "Completions.create", module="chat")``: the reader of a target."""
    return _reader


class Ask:
    """Sends an answer through the real client and reads it twice: as the SDK's objects and as plain JSON."""

    def __init__(self, loopback: Loopback, openai_client: openai.OpenAI, anthropic_client: anthropic.Anthropic) -> None:
        self.loopback, self.openai, self.anthropic = loopback, openai_client, anthropic_client

    def call(self, api: str, *, stream: bool) -> tuple[Reader, Any]:
        """The reader of an API, and what its client returns."""
        if api == "chat":
            create, more = self.openai.chat.completions.create, {"messages": []}
        elif api == "responses":
            create, more = self.openai.responses.create, {"input": "hi"}
        elif api == "completions":
            create, more = self.openai.completions.create, {"prompt": "hi"}
        elif api == "embeddings":
            return _reader("openai", "Embeddings.create"), self.openai.embeddings.create(model="m", input="hi")
        else:
            create, more = self.anthropic.messages.create, {"messages": [], "max_tokens": 5}
        names = {"chat": ("openai", "Completions.create", "chat"), "completions": ("openai", "Completions.create", "resources.completions"),
                 "responses": ("openai", "Responses.create", ""), "messages": ("anthropic", "Messages.create", "")}  # fmt: skip
        library, name, module = names[api]
        return _reader(library, name, module=module), create(model="m", stream=stream, **more)

    def whole(self, api: str, body: dict[str, Any], *, capture: bool = False) -> Response:
        """One answer. Fails if the two readings differ."""
        self.loopback.json(body)
        reader, result = self.call(api, stream=False)
        told, wire = Response(output=[] if capture else None), Response(output=[] if capture else None)
        reader.response(result, told)
        reader.response(Wire(json.loads(self.loopback.body)), wire)
        assert told == wire
        return told

    def stream(self, api: str, events: list[dict[str, Any]], *, capture: bool = False) -> tuple[Response, list[bool]]:
        """A stream, and which of its events are to be hidden from an application that did not ask for usage."""
        self.loopback.events(events)
        reader, result = self.call(api, stream=True)
        told, wire = Response(output=[] if capture else None), Response(output=[] if capture else None)
        hidden = [bool(reader.chunk(event, told)) for event in result]
        seen_by_sdk = [event for event in json.loads(json.dumps(events)) if event.get("type") != "ping"]
        assert hidden == [bool(reader.chunk(Wire(event), wire)) for event in seen_by_sdk]
        assert told == wire
        return told, hidden


@pytest.fixture
def ask(loopback: Loopback, openai_client: openai.OpenAI, anthropic_client: anthropic.Anthropic) -> Ask:
    return Ask(loopback, openai_client, anthropic_client)
