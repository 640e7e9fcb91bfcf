"""Sums of what is not all known: never a zero for it, and every number says what it is, whichever ledger adds up."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

import spanledger
from spanledger.ledger.memory import MemoryLedger
from spanledger.ledger.sqlite import SqliteLedger
from spanledger.model import Activity, Cost, CostStatus, Entry, State, Total, Usage
from spanledger.report import words
from spanledger.report.queries import total_json

SOME = Usage(10, 20)
NONE = Usage(state=State.UNKNOWN)
ESTIMATE = Usage(10, 20, state=State.UNKNOWN)
UNPRICED = Cost(None, CostStatus.UNPRICED)


def of(usage: Usage, cost: Cost, **changes: Any) -> Entry:
    return Entry("id", 1.0, Activity.LLM, "openai", "chat", "model", usage=usage, cost=cost, **changes)


def total_of(*entries: Entry) -> Total:
    ledger = MemoryLedger()
    for number, entry in enumerate(entries):
        entry.id = str(number)
        ledger.settle(entry, [])
    (total,) = ledger.totals()
    return total


def test_a_step_won_by_a_model_without_a_price_is_not_billed_at_nothing() -> None:
    total = total_of(of(SOME, Cost(5, CostStatus.EXACT), superseded=True), of(SOME, UNPRICED))
    assert (words.consumed(total), words.billable(total)) == (5, None)
    told = total_json(total)
    assert (told["consumed"]["without_cost"], told["billable"]["without_cost"]) == (1, 1)
    assert told["billable"]["usd"] is None


def test_where_everything_was_replaced_nothing_is_billable() -> None:
    assert words.billable(total_of(of(SOME, UNPRICED, superseded=True))) == 0


def test_a_call_that_was_turned_away_lacks_no_price() -> None:
    refused, killed = of(NONE, UNPRICED, error="RateLimitError"), of(ESTIMATE, UNPRICED)
    assert words.doubts(total_of(refused)) == {"unknown": 1, "failed": 1}
    assert words.consumed(total_of(refused)) is None
    assert total_json(total_of(refused))["unpriced"] == 0
    assert words.doubts(total_of(killed)) == {"unpriced": 1, "unknown": 1}


def test_costs_that_are_not_exact_are_told() -> None:
    total = total_of(of(SOME, Cost(5, CostStatus.ESTIMATED)), of(SOME, Cost(5, CostStatus.PARTIAL)))
    assert words.doubts(total) == {"cost partial": 1, "cost estimated": 1}
    told = total_json(total)
    assert (told["cost_partial"], told["cost_estimated"], told["estimated"]) == (1, 1, 0)


def test_an_estimated_usage_says_enough_of_its_cost() -> None:
    usage = Usage(10, 20, state=State.ESTIMATED)
    assert words.doubts(total_of(of(usage, Cost(5, CostStatus.ESTIMATED)))) == {"estimated": 1}


_usages = st.builds(
    Usage, st.none() | st.integers(0, 10**6), st.none() | st.integers(0, 10**6), state=st.sampled_from(State),
)  # fmt: skip
_costs = st.builds(Cost, st.integers(0, 10**12), st.sampled_from([CostStatus.EXACT, CostStatus.ESTIMATED, CostStatus.PARTIAL]))
_entries = st.builds(of, _usages, _costs | st.just(UNPRICED), superseded=st.booleans(), error=st.none() | st.just("X"))


@given(entries=st.lists(_entries, max_size=12))
@settings(max_examples=60, deadline=None)
def test_both_ledgers_add_up_the_same_and_no_call_without_a_cost_is_hidden(entries: list[Entry]) -> None:
    added = total_of(*entries)
    with tempfile.TemporaryDirectory() as folder:
        ledger = SqliteLedger(Path(folder) / "ledger.db")
        for entry in entries:
            ledger.settle(entry, [])
        (stored,) = ledger.totals()
        ledger.close()
    assert stored == added
    billable = [entry for entry in entries if not entry.superseded]
    for told, calls in ((words.consumed(added), entries), (words.billable(added), billable)):
        known = [entry.cost.nano_usd for entry in calls if entry.cost.nano_usd is not None]
        assert told == (sum(known) if known or not calls else None)
    if any(entry.cost.status is not CostStatus.EXACT or entry.usage.state is not State.EXACT for entry in entries):
        assert words.doubts(added)


def test_the_event_of_a_run_has_no_cost_where_none_is_known(make_house: Any) -> None:
    house = make_house()
    with spanledger.workflow("unpriced") as run:
        run._run.add(of(SOME, UNPRICED))
    with spanledger.workflow("mixed") as run:
        run._run.add(of(SOME, UNPRICED))
        run._run.add(of(SOME, Cost(5, CostStatus.EXACT)))
    with spanledger.workflow("nothing"):
        pass
    told = {
        record.attributes["gen_ai.workflow.name"]: (
            record.attributes.get("spanledger.totals.nano_usd"),
            record.attributes["spanledger.totals.unpriced"],
        )
        for record in house.log_events()
        if record.event_name == "spanledger.workflow_completed"
    }
    assert told == {"unpriced": (None, 1), "mixed": (5, 1), "nothing": (0, 0)}


def test_the_span_of_a_run_has_no_cost_where_none_is_known(make_house: Any) -> None:
    house = make_house()
    with spanledger.workflow("unpriced") as run:
        run._run.add(of(SOME, UNPRICED))
    (span,) = house.spans
    assert span.attributes["spanledger.totals.llm.unpriced"] == 1
    assert "spanledger.totals.llm.nano_usd" not in span.attributes
