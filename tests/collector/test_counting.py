"""What the gateway derives from spans is what was sent, to the token and the nano-USD; what it stores is redacted."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.trace import Status, StatusCode

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.stack
COUNTERS = ("agent", "gateway", "prometheus")

LLM = {"spanledger.counted": True, "spanledger.activity": "llm", "spanledger.usage.state": "exact"}
INPUT, OUTPUT, COST = "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens", "spanledger.cost.nano_usd"
READ, REASONING, PLUGIN = "gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.reasoning.output_tokens", "spanledger.plugin.tokens"
WRITTEN, WRITTEN_LATEST = "gen_ai.usage.cache_creation.input_tokens", "gen_ai.usage.cache_write.input_tokens"


def _llm(operations: int = 1, cost: int | None = None, **tokens: int) -> dict[tuple[str, ...], int]:
    """What one span of an exact LLM call adds to the sums."""
    counts = {("tokens", "llm", "exact", kind): number for kind, number in tokens.items()}
    counts[("operations", "llm", "exact", "")] = operations
    return counts if cost is None else {**counts, ("cost", "llm", "exact", ""): cost}


_PLUGIN_COUNTS = {
    ("tokens", "plugin", "exact", "plugin"): 400,
    ("operations", "plugin", "exact", ""): 1,
    ("cost", "plugin", "exact", ""): 70,
}

SHAPES: list[tuple[str, dict[str, Any], dict[tuple[str, ...], int]]] = [
    ("totals alone", {**LLM, INPUT: 100, OUTPUT: 20, COST: 5}, _llm(cost=5, input=100, output=20)),
    (
        "all parts, default names",
        {**LLM, INPUT: 100, READ: 30, WRITTEN: 20, OUTPUT: 50, REASONING: 40, COST: 7},
        _llm(cost=7, input=50, cache_read=30, cache_write=20, output=10, reasoning=40),
    ),
    ("cache write, latest name", {**LLM, INPUT: 100, WRITTEN_LATEST: 25, OUTPUT: 1}, _llm(input=75, cache_write=25, output=1)),
    ("parts larger than totals", {**LLM, INPUT: 10, READ: 30, OUTPUT: 5, REASONING: 9}, _llm(cache_read=30, reasoning=9)),
    ("no input total", {**LLM, READ: 30, OUTPUT: 5}, _llm(cache_read=30, output=5)),
    ("unpriced", {**LLM, INPUT: 3, OUTPUT: 4}, _llm(input=3, output=4)),
    ("free", {**LLM, INPUT: 3, OUTPUT: 4, COST: 0}, _llm(input=3, output=4)),
    ("usage unknown", {**LLM, "spanledger.usage.state": "unknown", COST: 11}, {("operations", "llm", "unknown", ""): 1, ("cost", "llm", "unknown", ""): 11}),
    ("estimated", {**LLM, "spanledger.usage.state": "estimated", INPUT: 6}, {("operations", "llm", "estimated", ""): 1, ("tokens", "llm", "estimated", "input"): 6}),
    ("correction", {**LLM, "spanledger.correction": True, INPUT: 9, OUTPUT: 8, COST: 2}, _llm(operations=0, cost=2, input=9, output=8)),
    ("string token counts", {**LLM, INPUT: "100", OUTPUT: 20, COST: "5"}, _llm(output=20)),
    ("fractions", {**LLM, INPUT: 1.5, OUTPUT: 2.0, COST: 3.0}, _llm()),
    ("lists", {**LLM, INPUT: [1, 2], READ: [3], OUTPUT: 2, PLUGIN: ["4"]}, _llm(output=2)),
    ("below zero", {**LLM, INPUT: -5, READ: -3, OUTPUT: -1, REASONING: -2, COST: -9}, _llm()),
    ("counted as text", {**LLM, "spanledger.counted": "true", INPUT: 1000}, {}),
    ("not counted", {**LLM, "spanledger.counted": False, INPUT: 1000, OUTPUT: 1000, COST: 1000}, {}),
    ("foreign span", {INPUT: 1000, OUTPUT: 1000, "gen_ai.operation.name": "chat"}, {}),
    ("plugin", {"spanledger.counted": True, "spanledger.activity": "plugin", "spanledger.usage.state": "exact", PLUGIN: 400, COST: 70}, _PLUGIN_COUNTS),
    ("no activity", {"spanledger.counted": True, "spanledger.usage.state": "exact", INPUT: 2}, {("tokens", "unknown", "exact", "input"): 2, ("operations", "unknown", "exact", ""): 1}),
]  # fmt: skip


def test_every_shape_of_span_counts_as_the_contract_says(running: Callable[..., Any], sender: Callable[..., Any], non_zero: Any) -> None:
    stack = running(*COUNTERS)
    one = sender(stack)
    for _, attributes, counts in SHAPES:  # all in one payload: an odd span must not hurt its neighbours
        one.span(attributes, counts)
    one.send()
    assert stack.wait_for(non_zero([one])) == non_zero([one])
    assert len(stack.span_file()) == len(SHAPES)


def test_random_calls_of_several_processes_in_both_generations(
    running: Callable[..., Any], sender: Callable[..., Any], random_calls: Any, non_zero: Any
) -> None:
    stack = running(*COUNTERS)
    processes = [sender(stack, instance=f"p{number}") for number in range(3)]
    for round_ in range(5):
        for number, process in enumerate(processes):
            random_calls(process, 100, seed=10 * round_ + number)
            process.send()
    assert stack.wait_for(non_zero(processes)) == non_zero(processes)
    labels = stack.query('spanledger_recon_operations_total{service_instance_id="p1"}')[0]["metric"]
    assert set(labels) == {
        "__name__", "source", "activity_type", "usage_state", "service_name", "service_instance_id", "collector_instance", "job", "instance",
    }  # fmt: skip
    assert (labels["source"], labels["service_name"], labels["job"]) == ("span", "shop", "shop")


def test_superseded_is_the_sum_of_calls_and_steps(running: Callable[..., Any], sender: Callable[..., Any]) -> None:
    stack = running(*COUNTERS)
    one = sender(stack)
    replaced = {**LLM, "spanledger.superseded": True}
    one.span({**replaced, INPUT: 100, READ: 30, OUTPUT: 50, REASONING: 60, COST: 7})
    one.span({**replaced, "spanledger.correction": True, INPUT: 1, COST: 1})
    one.span({**replaced, "spanledger.usage.state": "unknown", COST: 2})
    one.span({**LLM, INPUT: 1000, COST: 1000})
    step = {"spanledger.step.name": "plan", "spanledger.step.attempt": 1}
    one.span(
        {**step, **{f"spanledger.superseded.llm.{name}": count for name, count in (("operations", 2), ("tokens", 30), ("nano_usd", 4))}}
    )
    one.span(
        {**step, **{f"spanledger.superseded.plugin.{name}": count for name, count in (("operations", 1), ("tokens", 400), ("nano_usd", 0))}}
    )
    one.span({**step, "spanledger.superseded.memory.tokens": "12"})
    one.send()
    expected = {
        ("tokens", "llm", "", ""): (100 + 60) + 1 + 30,  # reasoning is more than the output said: it stands
        ("cost", "llm", "", ""): 7 + 1 + 2 + 4,
        ("operations", "llm", "", ""): 1 + 1 + 2,
        ("tokens", "plugin", "", ""): 400,
        ("operations", "plugin", "", ""): 1,
    }
    assert stack.wait_for(expected, metric="superseded_") == expected


SECRETS = {
    "note": "mail ada@example.org now",
    "card": "pay with 4111 1111 1111 1111, please",
    "vendor": "key sk-proj-abcdefghijklmnop1234",
    "where": "postgresql://ada:hunter22@db.example.net/books",
    "http.request.header.authorization": "Basic YWRhOmh1bnRlcjI=",
    "x-api-key": "abc",
    "client.secret": "abc",
    "password": "abc",
    "list": ["fine", "bob@example.org"],
}
PRIVATE = ("@example", "4111", "sk-proj", "hunter22", "YWRh", '"abc"', "bob")


def test_what_is_stored_is_redacted_and_its_numbers_survive(running: Callable[..., Any], sender: Callable[..., Any], non_zero: Any) -> None:
    stack = running(*COUNTERS, "jaeger", SPANLEDGER_SAMPLING_PERCENT="100", SPANLEDGER_DECISION_WAIT="1s")
    one = sender(stack)
    numbers = {INPUT: 4111111111111111, OUTPUT: 20, COST: 4111111111111111}  # a count that looks like a card is a count
    ids = {"spanledger.entry.id": "41111111-1111-4111-8111-111111111111", "gen_ai.response.id": "4111111111111111"}
    trace = one.span(
        {**LLM, **numbers, **ids, **SECRETS},
        _llm(cost=4111111111111111, input=4111111111111111, output=20),
        name="chat for ada@example.org",
        status=Status(StatusCode.ERROR, "no account for bob@example.org"),
        events=[{"exception.message": "refused ada@example.org"}],
    )
    one.send()
    assert stack.wait_for(non_zero([one])) == non_zero([one])
    (stored,) = stack.span_file()
    assert {name: stored["attributes"][name] for name in (*numbers, *ids)} == {**numbers, **ids}
    assert stored["name"] == "chat for ****"
    assert stored["status"]["message"] == "no account for ****"
    assert stored["attributes"]["note"] == "mail **** now"
    assert set(stored["attributes"]) == {*LLM, *numbers, *ids, *SECRETS}
    until = time.monotonic() + 30
    while not (seen := stack.jaeger(trace)) and time.monotonic() < until:
        time.sleep(0.2)
    assert "chat for ****" in seen
    for text in (json.dumps(stored).replace("4111111111111111", "").replace(ids["spanledger.entry.id"], ""), seen):
        assert [private for private in PRIVATE if private in text and private != "4111"] == []
    assert "4111 1111" not in seen


def test_tail_sampling_is_for_jaeger_alone(
    running: Callable[..., Any], sender: Callable[..., Any], random_calls: Any, non_zero: Any
) -> None:
    stack = running(*COUNTERS, "jaeger", SPANLEDGER_SAMPLING_PERCENT="0", SPANLEDGER_DECISION_WAIT="1s")
    one = sender(stack)
    cheap = [one.span({**LLM, INPUT: 10, COST: 1}, _llm(cost=1, input=10)) for _ in range(50)]
    kept = [
        one.span({**LLM, INPUT: 10, COST: 100_000_000}, _llm(cost=100_000_000, input=10)),
        one.span({**LLM, INPUT: 10}, _llm(input=10), status=Status(StatusCode.ERROR)),
        one.span({"spanledger.counted": False, "spanledger.outcome": "refused"}),
    ]
    one.send()
    assert stack.wait_for(non_zero([one])) == non_zero([one])
    until = time.monotonic() + 30
    while not all(map(stack.jaeger, kept)) and time.monotonic() < until:
        time.sleep(0.2)
    assert [bool(stack.jaeger(trace)) for trace in kept] == [True, True, True]
    assert not any(map(stack.jaeger, cheap))
    assert len(stack.span_file()) == 53


def test_what_stood_in_the_file_stays_when_the_gateway_starts_again(running: Callable[..., Any], sender: Callable[..., Any]) -> None:
    stack = running(*COUNTERS)
    one = sender(stack)
    for restart in range(2):
        one.span({**LLM, INPUT: restart})
        one.send()
        until = time.monotonic() + 30
        while len(stack.span_file()) <= restart and time.monotonic() < until:
            time.sleep(0.1)
        stack.stack.restart("gateway")
    assert [span["attributes"][INPUT] for span in stack.span_file()] == [0, 1]
    assert (stack.directory / "spans").stat().st_mode & 0o777 == 0o700  # the exporter makes its files readable, so the folder guards them
