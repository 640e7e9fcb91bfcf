"""What the on-call engineer sees: metrics, budget notices on every channel, exemplars, generations of names."""

from __future__ import annotations

import logging
from typing import Any

import pytest

import spanledger
from spanledger.engine import drive
from spanledger.engine.adapter import Reader, Target
from spanledger.model import Activity, Request, Usage


def client(provider: str = "openai", model: str = "gpt-4o-mini", usage: Usage | None = None) -> Any:
    """A patched function of a library of our own: each call uses 1000 tokens in and 500 out."""

    def request(_instance: Any, _args: Any, kwargs: Any) -> Request:
        return Request(
            "chat", Activity.LLM, provider, model, max_output=500, server_address="api.example.com", server_port=443, content="x" * 40
        )

    def response(_result: Any, into: Any) -> None:
        into.usage, into.model, into.finish_reasons = usage or Usage(1000, 500, cache_read=400, cache_write=100), model, ["stop"]

    def create(**_kwargs: Any) -> str:
        return "answer"

    return drive.wrap(create, "fake", Target("", "create", Reader(request, response, lambda _event, _into: None)))


def values(house: Any, name: str) -> list[tuple[dict[str, Any], Any]]:
    return [(dict(p.attributes), getattr(p, "value", None) if hasattr(p, "value") else p.sum) for p in house.metric(name)]


def test_metrics_of_the_conventions(make_house: Any) -> None:
    house = make_house()
    create = client()
    create()
    create()
    (point,) = house.metric("gen_ai.client.operation.duration")
    assert point.exemplars, "an exemplar leads from the metric to a trace"
    assert {exemplar.span_id for exemplar in point.exemplars} <= {span.context.span_id for span in house.call_spans}
    tokens = {a["gen_ai.token.type"]: total for a, total in values(house, "gen_ai.client.token.usage")}
    assert tokens == {"input": 2000, "output": 1000}
    assert point.count == 2
    assert dict(point.attributes) == {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.response.model": "gpt-4o-mini", "server.address": "api.example.com", "server.port": 443,
    }  # fmt: skip


def test_metrics_and_attributes_of_the_latest_conventions(make_house: Any) -> None:
    house = make_house(SPANLEDGER_SEMCONV="latest")
    client()()
    assert values(house, "gen_ai.client.token.usage") == []
    assert [total for _, total in values(house, "gen_ai.client.inference.operation.input_tokens")] == [1000]
    assert [total for _, total in values(house, "gen_ai.client.inference.usage.cache_write.input_tokens")] == [100]
    assert [p.count for p in house.metric("gen_ai.client.inference.duration")] == [1]
    attributes = house.call_spans[0].attributes
    assert attributes["gen_ai.usage.cache_write.input_tokens"] == 100
    assert "gen_ai.usage.cache_creation.input_tokens" not in attributes


def test_our_own_metrics(make_house: Any) -> None:
    house = make_house(SPANLEDGER_BUDGET_DAY="2 calls per day")
    create, unknown = client(), client(model="model-nobody-knows")
    create()
    unknown()
    with pytest.raises(spanledger.BudgetExceeded):
        create()
    cost = sum(entry.cost.nano_usd or 0 for entry in house.entries)
    assert cost > 0
    assert [total for _, total in values(house, "spanledger.cost")] == [cost]
    assert sum(total for _, total in values(house, "spanledger.calls")) == 2
    assert [a["gen_ai.request.model"] for a, _ in values(house, "spanledger.unpriced")] == ["model-nobody-knows"]
    assert [total for _, total in values(house, "spanledger.budget.refusals")] == [1]
    assert {name: values(house, f"spanledger.budget.{name}")[0][1] for name in ("limit", "spent", "reserved")} == {
        "limit": 2,
        "spent": 2,
        "reserved": 0,
    }


def test_unpriced_is_no_cost_not_a_cost_of_zero(make_house: Any) -> None:
    house = make_house()
    client(model="model-nobody-knows")()
    attributes = house.call_spans[0].attributes
    assert attributes["spanledger.cost.status"] == "unpriced"
    assert not [name for name in attributes if name.startswith(("gen_ai.usage.cost", "spanledger.cost.nano"))]
    assert house.entries[0].cost.nano_usd is None
    assert values(house, "spanledger.cost") == []


def test_a_threshold_reaches_span_log_record_subscriber_and_logger(make_house: Any, caplog: Any) -> None:
    house = make_house(SPANLEDGER_BUDGET_DAY="4 calls per customer per day, warn at 50%")
    seen: list[Any] = []
    stop = spanledger.subscribe(seen.append)
    with spanledger.scope(customer="acme"), caplog.at_level(logging.WARNING, "spanledger"):
        create = client()
        create()
        create()
    stop()
    (event,) = [event for span in house.call_spans for event in span.events]
    assert event.name == "spanledger.budget_threshold"
    assert event.attributes["spanledger.budget.percent"] == 50
    assert event.attributes["spanledger.budget.scope"] == "customer=acme"
    assert [(e.name, e.attributes["spanledger.budget.spent"]) for e in seen] == [("budget_threshold", 2)]
    assert [record.event_name for record in house.log_events()] == ["spanledger.budget_threshold"]
    assert "budget DAY for customer=acme: 50 % of 4 calls spent" in caplog.text


def test_the_log_tells_money_as_people_do(make_house: Any, caplog: Any) -> None:
    make_house(SPANLEDGER_BUDGET_DAY="0.001 USD per day, warn at 1%")
    with caplog.at_level(logging.WARNING, "spanledger"):
        client()()
    assert "budget DAY: 1 % of 0.001000 USD spent" in caplog.text


def test_a_refusal_reaches_span_log_record_and_subscriber(make_house: Any) -> None:
    house = make_house(SPANLEDGER_BUDGET_DAY="1 calls per day")
    seen: list[Any] = []
    stop = spanledger.subscribe(seen.append)
    create = client()
    create()
    with pytest.raises(spanledger.BudgetExceeded) as caught:
        create()
    stop()
    refused = house.call_spans[1]
    assert refused.attributes["error.type"] == "BudgetExceeded"
    assert refused.attributes["spanledger.outcome"] == "refused"
    assert refused.attributes["spanledger.counted"] is False
    assert [event.name for event in refused.events] == ["spanledger.budget_refused"]
    assert [event.name for event in seen] == ["budget_threshold", "budget_refused"]
    assert house.log_events()[-1].event_name == "spanledger.budget_refused"
    assert "limit 1 calls, spent 1 calls, reserved 0 calls, asked 1 calls; it starts anew at" in str(caught.value)
    assert len(house.entries) == 1


def test_a_refusal_for_another_reason_says_which(make_house: Any, caplog: Any) -> None:
    house = make_house(SPANLEDGER_BUDGET_DAY="five dollars", SPANLEDGER_STRICT="true")
    reason = "SPANLEDGER_BUDGET_DAY cannot be understood and SPANLEDGER_STRICT is set"
    with pytest.raises(spanledger.BudgetExceeded), caplog.at_level(logging.WARNING, "spanledger"):
        client()()
    (event,) = house.call_spans[0].events
    assert event.attributes["spanledger.budget.reason"] == reason
    assert f"spanledger refused a call: {reason}" in caplog.text
    ((labels, _),) = values(house, "spanledger.budget.refusals")
    assert labels["spanledger.budget.name"] == reason


def test_enforcement_does_not_depend_on_sampling(make_house: Any) -> None:
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

    house = make_house(sampler=ALWAYS_OFF, SPANLEDGER_BUDGET_DAY="1 calls per day")
    create = client()
    create()
    with pytest.raises(spanledger.BudgetExceeded):
        create()
    assert house.spans == []
    assert len(house.entries) == 1
    assert sum(total for _, total in values(house, "spanledger.calls")) == 1


def test_suppressed_instrumentation_is_honoured(make_house: Any) -> None:
    from opentelemetry.instrumentation.utils import suppress_instrumentation

    house = make_house()
    with suppress_instrumentation():
        assert client()() == "answer"
    assert house.entries == []


def test_a_subscriber_that_raises_hurts_nobody(make_house: Any) -> None:
    house = make_house(SPANLEDGER_DEBUG="false", SPANLEDGER_BUDGET_DAY="1 calls per day")
    seen: list[Any] = []

    def broken(_event: Any) -> None:
        raise ZeroDivisionError

    stops = [spanledger.subscribe(broken), spanledger.subscribe(seen.append)]
    assert client()() == "answer"
    for stop in stops:
        stop()
    assert [event.name for event in seen] == ["budget_threshold"]
    assert [(a["spanledger.error.place"], total) for a, total in values(house, "spanledger.internal_errors")] == [("subscriber", 1)]
