"""What the application gets for what came back."""

from __future__ import annotations

import inspect
from enum import Enum, auto
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from spanledger.engine import wire
from spanledger.engine.live import LiveAsyncStream, LiveStream
from spanledger.engine.raw import LiveAsyncRaw, LiveRaw

if TYPE_CHECKING:
    from collections.abc import Callable

    from spanledger.engine.call import Call


class Kind(Enum):
    """What came back, by its type."""

    PLAIN = auto()
    AWAITABLE = auto()
    STREAM = auto()
    ASYNC_STREAM = auto()
    EITHER_STREAM = auto()
    """Another instrumentation's one wrapper for both kinds of stream; the call tells which it is."""
    RAW = auto()
    STAND_IN = auto()
    """Another instrumentation's wrapper that shows none of this itself; the object it stands for tells what it is."""


def _look(result: type) -> Kind:
    if hasattr(result, "__await__"):
        return Kind.AWAITABLE
    if hasattr(result, "__next__"):
        return Kind.EITHER_STREAM if hasattr(result, "__anext__") else Kind.STREAM
    if hasattr(result, "__anext__"):
        return Kind.ASYNC_STREAM
    if hasattr(result, "parse") and not hasattr(result, "model_fields"):
        return Kind.RAW
    return Kind.STAND_IN if any("__class__" in vars(base) for base in result.__mro__[:-1]) else Kind.PLAIN


kind_of: Callable[[type], Kind] = lru_cache(maxsize=512)(_look)
"""What an object of this type is. Looked up once per type: on a pydantic class, asking for what is not there takes microseconds."""


def receive(call: Call, result: Any, tap: str | None = None) -> Any:
    """Decides by what came back, and hands the application what it shall get."""
    kind = kind_of(type(result))
    if kind is Kind.STAND_IN:
        kind = kind_of(result.__class__)
    if kind is Kind.EITHER_STREAM:
        kind = Kind.ASYNC_STREAM if call.is_async else Kind.STREAM
    if kind is Kind.STREAM:
        return LiveStream(_tapped(call, result, tap, LiveStream), call, reads=tap is None)
    if kind is Kind.ASYNC_STREAM:
        return LiveAsyncStream(_tapped(call, result, tap, LiveAsyncStream), call, reads=tap is None)
    http = getattr(result, "http_response", None) if kind is Kind.RAW else None
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
        return (LiveAsyncRaw if inspect.iscoroutinefunction(result.parse) else LiveRaw)(result, call, receive)
    call.runtime.guard.run("raw", wire.read_body, call, http.headers.get("content-type", ""), http.content)
    call.end()
    return result
