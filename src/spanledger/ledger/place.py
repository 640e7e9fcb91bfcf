"""The place of a SQLite ledger in the file system: making its file, and telling it from another one that took its name."""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from spanledger import interrupts, private
from spanledger.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_PATIENCE, _PAUSE = 1.0, 0.001
"""Seconds for which a maker waits for others that make a file in the same directory."""

Identity = tuple[int, int]


def identity(path: Path) -> Identity | None:
    """What tells the file from all others that may get its name; None if there is none.

    Raises:
        OSError: nobody can say now.
    """
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_dev, status.st_ino


def is_there(path: Path) -> bool:
    """Whether there is a file; taken for granted where nobody may look, because opening it then says why."""
    try:
        return identity(path) is not None
    except OSError:
        return True


def create_private(path: Path) -> None:
    """Creates the file, readable by its owner only, and the directories above it. SQLite gives its side files the mode of the main file.

    Nothing is opened that exists: closing it would drop the locks which SQLite holds on it in this process
    (https://www.sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_).
    """
    try:
        if path.exists():
            return
        private.make_folder(path.parent)
        with _alone_in(path.parent) as alone, suppress(FileExistsError):
            if alone and not path.exists():
                _remove_side_files(path)
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except OSError as error:
        if interrupts.raised_by_handler(error):  # TimeoutError is one of them
            raise
        raise _cannot_create(path, error) from error


def check_creatable(path: Path) -> None:
    """Tries whether the file could be created, and leaves nothing behind. Raises LedgerError.

    Permissions do not tell: a file system may be read-only, and root may do anything. The file itself is not tried: another process may
    take it for its ledger before it is gone.
    """
    try:
        there = next(parent for parent in path.absolute().parents if parent.exists())
        with tempfile.TemporaryDirectory(prefix=".spanledger-", dir=there):
            pass
    except OSError as error:
        raise _cannot_create(path, error) from error


def _cannot_create(path: Path, error: OSError) -> LedgerError:
    return LedgerError(f"the ledger {path} cannot be created: {error.strerror}; choose a path in a directory that can be written")


def _remove_side_files(path: Path) -> None:
    """Those of a file that was deleted or moved: processes that have it open go on using them, which no other file would survive
    (https://www.sqlite.org/howtocorrupt.html#_unlinking_or_renaming_a_database_file_while_in_use)."""
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


@contextmanager
def _alone_in(directory: Path) -> Iterator[bool]:
    """Keeps other processes from making a file here meanwhile; False where that is not possible."""
    try:
        import fcntl  # noqa: PLC0415  # not on Windows, which deletes and moves no file that is open

        lock = os.open(directory, os.O_RDONLY)
    except (ImportError, OSError):
        yield False
        return
    try:
        yield _locked(lambda: fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB))
    finally:
        os.close(lock)


def _locked(lock: Callable[[], None]) -> bool:
    deadline = time.monotonic() + _PATIENCE
    while True:
        with suppress(OSError):
            lock()
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(_PAUSE)
