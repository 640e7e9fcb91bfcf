"""A response made in the background tells its usage only when it is fetched: it is in the books once, and exact in the end."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

import spanledger
from spanledger.engine import drive
from spanledger.engine.adapter import Reader, Target
from spanledger.model import Activity, Request, State, Usage

if TYPE_CHECKING:
    from pathlib import Path


def _wrapped(operation: str, status: str, usage: Usage | None, model: str = "gpt-4o-mini", call: Any = None) -> Any:
    def response(_result: Any, into: Any) -> None:
        into.id, into.status, into.usage, into.model = "resp_1", status, usage, model

    asked = None if operation == "fetch_response" else model
    request = Request(operation, Activity.LLM, "openai", asked, max_output=100, content="hello")
    return drive.wrap(
        call or (lambda: status), "fake", Target("", "call", Reader(lambda *_: request, response, lambda _event, _into: None))
    )


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


def _sums(house: Any, metric: str, *labels: str) -> dict[tuple[Any, ...], int]:
    """The values of a metric by labels."""
    return {tuple(p.attributes.get(label) for label in labels): p.value if hasattr(p, "value") else p.sum for p in house.metric(metric)}


def _sources(house: Any, name: str) -> list[dict[tuple[Any, ...], int]]:
    """What each source tells of one sum, by activity and usage state; the spans' are added up as the collector does it."""
    told = [{}, {}, {}, {}]
    for point in house.metric(f"spanledger.recon.{name}"):
        labels = point.attributes["spanledger.activity"], point.attributes["spanledger.usage.state"]
        source = told[("sdk", "execution", "ledger").index(point.attributes["spanledger.source"])]
        source[labels] = source.get(labels, 0) + point.value
    for span in house.call_spans:
        attributes, amount = span.attributes, None
        if name == "cost":
            amount = attributes.get("spanledger.cost.nano_usd")
        elif name == "operations":
            amount = 0 if attributes.get("spanledger.correction") else 1
        elif attributes["spanledger.usage.state"] != "unknown":
            amount = attributes["gen_ai.usage.input_tokens"] + attributes["gen_ai.usage.output_tokens"]
        if attributes["spanledger.counted"] and amount:
            labels = attributes["spanledger.activity"], attributes["spanledger.usage.state"]
            told[3][labels] = told[3].get(labels, 0) + amount
    return [{labels: amount for labels, amount in source.items() if amount} for source in told]


@pytest.mark.parametrize("fetched", [True, False])
def test_all_sources_agree(make_house: Any, fetched: bool) -> None:
    """Also where it is fetched in a step of another activity: what it used stays what it was made for."""
    house = make_house()
    with spanledger.workflow("report"):
        with spanledger.step("make", activity="memory"):
            _wrapped("chat", "queued", None)()
        if fetched:
            with spanledger.step("read", activity="classification"):
                _wrapped("fetch_response", "completed", Usage(1000, 500))()
    (entry,) = house.entries
    assert (entry.activity.value, entry.usage.state.value) == ("memory", "exact" if fetched else "unknown")
    for name in ("operations", "tokens", "cost"):
        sdk, *others = _sources(house, name)
        assert others == [sdk, sdk, sdk], name
        assert ("memory", "exact") in sdk or name == "operations" or not fetched


@pytest.mark.parametrize("semconv", ["default", "latest"])
def test_metrics_count_it_when_it_is_fetched(make_house: Any, semconv: str) -> None:
    house = make_house(SPANLEDGER_SEMCONV=semconv)
    _wrapped("chat", "queued", None)()
    assert house.entries[0].cost.nano_usd > 0
    tokens = {"default": "gen_ai.client.token.usage", "latest": "gen_ai.client.inference.operation.input_tokens"}[semconv]
    assert (house.metric("spanledger.cost"), house.metric(tokens)) == ([], []), "a counter could not take an estimate back"
    assert _sums(house, "spanledger.calls", "spanledger.usage.state") == {("unknown",): 1}
    _wrapped("fetch_response", "in_progress", None)()
    for _ in range(2):
        _wrapped("fetch_response", "completed", Usage(1000, 500))()
    (entry,) = house.entries
    labels = ("gen_ai.request.model", "spanledger.usage.state")
    assert _sums(house, "spanledger.cost", *labels) == {("gpt-4o-mini", "exact"): entry.cost.nano_usd}
    assert _sums(house, "spanledger.calls", *labels) == {("gpt-4o-mini", "unknown"): 1}
    assert house.metric("spanledger.unpriced") == []
    assert _sums(house, tokens, "gen_ai.operation.name", "gen_ai.token.type") == (
        {("chat", "input"): 1000, ("chat", "output"): 500} if semconv == "default" else {("chat", None): 1000}
    )
    if semconv == "latest":
        assert _sums(house, "gen_ai.client.inference.usage.output_tokens", "gen_ai.operation.name") == {("chat",): 500}


@pytest.mark.parametrize(("estimated", "counted"), [(1_200, 0), (100, 400)])
@pytest.mark.parametrize("semconv", ["default", "latest"])
def test_what_was_estimated_is_counted_once(make_house: Any, semconv: str, estimated: int, counted: int) -> None:
    """A stream that was cut and whose response is fetched later: metrics get what the estimate was short of."""
    house = make_house(SPANLEDGER_SEMCONV=semconv)
    _wrapped("chat", "in_progress", Usage(1000, estimated, state=State.ESTIMATED))()
    before = house.entries[0].cost.nano_usd
    _wrapped("fetch_response", "completed", Usage(1000, 500))()
    (entry,) = house.entries
    assert entry.usage == Usage(1000, 500)
    assert sum(_sums(house, "spanledger.cost", "spanledger.usage.state").values()) == max(before, entry.cost.nano_usd)
    if semconv == "latest":
        assert _sums(house, "gen_ai.client.inference.usage.output_tokens", "gen_ai.operation.name") == {("chat",): estimated + counted}
        assert _sums(house, "gen_ai.client.inference.usage.input_tokens", "gen_ai.operation.name") == {("chat",): 1000}
    else:
        told = _sums(house, "gen_ai.client.token.usage", "gen_ai.operation.name", "gen_ai.token.type")
        assert told == {("chat", "input"): 1000, ("chat", "output"): estimated}


def test_without_a_price_it_is_one_call_without_a_cost(make_house: Any) -> None:
    house = make_house()
    _wrapped("chat", "queued", None, "model-nobody-knows")()
    _wrapped("fetch_response", "completed", Usage(1000, 500), "model-nobody-knows")()
    assert _sums(house, "spanledger.unpriced", "gen_ai.request.model") == {("model-nobody-knows",): 1}
    assert house.metric("spanledger.cost") == []


def test_two_threads_that_fetch_it_at_once_count_it_once(make_house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    house = make_house()
    _wrapped("chat", "queued", None)()
    fetch, find = _wrapped("fetch_response", "completed", Usage(1000, 500)), house.runtime.ledger.find_response
    second = threading.Thread(target=fetch)
    second_looked = threading.Event()

    def find_slowly(id_: str) -> Any:
        found = find(id_)
        if threading.current_thread() is second:
            second_looked.set()
        else:
            second.start()
            assert not second_looked.wait(0.2), "it looks before the first has written"
        return found

    monkeypatch.setattr(house.runtime.ledger, "find_response", find_slowly)
    fetch()
    second.join()
    assert sorted(span.attributes["spanledger.counted"] for span in house.call_spans) == [False, True, True]
    tokens = [point.value for point in house.metric("spanledger.recon.tokens") if point.attributes["spanledger.source"] == "sdk"]
    assert sum(tokens) == 1500


@pytest.mark.parametrize("made_here", [True, False])
def test_an_event_loop_does_not_wait_for_a_busy_ledger(make_house: Any, tmp_path: Path, monkeypatch: Any, made_here: bool) -> None:
    """However often it is read meanwhile, it is counted once, whether its making is in the books or not."""
    house = make_house(SPANLEDGER_LEDGER=f"sqlite:///{tmp_path}/ledger.db", SPANLEDGER_BUDGET_DAY="100 calls per day")
    if made_here:
        _wrapped("chat", "queued", None)()
    ledger, lock, waits = house.runtime.ledger, house.runtime.fetching, []
    other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)

    def watched(function: Any, keyword: str) -> Any:
        def watch(*args: Any, **kwargs: Any) -> Any:
            if kwargs.get(keyword, True) and threading.current_thread() is threading.main_thread():
                waits.append(function.__name__)
            return function(*args, **kwargs)

        return watch

    async def main() -> None:
        held = asyncio.Event()
        fetch = _wrapped("fetch_response", "completed", Usage(1000, 500), call=held.wait)
        readings = [asyncio.create_task(fetch()) for _ in range(3)]
        while ledger.open_leases() < len(readings):
            await asyncio.sleep(0.01)
        other.execute("BEGIN IMMEDIATE")
        held.set()
        await asyncio.gather(*readings)

    for name in ("settle", "release"):
        monkeypatch.setattr(ledger, name, watched(getattr(ledger, name), "wait"))
    seen = SimpleNamespace(acquire=watched(lock.acquire, "blocking"), release=lock.release)
    monkeypatch.setattr(house.runtime, "fetching", seen)
    asyncio.run(main())
    other.execute("ROLLBACK")
    other.close()
    assert waits == []
    (entry,) = house.entries
    assert entry.usage == Usage(1000, 500)
    (balance,) = ledger.balances(0.0)
    assert (balance.spent, balance.reserved, ledger.open_leases()) == (1, 0, 0)
    assert sorted(span.attributes["spanledger.counted"] for span in house.call_spans) == [False, False, *[True] * (1 + made_here)]
