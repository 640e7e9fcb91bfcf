"""Proxies for results that live on after the call returned: streams, context managers, unparsed responses.

A proxy is the object for all purposes (``isinstance``, attributes); it sees what passes and ends the call, however the application leaves.
The call's OpenTelemetry context is active only while the library is reading, so it never leaks into the application.
"""

from __future__ import annotations

import inspect
import weakref
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from opentelemetry import context as otel_context
from wrapt import ObjectProxy

from spanledger.engine import wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from types import TracebackType

    from spanledger.engine.call import Call

    _Proxy = ObjectProxy[Any]
else:
    _Proxy = ObjectProxy  # generic since wrapt 2 only, and only for type checkers


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
        return (LiveAsyncRaw if inspect.iscoroutinefunction(type(result).parse) else LiveRaw)(result, call)
    call.runtime.guard.run("raw", wire.read_body, call, http.headers.get("content-type", ""), http.content)
    call.end()
    return result


class _Live(_Proxy):
    """What all proxies share. The one that owns the call ends it when collected; a proxy that handed out another owns it no more."""

    def __init__(self, wrapped: Any, call: Call, *, owns: bool = True) -> None:
        super().__init__(wrapped)
        self._self_call = call
        self._self_owns = owns

    def __del__(self) -> None:
        if self._self_owns:
            self._self_call.abandon("dropped")

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.__wrapped__.__reduce_ex__(protocol)

    def _self_leave(self, error: BaseException | None) -> None:
        self._self_call.end(outcome="caller_error" if error is not None else "closed")


def _unread(_item: Any) -> bool:
    """The tap below has read it."""
    return False


class LiveStream(_Live):
    """A synchronous stream. ``reads`` is False where a tap below does the reading."""

    def __init__(self, wrapped: Any, call: Call, *, reads: bool = True) -> None:
        super().__init__(wrapped, call, owns=reads)
        self._self_reads = reads

    def __iter__(self) -> Any:
        """A generator, so that reading a chunk costs no look-ups. It keeps the proxy, and so the call, alive."""
        call, following, attach, detach = self._self_call, self.__wrapped__.__next__, otel_context.attach, otel_context.detach
        read, context = call.chunk if self._self_reads else _unread, call.context
        while True:
            token = attach(context)
            try:
                item = following()
            except StopIteration:
                call.end()
                return
            except BaseException as error:
                call.end(error)
                raise
            finally:
                detach(token)
            if not (call.is_open and read(item)):
                yield item

    def __next__(self) -> Any:
        call = self._self_call
        while True:
            token = otel_context.attach(call.context)
            try:
                item = self.__wrapped__.__next__()
            except StopIteration:
                call.end()
                raise
            except BaseException as error:
                call.end(error)
                raise
            finally:
                otel_context.detach(token)
            if not (self._self_reads and call.is_open and call.chunk(item)):
                return item

    def close(self) -> Any:
        """Closes the library's stream; the call ends."""
        try:
            return self.__wrapped__.close()
        finally:
            self._self_call.end(outcome="closed")

    def __enter__(self) -> Any:
        self.__wrapped__.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> Any:
        try:
            return self.__wrapped__.__exit__(kind, error, trace)
        finally:
            self._self_leave(error)


class LiveAsyncStream(_Live):
    """An asynchronous stream."""

    def __init__(self, wrapped: Any, call: Call, *, reads: bool = True) -> None:
        super().__init__(wrapped, call, owns=reads)
        self._self_reads = reads

    def __aiter__(self) -> Any:
        return self

    async def __anext__(self) -> Any:
        call = self._self_call
        while True:
            token = otel_context.attach(call.context)
            try:
                item = await self.__wrapped__.__anext__()
            except StopAsyncIteration:
                otel_context.detach(token)
                call.end()
                raise
            except GeneratorExit:  # the reading coroutine is being collected, in whatever context
                call.abandon("dropped")
                raise
            except BaseException as error:
                otel_context.detach(token)
                call.end(error)
                raise
            otel_context.detach(token)
            if not (self._self_reads and call.is_open and call.chunk(item)):
                return item

    async def close(self) -> Any:
        """Closes the library's stream; the call ends."""
        try:
            return await self.__wrapped__.close()
        finally:
            self._self_call.end(outcome="closed")

    async def aclose(self) -> Any:
        """As ``close``, under the name that generators use."""
        try:
            return await self.__wrapped__.aclose()
        finally:
            self._self_call.end(outcome="closed")

    async def __aenter__(self) -> Any:
        await self.__wrapped__.__aenter__()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> Any:
        try:
            return await self.__wrapped__.__aexit__(kind, error, trace)
        finally:
            self._self_leave(error)


_WHOLE = ("read", "text", "json")
_LINES = ("iter_lines",)
_PIECES = ("iter_bytes", "iter_text", "iter_raw")


class LiveRaw(_Live):
    """An unparsed response whose body has not been read yet (``with_streaming_response``, or raw with ``stream=True``)."""

    def parse(self, *args: Any, **kwargs: Any) -> Any:
        """The library's parse; what it returns is received like any result, once."""
        return self._self_hand_out(self.__wrapped__.parse(*args, **kwargs))

    def _self_hand_out(self, parsed: Any) -> Any:
        if not self._self_call.is_open:
            return parsed
        self._self_owns = False
        return receive(self._self_call, parsed)

    def __getattr__(self, name: str) -> Any:
        member = getattr(self.__wrapped__, name)
        if name in _WHOLE and callable(member):
            return self._self_whole(member)
        if name in _PIECES + _LINES:
            return lambda *args, **kwargs: self._self_pieces(member(*args, **kwargs), line=name in _LINES)
        return member

    def _self_feed(self) -> wire.Feed:
        return wire.Feed(self._self_call, self.__wrapped__.http_response.headers.get("content-type", ""))

    def _self_read(self) -> None:
        """The body is in memory now."""
        call, http = self._self_call, self.__wrapped__.http_response
        if call.is_open and http.is_closed:
            call.runtime.guard.run("raw", wire.read_body, call, http.headers.get("content-type", ""), http.content)
            call.end()

    def _self_whole(self, member: Any) -> Any:
        def read(*args: Any, **kwargs: Any) -> Any:
            value = member(*args, **kwargs)
            self._self_read()
            return value

        return read

    def _self_pieces(self, pieces: Iterator[Any], *, line: bool) -> Iterator[Any]:
        call, feed = self._self_call, self._self_feed()
        try:
            for piece in pieces:
                call.runtime.guard.run("raw", lambda piece=piece: feed.write(piece, line=line))
                yield piece
        except GeneratorExit:
            call.abandon("closed")
            raise
        except BaseException as error:
            call.end(error)
            raise
        call.runtime.guard.run("raw", feed.finish)
        call.end()

    def close(self) -> Any:
        """Closes the response; the call ends."""
        try:
            return self.__wrapped__.close()
        finally:
            self._self_call.end(outcome="closed")


class LiveAsyncRaw(LiveRaw):
    """The asynchronous twin: every reading method is a coroutine or an asynchronous iterator."""

    async def parse(self, *args: Any, **kwargs: Any) -> Any:
        """The library's parse; what it returns is received like any result, once."""
        return self._self_hand_out(await self.__wrapped__.parse(*args, **kwargs))

    def _self_whole(self, member: Any) -> Any:
        async def read(*args: Any, **kwargs: Any) -> Any:
            value = await member(*args, **kwargs)
            self._self_read()
            return value

        return read

    async def _self_pieces(self, pieces: AsyncIterator[Any], *, line: bool) -> AsyncIterator[Any]:  # type: ignore[override]  # the asynchronous twin
        call, feed = self._self_call, self._self_feed()
        try:
            async for piece in pieces:
                call.runtime.guard.run("raw", lambda piece=piece: feed.write(piece, line=line))
                yield piece
        except GeneratorExit:
            call.abandon("closed")
            raise
        except BaseException as error:
            call.end(error)
            raise
        call.runtime.guard.run("raw", feed.finish)
        call.end()

    async def close(self) -> Any:
        """Closes the response; the call ends."""
        try:
            return await self.__wrapped__.close()
        finally:
            self._self_call.end(outcome="closed")


class LiveManager(_Live):
    """A context manager that sends the request when entered: the gate runs then, not when it is made."""

    def __init__(self, wrapped: Any, call: Call, tap: str | None, begin: Any) -> None:
        super().__init__(wrapped, call)
        self._self_tap, self._self_begin = tap, begin

    def __enter__(self) -> Any:
        call = self._self_call
        self._self_begin(call)
        token = otel_context.attach(call.context)
        try:
            inner = self.__wrapped__.__enter__()
        except BaseException as error:
            call.end(error)
            raise
        finally:
            otel_context.detach(token)
        self._self_owns = False
        return _entered(call, inner, self._self_tap)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> Any:
        try:
            return self.__wrapped__.__exit__(kind, error, trace)
        finally:
            self._self_leave(error)


class LiveAsyncManager(_Live):
    """The asynchronous twin of ``LiveManager``."""

    def __init__(self, wrapped: Any, call: Call, tap: str | None, begin: Any) -> None:
        super().__init__(wrapped, call)
        self._self_tap, self._self_begin = tap, begin

    async def __aenter__(self) -> Any:
        call = self._self_call
        await self._self_begin(call)
        token = otel_context.attach(call.context)
        try:
            inner = await self.__wrapped__.__aenter__()
        except BaseException as error:
            call.end(error)
            raise
        finally:
            otel_context.detach(token)
        self._self_owns = False
        return _entered(call, inner, self._self_tap)

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> Any:
        try:
            return await self.__wrapped__.__aexit__(kind, error, trace)
        finally:
            self._self_leave(error)


def _entered(call: Call, inner: Any, tap: str | None) -> Any:
    """Hands out what a manager gave; if that cannot be watched, the application still gets it."""
    known_tap = tap if tap is not None and hasattr(inner, tap) else None
    received = call.runtime.guard.run("receive", receive, call, inner, known_tap)
    return inner if received is None else received
