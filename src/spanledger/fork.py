"""Forks without damage: what holds a lock or a connection is brought to rest before ``fork`` and goes on after it, on both sides.

An open SQLite connection must not be carried into a child: SQLite keeps the state of its file locks per process, so a child that inherits
it believes it holds locks which it does not (https://www.sqlite.org/howtocorrupt.html#_carrying_an_open_database_connection_across_a_fork_).
"""

from __future__ import annotations

import logging  # noqa: F401  # see _register
import os
import threading
import weakref
from functools import cache
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

_PATIENCE = 20.0
"""Seconds for which a fork waits for a ``Loader``: half a second of work takes that long where a container gets little of a processor."""


class ForkAware(Protocol):
    """Something to bring to rest before a fork."""

    def before_fork(self) -> bool:
        """Called in the parent; False if it could not come to rest."""

    def after_fork_in_parent(self) -> None:
        """Called only if ``before_fork`` returned True."""

    def after_fork_in_child(self, *, rested: bool) -> None:
        """``rested`` is False where ``before_fork`` returned False or never ran (programs that fork in C)."""


class Loader:
    """Something that loads under its ``_lock``: the fork waits for that, within reason.

    A child has only the thread that forked. It would wait for ever for a lock that another thread held, and so for the lock of a module
    that another thread was importing.
    """

    _lock: threading.Lock

    def before_fork(self) -> bool:
        """Waits for who is loading, and keeps others out until the fork is done."""
        return self._lock.acquire(timeout=_PATIENCE)

    def after_fork_in_parent(self) -> None:
        """Lets others in again."""
        self._lock.release()

    def after_fork_in_child(self, *, rested: bool) -> None:
        """Lets others in again; does without what nobody goes on loading."""
        if rested:
            self._lock.release()
            return
        was_loading, self._lock = self._lock.locked(), threading.Lock()
        if was_loading:
            self._give_up_loading()

    def _give_up_loading(self) -> None:
        raise NotImplementedError


def in_child(function: Callable[[], object]) -> None:
    """Has ``function`` called in each forked child, which has only the thread that forked."""
    if hasattr(os, "register_at_fork"):  # not on Windows, which cannot fork
        os.register_at_fork(after_in_child=function)


_watched: weakref.WeakValueDictionary[int, ForkAware] = weakref.WeakValueDictionary()
_here = threading.local()


def watch(thing: ForkAware) -> None:
    """Includes ``thing`` in all later forks, for as long as it lives."""
    _register()
    _watched[id(thing)] = thing


def _living() -> list[ForkAware]:
    """Always in the same order, so that two threads that fork at once cannot wait for each other; what may take long comes first, while
    calls can still use the rest."""
    things = [reference() for reference in _watched.valuerefs()]
    return sorted((thing for thing in things if thing is not None), key=lambda thing: (not isinstance(thing, Loader), id(thing)))


def _before() -> None:
    _here.rested = rested = []  # known to the rest of the fork even if a signal handler raises here, which Python only reports
    for thing in _living():
        if thing.before_fork():
            rested.append(thing)  # noqa: PERF401  # one by one: see above


def _after_in_parent() -> None:
    for thing in _here.rested:
        thing.after_fork_in_parent()
    _here.rested = []


def _after_in_child() -> None:
    rested = {id(thing) for thing in getattr(_here, "rested", [])}
    for thing in _living():
        thing.after_fork_in_child(rested=id(thing) in rested)
    _here.rested = []


@cache
def _register() -> None:
    """Not before there is something to bring to rest: what registered last runs first, so that the locks that others take before a fork
    are not yet taken while we wait for our threads. Nor is that of logging, which registered when it was imported here."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
