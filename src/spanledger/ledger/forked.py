"""SQLite in a forked process, where it may be locked for ever.

A child has only the thread that forked. If another thread was within SQLite at that moment, SQLite's own mutexes stay held in the child,
and who needs them waits without end. Our connections are brought to rest before a fork (``spanledger.fork``); those of the application are
not ours, and its children may never have used SQLite before we did. So a forked process opens files in a thread of its own.
"""

from __future__ import annotations

import os
import threading
from concurrent import futures
from typing import TYPE_CHECKING, Any, TypeVar

from spanledger.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

PATIENCE = 5.0
"""Seconds for which a file is waited for."""
_LOCKED = (
    "SQLite does not answer in this process: another thread was probably using it when the process was forked, which locks it here for "
    "ever. Fork before such threads start, or start processes by spawn"
)
_first_process = os.getpid()
_lock_class = threading.Lock
"""Exchanged by gevent's ``monkey.patch_all``, and threads: its kind runs in this very thread, so that none can wait for another here."""
_unfinished: futures.Future[Any] | None = None
"""What nobody waits for any more. A child that is forked from here inherits it, and what it waits for."""


def in_time(work: Callable[[], T]) -> T:
    """Runs ``work``, which uses SQLite; in a forked process no longer than ``PATIENCE``.

    Raises:
        LedgerError: it is not done yet, or earlier work still is not.
    """
    global _unfinished  # noqa: PLW0603  # one SQLite in a process
    if os.getpid() == _first_process or threading.Lock is not _lock_class:
        return work()
    if _unfinished is not None and not _unfinished.done():
        raise LedgerError(_LOCKED)
    future: futures.Future[T] = futures.Future()
    try:
        threading.Thread(target=_fulfil, args=(future, work), name="spanledger-open", daemon=True).start()
    except RuntimeError:  # no more threads: the process is ending
        return work()
    if not futures.wait((future,), PATIENCE).done:
        _unfinished = future
        raise LedgerError(_LOCKED)
    return future.result()


def _fulfil(future: futures.Future[T], work: Callable[[], T]) -> None:
    try:
        future.set_result(work())
    except BaseException as error:  # noqa: BLE001  # it is raised where the result is wanted
        future.set_exception(error)
