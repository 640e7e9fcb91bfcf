"""Does later what must not be done now: ends calls that finalisers found abandoned, records metrics in batches.

A ``__del__`` may run anywhere, inside a lock of the span exporter or of SQLite included, so it does no I/O: it queues its work here.
"""

from __future__ import annotations

import logging
import queue
import threading
import weakref
from typing import TYPE_CHECKING

from spanledger import fork, queues

if TYPE_CHECKING:
    from collections.abc import Callable

_reapers: weakref.WeakSet[Reaper] = weakref.WeakSet()
log = logging.getLogger("spanledger")


class Reaper:
    """A daemon thread that runs queued work in order; a forked child starts one of its own."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self.running = False
        self.used = False
        """Whether the thread was ever started in this process. All that is recorded starts it, so without it nothing waits for export."""
        _reapers.add(self)

    def put(self, work: Callable[[], object]) -> None:
        """Queues work; safe in a finaliser (``SimpleQueue.put`` is reentrant)."""
        self._queue.put(work)

    def start(self) -> None:
        """Starts the thread if it does not run, and one can be started; not from a finaliser."""
        with self._starting:
            if self.running:
                return
            self._queue = queues.of_today(self._queue)
            thread = threading.Thread(target=self._run, name="spanledger-reaper", daemon=True)
            self._thread = thread
            self.running = self.used = True
        try:
            thread.start()  # without the lock: under gevent another greenlet that waited for it would block the hub
        except RuntimeError:  # the interpreter is shutting down, or there are too many; drain() does the work
            self._thread, self.running = None, False

    def drain(self, timeout: float = 5.0) -> bool:
        """Waits until all that was queued before is done; False if that took longer than ``timeout`` seconds."""
        done = threading.Event()
        self._queue.put(done.set)
        self.start()
        if not self.running:
            self._queue.put(None)
            self._run()
        return done.wait(timeout)

    def stop(self) -> None:
        """Lets the thread end when all that was queued before is done. Work that is put later starts another."""
        with self._starting:
            if self._thread is not None:
                self._queue.put(None)
            self._thread, self.running = None, False

    def forget(self) -> None:
        """In a forked child: the parent does what was queued. The thread starts with the next call."""
        self._queue, self._thread, self._starting = queue.SimpleQueue(), None, threading.Lock()
        self.running = self.used = False

    def _run(self) -> None:
        while (work := self._queue.get()) is not None:
            try:
                work()
            except Exception:
                log.exception("internal error in the background; it goes on")
            del work


def _after_fork() -> None:
    for reaper in list(_reapers):
        reaper.forget()


fork.in_child(_after_fork)
