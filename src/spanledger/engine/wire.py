"""Reads answers that the application takes raw: JSON bodies and server-sent events, as bytes, text or lines.

https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from spanledger.engine.adapter import Wire
from spanledger.model import INVALID_RESPONSE

if TYPE_CHECKING:
    from spanledger.engine.call import Call

_LIMIT = 64 * 1024 * 1024
"""Bytes of one answer kept for reading; a larger one is settled by estimate."""
_LINE_END = re.compile(rb"\r\n|\n|\r(?=.)", re.DOTALL)
"""A carriage return at the end of a piece may be half of an end."""


def decode(text: str | bytes) -> Any:
    """JSON with attribute access; None for what is no JSON: a provider may answer anything, and that is no error of ours."""
    try:
        return json.loads(text, object_hook=Wire)
    except (ValueError, RecursionError):  # nested thousands deep
        return None


def read_body(call: Call, content_type: str, body: bytes) -> None:
    """Folds a whole body into the call."""
    feed = Feed(call, content_type)
    feed.write(body)
    feed.finish()


class Feed:
    """Takes the pieces of a body as the application reads them and folds what they say into the call."""

    def __init__(self, call: Call, content_type: str) -> None:
        self._call = call
        self._events = "event-stream" in content_type.lower()
        self._rest: list[bytes] = []
        """Pieces of a line that has not ended; joined once, however many they are."""
        self._data: list[bytes] = []
        """Lines of an event that none of them is by itself."""
        self._body: list[bytes] = []
        self._size = 0

    def write(self, piece: str | bytes, *, line: bool = False) -> None:
        """One piece; ``line`` if it is a line whose end was cut off."""
        data = piece.encode() if isinstance(piece, str) else bytes(piece)
        if line:
            data += b"\n"
        self._size += len(data)
        if self._events:
            self._write_events(data)
        elif self._size <= _LIMIT:
            self._body.append(data)

    def _write_events(self, data: bytes) -> None:
        if self._rest and self._rest[-1].endswith(b"\r"):
            data = self._rest.pop() + data
        first, *others = _LINE_END.split(data)
        self._rest.append(first)
        if not others:
            return
        lines, self._rest = [b"".join(self._rest), *others[:-1]], others[-1:]
        for line in lines:
            if line.startswith(b"data:"):
                self._data.append(line[5:].strip())
                if len(self._data) == 1:  # nearly all events are one line, and some servers forget the empty one after it
                    self._event()
            elif not line:
                self._event()
                self._data.clear()

    def _event(self) -> None:
        """Folds the data so far, if it is a whole event."""
        data = b"\n".join(self._data)
        if data.startswith(b"{") and (event := decode(data)) is not None:  # "[DONE]" ends OpenAI's streams
            self._data.clear()
            self._call.chunk(event)

    def finish(self) -> None:
        """The body ended."""
        if any(self._rest) or self._data:
            self._write_events(b"\n\n")
        if self._body and self._size <= _LIMIT:
            self._finish_body(b"".join(self._body))

    def _finish_body(self, body: bytes) -> None:
        whole = decode(body)
        if whole is not None:
            self._call.result(whole)
            return
        self._write_events(body + b"\n\n")  # some servers stream without saying so
        if not self._call.chunks:
            self._call.response.error_type = INVALID_RESPONSE
