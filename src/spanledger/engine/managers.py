"""Proxies for context managers that send the request when they are entered."""

from __future__ import annotations

import inspect
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from opentelemetry import context as otel_context

from spanledger.engine.context import leave
from spanledger.engine.live import Live
from spanledger.engine.receive import receive

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from spanledger.engine.call import Call


class _Manager(Live):
    def __init__(self, wrapped: Any, call: Call, tap: str | None, begin: Any) -> None:
        super().__init__(wrapped, call)
        self._self_tap, self._self_begin, self._self_entered = tap, begin, False

    def _self_next_call(self) -> Call:
        """The libraries allow to enter a manager again, which sends the request again."""
        call = self._self_call
        self._self_call, self._self_owns = call.again() if self._self_entered else call.now(), True
        self._self_entered = True
        return self._self_call

    def _self_leaving(self, error: BaseException | None) -> None:
        """Before the library closes its stream, which would look as if the application had."""
        if error is not None:
            self._self_leave(error)


class LiveManager(_Manager):
    """A context manager that sends the request when entered: the gate runs then, not when it is made."""

    def __enter__(self) -> Any:
        call = self._self_next_call()
        self._self_begin(call)
        with _inside(call):
            inner = self.__wrapped__.__enter__()
        self._self_owns = False
        return _entered(call, inner, self._self_tap)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> Any:
        self._self_leaving(error)
        try:
            return self.__wrapped__.__exit__(kind, error, trace)
        finally:
            self._self_leave(error)


class LiveAsyncManager(_Manager):
    """The asynchronous twin of ``LiveManager``."""

    async def __aenter__(self) -> Any:
        call = self._self_next_call()
        try:
            await self._self_begin(call)
        except BaseException:
            call.runtime.guard.run("withdraw", _leave_unsent, call, self.__wrapped__)
            raise
        with _inside(call):
            inner = await self.__wrapped__.__aenter__()
        self._self_owns = False
        return _entered(call, inner, self._self_tap)

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> Any:
        self._self_leaving(error)
        try:
            return await self.__wrapped__.__aexit__(kind, error, trace)
        finally:
            self._self_leave(error)


def _leave_unsent(call: Call, manager: Any) -> None:
    """Closes the coroutine that the client library made to send the request with; collected as it is, Python warns of it."""
    held = () if call.target.plugin else vars(manager).values()
    for coroutine in filter(inspect.iscoroutine, held):
        coroutine.close()


@contextmanager
def _inside(call: Call) -> Iterator[None]:
    """The call's context is in force while the library opens what it manages; its failure ends the call."""
    token = otel_context.attach(call.context)
    try:
        yield
    except GeneratorExit:  # a coroutine is closed or collected
        call.abandon("dropped")
        leave(token)
        raise
    except BaseException as error:
        otel_context.detach(token)
        call.end(error)
        raise
    otel_context.detach(token)


def _entered(call: Call, inner: Any, tap: str | None) -> Any:
    """Hands out what a manager gave; if that cannot be watched, the application still gets it."""
    known_tap = tap if tap is not None and hasattr(inner, tap) else None
    received = call.runtime.guard.run("receive", receive, call, inner, known_tap)
    return inner if received is None else received
