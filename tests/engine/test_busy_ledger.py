"""Coroutines that wait for a ledger which somebody else holds: the event loop goes on, and nothing of the application's is needed for it."""

from __future__ import annotations

import asyncio
import gc
import os
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import pytest

from spanledger import BudgetExceeded
from spanledger.engine import waiting

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Shared:
    """A house whose ledger is a file, and a client that has made a call."""

    def __init__(self, house: Any, path: Path, client: Any) -> None:
        self.house, self.path, self.ask = house, path, client.coroutine
        self.ledger = house.runtime.ledger
        self.waiting = threading.Semaphore(0)
        """Released by each call that begins to wait."""
        self._reserve, self.ledger.reserve = self.ledger.reserve, self._told

    def _told(self, *args: Any, wait: bool = True) -> Any:
        if wait:
            self.waiting.release()
        return self._reserve(*args, wait=wait)

    @contextmanager
    def held(self, seconds: float | None = None) -> Iterator[None]:
        """Somebody else holds the ledger, for so many seconds or until the block ends."""
        other = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        other.execute("begin immediate")
        if seconds is not None:
            threading.Timer(seconds, other.close).start()
        try:
            yield
        finally:
            other.close()


def _threads_end() -> None:
    waiting._pool().shutdown()
    waiting._pool.cache_clear()


@pytest.fixture
def shared(make_house: Any, fake: Any, tmp_path: Path) -> Shared:
    house = make_house(fake.adapter, SPANLEDGER_LEDGER=f"sqlite:///{tmp_path}/ledger.db", SPANLEDGER_BUDGET_DAY="4 calls per day")
    made = Shared(house, tmp_path / "ledger.db", fake.module.Client())
    asyncio.run(made.ask())
    _threads_end()  # those of earlier tests
    return made


def test_a_pool_full_of_threads_that_wait_for_calls_is_not_needed(shared: Shared) -> None:
    """Synchronous code in the loop's default pool that has the loop make its calls, and waits for them."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(2))

        def tool() -> None:
            asyncio.run_coroutine_threadsafe(shared.ask(), loop).result()

        with shared.held(0.3):
            async with asyncio.timeout(20):
                await asyncio.gather(*[asyncio.to_thread(tool) for _ in range(2)])

    asyncio.run(main())
    assert len(shared.house.entries) == 3


def test_nor_is_one_that_was_shut_down(shared: Shared) -> None:
    async def main() -> None:
        await asyncio.get_running_loop().shutdown_default_executor()
        with shared.held(0.3):
            await shared.ask()

    asyncio.run(main())
    assert len(shared.house.entries) == 2


def test_many_calls_wait_in_few_threads(shared: Shared) -> None:
    async def main() -> int:
        with shared.held(0.5):
            calls = [asyncio.create_task(shared.ask()) for _ in range(100)]
            for _ in range(4):
                await asyncio.to_thread(shared.waiting.acquire)
            threads = sum(thread.name.startswith("spanledger-admit") for thread in threading.enumerate())
            await asyncio.gather(*calls, return_exceptions=True)
        return threads

    assert 4 <= asyncio.run(main()) <= 8
    assert len(shared.house.entries) == 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_waits_in_threads_of_its_own(shared: Shared) -> None:
    """Those of its parent do not exist there: what is left to them would never be done."""

    async def main() -> None:
        with shared.held(0.2):
            async with asyncio.timeout(20):
                await shared.ask()

    asyncio.run(main())
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if asyncio.run(_answered()) else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


async def _answered() -> bool:
    done: list[bool] = []
    async with asyncio.timeout(20):
        await waiting.in_thread(lambda: done.append(threading.current_thread() is not threading.main_thread()))
    return done == [True]


def test_what_no_thread_could_be_started_for_is_done_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pool that could not start another thread has the work in its queue all the same, for the threads it has."""
    _threads_end()
    held, done = threading.Event(), []

    async def main() -> None:
        first = asyncio.create_task(waiting.in_thread(held.wait))
        await asyncio.sleep(0)
        _no_more_threads(monkeypatch)
        await waiting.in_thread(lambda: done.append("second"))
        held.set()
        await first

    asyncio.run(main())
    _threads_end()
    assert done == ["second"]


@pytest.mark.parametrize("error", [None, ValueError])
def test_nor_is_it_over_before_it_is_done(monkeypatch: pytest.MonkeyPatch, error: type[Exception] | None) -> None:
    """A thread that comes free just then takes the work from the queue; what it is told is told to who waits."""
    _threads_end()
    held, begun, done = threading.Event(), threading.Event(), []

    def second() -> None:
        begun.set()
        time.sleep(0.1)
        done.append("second")
        if error is not None:
            raise error

    def none_left(_: threading.Thread) -> None:
        held.set()
        assert begun.wait(10)
        msg = "can't start new thread"
        raise RuntimeError(msg)

    async def main() -> None:
        first = asyncio.create_task(waiting.in_thread(held.wait))
        await asyncio.sleep(0)
        monkeypatch.setattr(threading.Thread, "start", none_left)
        with pytest.raises(error) if error is not None else nullcontext():
            await waiting.in_thread(second)
        assert done == ["second"]
        await first

    asyncio.run(main())
    monkeypatch.undo()
    _threads_end()
    assert done == ["second"]


def _no_more_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start

    def none_left(thread: threading.Thread) -> None:
        if thread.name.startswith("spanledger-admit"):
            msg = "can't start new thread"
            raise RuntimeError(msg)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", none_left)


def test_without_a_thread_the_loop_waits(shared: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    _no_more_threads(monkeypatch)

    async def main() -> None:
        with shared.held(0.3):
            await shared.ask()

    asyncio.run(main())
    assert len(shared.house.entries) == 2


def test_a_refusal_reaches_who_waits(shared: Shared) -> None:
    async def main() -> list[Any]:
        with shared.held(0.3):
            return await asyncio.gather(*[shared.ask() for _ in range(4)], return_exceptions=True)

    assert sum(isinstance(one, BudgetExceeded) for one in asyncio.run(main())) == 1
    assert len(shared.house.entries) == 4


def test_a_caller_gone_leaves_nothing_reserved(shared: Shared) -> None:
    async def main() -> None:
        with shared.held():
            calls = [asyncio.create_task(shared.ask()) for _ in range(3)]
            for _ in calls:  # each of them waits for the ledger in a thread
                await asyncio.to_thread(shared.waiting.acquire)
            for call in calls:
                call.cancel()
            ended = await asyncio.gather(*calls, return_exceptions=True)
            assert [type(one) for one in ended] == [asyncio.CancelledError] * 3

    asyncio.run(main())
    _threads_end()
    assert shared.ledger.open_leases() == 0
    assert len(shared.house.entries) == 1


def test_nor_does_a_loop_gone(shared: Shared) -> None:
    """Closed with the call under way, whose coroutine is collected when the thread lets go of what it was to answer."""
    loop = asyncio.new_event_loop()
    with shared.held():
        loop.create_task(shared.ask())  # noqa: RUF006  # nobody keeps it
        while not shared.waiting.acquire(blocking=False):
            loop.run_until_complete(asyncio.sleep(0.01))
        loop.close()
    _threads_end()
    gc.collect()
    shared.house.settle()
    assert shared.ledger.open_leases() == 0
    assert len(shared.house.entries) == 1
