"""A few threads of our own in which coroutines wait for a busy ledger, while their event loop goes on.

Not those of the loop's default pool: they are the application's, which may have shut it down, or filled it with threads that wait for what
this very loop does. Ours wait for the ledger alone, so some of them always come free.
"""

from __future__ import annotations

import threading
from functools import cache
from typing import TYPE_CHECKING

from opentelemetry import context as otel_context

from spanledger import fork
from spanledger.engine.loops import running_loop

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import ThreadPoolExecutor

_THREADS = 8
"""Only one at a time can write to the ledger; more would but wait for each other."""


async def in_thread(function: Callable[[], None]) -> None:
    """Calls ``function`` in a thread, in the OpenTelemetry context in force."""
    work, loop = _Once(function), running_loop()
    if loop is None:  # another event loop (trio): waiting here is the lesser evil
        work()
        return
    try:
        answer = loop.run_in_executor(_pool(), work)
    except RuntimeError:  # there are too many threads, or the interpreter is shutting down
        work()
    else:
        await answer


class _Once:
    """A function to be called once: a pool that could not start a thread has the work in its queue all the same.

    Whoever comes second waits for the first, and gets the same answer.
    """

    def __init__(self, function: Callable[[], None]) -> None:
        self._function: Callable[[], None] | None = function
        self._context = otel_context.get_current()
        self._error: BaseException | None = None
        self._turn = threading.Lock()

    def __call__(self) -> None:
        with self._turn:
            function, self._function = self._function, None
            if function is not None:
                self._error = self._failure_of(function)
        if self._error is not None:
            raise self._error

    def _failure_of(self, function: Callable[[], None]) -> BaseException | None:
        token = otel_context.attach(self._context)
        try:
            function()
        except BaseException as error:  # noqa: BLE001  # raised again by whoever waits for it
            return error
        finally:
            otel_context.detach(token)
        return None


@cache
def _pool() -> ThreadPoolExecutor:
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415  # rarely needed

    return ThreadPoolExecutor(_THREADS, "spanledger-admit")


fork.in_child(_pool.cache_clear)  # its threads do not exist there
