"""The same sums told by the process, by its workflow runs, by its ledger and by its spans."""

from __future__ import annotations

import os
import threading
from collections import Counter
from contextlib import suppress
from typing import Any

import pytest

import spanledger
from spanledger.engine import drive, runs
from spanledger.engine.adapter import Reader, Target
from spanledger.model import Activity, Request, State, Usage
from spanledger.telemetry.recon import Sums

SOURCES = ("sdk", "execution", "ledger")


def call(usage: Usage | None, activity: Activity = Activity.LLM, model: str = "gpt-4o-mini", error: Exception | None = None) -> None:
    """One call of a library of our own."""

    def response(_result: Any, into: Any) -> None:
        into.usage = usage

    def create(**_kwargs: Any) -> str:
        if error is not None:
            raise error
        return "answer"

    def request(_instance: Any, _args: Any, _kwargs: Any) -> Request:
        return Request("chat", activity, "openai", model, max_output=5, content="x" * 40)

    drive.wrap(create, "fake", Target("", "create", Reader(request, response, lambda _event, _into: None)))()


def told(house: Any, name: str) -> dict[str, Counter[tuple[str, ...]]]:
    """Source -> (activity, state, type) -> value."""
    found: dict[str, Counter[tuple[str, ...]]] = {source: Counter() for source in SOURCES}
    for point in house.metric(name):
        labels = dict(point.attributes)
        key = (labels["spanledger.activity"], labels["spanledger.usage.state"], labels.get("spanledger.token.type", ""))
        found[labels["spanledger.source"]][key] += point.value
    return {source: +counts for source, counts in found.items()}


def spans_of(house: Any) -> dict[str, Counter[tuple[str, ...]]]:
    """What the collector derives from the spans, by the rule that docs/reconciliation.md states."""
    found: dict[str, Counter[tuple[str, ...]]] = {"tokens": Counter(), "cost": Counter(), "operations": Counter()}
    for span in house.call_spans:
        a = dict(span.attributes)
        if not a.get("spanledger.counted"):
            continue
        group = (a["spanledger.activity"], a["spanledger.usage.state"])
        found["operations"][*group, ""] += "spanledger.correction" not in a
        found["cost"][*group, ""] += a.get("spanledger.cost.nano_usd", 0)
        read, written = a.get("gen_ai.usage.cache_read.input_tokens", 0), a.get("gen_ai.usage.cache_creation.input_tokens", 0)
        reasoning = a.get("gen_ai.usage.reasoning.output_tokens", 0)
        for kind, count in {
            "input": a.get("gen_ai.usage.input_tokens", 0) - read - written, "cache_read": read, "cache_write": written,
            "output": a.get("gen_ai.usage.output_tokens", 0) - reasoning, "reasoning": reasoning, "plugin": a.get("spanledger.plugin.tokens", 0),
        }.items():  # fmt: skip
            found["tokens"][*group, kind] += count
    return {name: +counts for name, counts in found.items()}


def agree(house: Any) -> dict[str, Counter[tuple[str, ...]]]:
    """Asserts that all sources say the same, and returns it."""
    derived = spans_of(house)
    for name in ("tokens", "cost", "operations"):
        for source, counts in told(house, f"spanledger.recon.{name}").items():
            assert counts == derived[name], (name, source)
    return derived


@pytest.mark.parametrize("ledger", ["memory:", "sqlite"])
def test_all_sources_say_the_same(make_house: Any, tmp_path: Any, ledger: str) -> None:
    house = make_house(SPANLEDGER_LEDGER=ledger if ledger == "memory:" else f"sqlite:///{tmp_path}/ledger.db")
    search = spanledger.plugin(name="search")(lambda: "found")
    with spanledger.workflow("report"):
        call(Usage(1000, 500, cache_read=400, cache_write=50, cache_write_1h=50, reasoning=200))
        call(Usage(30, None), Activity.EMBEDDING, "text-embedding-3-small")
        search()
        with spanledger.step("recall", activity="memory"):
            call(Usage(7, 3))
    call(Usage(100, 10, state=State.ESTIMATED))
    call(Usage(1, 1), model="nobody-prices-this")
    boom = ValueError("boom")
    with pytest.raises(ValueError, match="boom"):
        call(None, error=boom)
    derived = agree(house)
    assert derived["tokens"]["llm", "exact", "input"] == 501
    assert derived["tokens"]["llm", "exact", "cache_write"] == 100
    assert derived["tokens"]["plugin", "exact", "plugin"] == 400
    assert derived["operations"]["llm", "unknown", ""] == 1
    assert derived["operations"].total() == 7
    assert not any(state == "unknown" for _, state, _ in derived["tokens"])


def attempt(usage: Usage, *, fails: bool) -> None:
    """One attempt of a step; what it fails with stays here."""
    with suppress(ZeroDivisionError), spanledger.step("draft"):
        call(usage)
        if fails:
            _ = 1 / 0


def test_a_retry_is_told_apart_by_every_source(make_house: Any) -> None:
    house = make_house()
    with spanledger.workflow("report"):
        attempt(Usage(100, 10), fails=True)
        attempt(Usage(200, 20), fails=False)
    agree(house)
    for name, expected in (("operations", 1), ("tokens", 110)):
        assert {s: c.total() for s, c in told(house, f"spanledger.recon.superseded.{name}").items()} == dict.fromkeys(SOURCES, expected)
    costs = told(house, "spanledger.recon.superseded.cost")
    assert costs["sdk"] == costs["ledger"] == costs["execution"]
    steps = [dict(span.attributes) for span in house.spans if span.name == "step draft"]
    assert [step.get("spanledger.superseded.llm.operations") for step in steps] == [None, 1]
    assert steps[1]["spanledger.superseded.llm.tokens"] == 110
    assert steps[1]["spanledger.superseded.llm.nano_usd"] == costs["sdk"].total()


def test_an_attempt_that_fails_after_one_succeeded_is_replaced_at_once(make_house: Any) -> None:
    house = make_house()
    with spanledger.workflow("report"):
        attempt(Usage(100, 10), fails=False)
        attempt(Usage(5, 5), fails=True)
    assert {s: c.total() for s, c in told(house, "spanledger.recon.superseded.tokens").items()} == dict.fromkeys(SOURCES, 10)


def test_a_run_under_way_is_told_before_it_ends(make_house: Any) -> None:
    house = make_house()
    with spanledger.workflow("report"):
        call(Usage(10, 1))
        before = told(house, "spanledger.recon.operations")
    after = told(house, "spanledger.recon.operations")
    assert before["execution"] == after["execution"] == {("llm", "exact", ""): 1}


def test_a_call_that_is_counted_while_its_run_ends_is_not_lost(make_house: Any) -> None:
    house = make_house()

    class EndsItsRun(Sums):
        """Another thread ends the run, when the run has been asked for its sums."""

        def count(self, *args: Any, **kwargs: Any) -> None:
            ending = threading.Thread(target=runs.closed, args=(run._run,))
            ending.start()
            ending.join(0.2)
            super().count(*args, **kwargs)

    with spanledger.workflow("report") as run:
        call(Usage(10, 1))
        run._run.sums = EndsItsRun()
        told(house, "spanledger.recon.operations")
    assert told(house, "spanledger.recon.operations")["execution"] == {("llm", "exact", ""): 1}


def test_the_ledger_names_itself_and_the_service(make_house: Any) -> None:
    house = make_house()
    call(Usage(10, 1))
    (point,) = [p for p in house.metric("spanledger.recon.operations") if p.attributes["spanledger.source"] == "ledger"]
    assert point.attributes["spanledger.service"] == house.tracer_provider.resource.attributes["service.name"]
    assert point.attributes["spanledger.ledger.id"] == house.runtime.ledger.identity()


def test_the_service_is_the_resource_s(make_house: Any) -> None:
    house = make_house()
    call(Usage(10, 1))
    assert [entry.service for entry in house.entries] == [house.tracer_provider.resource.attributes["service.name"]]


def test_a_limit_of_attributes_costs_none_that_is_counted_by(make_house: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "12")
    house = make_house()
    with spanledger.workflow("nightly", customer="acme", user="7", team="search"):
        call(Usage(10, 5, cache_read=3, reasoning=2))
    (span,) = house.call_spans
    (entry,) = house.entries
    assert span.dropped_attributes > 0
    told = {name.removeprefix("spanledger."): value for name, value in span.attributes.items()}
    assert (told["entry.id"], told["counted"], told["activity"], told["usage.state"]) == (entry.id, True, "llm", "exact")
    assert [told["gen_ai.usage." + name] for name in ("input_tokens", "output_tokens", "cache_read.input_tokens")] == [10, 5, 3]
    assert told["gen_ai.usage.reasoning.output_tokens"] == 2


def test_a_forked_child_tells_only_what_it_did(make_house: Any, tmp_path: Any) -> None:
    house = make_house(SPANLEDGER_LEDGER=f"sqlite:///{tmp_path}/ledger.db")
    with spanledger.workflow("report"):
        call(Usage(10, 1))
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                call(Usage(3, 1))
                counts = {source: found.total() for source, found in told(house, "spanledger.recon.tokens").items()}
                os.write(write, repr(counts).encode())
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        assert os.read(read, 1000).decode() == repr({"sdk": 4, "execution": 4, "ledger": 15})
    counts = {source: found.total() for source, found in told(house, "spanledger.recon.tokens").items()}
    assert counts == {"sdk": 11, "execution": 11, "ledger": 15}
