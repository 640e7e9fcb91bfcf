"""Span files: which ones, and what is in them line by line, however they are packed.

The collector's file exporter writes one request per line, in JSON. It rotates ``spans.jsonl`` to names with a time in them; with
``compression: zstd`` it writes no lines, but messages: four bytes of length (big-endian), then one zstd frame
(https://pkg.go.dev/github.com/open-telemetry/opentelemetry-collector-contrib/exporter/fileexporter).
"""

from __future__ import annotations

import gzip
import io
import re
import struct
import zlib
from importlib.util import find_spec
from typing import IO, TYPE_CHECKING, Any, NamedTuple, NoReturn

from spanledger.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

CHUNK = 64 * 2**20
"""Bytes of a plain file that are read at once; a larger one is split."""
LONGEST_LINE = 128 * 2**20
"""A line beyond that is no request: receivers refuse what is a quarter of that."""
_SPAN_FILE = re.compile(r"\.jsonl?(\.(gz|zst))?$")
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_OLDER = 86_400.0
"""Seconds by which the clocks of a file's host and of a program may be apart."""
_EXPECTED = "a file that the collector's file exporter wrote, or a directory with such files (*.jsonl, *.jsonl.gz, *.jsonl.zst)"


class Chunk(NamedTuple):
    """A part of a plain file: the lines that begin in ``start <= byte < end``. A packed file is one chunk."""

    path: Path
    start: int
    end: int


class Line(NamedTuple):
    """One line or message; ``whole`` is false if the file ends in the middle of it."""

    text: bytes
    whole: bool


def find(places: Sequence[Path]) -> list[Path]:
    """The span files at these places: files as they are named, of a directory all that look like one, by name.

    Raises:
        ConfigurationError: there is no such file or directory, or it holds none, or it cannot be read.
    """
    found: list[Path] = []
    for place in places:
        if place.is_dir():
            found += in_directory(place) or _none(place)
        elif place.exists():
            found.append(place)
        else:
            raise ConfigurationError(str(place), "there is no such file or directory", _EXPECTED)
    return list(dict.fromkeys(found))


def in_directory(place: Path, since: float | None = None) -> list[Path]:
    """All that looks like a span file in a directory, by name; only what was written since then. Raises ConfigurationError."""
    try:
        files = [path for path in sorted(place.iterdir()) if path.is_file() and _SPAN_FILE.search(path.name)]
        return [path for path in files if since is None or path.stat().st_mtime >= since - _OLDER]
    except OSError as error:
        raise _unreadable(place, error) from error


def _none(place: Path) -> NoReturn:
    raise ConfigurationError(str(place), "holds no span files", _EXPECTED)


def _unreadable(path: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(str(path), f"cannot be read ({error.strerror})", _EXPECTED)


def chunks(paths: Sequence[Path], size: int = CHUNK) -> list[Chunk]:
    """The files in parts that can be read on their own. Raises ConfigurationError if one cannot be read here."""
    return [chunk for path in paths for chunk in _chunks(path, size)]


def _chunks(path: Path, size: int) -> list[Chunk]:
    try:
        with path.open("rb") as file:
            packing = _packing(file.read(8))
        length = path.stat().st_size
    except OSError as error:
        raise _unreadable(path, error) from error
    if packing in ("zstd", "messages") and find_spec("zstandard") is None:
        expected = "the package zstandard to be installed (pip install zstandard), or the file unpacked (zstd -d)"
        raise ConfigurationError(str(path), "is packed with zstd, which cannot be read", expected)
    if packing != "plain":
        return [Chunk(path, 0, length)]
    return [Chunk(path, start, min(start + size, length)) for start in range(0, length, size)]


def _packing(head: bytes) -> str:
    """By content: the exporter's compressed files are called .jsonl too."""
    if head.startswith(_GZIP):
        return "gzip"
    if head.startswith(_ZSTD):
        return "zstd"
    return "messages" if head[4:] == _ZSTD else "plain"


def lines(chunk: Chunk) -> Iterator[Line]:
    """The lines of a chunk. A packed file that ends too early ends with a line that is not whole. Raises OSError."""
    with chunk.path.open("rb") as file:
        packing = _packing(file.read(8))
        file.seek(0)
        if packing == "plain":
            yield from _plain_lines(file, chunk)
        elif packing == "messages":
            yield from _messages(file)
        else:
            with _unpacked(file, packing) as text:
                yield from _whole_lines(text)


def _plain_lines(file: IO[bytes], chunk: Chunk) -> Iterator[Line]:
    place = chunk.start
    if place:  # the line that begins before belongs to the chunk before
        file.seek(place - 1)
        place += len(file.readline()) - 1
    while place < chunk.end:
        text = file.readline(LONGEST_LINE)
        if not text:
            return
        place += len(text)
        yield Line(text, text.endswith(b"\n"))


def _unpacked(file: IO[bytes], packing: str) -> gzip.GzipFile | io.BufferedReader:
    if packing == "gzip":
        return gzip.open(file)
    import zstandard  # type: ignore[import-not-found, unused-ignore]  # noqa: PLC0415  # not everybody has it

    reader: Any = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
    return io.BufferedReader(reader)


def _whole_lines(file: gzip.GzipFile | io.BufferedReader) -> Iterator[Line]:
    try:
        while text := file.readline(LONGEST_LINE):
            yield Line(text, text.endswith(b"\n"))
    except (EOFError, zlib.error, gzip.BadGzipFile):  # zstandard ends a torn file as if it were whole
        yield Line(b"", whole=False)


def _messages(file: IO[bytes]) -> Iterator[Line]:
    import zstandard  # type: ignore[import-not-found, unused-ignore]  # noqa: PLC0415  # not everybody has it

    unpack = zstandard.ZstdDecompressor().decompress
    while head := file.read(4):
        length = struct.unpack(">I", head)[0] if len(head) == 4 else LONGEST_LINE
        packed = file.read(min(length, LONGEST_LINE))
        if len(packed) < length:
            yield Line(b"", whole=False)
            return
        try:
            yield Line(unpack(packed, max_output_size=LONGEST_LINE), whole=True)
        except zstandard.ZstdError:
            yield Line(packed, whole=True)  # which is no request
