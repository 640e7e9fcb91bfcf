"""Forks that find SQLite locked for ever, as if another thread of the application had been within it."""

from __future__ import annotations

import _sqlite3
import ctypes
import os


def at_forks() -> bool:
    """Call it before anything of ours is imported: what is registered first is done last before a fork, and first after it.

    Returns: False where Python keeps SQLite's mutexes to itself, so that they cannot be locked from outside.
    """
    sqlite = ctypes.CDLL(_sqlite3.__file__)
    try:
        sqlite.sqlite3_mutex_alloc.restype = ctypes.c_void_p
    except AttributeError:
        return False
    memory = ctypes.c_void_p(sqlite.sqlite3_mutex_alloc(3))  # SQLITE_MUTEX_STATIC_MEM, which all of SQLite takes
    os.register_at_fork(before=lambda: sqlite.sqlite3_mutex_enter(memory), after_in_parent=lambda: sqlite.sqlite3_mutex_leave(memory))
    return True
