"""What the application gets for what came back."""

from __future__ import annotations

import inspect
import weakref
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from spanledger.engine import wire
from spanledger.engine.live import LiveAsyncStream, LiveStream
from spanledger.engine.raw import LiveAsyncRaw, LiveRaw

if TYPE_CHECKING:
    from spanledger.engine.call import Call


class _Kind(Enum):
    """What came back, by its type."""

    PLAIN = auto()
    AWAITABLE = auto()
    STREAM = auto()
    ASYNC_STREAM = auto()
    RAW = auto()


_kinds: weakref.WeakKeyDictionary[type, _Kind] = weakref.WeakKeyDictionary()


def _kind(result: type) -> _Kind:
    """Looked up once per type: on a pydantic class, asking for what is not there takes microseconds."""
    known = _kinds.get(result)
    if known is None:
        if hasattr(result, "__await__"):
            known = _Kind.AWAITABLE
        elif hasattr(result, "__next__"):
            known = _Kind.STREAM
        elif hasattr(result, "__anext__"):
            known = _Kind.ASYNC_STREAM
        else:
            known = _Kind.RAW if hasattr(result, "parse") and not hasattr(result, "model_fields") else _Kind.PLAIN
        _kinds[result] = known
    return known


def is_awaitable(result: Any) -> bool:
    """Whether the function handed out a coroutine or future instead of a result."""
    return _kind(type(result)) is _Kind.AWAITABLE


def receive(call: Call, result: Any, tap: str | None = None) -> Any:
    """Decides by what came back, and hands the application what it shall get."""
    kind = _kind(type(result))
    if kind is _Kind.STREAM:
        return LiveStream(_tapped(call, result, tap, LiveStream), call, reads=tap is None)
    if kind is _Kind.ASYNC_STREAM:
        return LiveAsyncStream(_tapped(call, result, tap, LiveAsyncStream), call, reads=tap is None)
    http = getattr(result, "http_response", None) if kind is _Kind.RAW else None
    if http is not None:
        return _receive_raw(call, result, http)
    call.result(result)
    call.end()
    return result


def _tapped(call: Call, stream: Any, tap: str | None, proxy: type[Any]) -> Any:
    """All ways of reading a helper stream (``text_stream``, ``get_final_message`` ...) pull from its raw stream: listen there."""
    if tap is not None:
        setattr(stream, tap, proxy(getattr(stream, tap), call))
    return stream


def _receive_raw(call: Call, result: Any, http: Any) -> Any:
    if not http.is_closed:
        return (LiveAsyncRaw if inspect.iscoroutinefunction(type(result).parse) else LiveRaw)(result, call, receive)
    call.runtime.guard.run("raw", wire.read_body, call, http.headers.get("content-type", ""), http.content)
    call.end()
    return result
