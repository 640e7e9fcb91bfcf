"""Queues that a background thread waits in."""

from __future__ import annotations

import queue
from typing import TypeVar

T = TypeVar("T")


def of_today(inbox: queue.SimpleQueue[T]) -> queue.SimpleQueue[T]:
    """The queue itself, or one with the same items of the class that is in force now; for who starts the thread.

    gevent's ``monkey.patch_all`` exchanges the class, and threads: one of its kind that waited in an older queue would stop all others.
    """
    if type(inbox) is queue.SimpleQueue:
        return inbox
    fresh: queue.SimpleQueue[T] = queue.SimpleQueue()
    while not inbox.empty():
        fresh.put(inbox.get())
    return fresh
