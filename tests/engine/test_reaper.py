"""The thread behind the finalisers, where threads cannot be started or are exchanged."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, Any

from spanledger.engine import reaper as reapers
from spanledger.engine.reaper import Reaper

if TYPE_CHECKING:
    import pytest


def test_without_a_thread_the_work_is_done_while_draining(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Any) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")  # noqa: EM101  # the interpreter's words

    reaper, done = Reaper(), []
    monkeypatch.setattr(threading.Thread, "start", refuse)
    reaper.start()
    reaper.put(lambda: done.append(1))
    assert reaper.drain(0.0)
    assert done == [1]
    assert not reaper.running


def test_a_stopped_reaper_leaves_no_thread_and_can_start_again() -> None:
    reaper, done = Reaper(), []
    reaper.start()
    thread = reaper._thread
    assert thread is not None
    reaper.put(lambda: done.append(1))
    reaper.stop()
    thread.join(10)
    assert not thread.is_alive()
    assert (reaper.running, reaper.used) == (False, True)
    reaper.put(lambda: done.append(2))
    assert reaper.drain()
    assert done == [1, 2]
    reaper.stop()


def test_who_starts_it_while_it_is_being_started_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """As under gevent, where a thread that waited would stop the one that it waits for."""
    reaper, done, start_thread = Reaper(), [], threading.Thread.start

    def start(thread: threading.Thread) -> None:
        other = threading.Thread(target=reaper.start, daemon=True)
        start_thread(other)
        other.join(5)
        done.append(not other.is_alive())
        start_thread(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    reaper.start()
    assert done == [True]
    assert reaper.drain()
    reaper.stop()


def test_a_queue_exchanged_by_gevent_is_exchanged_here_too(monkeypatch: pytest.MonkeyPatch) -> None:
    class Greens(queue.Queue[Any]):
        """Stands for gevent's, which is no class of the standard library either."""

    reaper, done = Reaper(), []
    reaper.put(lambda: done.append(1))
    monkeypatch.setattr(reapers.queue, "SimpleQueue", Greens)
    assert reaper.drain()
    assert done == [1]
    assert type(reaper._queue) is Greens
    reaper.stop()
