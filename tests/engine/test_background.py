"""A response made in the background tells its usage only when it is fetched: it is in the books once, and exact in the end."""

from __future__ import annotations

from typing import Any

import spanledger
from spanledger.engine import drive
from spanledger.engine.adapter import Reader, Target
from spanledger.model import Activity, Request, Usage


def _wrapped(operation: str, status: str, usage: Usage | None) -> Any:
    def response(_result: Any, into: Any) -> None:
        into.id, into.status, into.usage, into.model = "resp_1", status, usage, "gpt-4o-mini"

    def call(**_kwargs: Any) -> str:
        return status

    request = Request(operation, Activity.LLM, "openai", "gpt-4o-mini", max_output=100, content="hello")
    return drive.wrap(call, "fake", Target("", "call", Reader(lambda *_: request, response, lambda _event, _into: None)))


def test_in_the_books_once_and_exact_in_the_end(make_house: Any) -> None:
    house = make_house(SPANLEDGER_BUDGET_DAY="1 USD per day")
    _wrapped("chat", "queued", None)()
    assert house.entries[0].usage.state.value == "unknown"
    _wrapped("fetch_response", "in_progress", None)()
    fetch = _wrapped("fetch_response", "completed", Usage(1000, 500))
    fetch()
    fetch()
    (entry,) = house.entries
    assert (entry.usage.input, entry.usage.output, entry.usage.state.value) == (1000, 500, "exact")
    (balance,) = house.runtime.ledger.balances(0.0)
    assert (balance.spent, balance.reserved) == (entry.cost.nano_usd, 0)
    counted = [span.attributes["spanledger.counted"] for span in house.call_spans]
    assert counted == [True, False, True, False], "tokens are on one counted span"
    assert [span.attributes.get("spanledger.correction") for span in house.call_spans] == [None, None, True, None]
    assert house.call_spans[2].attributes["spanledger.entry.id"] == entry.id, "the completing span names the entry it completes"
    told = {name: house.metric(f"spanledger.recon.{name}") for name in ("operations", "tokens")}
    for source in ("sdk", "execution", "ledger"):
        sums = {name: sum(p.value for p in points if p.attributes["spanledger.source"] == source) for name, points in told.items()}
        assert sums == {"operations": 1, "tokens": 1500}, source


def test_the_run_s_own_totals_are_exact_in_the_end(make_house: Any) -> None:
    house = make_house()
    with spanledger.workflow("report") as run:
        _wrapped("chat", "queued", None)()
        assert run.totals()["llm"].estimated == 1
        _wrapped("fetch_response", "completed", Usage(1000, 500))()
        total = run.totals()["llm"]
    assert (total.calls, total.input_tokens, total.output_tokens, total.estimated) == (1, 1000, 500, 0)
    assert total.nano_usd == house.entries[0].cost.nano_usd


def test_a_run_that_only_fetches_adds_nothing(make_house: Any) -> None:
    make_house()
    with spanledger.workflow("report") as made:
        _wrapped("chat", "queued", None)()
    with spanledger.workflow("later") as fetched:
        _wrapped("fetch_response", "completed", Usage(1000, 500))()
    assert fetched.totals() == {}
    assert made.totals()["llm"].estimated == 1, "its entry is exact now, its own count is as it was"
