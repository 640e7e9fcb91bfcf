"""Spans in the ledger's file."""

from __future__ import annotations

import pytest

from spanledger.errors import LedgerError
from spanledger.ledger import spans as spans_module
from spanledger.ledger.spans import SpanRow, SpanStore
from spanledger.ledger.sqlite import SqliteLedger


def span(trace: str, number: int, parent: int | None = None, **fields) -> SpanRow:
    values = {"name": f"span {number}", "kind": "client", "start_ns": 1_000 + number, "end_ns": 2_000 + number, "status": "ok"}
    return SpanRow(trace * 32, f"{number:016x}", None if parent is None else f"{parent:016x}", **(values | fields))


@pytest.fixture
def store(tmp_path):
    store = SpanStore(tmp_path / "ledger.db")
    yield store
    store.close()


def test_every_field_comes_back(store):
    row = span(
        "a", 1, 0, status="error", status_message="broken \ud800".replace("\ud800", "ü"), scope="spanledger",
        attributes={"gen_ai.request.model": "gpt-5", "tokens": 5, "stop": ["a", "b"], "temperature": 0.5, "stream": True},
        events=[{"name": "exception", "time_ns": 5, "attributes": {}}], resource={"service.name": "svc"},
        links=[{"trace_id": "b" * 32, "span_id": "1" * 16}],
    )  # fmt: skip
    store.save([row])
    assert store.trace("a" * 32) == [row]


def test_saving_twice_keeps_the_first(store):
    store.save([span("a", 1)])
    store.save([span("a", 1, name="again"), span("a", 2)])
    assert [row.name for row in store.trace("a")] == ["span 1", "span 2"]


def test_a_trace_is_found_by_the_beginning_of_its_id(store):
    store.save([span("a", 2), span("a", 1), span("b", 3), span("f", 4)])
    assert [row.name for row in store.trace("a")] == ["span 1", "span 2"]
    assert [row.name for row in store.trace("F" * 32)] == ["span 4"]
    assert [row.name for row in store.trace("")] == ["span 1", "span 2", "span 3", "span 4"]
    assert store.trace("c") == store.trace("%") == store.trace("a" * 33) == []


def test_recent_traces_by_their_root(store):
    store.save([span("a", 2, 1), span("a", 1, name="root a"), span("b", 9, 8, name="no root here"), span("c", 5, name="root c")])
    assert store.recent(10) == [("b" * 32, "no root here", 1009), ("c" * 32, "root c", 1005), ("a" * 32, "root a", 1001)]
    assert len(store.recent(2)) == 2
    assert store.recent(0) == []


def test_the_oldest_are_forgotten(tmp_path):
    store = SpanStore(tmp_path / "ledger.db", most_spans=100)
    for start in range(0, 300, 30):
        store.save([span("a", number) for number in range(start, start + 30)])
    assert [row.name for row in store.trace("a")] == [f"span {number}" for number in range(200, 300)]
    store.close()


def test_a_smaller_bound_takes_effect_little_by_little(tmp_path, monkeypatch):
    monkeypatch.setattr(spans_module, "_PRUNED_AT_ONCE", 10)
    large = SpanStore(tmp_path / "ledger.db")
    large.save([span("a", number) for number in range(50)])
    large.close()
    small = SpanStore(tmp_path / "ledger.db", most_spans=20)
    sizes = []
    for number in range(50, 56):
        small.save([span("a", number)])
        sizes.append(len(small.trace("a")))
    assert sizes == [41, 32, 23, 20, 20, 20]
    small.close()


def test_strange_values_are_kept_as_text(store):
    store.save([span("a", 1, name="\ud800", attributes={"odd": {1, 2}.__class__, "text": "\udfff"})])
    (row,) = store.trace("a")
    assert (row.name, row.attributes) == ("?", {"odd": "<class 'set'>", "text": "?"})


def test_spans_and_books_share_a_file(store, tmp_path, make_entry):
    ledger = SqliteLedger(tmp_path / "ledger.db")
    ledger.settle(make_entry(), [])
    store.save([span("a", 1)])
    assert (ledger.totals()[0].calls, len(store.trace("a"))) == (1, 1)
    ledger.close()


def test_errors_are_ledger_errors(tmp_path):
    (tmp_path / "ledger.db").write_bytes(b"garbage" * 100)
    with pytest.raises(LedgerError, match="not a SQLite database"):
        SpanStore(tmp_path / "ledger.db").save([span("a", 1)])
