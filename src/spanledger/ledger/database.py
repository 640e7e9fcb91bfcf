"""One SQLite connection for all threads of a process: opened when needed, patient with other processes, safe to fork.

Transactions begin with ``BEGIN IMMEDIATE``, so that waiting happens before anything is changed. SQLite's own busy handler sleeps up to
100 ms at a time, in which others pass by; ours looks again after a tenth of a millisecond, about as long as a transaction takes.
"""

from __future__ import annotations

import logging
import os
import random
import sqlite3
import threading
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from spanledger import fork, interrupts
from spanledger.errors import LedgerBusy, LedgerError
from spanledger.ledger import forked, place, schema

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

log = logging.getLogger("spanledger")
WAIT_SECONDS = 5.0
"""How long a call waits for other threads and processes before it gives up."""
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.000_05, 0.000_15

_REASONS = {
    sqlite3.SQLITE_BUSY: f"other processes held it for more than {WAIT_SECONDS:g} s",
    sqlite3.SQLITE_LOCKED: f"other processes held it for more than {WAIT_SECONDS:g} s",
    sqlite3.SQLITE_FULL: "the disk is full; free some space or choose another path",
    sqlite3.SQLITE_READONLY: "it is read-only; make the file and its directory writable or choose another path",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened or created; check that its directory exists and is writable",
    sqlite3.SQLITE_NOTADB: "it is not a SQLite database; move the file away or choose another path",
    sqlite3.SQLITE_CORRUPT: "it is damaged; move the file away or restore it from a backup",
    sqlite3.SQLITE_IOERR: "the disk failed to read or write it",
}
_REOPEN_AFTER = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_IOERR}

_LOOK_EVERY = 2.0
"""Seconds for which a file is taken to be still at its path."""
_gone: set[tuple[Path, place.Identity | None]] = set()
"""Files whose disappearance was told, once for all connections of this process."""

_inherited: list[sqlite3.Connection] = []
"""Connections that a fork caught in the middle of a write: closing them could undo the parent's write, so they are kept for ever."""

T = TypeVar("T")


class Database:
    """The connection to one file. A closed one reopens by itself.

    Args:
        path: the file.
        migrate: creates it where it is missing, and brings its tables up to date. Who only reads does neither, and gets ``LedgerTooOld``.
    """

    def __init__(self, path: Path, *, migrate: bool = True) -> None:
        self.path, self._migrate = path, migrate
        self._renew_lock()
        self._connection: sqlite3.Connection | None = None
        self._pid = os.getpid()
        self._identity: place.Identity | None = None
        """Of the file that is open."""
        self._look_at = 0.0
        """Monotonic time at which it is compared with what is at the path."""
        fork.watch(self)

    def write(self, work: Callable[..., T], *args: Any, wait: bool = True) -> T:
        """Runs ``work`` with the connection and ``args`` in one transaction: all of it happens, or nothing.

        Raises:
            LedgerBusy: another thread or process is writing and ``wait`` is false, or what a signal handler interrupted to come here.
            LedgerError: the file cannot be read or written, or others held it for longer than ``WAIT_SECONDS``.
            sqlite3.Error: a value is not of a kind that can be stored.
        """
        self._acquire(wait=wait)
        try:
            db = self._open()
            try:  # around BEGIN too: an interrupt (Ctrl-C) may arrive right behind it
                self._insist(db.execute, "BEGIN IMMEDIATE", wait=wait)
                result = work(db, *args)
                self._insist(db.execute, "COMMIT", wait=wait)
            except BaseException:
                self._roll_back(db)
                raise
            return result
        except sqlite3.Error as error:
            if _is_about_a_value(error):
                raise
            raise self._explained(error) from error
        finally:
            self._lock.release()

    def read(self, work: Callable[[sqlite3.Connection], T], *, wait: bool = True) -> T:
        """Runs ``work``, which only reads and may be run again if it meets a lock. Raises ``LedgerError``."""
        self._acquire(wait=wait)
        try:
            db = self._open()
            return self._insist(work, db, wait=wait)
        except sqlite3.Error as error:
            if _is_about_a_value(error):
                raise
            raise self._explained(error) from error
        finally:
            self._lock.release()

    def close(self) -> None:
        """Closes the connection, if there is one."""
        self._acquire(wait=True)
        try:
            self._look()
            self._disconnect()
        finally:
            self._lock.release()

    def before_fork(self) -> bool:
        """Closes the connection and keeps others out until the fork is done."""
        if not self._lock.acquire(timeout=WAIT_SECONDS):
            return False
        self._look()
        self._disconnect()
        return True

    def after_fork_in_parent(self) -> None:
        """Lets others in again."""
        self._lock.release()

    def after_fork_in_child(self, *, rested: bool) -> None:
        """Lets others in again; deals with a connection that the fork did not wait for."""
        if self._pid == os.getpid():  # gevent's greenlets live on in the child, and one of them came here first
            return
        self._pid = os.getpid()
        if rested:
            self._lock.release()
        else:
            self._leave_to_parent()

    def _renew_lock(self) -> None:
        """Pauses are of the lock's kind: with gevent's pause within a lock of threads, who waited for the lock would stop all others."""
        self._lock, self._sleep = threading.Lock(), time.sleep

    def _leave_to_parent(self) -> None:
        at_rest = self._lock.acquire(blocking=False)
        self._renew_lock()
        if at_rest:
            self._disconnect()
        elif self._connection is not None:
            _inherited.append(self._connection)
            self._connection = None

    def _acquire(self, *, wait: bool) -> None:
        if self._pid != os.getpid():  # forked by C code that told Python nothing
            self.after_fork_in_child(rested=False)
        if self._lock.acquire(blocking=False):
            return
        if not wait or interrupts.is_interrupted(self):
            msg = f"the ledger {self.path} is being used by another thread, or by what was interrupted to come here"
            raise LedgerBusy(msg)
        if not self._lock.acquire(timeout=WAIT_SECONDS):
            msg = f"the ledger {self.path} cannot be used: other threads of this process held it for more than {WAIT_SECONDS:g} s"
            raise LedgerError(msg)

    def _open(self) -> sqlite3.Connection:
        if self._connection is not None and time.monotonic() >= self._look_at:
            self._look()
        if self._connection is None:
            if self._migrate:
                place.create_private(self.path)
            db = forked.in_time(partial(_connect_and_look, self.path))
            try:
                self._insist(schema.prepare if self._migrate else schema.check, db, self.path, wait=True)
            except BaseException:
                db.close()
                raise
            self._connection, self._identity = db, self._identity_now()
        return self._connection

    def _look(self) -> None:
        """Lets go of a file that is not at its path any more: nobody else would find what is written there."""
        self._look_at = time.monotonic() + _LOOK_EVERY
        if self._connection is None or self._identity_now() == self._identity:
            return
        if (self.path, self._identity) not in _gone:
            _gone.add((self.path, self._identity))
            log.warning("the ledger %s was deleted, moved or replaced while in use; what is at its path now is used instead", self.path)
        with suppress(sqlite3.Error):  # SQLite does not do this by itself when it closes a file that was moved
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        self._disconnect()

    def _identity_now(self) -> place.Identity | None:
        try:
            return place.identity(self.path)
        except OSError:  # nobody knows
            return self._identity

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):  # what was committed is safe; the rest of closing is housekeeping
                connection.close()

    def _insist(self, action: Callable[..., T], *args: Any, wait: bool) -> T:
        """Does ``action``, again and again while other processes are in the way."""
        deadline = 0.0
        while True:
            try:
                return action(*args)
            except sqlite3.OperationalError as error:
                if _code(error) != sqlite3.SQLITE_BUSY:
                    raise
                if not wait:
                    msg = f"the ledger {self.path} is being written by another process"
                    raise LedgerBusy(msg) from error
                deadline = deadline or time.monotonic() + WAIT_SECONDS
                if time.monotonic() > deadline:
                    raise
            self._sleep(random.uniform(_SHORTEST_PAUSE, _LONGEST_PAUSE))  # noqa: S311  # spreads waiters; no secret

    def _roll_back(self, db: sqlite3.Connection) -> None:
        """After some errors (disk full) SQLite has rolled back by itself."""
        if db.in_transaction:
            try:
                db.execute("ROLLBACK")
            except sqlite3.Error:
                self._disconnect()

    def _explained(self, error: sqlite3.Error) -> LedgerError:
        code = _code(error)
        if code in _REOPEN_AFTER:
            self._disconnect()
        return LedgerError(f"the ledger {self.path} cannot be used: {_REASONS.get(code, error)}")


def connect(path: Path) -> sqlite3.Connection:
    """A connection to a file that is there: none is created."""
    url = f"{path.as_uri()}?mode=rw"
    return sqlite3.connect(url, uri=True, timeout=0, isolation_level=None, check_same_thread=False, cached_statements=256)


def _connect_and_look(path: Path) -> sqlite3.Connection:
    """Opening alone does not take all the locks that are needed later."""
    db = connect(path)
    with suppress(sqlite3.Error):  # whoever uses the connection will meet it again
        db.execute("PRAGMA schema_version").fetchone()
    return db


def _is_about_a_value(error: sqlite3.Error) -> bool:
    """Whether it is what was to be written that cannot be stored: trying again would be in vain."""
    unknown_kind = isinstance(error, (sqlite3.ProgrammingError, sqlite3.InterfaceError))
    return unknown_kind or _code(error) in {sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_TOOBIG}


def _code(error: sqlite3.Error) -> int:
    """The primary result code; extended ones carry details in the higher bits (https://www.sqlite.org/rescode.html)."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
