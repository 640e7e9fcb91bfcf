"""Facts on disk, parted by entry id, so that both sides of a comparison meet without being in memory at once.

Whatever two sources say about one entry lies in the bucket of the same number; a bucket is a 256th of all. Rows are appended in blocks;
several processes may fill a folder, each its own files.
"""

from __future__ import annotations

import os
import pickle
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from spanledger.ledger.facts import FactRow

COUNT = 256
"""Of a million facts 4,000 are in memory at a time, of a hundred million 400,000 (about 400 MB)."""
_BLOCK = 64
"""Rows of a bucket that wait in memory until they are written."""


class Buckets:
    """Writes facts into ``folder``, which only its owner may reach."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        self._paths = [folder / f"{number}-{os.getpid()}" for number in range(COUNT)]
        self._waiting: list[list[FactRow]] = [[] for _ in range(COUNT)]

    def add(self, rows: Iterable[FactRow]) -> None:
        """Adds facts; the first value of each is the entry's id."""
        for row in rows:
            number = zlib.crc32(row[0].encode("utf-8", "surrogatepass")) % COUNT
            waiting = self._waiting[number]
            waiting.append(row)
            if len(waiting) >= _BLOCK:
                self._write(number)

    def flush(self) -> None:
        """Writes what waits."""
        for number, waiting in enumerate(self._waiting):
            if waiting:
                self._write(number)

    def _write(self, number: int) -> None:
        with self._paths[number].open("ab") as file:
            pickle.dump(self._waiting[number], file, pickle.HIGHEST_PROTOCOL)
        self._waiting[number] = []


def rows(folder: Path, number: int) -> Iterator[FactRow]:
    """The facts of one bucket, in the order in which each process wrote them."""
    for path in sorted(folder.glob(f"{number}-*")):
        with path.open("rb") as file:
            while file.peek(1):
                yield from pickle.load(file)  # noqa: S301  # written a moment ago into a folder that only we may reach
