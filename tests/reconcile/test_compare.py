"""Every kind of difference is found with its reason, and nothing else is."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from spanledger.errors import ConfigurationError
from spanledger.ledger.memory import MemoryLedger
from spanledger.model import Activity, Usage
from spanledger.telemetry import semconv as s

if TYPE_CHECKING:
    from collections.abc import Callable


def test_books_and_spans_of_the_same_calls_agree_in_every_sum(books: Any, call: Any) -> None:
    calls = [call(n) for n in range(20)]
    plugin = call(20, activity=Activity.PLUGIN, plugin="search", usage=Usage(0, 400), nano=None)
    unknown = call(21, state="unknown", nano=77)
    unpriced = call(22, nano=None)
    books.both(*calls, plugin, unknown, unpriced)
    found = books.compare()
    assert found.agrees
    assert found.differences == {}
    inputs = sum(one.usage.input - 65 for one in (*calls, unpriced))
    assert found.lines["llm", "operations"] == (22, 22)
    assert found.lines["llm", "input"] == (inputs, inputs)
    assert found.lines["llm", "output"] == (21 * 70, 21 * 70)
    assert found.lines["llm", "reasoning"] == (21 * 30, 21 * 30)
    assert found.lines["llm", "cache_read"] == (21 * 60, 21 * 60)
    assert found.lines["llm", "cache_write"] == (21 * 5, 21 * 5)
    assert found.lines["llm", "nano_usd"] == (sum(one.cost.nano_usd for one in calls),) * 2, "the estimate of unknown usage is no cost"
    assert found.lines["plugin", "plugin"] == (400, 400)


def test_other_spans_are_passed_over(books: Any, call: Any, span: Any) -> None:
    books.both(call(1))
    books.export(span(call(2), a={s.COUNTED: None}), span(call(3), a={s.COUNTED: False}), span(call(4), a={s.ENTRY_ID: None}))
    assert books.compare().agrees


DAMAGE: dict[str, tuple[Callable[..., list[Any]], str]] = {
    "missing_in_spans": (lambda span: [], "single span was lost"),
    "doubled": (lambda span: [span, span.but(span_id="f" * 16)], "second instrumentation"),
    "activity_differs": (lambda span: [span.but(a={s.ACTIVITY: "memory"})], "booked as llm, counted as memory"),
    "tokens_differ": (lambda span: [span.but(a={s.OUTPUT_TOKENS: 101})], "other token counts"),
    "cost_differs": (lambda span: [span.but(a={s.COST_NANO_USD: 1, s.PRICE_VERSION: "0.3"})], "price was changed"),
    "state_differs": (lambda span: [span.but(a={s.USAGE_STATE: "estimated"})], "learned the exact numbers later"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_each_kind_is_found_with_its_reason(books: Any, call: Any, span: Any, kind: str) -> None:
    calls = [call(n) for n in range(30)]
    books.book(*calls)
    damage, words = DAMAGE[kind]
    for number, one in enumerate(calls):
        books.export(*(damage(span(one)) if number == 7 else [span(one)]))
    found = books.compare()
    assert found.kinds == {calls[7].id: [kind]}
    assert words in found.reason(calls[7])
    assert not found.agrees


def test_a_doubled_call_is_in_the_sum_of_spans_twice(books: Any, call: Any, span: Any) -> None:
    books.both(call(1))
    books.export(span(call(1)).but(span_id="f" * 16, instance="two"))
    found = books.compare()
    assert found.lines["llm", "operations"] == (1, 2)
    assert found.lines["llm", "nano_usd"] == (10_001, 20_002)
    assert "2 processes" in found.reason(call(1))


def test_a_span_delivered_twice_is_named_and_changes_no_sum(books: Any, call: Any, span: Any) -> None:
    books.both(call(1), call(2))
    books.export(span(call(2)))
    found = books.compare()
    assert found.kinds == {call(2).id: ["delivered_twice"]}
    assert found.agrees
    assert found.lines["llm", "operations"] == (2, 2)
    delivered = {line.quantity: (line.ledger, line.other) for line in found.result.repeated}
    assert delivered["operations"] == (2, 3)
    assert delivered["nano_usd"] == (20_003, 30_005)


def test_a_killed_call_is_unknown_in_the_ledger(books: Any, call: Any, span: Any) -> None:
    books.both(call(1))
    books.kill(call(2))
    books.kill(call(3))
    books.export(span(call(3)))
    found = books.compare()
    assert found.kinds == {call(2).id: ["unknown_in_ledger"], call(3).id: ["unknown_in_ledger"]}
    assert "killed during the call" in found.reason(call(2))
    assert "yet it has a span" in found.reason(call(3))


def test_a_killed_call_whose_span_knows_no_more_is_no_difference(books: Any, call: Any, span: Any) -> None:
    books.kill(call(1))
    books.export(span(call(1, state="unknown")))
    assert books.compare().differences == {}


def test_a_correction_completes_its_operation(books: Any, call: Any, span: Any) -> None:
    first, fetched = call(1, state="unknown", nano=5), call(1)
    books.book(first)
    books.book(fetched)
    books.export(span(first))
    books.export(span(fetched, span_id="c" * 16, trace_id="d" * 32, a={s.CORRECTION: True, s.ACTIVITY: "memory", s.EXECUTION_ID: "other"}))
    found = books.compare()
    assert found.differences == {}
    assert found.lines["llm", "operations"] == (1, 1)
    assert found.lines["llm", "nano_usd"] == (10_001, 10_001)
    assert books.compare(execution="run").agrees


def test_a_correction_that_is_lost_or_alone(books: Any, call: Any, span: Any) -> None:
    books.book(call(1), call(2))
    books.export(span(call(1, state="estimated", output=70, nano=9)))
    books.export(span(call(2), a={s.CORRECTION: True, s.ACTIVITY: "memory"}))
    found = books.compare()
    assert found.kinds == {call(1).id: ["state_differs", "tokens_differ", "cost_differs"], call(2).id: ["missing_in_spans"]}
    assert "that of the correction did not arrive" in found.reason(call(1))
    assert "only the correction" in found.reason(call(2))


def test_superseded_attempts_are_consumed_all_the_same(books: Any, call: Any, span: Any) -> None:
    books.both(call(1, step="draft", attempt=1), call(2, step="draft", attempt=2))
    books.ledger.end_step("run", "draft", 1, ok=False)
    books.ledger.end_step("run", "draft", 2, ok=True)
    assert [one.superseded for one in books.ledger.entries()] == [True, False]
    assert books.compare().lines["llm", "operations"] == (2, 2)


def test_the_edges_of_a_window_make_no_difference(books: Any, call: Any, span: Any) -> None:
    """The ledger's time decides; the clock of the span's host may be wrong by hours."""
    calls = [call(n) for n in range(10)]
    books.book(*calls)
    books.export(*(span(one, time=one.time + skew) for one, skew in zip(calls, (7200, -7200) * 5, strict=True)))
    start, end = calls[3].time, calls[6].time
    found = books.compare(since=start, until=end)
    assert found.differences == {}
    assert found.lines["llm", "operations"] == (3, 3)
    # One that only a span tells of counts where its own clock puts it.
    books.export(span(call(50), time=start + 1), span(call(51), time=end + 1))
    assert books.compare(since=start, until=end).kinds == {call(50).id: ["missing_in_ledger"]}


def test_one_execution_alone(books: Any, call: Any, span: Any) -> None:
    mine, others = [call(n) for n in range(5)], [call(n, execution="other") for n in range(5, 9)]
    outside = call(9, execution=f"{9:032x}")
    books.book(*mine[:4], *others, outside)
    books.export(*map(span, (*mine, *others[:2])), span(outside, a={s.EXECUTION_ID: None}))
    found = books.compare(execution="run")
    assert found.kinds == {mine[4].id: ["missing_in_ledger"]}
    assert found.result.comparison.entries == 4
    assert books.compare(execution=outside.trace_id).agrees, "a call outside of any workflow is booked to its trace"


def test_a_ledger_that_is_no_file_is_read_too(books: Any, call: Any, span: Any) -> None:
    ledger = MemoryLedger()
    for n in range(10):
        ledger.settle(call(n), ())
    ledger.reserve(replace(call(10), duration=None), (), 0.0)
    ledger.sweep(1.0)
    skewed = (span(call(n), time=call(n).time - 4) for n in range(10))
    books.export(*skewed, span(call(99), time=call(0).time))
    found = books.compare(ledger, until=call(90).time)
    assert found.kinds == {call(10).id: ["unknown_in_ledger"], call(99).id: ["missing_in_ledger"]}
    assert books.compare(ledger, since=call(5).time, until=call(8).time).lines["llm", "operations"] == (3, 3)


def test_an_empty_side_is_no_result_but_an_error_that_says_where_it_looked(books: Any, call: Any, span: Any) -> None:
    books.both(call(1))
    with pytest.raises(
        ConfigurationError, match=r"the ledger: has no entries of execution nothing; expected entries .* 1 spans of calls in 1 lines"
    ):
        books.compare(execution="nothing")
    books.book(call(2, execution="lonely"))
    with pytest.raises(
        ConfigurationError, match=r"spans\.jsonl: none of the calls .* expected spans of the 1 entries .* of execution lonely"
    ):
        books.compare(execution="lonely")


def test_the_same_differences_have_the_same_fingerprint_in_any_window(books: Any, call: Any, span: Any) -> None:
    books.both(*(call(n) for n in range(6)))
    books.book(call(10))
    everything = books.compare()
    window = books.compare(since=call(3).time)
    assert everything.kinds == window.kinds == {call(10).id: ["missing_in_spans"]}
    assert everything.result.fingerprint == window.result.fingerprint
    books.book(call(11))
    assert books.compare().result.fingerprint != window.result.fingerprint
