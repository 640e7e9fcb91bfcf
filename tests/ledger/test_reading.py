"""What every ledger tells who reads it, whatever it is kept in."""

from __future__ import annotations

from dataclasses import replace

import pytest

from spanledger.model import Activity, ActivityTotal, Execution, State, Usage

LATER = 2_000_000_000.0


def test_totals_of_nothing_is_one_row_of_zeros(ledger):
    (total,) = ledger.totals()
    assert (total.group, total.calls, total.nano_usd, total.seconds) == ({}, 0, 0, 0.0)
    assert ledger.totals(["model"]) == []


def test_all_sums(ledger, make_entry):
    usage = Usage(100, 50, 30, 20, 10, 5, state=State.ESTIMATED)
    ledger.settle(make_entry("a", usage=usage, nano=7, duration=1.5), [])
    ledger.settle(make_entry("b", nano=None, state="unknown", error="Timeout", duration=2.0, superseded=True), [])
    (total,) = ledger.totals()
    assert (total.calls, total.input_tokens, total.output_tokens, total.nano_usd) == (2, 110, 50, 7)
    assert (total.cache_read_tokens, total.cache_write_tokens, total.reasoning_tokens) == (30, 30, 5)
    assert (total.billable_calls, total.billable_tokens, total.billable_nano_usd) == (1, 150, 7)
    assert (total.unpriced, total.estimated, total.unknown, total.errors, total.seconds) == (1, 1, 1, 1, 3.5)


def test_groups_most_expensive_first(ledger, make_entry):
    for id_, model, nano in [("a", "cheap", 1), ("b", "dear", 50), ("c", "cheap", 2), ("d", None, 9)]:
        ledger.settle(make_entry(id_, model=model, nano=nano), [])
    assert [(one.group, one.calls, one.nano_usd) for one in ledger.totals(["model"])] == [
        ({"model": "dear"}, 1, 50),
        ({"model": None}, 1, 9),
        ({"model": "cheap"}, 2, 3),
    ]


@pytest.mark.parametrize("key", ["customer", "tenant", 'odd "key"', "back\\slash", "smörgås", "$.x"])
def test_groups_by_any_scope_key(ledger, make_entry, key):
    for id_, value, nano in [("a", "x", 3), ("b", "y", 2), ("c", "x", 1)]:
        ledger.settle(make_entry(id_, keys={key: value}, nano=nano), [])
    ledger.settle(make_entry("d", nano=1), [])
    assert [(one.group[key], one.nano_usd) for one in ledger.totals([key])] == [("x", 4), ("y", 2), (None, 1)]


def test_groups_by_every_column_at_once(ledger, make_entry):
    ledger.settle(
        make_entry(keys={"tenant": "t"}, workflow="w", execution="e", step="s", plugin="p", service="v", activity=Activity.MEMORY), []
    )
    names = ["model", "tenant", "provider", "activity", "operation", "workflow", "execution", "step", "plugin", "service", "day"]
    assert ledger.totals(names)[0].group == {
        "model": "gpt-5", "tenant": "t", "provider": "openai", "activity": "memory", "operation": "chat", "workflow": "w",
        "execution": "e", "step": "s", "plugin": "p", "service": "v", "day": "2025-06-15",
    }  # fmt: skip


def test_the_day_is_utc_and_ends_at_midnight(ledger, make_entry):
    midnight = 1_750_032_000.0
    for id_, time in [("a", midnight - 0.000_1), ("b", midnight)]:
        ledger.settle(make_entry(id_, time=time, nano=1), [])
    assert [one.group["day"] for one in ledger.totals(["day"])] == ["2025-06-15", "2025-06-16"]


def test_since_is_inclusive_and_until_exclusive(ledger, make_entry, now):
    for id_ in range(4):
        ledger.settle(make_entry(str(id_), time=now + id_), [])
    assert [entry.id for entry in ledger.entries(since=now + 1, until=now + 3)] == ["1", "2"]
    assert ledger.totals(since=now + 1, until=now + 3)[0].calls == 2


def test_by_execution_and_trace(ledger, make_entry):
    for id_, execution, trace in [("a", "e1", "t1"), ("b", "e1", "t2"), ("c", "e2", "t2")]:
        ledger.settle(make_entry(id_, execution=execution, trace_id=trace), [])
    assert [entry.id for entry in ledger.entries(execution="e1")] == ["a", "b"]
    assert [entry.id for entry in ledger.entries(execution="e1", trace_id="t2")] == ["b"]
    assert ledger.totals(trace_id="t2")[0].calls == 2


def test_entries_come_in_the_order_of_their_start(ledger, make_entry, now):
    for id_, time in [("late", now + 2), ("first", now), ("same", now), ("middle", now + 1)]:
        ledger.settle(make_entry(id_, time=time), [])
    assert [entry.id for entry in ledger.entries()] == ["first", "same", "middle", "late"]


def test_more_entries_than_a_page(ledger, make_entry, now):
    for number in range(1203):
        ledger.settle(make_entry(str(number), time=now + number // 700), [])
    assert [entry.id for entry in ledger.entries()] == [str(number) for number in range(1203)]


def test_changing_what_was_read_does_not_change_the_books(ledger, make_entry):
    ledger.settle(make_entry(response_id="r"), [])
    next(ledger.entries()).superseded = True
    ledger.find_response("r").error = "x"
    assert [(entry.superseded, entry.error) for entry in ledger.entries()] == [(False, None)]


def test_find_response_gives_the_newest(ledger, make_entry, now):
    for id_, time in [("a", now), ("c", now + 2), ("b", now + 1)]:
        ledger.settle(make_entry(id_, time=time, response_id="r"), [])
    assert ledger.find_response("r").id == "c"
    assert ledger.find_response("other") is None


def test_executions(ledger, now):
    first = Execution("e1", "w", now, now + 5, "failed", {"customer": "acme"}, {Activity.LLM: ActivityTotal(2, 10, 5, 99)}, "Timeout")
    second = Execution("e2", "w", now - 1, now, "completed")
    for one in (first, second, replace(first, status="completed", error=None)):
        ledger.end_execution(one)
    assert list(ledger.executions()) == [second, replace(first, status="completed", error=None)]
    assert [one.id for one in ledger.executions(since=now)] == ["e1"]
    assert [one.id for one in ledger.executions(until=now)] == ["e2"]


def test_of_two_records_of_a_run_the_one_that_ended_last_stays(ledger, now):
    late, early = Execution("e", "w", now, now + 9, "completed"), Execution("e", "w", now, now + 5, "failed", error="Timeout")
    for one in (late, early):
        ledger.end_execution(one)
    assert list(ledger.executions()) == [late]
