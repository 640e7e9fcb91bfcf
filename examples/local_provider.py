"""A model provider on the loopback interface, speaking OpenAI's and Anthropic's wire formats. Standard library only.

    python examples/local_provider.py --port 8099           # prints its address and serves until stopped

    with LocalProvider() as provider:                        # in a test: a free port, a thread of its own
        client = OpenAI(base_url=f"{provider.url}/v1", api_key="local")
        ...
        assert len(provider.requests) == 1

Point the clients at it with ``OPENAI_BASE_URL=<url>/v1`` and ``ANTHROPIC_BASE_URL=<url>``. What it answers, and how it counts, is
written in ``wire_formats.py``. It is asked to misbehave by the header ``x-behaviour`` or by the model's name, words joined by ``+``:

    error-500     that HTTP status (400 to 599), with an error in the API's own form
    rate-limit    429 with ``retry-after: 0``
    flaky         the first request with these words fails with 500, the next one succeeds, and so on
    slow-0.5      half a second before the answer (``slow``: one second), and between the events of a stream a tenth of it
    cut           the connection is closed in the middle of the answer
    nonsense      200, and a body that is no JSON
    no-usage      an answer (not a stream) that does not say what it used

Every request is kept in ``requests`` when it arrives: ``{"path", "headers", "body"}``, credentials left out.
"""

from __future__ import annotations

import argparse
import json
import re
import socket
import sys
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import wire_formats as wire

if TYPE_CHECKING:
    from collections.abc import Iterator

_SECRET_HEADERS = {"authorization", "x-api-key"}
_BEHAVIOUR = re.compile(r"error-\d{3}|rate-limit|flaky|slow(-[\d.]+)?|cut|nonsense|no-usage")


class LocalProvider:
    """The server; use it as a context manager.

    Attributes:
        url: its address, without ``/v1``.
        requests: what was asked of it so far, oldest first.
    """

    def __init__(self, port: int = 0) -> None:
        self.requests: list[dict[str, Any]] = []
        self.model = wire.Model()
        self._failed: set[str] = set()
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.provider = self
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def serve(self) -> None:
        """Serves until ``close`` is called from another thread."""
        self._server.serve_forever(poll_interval=0.02)

    def close(self) -> None:
        """Stops serving and frees the port."""
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> LocalProvider:
        threading.Thread(target=self.serve, name="local-provider", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def log(self, path: str, headers: dict[str, str], body: dict[str, Any]) -> None:
        """Keeps a request for proofs."""
        shown = {name.lower(): value for name, value in headers.items() if name.lower() not in _SECRET_HEADERS}
        with self._lock:
            self.requests.append({"path": path, "headers": shown, "body": body})

    def fails_now(self, words: str) -> bool:
        """True for every odd request with these words: what ``flaky`` means."""
        with self._lock:
            first = words not in self._failed
            (self._failed.add if first else self._failed.discard)(words)
            return first

    def answer(self, path: str, body: dict[str, Any]) -> tuple[dict[str, Any], Iterator[wire.Event] | None]:
        """The whole answer, and its events if the request asked for a stream. Raises KeyError for an unknown path."""
        stream = bool(body.get("stream"))
        if path == "/v1/chat/completions":
            limit = body.get("max_completion_tokens") or body.get("max_tokens")
            answer = self.model.answer("chatcmpl-", body, body["messages"], limit)
            usage = bool((body.get("stream_options") or {}).get("include_usage"))
            return wire.chat(answer), wire.chat_events(answer, usage=usage) if stream else None
        if path == "/v1/responses":
            answer = self.model.answer("resp_", body, body["input"], body.get("max_output_tokens"))
            return wire.response(answer), wire.response_events(answer) if stream else None
        if path == "/v1/messages":
            answer = self.model.answer("msg_", body, body["messages"], body["max_tokens"])
            return wire.message(answer), wire.message_events(answer) if stream else None
        if path == "/v1/completions":
            return wire.completion(self.model.answer("cmpl-", body, body["prompt"], body.get("max_tokens"))), None
        if path == "/v1/embeddings":
            inputs = body["input"] if isinstance(body["input"], list) else [body["input"]]
            return wire.embeddings(body["model"], inputs), None
        raise KeyError(path)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256  # the default of 5 turns clients away that come all at once
    provider: LocalProvider

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up has read enough; anything else is a mistake of ours and shown."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each small write waits 40 ms for a delayed acknowledgement
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class names it so
        """Silent: requests are in ``LocalProvider.requests``."""

    def do_POST(self) -> None:  # the base class names it so
        path = self.path.partition("?")[0]
        raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        try:
            body = json.loads(raw)
        except ValueError:
            return self._error(path, 400, "the body is not JSON")
        self.server.provider.log(path, dict(self.headers), body)
        words = self._behaviour(body)
        pause = _pause(words)
        time.sleep(pause)
        if status := self._failure(words):
            return self._error(path, status, f"asked to fail with {status}")
        if "nonsense" in words:
            return self._send(200, b"<html>this is no JSON {")
        try:
            whole, events = self.server.provider.answer(path, body)
        except KeyError as missing:
            status = 404 if missing.args == (path,) else 400
            return self._error(path, status, f"missing or unknown: {missing}")
        if "no-usage" in words:
            whole.pop("usage", None)
        if events is not None:
            return self._stream(path, events, pause / 10, cut="cut" in words)
        return self._send(200, json.dumps(whole).encode(), cut="cut" in words)

    def _behaviour(self, body: dict[str, Any]) -> list[str]:
        wanted = self.headers.get("x-behaviour") or str(body.get("model", ""))
        return [word for word in wanted.split("+") if _BEHAVIOUR.fullmatch(word)]

    def _failure(self, words: list[str]) -> int | None:
        if "flaky" in words and self.server.provider.fails_now("+".join(words)):
            return 500
        if "rate-limit" in words:
            return 429
        return next((int(word.removeprefix("error-")) for word in words if word.startswith("error-")), None)

    def _error(self, path: str, status: int, text: str) -> None:
        kind = {429: "rate_limit_error", 400: "invalid_request_error", 404: "not_found_error"}.get(status, "api_error")
        error: dict[str, Any] = {"type": kind, "message": text}
        if path == "/v1/messages":
            body = {"type": "error", "error": error, "request_id": "req_local"}
        else:
            body = {"error": {**error, "param": None, "code": kind}}
        self._send(status, json.dumps(body).encode())

    def _send(self, status: int, body: bytes, *, cut: bool = False) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.send_header("x-request-id", "req_local")
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            self.send_header("retry-after", "0")
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        if cut:
            self._hang_up()

    def _stream(self, path: str, events: Iterator[wire.Event], pause: float, *, cut: bool) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for number, (name, data) in enumerate(events):
            if cut and number == 5:  # after the first words of the answer, in every wire format
                return self._hang_up()
            self._chunk(f"event: {name}\n" if name else "", json.dumps(data))
            time.sleep(pause)
        if path == "/v1/chat/completions":
            self._chunk("", "[DONE]")
        self.wfile.write(b"0\r\n\r\n")
        return None

    def _chunk(self, event: str, data: str) -> None:
        text = f"{event}data: {data}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(text), text))
        self.wfile.flush()

    def _hang_up(self) -> None:
        self.close_connection = True
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)


def _pause(words: list[str]) -> float:
    slow = next((word for word in words if word.startswith("slow")), None)
    return 0.0 if slow is None else float(slow.removeprefix("slow").removeprefix("-") or 1.0)


def main() -> None:
    """Serves until interrupted."""
    parser = argparse.ArgumentParser(description="A model provider on the loopback interface.")
    parser.add_argument("--port", type=int, default=0, help="port to listen on; default: a free one")
    provider = LocalProvider(parser.parse_args().port)
    print(provider.url, flush=True)
    try:
        provider.serve()
    except KeyboardInterrupt:
        print("stopped", flush=True)


if __name__ == "__main__":
    main()
