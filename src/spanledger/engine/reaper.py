"""Ends calls that finalisers found abandoned.

A ``__del__`` may run anywhere, inside a lock of the span exporter or of SQLite included, so it does no I/O: it queues the call here.
"""

from __future__ import annotations

import os
import threading
import weakref
from queue import SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spanledger.engine.call import Call

_reapers: weakref.WeakSet[Reaper] = weakref.WeakSet()


class Reaper:
    """A daemon thread that ends queued calls; started with the first one, and again in a forked child."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[tuple[Call, str] | threading.Event] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        _reapers.add(self)

    def put(self, call: Call, outcome: str) -> None:
        """Queues a call to be ended; safe in a finaliser (``SimpleQueue.put`` is reentrant)."""
        self._queue.put((call, outcome))

    def start(self) -> None:
        """Starts the thread if it does not run; not from a finaliser."""
        with self._starting:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="spanledger-reaper", daemon=True)
                self._thread.start()

    def drain(self, timeout: float = 5.0) -> bool:
        """Waits until all that was queued before is ended; False if that took longer than ``timeout`` seconds."""
        self.start()
        done = threading.Event()
        self._queue.put(done)
        return done.wait(timeout)

    def forget(self) -> None:
        """In a forked child: the parent ends what was queued."""
        self._queue, self._thread, self._starting = SimpleQueue(), None, threading.Lock()

    def _run(self) -> None:
        while True:
            item = self._queue.get()
            if isinstance(item, threading.Event):
                item.set()
            else:
                call, outcome = item
                call.end(outcome=outcome)
                del item, call


def _after_fork() -> None:
    for reaper in list(_reapers):
        reaper.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
