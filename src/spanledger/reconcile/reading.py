"""Reading span files into buckets: what a line gives, what was wrong with it, and the worker processes that share the files."""

from __future__ import annotations

import gc
import json
import multiprocessing
import re
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from spanledger.errors import ConfigurationError
from spanledger.reconcile import files, otlp
from spanledger.reconcile.buckets import Buckets
from spanledger.telemetry import semconv as s

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from spanledger.ledger.facts import FactRow

_ENTRY_ID = s.ENTRY_ID.encode()
_REQUEST = re.compile(rb'(?=\{"resource_?[Ss]pans")')
_ESCAPED_SURROGATE = b"\\ud"
_MOST_PROBLEMS = 10
_ALONE = 32 * 2**20
"""Bytes up to which starting processes takes longer than reading."""


class Problem(NamedTuple):
    """What is wrong with one line. Lines of a file packed as messages are its messages."""

    path: str
    line: int
    what: str


@dataclass
class Reading:
    """What was read of span files."""

    lines: int = 0
    spans: int = 0
    """Spans that count a call."""
    torn: int = 0
    """Lines that end in the middle: the collector was stopped while it wrote, or writes just now."""
    unreadable: int = 0
    """Lines and spans that are not what the collector writes."""
    problems: list[Problem] = field(default_factory=list)
    """The first of them."""

    def add(self, other: Reading) -> None:
        """Adds what was read elsewhere."""
        self.lines += other.lines
        self.spans += other.spans
        self.torn += other.torn
        self.unreadable += other.unreadable
        self.problems = (self.problems + other.problems)[:_MOST_PROBLEMS]


def read_files(chunks: Sequence[files.Chunk], folder: Path, *, workers: int, advance: Callable[[int], None]) -> Reading:
    """Puts the facts of all chunks into buckets in ``folder``; ``advance`` is told how many bytes are done.

    With more than one worker, and enough to read, chunks are read in processes of their own.

    Raises:
        ConfigurationError: a file cannot be read.
    """
    total, before = Reading(), 0
    try:
        for chunk, reading in zip(chunks, _readings(chunks, folder, workers), strict=True):
            before = before if chunk.start else 0  # a chunk counts its lines from 1, wherever in the file it begins
            reading.problems = [problem._replace(line=problem.line + before) for problem in reading.problems]
            before += reading.lines
            total.add(reading)
            advance(chunk.end - chunk.start)
    except OSError as error:
        raise ConfigurationError(str(error.filename or "--spans"), f"cannot be read ({error.strerror or error})", "span files") from error
    return total


def _readings(chunks: Sequence[files.Chunk], folder: Path, workers: int) -> Iterator[Reading]:
    if workers < 2 or sum(chunk.end - chunk.start for chunk in chunks) <= _ALONE:
        for chunk in chunks:
            yield read_chunk(chunk, folder)
        return
    # Not forked: threads of this process may hold locks.
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(read_chunk, chunks, [folder] * len(chunks))


@contextmanager
def _no_search_for_cycles() -> Iterator[None]:
    """A request is a million small objects without cycles; looking for cycles among them takes longer than reading them."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@_no_search_for_cycles()
def read_chunk(chunk: files.Chunk, folder: Path) -> Reading:
    """Puts the facts of one chunk into buckets in ``folder``. Raises OSError if the file cannot be read."""
    buckets, reading = Buckets(folder), Reading()
    for line in files.lines(chunk):
        reading.lines += 1
        rows, problem = _facts(line, reading)
        reading.spans += len(rows)
        buckets.add(rows)
        if problem and len(reading.problems) < _MOST_PROBLEMS:
            reading.problems.append(Problem(str(chunk.path), reading.lines, problem))
    buckets.flush()
    return reading


def _facts(line: files.Line, reading: Reading) -> tuple[list[FactRow], str]:
    """The facts of one line, and what is wrong with it."""
    rows: list[FactRow] = []
    text = line.text.strip()
    if not text and line.whole:
        return rows, ""
    if text.startswith(b"{") and text.endswith(b"}"):
        if _ENTRY_ID not in text:
            return rows, ""
        try:
            bad = otlp.facts_of(_text(text), rows)
        except (ValueError, RecursionError):
            rows.clear()
        else:
            reading.unreadable += bad
            return rows, f"{bad} spans of another shape" if bad else ""
    return _rest(line, text, reading)


def _text(line: bytes) -> str:
    """The line as text; halves of surrogate pairs, which have no UTF-8 and cannot be stored or printed, are replaced."""
    if _ESCAPED_SURROGATE in line:
        line = json.dumps(json.loads(line), ensure_ascii=False).encode("utf-8", "replace")
    return line.decode()


def _rest(line: files.Line, text: bytes, reading: Reading) -> tuple[list[FactRow], str]:
    """What can be saved of a line that is no request: a collector that was killed left half of one, its successor went on behind it."""
    rows: list[FactRow] = []
    saved = sum(_saved(piece, rows) for piece in _REQUEST.split(text) if piece)
    if saved:
        reading.torn += 1
        return rows, "is torn; the requests behind the tear were read"
    if not line.whole:
        reading.torn += 1
        return rows, "is torn: the file ends in the middle of it"
    reading.unreadable += 1
    return rows, f"is no request in JSON ({len(line.text):,} bytes)"


def _saved(piece: bytes, rows: list[FactRow]) -> bool:
    found: list[FactRow] = []
    try:
        otlp.facts_of(_text(piece), found)
    except (ValueError, RecursionError):
        return False
    rows += found
    return True
