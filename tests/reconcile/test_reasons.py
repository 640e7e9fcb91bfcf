"""Neighbours and services tell why something is missing."""

from __future__ import annotations

from typing import Any

from spanledger.telemetry import semconv as s


def test_calls_missing_in_a_row_are_a_lost_batch_and_one_alone_is_a_lost_span(books: Any, call: Any, span: Any) -> None:
    calls = [call(n) for n in range(200)]
    books.book(*calls)
    lost = {40, *range(100, 120), *range(150, 157)}  # seven in a row are too few to tell
    books.export(*(span(one) for n, one in enumerate(calls) if n not in lost))
    found = books.compare()
    assert set(found.differences) == {calls[n].id for n in lost}
    assert "single span" in found.reason(calls[40])
    assert "single span" in found.reason(calls[151])
    assert {found.reason(calls[n]) for n in range(100, 120)} == {found.reason(calls[100])}
    assert "one of 20 calls of service app in a row" in found.reason(calls[100])
    assert "queue overflowed" in found.reason(calls[100])


def test_other_services_between_do_not_break_a_row(books: Any, call: Any, span: Any) -> None:
    """Positions are counted by service; calls of its other processes may lie between."""
    calls = [call(n, service="app" if n % 3 else "web") for n in range(120)]
    books.book(*calls)
    lost = [one for n, one in enumerate(calls) if 30 <= n < 66 and n % 6 == 1]  # every fourth call of app
    lost += [one for n, one in enumerate(calls) if n % 3 and 66 <= n < 80]
    books.export(*(span(one) for one in calls if one not in lost))
    assert f"one of {len(lost)} calls of service app in a row" in books.compare().reason(lost[0])


def test_the_newest_calls_without_spans_were_not_exported_yet(books: Any, call: Any, span: Any) -> None:
    calls = [call(n) for n in range(40)]
    books.book(*calls)
    books.export(*map(span, calls[:20]))
    found = books.compare()
    assert len(found.differences) == 20
    assert {one["reason"] for one in found.differences.values()} == {found.reason(calls[20])}
    assert "before it exported its last spans" in found.reason(calls[20])


def test_a_service_without_spans_or_without_entries_looks_elsewhere(books: Any, call: Any, span: Any) -> None:
    books.both(call(1), call(50))
    books.book(call(2, service="silent"))
    books.export(span(call(3), service="stranger"))
    found = books.compare(services=("app", "silent", "stranger"))
    assert "no call of service silent has a span here" in found.reason(call(2))
    assert "service stranger has an entry in this ledger: the service uses another ledger" in found.reason(call(3))


def test_scattered_losses_of_one_service_are_sampling(books: Any, call: Any, span: Any) -> None:
    calls = [call(n) for n in range(100)]
    books.book(*calls)
    books.export(*(span(one) for n, one in enumerate(calls) if n % 5 != 2))
    assert "20% of the calls of service app have no span, here and there: spans are sampled" in books.compare().reason(calls[2])


def test_calls_without_an_entry_in_a_row_older_ones_and_single_ones(books: Any, call: Any, span: Any) -> None:
    calls = [call(n) for n in range(10, 60)]
    books.book(*calls[:20], *calls[30:])
    old = call(1)
    books.export(*map(span, calls), span(old), span(call(70), instance="two"), *(span(call(n)) for n in range(500, 1500, 100)))
    found = books.compare()
    assert "one of 10 calls of service app shortly after each other" in found.reason(calls[20])
    assert "ledger could not be reached" in found.reason(calls[20])
    assert "ledger could not be reached" in found.reason(call(70))
    assert "one of" not in found.reason(call(70)) + found.reason(call(500))
    assert "older than the ledger's first entry (2026-09-21 14:13:30 UTC)" in found.reason(old)


def test_numbers_that_were_removed_on_the_way(books: Any, call: Any, span: Any) -> None:
    books.both(call(1))
    books.book(call(2), call(3))
    counts = (s.INPUT_TOKENS, s.OUTPUT_TOKENS, s.CACHE_READ_TOKENS, s.DEFAULT.cache_write_tokens, s.REASONING_TOKENS)
    books.export(span(call(2), a=dict.fromkeys(counts)), span(call(3), a={s.COST_NANO_USD: None}))
    found = books.compare()
    assert "redaction of all keys with 'token'" in found.reason(call(2))
    assert "priced in the ledger only" in found.reason(call(3))


def test_a_call_without_a_tracer_has_no_span(books: Any, call: Any, span: Any) -> None:
    books.both(call(1), call(3))
    books.book(call(2, trace_id=None, span_id=None))
    assert "no tracer provider" in books.compare().reason(call(2))


def test_lines_that_could_not_be_read_may_hold_what_is_missing(books: Any, call: Any, span: Any) -> None:
    books.both(call(1), call(3))
    books.book(call(2))
    books.write(b"\x00garbage\n")
    assert "or it is in one of the 1 lines that could not be read" in books.compare().reason(call(2))


def test_a_long_run_has_one_reason(books: Any, call: Any, span: Any) -> None:
    calls = [call(n) for n in range(1_000)]
    books.book(*calls)
    books.export(span(calls[0]), span(calls[-1]))
    found = books.compare()
    assert found.reasons == [{"kind": "missing_in_spans", "reason": found.reason(calls[1]), "entries": 998}]
