"""What a run added up itself, against the ledger."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from spanledger import step, workflow
from spanledger.ledger.memory import MemoryLedger
from spanledger.model import Activity, ActivityTotal, Execution, Usage
from spanledger.reconcile.execution import check, result_json, watch

START = 1_790_000_000.0


@pytest.fixture(params=["memory", "sqlite"])
def ledger(request: pytest.FixtureRequest, books: Any) -> Any:
    return MemoryLedger() if request.param == "memory" else books.ledger


def run(calls: int = 2, **changes: Any) -> Execution:
    totals = {"llm": ActivityTotal(calls, 2 * 1000 + 1, 200, 20_001)}
    return replace(Execution("run", "answer", START - 1, START + 60, "completed", totals=totals), **changes)


def test_a_run_and_the_ledger_agree(ledger: Any, call: Any) -> None:
    for n in range(2):
        ledger.settle(call(n), ())
    found = check(ledger, run())
    assert found.agrees
    assert [(line.quantity, line.ledger, line.other) for line in found.lines] == [
        ("calls", 2, 2), ("input_tokens", 2001, 2001), ("output_tokens", 200, 200), ("nano_usd", 20_001, 20_001),
    ]  # fmt: skip
    assert found.notes == []


def test_calls_without_a_price_have_no_cost_to_compare(ledger: Any, call: Any) -> None:
    ledger.settle(call(0, nano=None), ())
    found = check(ledger, run(totals={"llm": ActivityTotal(1, 1000, 100, unpriced=1)}))
    assert found.agrees
    assert [line.quantity for line in found.lines] == ["calls", "input_tokens", "output_tokens"]
    assert found.notes == ["llm: 1 of 1 calls have no cost, which is not a cost of 0"]


def test_a_call_the_ledger_lacks_differs(ledger: Any, call: Any) -> None:
    ledger.settle(call(0), ())
    found = check(ledger, run())
    assert not found.agrees
    assert result_json(found)["sums"][0] == {"activity": "llm", "quantity": "calls", "ledger": 1, "execution": 2, "difference": 1}
    assert "the run has calls that the ledger does not" in found.notes[0]


def test_a_call_the_run_did_not_see_differs(ledger: Any, call: Any) -> None:
    for n in range(3):
        ledger.settle(call(n), ())
    found = check(ledger, run())
    assert not found.agrees
    assert "the ledger has calls that the run did not see" in found.notes[0]


def test_calls_that_ended_after_the_run_or_never_are_left_out(ledger: Any, call: Any) -> None:
    for n in range(2):
        ledger.settle(call(n), ())
    ledger.settle(call(3, duration=100.0), ())
    ledger.reserve(replace(call(4), duration=None), (), 0.0)
    ledger.sweep(1.0)
    found = check(ledger, run())
    assert found.agrees
    assert [(line.quantity, line.ledger, line.other) for line in found.lines][:2] == [("calls", 2, 2), ("input_tokens", 2001, 2001)]
    assert "1 calls ended after the run did" in found.notes[0]
    assert "1 calls were never settled" in found.notes[1]


@pytest.mark.parametrize("changes", [{"input": 999}, {"duration": 61.0}, {"activity": Activity.MEMORY}, {"nano": 1}])
def test_what_is_left_out_excuses_nothing_else(ledger: Any, call: Any, changes: dict[str, Any]) -> None:
    """A call is missing, or has other numbers, beside a stream that was left open."""
    ledger.settle(call(0), ())
    ledger.settle(call(1, **changes), ())
    ledger.settle(call(3, duration=100.0), ())
    found = check(ledger, run())
    assert not found.agrees
    assert "ended after the run did" in found.notes[0]
    assert next(line.ledger for line in found.lines if line.quantity == "calls") < 3, "only the gap that nothing explains is told"


def processes(**of: str) -> Any:
    return lambda ids: {id_: process for id_, process in of.items() if id_ in ids}


def test_calls_of_other_processes_on_the_same_execution_are_left_out(ledger: Any, call: Any) -> None:
    """Each has the trace of its own, or all one that was handed on; then their spans tell them apart."""
    for n in range(3):
        ledger.settle(call(n, id=f"entry{n}", trace_id="a" * 32), ())
    assert not check(ledger, run()).agrees
    found = check(ledger, run(), processes(entry0="mine", entry1="mine", entry2="other"))
    assert found.agrees
    assert found.lines[0][1:] == ("calls", 2, 2)
    assert "1 calls were made by others who work on the same execution" in found.notes[0]
    assert not check(ledger, run(), processes(entry0="mine", entry1="other", entry2="other")).agrees
    ledger.settle(call(4, id="entry4", trace_id="b" * 32), ())
    assert check(ledger, run(totals={"llm": ActivityTotal(1, 1004, 100, 10_004)})).agrees


def test_runs_of_one_process_on_the_same_execution_are_told_apart_by_their_traces(ledger: Any, call: Any) -> None:
    for n in range(4):
        ledger.settle(call(n, id=f"entry{n}", trace_id="ab"[n // 2] * 32), ())
    assert check(ledger, run(), processes(entry0="one", entry1="one", entry2="one", entry3="one")).agrees


def test_a_run_without_any_entry_and_activities_of_one_side_only(ledger: Any) -> None:
    found = check(ledger, run(totals={"memory": ActivityTotal(1, 5, 0, 0)}))
    assert [(line.quantity, line.difference) for line in found.lines] == [
        ("calls", 1),
        ("input_tokens", 5),
        ("output_tokens", 0),
        ("nano_usd", 0),
    ]
    assert check(ledger, run(totals={})).agrees


def test_what_an_earlier_run_of_the_execution_did_is_left_out(ledger: Any, call: Any) -> None:
    for n in (-100, 0, 1):
        ledger.settle(call(n, id=f"entry{n}", trace_id="a" * 32), ())
    assert check(ledger, run()).agrees


def test_numbers_learned_after_the_run_are_not_held_against_it(ledger: Any, call: Any) -> None:
    ledger.settle(call(0), ())
    ledger.settle(call(1), ())  # the run knew an estimate of it only
    totals = {"llm": ActivityTotal(2, 900, 100, 10_000, estimated=1)}
    found = check(ledger, run(totals=totals))
    assert found.agrees
    assert [line.quantity for line in found.lines] == ["calls"]
    assert "1 calls were estimates when the run added them up" in found.notes[0]


def test_a_real_run_agrees(make_house: Any) -> None:
    """The engine's own totals, retried steps included, against the entries it wrote."""
    from spanledger import plugin

    house = make_house()

    @plugin(name="search")
    def search() -> int:
        return 1

    with workflow("answer", execution_id="real"):
        for _ in range(2):
            with step("look"):
                search()
        search()
    (record,) = house.runtime.ledger.executions()
    found = check(house.runtime.ledger, record)
    assert found.agrees
    assert {line.quantity: line.ledger for line in found.lines} == {
        "calls": 3,
        "input_tokens": 3 * Usage(400).total,
        "output_tokens": 0,
        "nano_usd": 0,
    }


def test_a_stream_that_a_run_leaves_open_and_a_worker_on_the_same_execution(make_house: Any) -> None:
    """As handlers of web frameworks and workers do."""
    from spanledger import plugin

    house = make_house()

    @plugin(name="search")
    def search() -> Any:
        yield 1

    for _ in range(2):  # each a trace of its own
        with workflow("answer", execution_id="real") as handler:
            list(search())
            answer = search()
            next(answer)
        list(answer)
    house.settle()
    (record,) = house.runtime.ledger.executions()
    assert check(house.runtime.ledger, record).agrees
    assert watch(house.runtime.ledger, record, handler.totals), "the stream has ended, and the run knows it by now"
    assert list(house.runtime.ledger.audit()) == []
