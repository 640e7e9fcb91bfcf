"""Reading a SQLite ledger that cannot be read where it is: from a private copy, so that nothing changes under those who use the file."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from spanledger.errors import LedgerError, LedgerTooOld
from spanledger.ledger import place
from spanledger.ledger.database import Database, connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def readable(path: Path, on_old: Callable[[LedgerTooOld], None]) -> Iterator[Path]:
    """The file, or a copy with today's tables that is gone afterwards. It is as the ledger was when it was made.

    Copied are a file with the tables of an older version, and one that SQLite may not make side files for, as on a read-only file system
    (https://www.sqlite.org/wal.html#read_only_databases).

    Args:
        path: the ledger's file.
        on_old: is told that the file has older tables, before the copy is made.

    Raises:
        LedgerError: it cannot be read, or there is no room for a copy.
    """
    copy = _how_to_copy(path, on_old)
    if copy is None:
        yield path
        return
    with ExitStack() as until_read:
        try:
            folder = until_read.enter_context(tempfile.TemporaryDirectory(prefix="spanledger-"))  # mode 0700
            copied = Path(folder, path.name)
            place.create_private(copied)
            copy(path, copied)
        except (OSError, sqlite3.Error) as error:
            hint = "check who may read it, and that TMPDIR names a directory with room"
            msg = f"the ledger {path} cannot be copied for reading: {error}; {hint}"
            raise LedgerError(msg) from error
        with closing(Database(copied)) as database:
            database.read(_nothing)
        yield copied


def _how_to_copy(path: Path, on_old: Callable[[LedgerTooOld], None]) -> Callable[[Path, Path], None] | None:
    """None if the file can be read where it is."""
    try:
        with closing(Database(path, migrate=False)) as database:
            database.read(_nothing)
    except LedgerTooOld as older:
        on_old(older)
        return _copy_in_use
    except LedgerError as error:
        if not _lacks_side_files(path, error):
            raise
        return _copy_at_rest
    return None


def _nothing(_db: sqlite3.Connection) -> None:
    """Opening is all."""


def _lacks_side_files(path: Path, error: LedgerError) -> bool:
    """Then no process has the ledger open: it would have made them."""
    code = getattr(error.__cause__, "sqlite_errorcode", 0) & 0xFF
    return code in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN} and path.is_file() and not _side_file(path, "-shm").exists()


def _copy_in_use(path: Path, copy: Path) -> None:
    """All at once, as of one moment: with a write-ahead log writers go on meanwhile, and never make it start anew."""
    with closing(connect(path)) as source, closing(sqlite3.connect(copy)) as target:
        target.execute("PRAGMA synchronous=OFF")  # gone soon
        source.backup(target)


def _copy_at_rest(path: Path, copy: Path) -> None:
    """With the write-ahead log that a killed process may have left."""
    for name in ("", "-wal"):
        if (part := _side_file(path, name)).exists():
            shutil.copyfile(part, _side_file(copy, name))


def _side_file(path: Path, name: str) -> Path:
    return path.with_name(path.name + name)
