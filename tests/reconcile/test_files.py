"""Span files in every state a collector leaves them in."""

from __future__ import annotations

import gzip
import json
import os
import struct
from typing import TYPE_CHECKING, Any

import pytest

from spanledger.errors import ConfigurationError
from spanledger.reconcile import files, otlp, reading
from spanledger.telemetry import semconv as s

if TYPE_CHECKING:
    from pathlib import Path


def ids(chunk_size: int, tmp_path: Path, *paths: Path) -> tuple[list[str], Any]:
    """The entry ids that reading finds, in their order, and the reading."""
    from spanledger.reconcile import buckets

    folder = tmp_path / "buckets"
    got = reading.read_files(files.chunks(files.find(paths), chunk_size), folder, workers=1, advance=lambda _: None)
    return sorted(row[0] for number in range(buckets.COUNT) for row in buckets.rows(folder, number)), got


@pytest.mark.parametrize("size", [400, 5_000, 10**9])
def test_each_line_is_read_once_however_a_file_is_split(tmp_path: Path, call: Any, span: Any, line: Any, size: int) -> None:
    calls = [call(n) for n in range(30)]
    path = tmp_path / "spans.jsonl"
    path.write_bytes(b"".join(line([span(one)]) for one in calls[:10]) + line(map(span, calls[10:])))
    found, got = ids(size, tmp_path, path)
    assert found == [one.id for one in calls]
    assert (got.lines, got.spans, got.problems) == (11, 30, [])


@pytest.mark.parametrize("size", [700, 10**9])
def test_problems_are_named_by_file_and_line(tmp_path: Path, call: Any, span: Any, line: Any, size: int) -> None:
    good = [line([span(call(n))]) for n in range(6)]
    path = tmp_path / "spans.jsonl"
    path.write_bytes(
        good[0] + good[1] + b"garbage\n" + good[2] + b'{"resourceSpans": 7, "' + s.ENTRY_ID.encode() + b'": 1}\n' + good[3] + good[4][:300]
    )
    found, got = ids(size, tmp_path, path)
    assert found == [call(n).id for n in range(4)]
    assert (got.lines, got.torn, got.unreadable) == (7, 1, 2)
    assert [(problem.path, problem.line) for problem in got.problems] == [(str(path), 3), (str(path), 5), (str(path), 7)]
    assert "ends in the middle" in got.problems[-1].what


def test_only_the_first_problems_are_kept_and_all_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "spans.jsonl"
    path.write_bytes(b"garbage\n" * 500)
    _, got = ids(1000, tmp_path, path)
    assert got.unreadable == 500
    assert [problem.line for problem in got.problems] == list(range(1, 11))


def test_what_a_restarted_collector_wrote_behind_a_tear_is_read(tmp_path: Path, call: Any, span: Any, line: Any) -> None:
    path = tmp_path / "spans.jsonl"
    path.write_bytes(line([span(call(1))]) + line([span(call(2))])[:400] + line([span(call(3))]) + line([span(call(4))]))
    found, got = ids(10**9, tmp_path, path)
    assert found == [call(n).id for n in (1, 3, 4)]
    assert (got.torn, got.unreadable) == (1, 0)


def test_one_bad_span_does_not_hide_its_neighbours(tmp_path: Path, call: Any, span: Any, line: Any) -> None:
    path = tmp_path / "spans.jsonl"
    bad = span(call(2), a={s.INPUT_TOKENS: "many"})
    path.write_bytes(line([span(call(1)), bad, span(call(3))]))
    found, got = ids(10**9, tmp_path, path)
    assert found == [call(1).id, call(3).id]
    assert got.problems[0].what == "1 spans of another shape"


def test_gzip_whole_and_torn(tmp_path: Path, call: Any, span: Any, line: Any) -> None:
    lines = b"".join(line([span(call(n))]) for n in range(200))
    whole, torn = tmp_path / "a.jsonl.gz", tmp_path / "b.jsonl.gz"
    whole.write_bytes(gzip.compress(lines))
    assert ids(10, tmp_path, whole)[0] == [call(n).id for n in range(200)]
    torn.write_bytes(gzip.compress(b"".join(line([span(call(n))]) for n in range(200, 400)))[:-3000])
    found, got = ids(10**9, tmp_path, torn)
    assert 200 < len(set(found)) < 400
    assert got.torn >= 1
    assert got.unreadable == 0


def test_zstd_whole_as_messages_and_torn(tmp_path: Path, call: Any, span: Any, line: Any) -> None:
    zstandard = pytest.importorskip("zstandard", reason="needs the package zstandard")
    pack = zstandard.ZstdCompressor().compress
    plain, messages = tmp_path / "a.jsonl.zst", tmp_path / "b.jsonl"
    plain.write_bytes(pack(b"".join(line([span(call(n))]) for n in range(50))))
    packed = [pack(line([span(call(n))]).strip()) for n in range(50, 60)]
    framed = b"".join(struct.pack(">I", len(one)) + one for one in packed)
    messages.write_bytes(framed[:-20])
    found, got = ids(10**9, tmp_path, plain, messages)
    assert found == [call(n).id for n in range(59)]
    assert (got.torn, got.unreadable) == (1, 0)
    damaged = framed.replace(packed[3], packed[3][:20] + b"\xff" * (len(packed[3]) - 20))
    messages.write_bytes(damaged)
    (tmp_path / "again").mkdir()
    found, got = ids(10**9, tmp_path / "again", messages)
    assert found == [call(n).id for n in range(50, 60) if n != 53]
    assert got.problems[0].line == 4


def test_without_zstandard_a_packed_file_is_an_error_that_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "find_spec", lambda _: None)
    path = tmp_path / "spans.jsonl.zst"
    path.write_bytes(b"\x28\xb5\x2f\xfd and more")
    with pytest.raises(ConfigurationError, match="pip install zstandard"):
        files.chunks([path])


def test_a_directory_gives_its_span_files_rotated_ones_too(tmp_path: Path) -> None:
    names = [
        "spans.jsonl",
        "spans-2026-11-21T10-00-00.000.jsonl",
        "spans-2026-11-21T11-00-00.000-size.jsonl",
        "old.jsonl.gz",
        "x.json",
        "y.jsonl.zst",
    ]
    for name in (*names, "notes.txt", "spans.jsonl.tmp"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "sub.jsonl").mkdir()
    assert [path.name for path in files.find([tmp_path])] == sorted(names)
    assert files.chunks(files.find([tmp_path])) == [], "empty files hold nothing"
    assert files.find([tmp_path / "notes.txt", tmp_path / "notes.txt"]) == [tmp_path / "notes.txt"], "a file that is named is read once"


def test_files_written_long_before_the_window_are_left_out(tmp_path: Path) -> None:
    old, new = tmp_path / "old.jsonl", tmp_path / "new.jsonl"
    for path, time in ((old, 1_000_000.0), (new, 1_100_000.0)):
        path.write_bytes(b"")
        os.utime(path, (time, time))
    assert files.in_directory(tmp_path, 1_100_000.0) == [new]
    assert files.in_directory(tmp_path, 1_086_000.0) == [new, old], "clocks of hosts differ"
    assert files.find([tmp_path]) == [new, old], "what is named is read"


@pytest.mark.parametrize(("name", "words"), [("nowhere", "no such file"), ("empty", "holds no span files")])
def test_a_place_without_files_is_an_error(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigurationError, match=words):
        files.find([tmp_path / name])


def test_snake_case_plain_integers_and_the_latest_names_are_read() -> None:
    attributes = {
        s.ENTRY_ID: {"string_value": "a"}, s.COUNTED: {"bool_value": True}, s.ACTIVITY: {"string_value": "llm"},
        s.USAGE_STATE: {"string_value": "exact"}, s.INPUT_TOKENS: {"int_value": 100}, s.OUTPUT_TOKENS: {"int_value": "7"},
        s.LATEST.cache_write_tokens: {"int_value": 30}, s.CACHE_READ_TOKENS: {"int_value": 20}, s.REASONING_TOKENS: {}, "x": None,
    }  # fmt: skip
    span = {
        "trace_id": "t", "span_id": "s", "start_time_unix_nano": 1_500_000_000,
        "attributes": [{"key": key, "value": value} for key, value in attributes.items()] + [{"key": s.EXECUTION_ID}],
    }  # fmt: skip
    rows: list[Any] = []
    resource = {"attributes": [{"key": "service.name", "value": {"string_value": "app"}}]}
    assert otlp.facts_of(json.dumps({"resource_spans": [{"resource": resource, "scope_spans": [{"spans": [span]}]}]}, indent=1), rows) == 0
    assert rows == [("a", 1.5, "llm", "exact", None, 50, 20, 30, 7, 0, 0, "app", None, "", "t", "s", False, False, None)]


def test_parts_larger_than_their_totals_leave_nothing_below_zero() -> None:
    attributes = {
        s.ENTRY_ID: "a",
        s.COUNTED: True,
        s.USAGE_STATE: "exact",
        s.INPUT_TOKENS: 5,
        s.CACHE_READ_TOKENS: 9,
        s.OUTPUT_TOKENS: 1,
        s.REASONING_TOKENS: 4,
    }
    row = otlp.fact("t", "s", 0, attributes, {})
    assert row is not None
    assert row[5:11] == (0, 9, 0, 0, 4, 0)


def test_half_a_surrogate_pair_does_not_stop_the_comparison(books: Any, call: Any, span: Any) -> None:
    books.both(call(1))
    odd = span(call(2), a={s.ENTRY_ID: "odd-\ud83d"}, service="caf\ud800")
    books.write(
        json.dumps(
            {
                "resourceSpans": [
                    {
                        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": odd.service}}]},
                        "scopeSpans": [{"spans": [odd.json()]}],
                    }
                ]
            }
        ).encode()
        + b"\n"
    )
    assert books.compare().result.comparison.elsewhere == {"caf?": 1}
    assert books.compare(services=("caf?",)).kinds == {"odd-?": ["missing_in_ledger"]}


def test_worker_processes_read_what_one_process_reads(books: Any, call: Any, span: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_ALONE", 0)
    monkeypatch.setattr(files.chunks, "__defaults__", (20_000,))
    calls = [call(n) for n in range(100)]
    books.book(*calls)
    books.export(*map(span, calls[:98]))
    books.write(b"garbage\n")
    found = books.compare(workers=2)
    assert found.kinds == {one.id: ["missing_in_spans"] for one in calls[98:]}
    assert found.result.reading.lines == 11
    assert [problem.line for problem in found.result.reading.problems] == [11]
