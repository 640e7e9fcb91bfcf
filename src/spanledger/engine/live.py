"""Proxies for results that live on after the call returned: what they share, and streams.

A proxy is the object for all purposes (``isinstance``, attributes); it sees what passes and ends the call, however the application leaves.
The call's OpenTelemetry context never leaks into the application. Where it is in force while a stream is read, and where it need not be:
docs/decisions/0018-context-while-a-stream-is-read.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry import context as otel_context

from spanledger.engine.context import attach, detach
from spanledger.engine.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from opentelemetry.context import Context

    from spanledger.engine.call import Call


class Live(Proxy):
    """What all proxies share. The one that owns the call ends it when collected; a proxy that handed out another owns it no more."""

    _self_call: Call
    _self_owns: bool

    def __init__(self, wrapped: Any, call: Call, *, owns: bool = True, **own: Any) -> None:
        super().__init__(wrapped, _self_call=call, _self_owns=owns, **own)

    def __del__(self) -> None:
        if self._self_owns:
            self._self_call.abandon("dropped")

    def _self_leave(self, error: BaseException | None) -> None:
        self._self_call.end(outcome="caller_error" if error is not None else "closed")


class _Within:
    """A stream, or generator, that is read in the call's context: what else is done there belongs to the call."""

    def __init__(self, stream: Any, context: Context) -> None:
        self._stream, self._context = stream, context

    def __iter__(self) -> Iterator[Any]:
        chunks, context = iter(self._stream), self._context
        while True:
            token = attach(context)
            try:
                item = next(chunks)
            except StopIteration:
                return
            finally:
                detach(token)
            yield item

    def __next__(self) -> Any:
        token = attach(self._context)
        try:
            return self._stream.__next__()
        finally:
            detach(token)

    async def __anext__(self) -> Any:
        token = otel_context.attach(self._context)
        try:
            item = await self._stream.__anext__()
        except GeneratorExit:  # the reading coroutine is being collected, in whatever context
            raise
        except BaseException:
            otel_context.detach(token)
            raise
        otel_context.detach(token)
        return item


def _source(stream: Any, call: Call) -> Any:
    """What to read: a stream of the library's own class only decodes what comes, and needs no context for that."""
    module = str(type(stream).__module__)
    return stream if module.partition(".")[0] == call.library else _Within(stream, call.context)


class _Stream(Live):
    """What both kinds of stream share."""

    def __getattr__(self, name: str) -> Any:
        member = super().__getattr__(name)
        return self._self_parsing(member) if name == "parse" else member

    def _self_parsing(self, parse: Callable[..., Any]) -> Callable[..., Any]:
        """``parse`` that returns this proxy where the stream returns itself, as the stream that OpenTelemetry's instrumentation of openai
        returns for a raw response does (``BaseStreamWrapper.parse`` in opentelemetry-instrumentation-openai-v2)."""

        def parsed(*args: Any, **kwargs: Any) -> Any:
            value = parse(*args, **kwargs)
            return self if value is self.__wrapped__ else value

        return parsed


class LiveStream(_Stream):
    """A synchronous stream. ``reads`` is False where a tap below does the reading."""

    def __init__(self, wrapped: Any, call: Call, *, reads: bool = True) -> None:
        super().__init__(wrapped, call, owns=reads, _self_reads=reads, _self_source=_source(wrapped, call))

    def __iter__(self) -> Any:
        """A generator, so that reading a chunk costs no look-ups and hardly a call. It keeps the proxy, and so the call, alive."""
        call, chunks, reads = self._self_call, iter(self._self_source), self._self_reads
        fold, response, hidden = call.reader.chunk, call.response, call.hidden
        is_first = reads and not call.chunks
        while True:
            try:
                item = next(chunks)
            except StopIteration:
                call.end()
                return
            except BaseException as error:
                call.end(error)
                raise
            if is_first:
                call.first_chunk()
                is_first = False
            if reads:
                try:
                    if fold(item, response) is hidden:
                        continue
                except Exception as error:  # noqa: BLE001  # as in Call.chunk
                    call.runtime.guard.caught("adapter.chunk", error)
            yield item

    def __next__(self) -> Any:
        call = self._self_call
        while True:
            try:
                item = self._self_source.__next__()
            except StopIteration:
                call.end()
                raise
            except BaseException as error:
                call.end(error)
                raise
            if not (self._self_reads and call.chunk(item)):
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


class LiveAsyncStream(_Stream):
    """An asynchronous stream."""

    def __init__(self, wrapped: Any, call: Call, *, reads: bool = True) -> None:
        super().__init__(wrapped, call, owns=reads, _self_reads=reads, _self_source=_source(wrapped, call))

    def __aiter__(self) -> Any:
        return self

    async def __anext__(self) -> Any:
        call = self._self_call
        while True:
            try:
                item = await self._self_source.__anext__()
            except StopAsyncIteration:
                call.end()
                raise
            except GeneratorExit:  # the reading coroutine is being collected
                call.abandon("dropped")
                raise
            except BaseException as error:
                call.end(error)
                raise
            if not (self._self_reads and call.chunk(item)):
                return item

    async def close(self) -> Any:
        """Closes the library's stream; the call ends."""
        try:
            return await self.__wrapped__.close()
        finally:
            self._self_call.end(outcome="closed")

    async def aclose(self) -> Any:
        """As ``close``, under the name that generators use: what the libraries' ``__aiter__`` returns has it, and we return ourselves."""
        try:
            return await (getattr(self.__wrapped__, "aclose", None) or self.__wrapped__.close)()
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
