"""Proxies for responses that the application takes unparsed, and whose body has not been read when it gets them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from spanledger.engine import wire
from spanledger.engine.live import Live

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from spanledger.engine.call import Call

_WHOLE = ("read", "text", "json")
_LINES = ("iter_lines",)
_PIECES = ("iter_bytes", "iter_text", "iter_raw")


class LiveRaw(Live):
    """An unparsed response whose body has not been read yet (``with_streaming_response``, or raw with ``stream=True``).

    ``receive`` decides what the application gets for what ``parse`` returns.
    """

    def __init__(self, wrapped: Any, call: Call, receive: Callable[[Call, Any], Any]) -> None:
        super().__init__(wrapped, call)
        self._self_receive = receive
        self._self_handed: tuple[Any, Any] = (None, None)
        """What was parsed and what the application got for it."""

    def parse(self, *args: Any, **kwargs: Any) -> Any:
        """The library's parse; what it returns is received like any result, once."""
        with self._self_decoding():
            parsed = self.__wrapped__.parse(*args, **kwargs)
        return self._self_hand_out(parsed)

    def _self_hand_out(self, parsed: Any) -> Any:
        known, handed = self._self_handed
        if parsed is known:  # the libraries parse once, and give the same stream again
            return handed
        self._self_read()  # not what was parsed: the application may have asked for any type
        if not self._self_call.is_open:
            return parsed
        self._self_owns = False
        handed = self._self_receive(self._self_call, parsed)
        self._self_handed = parsed, handed
        return handed

    def __getattr__(self, name: str) -> Any:
        member = super().__getattr__(name)
        if name in _WHOLE and callable(member):
            return self._self_whole(member)
        if name in _PIECES + _LINES:
            return lambda *args, **kwargs: self._self_pieces(member(*args, **kwargs), line=name in _LINES)
        return self._self_closing(member) if name == "close" else member

    def _self_feed(self) -> wire.Feed:
        return wire.Feed(self._self_call, self.__wrapped__.http_response.headers.get("content-type", ""))

    def _self_read(self, error: BaseException | None = None) -> None:
        """Ends the call by what the body says, if all of it is in memory."""
        call, http = self._self_call, self.__wrapped__.http_response
        if call.is_open and http.is_closed and (body := _in_memory(http)) is not None:
            call.runtime.guard.run("raw", wire.read_body, call, http.headers.get("content-type", ""), body)
            call.end(error)

    def _self_whole(self, member: Any) -> Any:
        def read(*args: Any, **kwargs: Any) -> Any:
            with self._self_decoding():
                value = member(*args, **kwargs)
            self._self_read()
            return value

        return read

    @contextmanager
    def _self_failing(self, outcome: str) -> Iterator[None]:
        """A failure of the reading ends the call; ``outcome`` if the reader is only being collected."""
        try:
            yield
        except GeneratorExit:
            self._self_call.abandon(outcome)
            raise
        except BaseException as error:
            self._self_call.end(error)
            raise

    @contextmanager
    def _self_decoding(self) -> Iterator[None]:
        """The library reads the whole body and decodes it; where only the latter fails, the books have what the body says."""
        with self._self_failing("dropped"):
            try:
                yield
            except Exception as error:
                self._self_read(error)
                raise

    @contextmanager
    def _self_reading(self, *, line: bool) -> Iterator[Callable[[Any], None]]:
        """Gives what to show each piece of the body to; ends the call when the body has been read, or the reading ends otherwise."""
        call, feed = self._self_call, self._self_feed()
        with self._self_failing("closed"):
            yield lambda piece: call.runtime.guard.run("raw", lambda: feed.write(piece, line=line))
        call.runtime.guard.run("raw", feed.finish)
        call.end()

    def _self_pieces(self, pieces: Iterator[Any], *, line: bool) -> Iterator[Any]:
        with self._self_reading(line=line) as seen:
            for piece in pieces:
                seen(piece)
                yield piece

    def _self_closing(self, member: Any) -> Any:
        def close() -> Any:
            try:
                return member()
            finally:
                self._self_call.end(outcome="closed")

        return close


class LiveAsyncRaw(LiveRaw):
    """The asynchronous twin: every reading method is a coroutine or an asynchronous iterator."""

    async def parse(self, *args: Any, **kwargs: Any) -> Any:
        """The library's parse; what it returns is received like any result, once."""
        with self._self_decoding():
            parsed = await self.__wrapped__.parse(*args, **kwargs)
        return self._self_hand_out(parsed)

    def _self_whole(self, member: Any) -> Any:
        async def read(*args: Any, **kwargs: Any) -> Any:
            with self._self_decoding():
                value = await member(*args, **kwargs)
            self._self_read()
            return value

        return read

    async def _self_pieces(self, pieces: AsyncIterator[Any], *, line: bool) -> AsyncIterator[Any]:  # type: ignore[override]  # the asynchronous twin
        with self._self_reading(line=line) as seen:
            async for piece in pieces:
                seen(piece)
                yield piece

    def _self_closing(self, member: Any) -> Any:
        async def close() -> Any:
            try:
                return await member()
            finally:
                self._self_call.end(outcome="closed")

        return close


def _in_memory(http: Any) -> bytes | None:
    try:
        body: bytes = http.content
    except RuntimeError:  # httpx.ResponseNotRead: it was closed before, or read in pieces
        return None
    return body
