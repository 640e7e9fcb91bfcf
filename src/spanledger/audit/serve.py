"""The HTTP server behind Alertmanager's webhook: POST /alerts, GET /health.

On the loopback address everybody on this machine may send, but no web page that a browser on this machine shows: the content type has to
be JSON, which a page of another site may not send unasked, and the host has to be the loopback address, which keeps out pages whose name
was made to point here (DNS rebinding). On any other address a token is demanded.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import logging
import re
import socket
import socketserver
import sys
import threading
import traceback
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from spanledger.audit.receive import refused
from spanledger.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from spanledger.audit.receive import Answer, Receiver

log = logging.getLogger("spanledger")

TOKEN = "SPANLEDGER_AUDIT_TOKEN"  # noqa: S105  # a variable's name
MOST_BYTES = 1 << 20
"""Of one body; about two thousand alerts."""
DEADLINE = 10.0
"""Seconds that a whole request may take to arrive."""
_MOST_AT_ONCE = 32
_SKIPPED_AT_MOST = 16 * MOST_BYTES
_PIECE = 1 << 16
_LOOK_UP = 0.5
"""Seconds between the moments at which the main thread runs: only then Python handles a signal that another thread was given."""
_HOST = re.compile(r"(?:\[(?P<six>[0-9a-fA-F:.]+)\]|(?P<name>[0-9A-Za-z.\-]+))(?::[0-9]*)?")
"""A ``Host`` header (RFC 9110, section 7.2)."""


class AuditServer(ThreadingHTTPServer):
    """Answers each request in a thread of its own, so many at once at most; others are turned away, and Alertmanager comes again.

    Args:
        host: the address to listen on.
        port: the port; 0 takes a free one.
        receiver: what is done with a payload.
        token: what a request's ``Authorization: Bearer`` has to hold; needed if ``host`` is not the loopback address.
        deadline: seconds that a whole request may take to arrive.

    Raises:
        ConfigurationError: the token is missing, or nothing can listen there.
    """

    daemon_threads = False  # so that closing waits for requests under way
    request_queue_size = 128

    def __init__(self, host: str, port: int, receiver: Receiver, token: str | None, deadline: float = DEADLINE) -> None:
        if token is None and not _is_loopback(host):
            problem = f"is not set, but other machines can reach --host {host}"
            raise ConfigurationError(TOKEN, problem, "a long random text, such as `openssl rand -hex 32` prints, also set in Alertmanager")
        self.receiver, self.token, self.deadline = receiver, token, deadline
        self._host = host
        self._slots = threading.BoundedSemaphore(_MOST_AT_ONCE)
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), _Handler)
        except (OSError, OverflowError) as error:
            where = f"--host {host} --port {port}"
            raise ConfigurationError(where, f"cannot listen there: {error}", "an address of this machine and a free port") from error

    @property
    def url(self) -> str:
        """Where alerts are to be sent."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self.server_address[1]}/alerts"

    def server_bind(self) -> None:
        """Leaves out the look-up of this machine's name, which can take seconds."""
        socketserver.TCPServer.server_bind(self)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Starts the thread of one request."""
        if not self._slots.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:  # no thread could be started
            self._slots.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """What the thread does."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news; anything else is a bug of ours, told without its message: it may quote the request."""
        del request, client_address
        error = sys.exception()
        if error is not None and not isinstance(error, OSError):
            place = traceback.extract_tb(error.__traceback__)[-1]
            log.error("a request failed: %s in %s:%s", type(error).__name__, place.filename, place.lineno)


class _Refusal(Exception):  # noqa: N818  # the way out of a request, never seen outside of this module
    """Why a request is not even looked at."""

    def __init__(self, status: HTTPStatus, sentence: str) -> None:
        super().__init__(sentence)
        self.answer = refused(status, sentence)


class _Handler(BaseHTTPRequestHandler):
    """One request; the connection is closed after it."""

    server: AuditServer
    server_version, sys_version = "spanledger", ""

    def setup(self) -> None:
        """Ends the request's input when its time is up, however slowly it drips."""
        super().setup()
        self._timer = threading.Timer(self.server.deadline, self._end_input)
        self._timer.daemon = True
        self._timer.start()

    def finish(self) -> None:
        """The answer is out."""
        self._timer.cancel()
        super().finish()

    def do_GET(self) -> None:
        """Whether the server and its ledger are well."""
        self._answer("/health", lambda _: self.server.receiver.health())

    def do_POST(self) -> None:
        """Alerts."""
        self._answer("/alerts", self._receive)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the name is the base class's
        """Nothing: what is worth a line is logged where it is known."""

    def _answer(self, path: str, work: Callable[[bytes], Answer]) -> None:
        try:
            payload = self._payload()  # before anything is refused: closing a connection with unread input can destroy the answer
            if self.path.partition("?")[0] != path:
                raise _Refusal(HTTPStatus.NOT_FOUND, "there is nothing here; expected POST /alerts or GET /health")
            answer = work(payload)
        except _Refusal as refusal:
            log.warning("refused a request from %s: %s", self.client_address[0], refusal)
            answer = refusal.answer
        self._send(answer)

    def _receive(self, payload: bytes) -> Answer:
        self._admit()
        if self.headers.get_content_type() != "application/json":
            raise _Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "expected the header Content-Type: application/json")
        return self.server.receiver.receive(payload)

    def _admit(self) -> None:
        if self.server.token is not None:
            expected = f"Bearer {self.server.token}".encode()
            if not hmac.compare_digest(self.headers.get("Authorization", "").encode("latin-1", "replace"), expected):
                raise _Refusal(HTTPStatus.UNAUTHORIZED, f"expected the header Authorization: Bearer, and the token that {TOKEN} holds")
        elif not _is_loopback(self.client_address[0]):
            raise _Refusal(HTTPStatus.UNAUTHORIZED, f"without {TOKEN} only this machine may send alerts")
        elif not _names_loopback(self.headers.get("Host", "")):
            raise _Refusal(HTTPStatus.FORBIDDEN, f"without {TOKEN} the header Host has to be localhost or a loopback address")

    def _payload(self) -> bytes:
        """The body. Refuses one that is too long, or shorter than its length says."""
        length = self._length()
        if length > MOST_BYTES:
            self._read(min(length, _SKIPPED_AT_MOST), keep=False)
            raise _Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body has {length} bytes; expected {MOST_BYTES} at most")
        payload = self._read(length)
        if len(payload) < length:
            raise _Refusal(HTTPStatus.REQUEST_TIMEOUT, f"{len(payload)} of {length} bytes came in {self.server.deadline:g} s")
        return payload

    def _length(self) -> int:
        """0 if there is no body."""
        if self.headers.get("Transfer-Encoding"):
            raise _Refusal(HTTPStatus.LENGTH_REQUIRED, "expected a body with the header Content-Length")
        text = self.headers.get("Content-Length", "0")
        if not (text.isascii() and text.isdigit() and len(text) < 20):
            raise _Refusal(HTTPStatus.BAD_REQUEST, "the header Content-Length is no number")
        return int(text)

    def _read(self, length: int, *, keep: bool = True) -> bytes:
        pieces: list[bytes] = []
        while length > 0 and (piece := self.rfile.read1(min(length, _PIECE))):
            length -= len(piece)
            if keep:
                pieces.append(piece)
        return b"".join(pieces)

    def _send(self, answer: Answer) -> None:
        body = json.dumps(answer.body).encode()
        self.send_response(answer.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if answer.status == HTTPStatus.UNAUTHORIZED:
            self.send_header("WWW-Authenticate", "Bearer")
        self.end_headers()
        self.wfile.write(body)

    def _end_input(self) -> None:
        with suppress(OSError):  # it is closed already
            self.connection.shutdown(socket.SHUT_RD)


def _is_loopback(host: str) -> bool:
    """Names other than localhost are not looked up: who answers for them may change."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _names_loopback(header: str) -> bool:
    named = _HOST.fullmatch(header)
    return named is not None and _is_loopback((named["six"] or named["name"]).lower())


def serve(server: AuditServer, stop: threading.Event) -> None:
    """Answers until ``stop`` is set; requests under way are finished."""
    thread = threading.Thread(target=server.serve_forever, name="spanledger-audit", daemon=True)
    thread.start()
    try:
        while not stop.wait(_LOOK_UP):
            pass
    finally:
        server.shutdown()
        server.server_close()
