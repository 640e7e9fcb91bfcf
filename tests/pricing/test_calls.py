"""Tools whose calls are tokens of another model."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace

import pytest

from spanledger.budgets import spill
from spanledger.ledger import rows
from spanledger.model import Activity, Cost, CostStatus, Delegated, Entry, Part, State, Usage
from spanledger.pricing.book import PriceBook
from spanledger.pricing.calls import charge_with_calls
from spanledger.pricing.rates import UNPRICED

DRAWN = Usage(50, 4160, output_image=4160)


def drawing(count, usage=DRAWN, **more):
    """Of a model that had ``count`` images made."""
    return Usage(1000, 0, tools={"image_generation": count, **more}, delegated={"image_generation": Delegated("gpt-image-2", usage)})


def test_what_others_did_is_copied_but_not_kept():
    usage = replace(drawing(2), parts=[Part(None, Usage(400, 0)), Part("m-2", Usage(600, 0))])
    for again in (copy.deepcopy(usage), pickle.loads(pickle.dumps(usage))):
        assert again == usage
    entry = Entry("1", 0.0, Activity.LLM, "openai", "chat", usage=usage, cost=Cost(7, CostStatus.EXACT))
    kept = replace(entry, usage=Usage(1000, 0, tools={"image_generation": 2}))
    assert rows.to_entry(rows.from_entry(entry)) == kept
    assert spill.decode(spill.encode(spill.Settlement(entry, []))) == (kept, [])


def test_what_others_did_costs_what_it_costs_in_that_place(book, now):
    """Whether images cost more there is not said, so that it is an estimate; a tier of the model that had them made is none of theirs."""
    cost = book.price("openai", "gpt-5.4", drawing(1), when=now, context={"data_residency": "eu", "service_tier": "flex"})
    assert (cost.nano_usd, cost.status) == (1_375_000 + 125_050_000 * 11 // 10, CostStatus.ESTIMATED)
    cost = book.price("openai", "gpt-5.4", drawing(1), when=now, context={"service_tier": "flex"})
    assert (cost.nano_usd, cost.status) == (1_250_000 + 125_050_000, CostStatus.EXACT)


def test_what_no_call_is_counted_for_costs_nothing(book, now):
    usage = Usage(1000, 0, tools={"web_search": 1}, delegated={"image_generation": Delegated("gpt-image-2", DRAWN)})
    assert book.price("openai", "gpt-4o", usage, when=now).nano_usd == 12_500_000


@pytest.mark.parametrize(
    ("more", "usage", "nano", "status"),
    [
        ({}, DRAWN, 125_050_000, CostStatus.EXACT),
        ({}, Usage(50, 4160, output_image=4160, state=State.ESTIMATED), 125_050_000, CostStatus.ESTIMATED),
        ({"web_search": 1}, DRAWN, 135_050_000, CostStatus.EXACT),
        ({"code_interpreter_call": 1}, DRAWN, 125_050_000, CostStatus.PARTIAL),
        ({}, Usage(), 0, CostStatus.PARTIAL),
    ],
)
def test_what_a_tool_used_is_added(book, now, more, usage, nano, status):
    drawn = drawing(1, usage, **more)
    cost = book.price("openai", "gpt-4o", drawn, when=now)
    assert (cost.nano_usd, cost.status, cost.model) == (2_500_000 + nano, status, "openai/gpt-4o")
    assert drawn == drawing(1, usage, **more), "it is left as it was"


def test_a_price_per_call_in_the_price_file_goes_before(tmp_path, now):
    file = tmp_path / "prices.yaml"
    file.write_text(
        "models:\n- {provider: openai, model: gpt-4o, input: '1', output: '1', per_request: {image_generation: '0.04'}}\n", encoding="utf-8"
    )
    book = PriceBook(file)
    assert not book.problems
    assert book.price("openai", "gpt-4o", drawing(2), when=now).nano_usd == 1_000_000 + 80_000_000


@pytest.mark.parametrize("model", ["gpt-image-1", "gpt-image-1.5", "gpt-image-2", "gpt-image-2.5-flare", "chatgpt-image-latest"])
def test_image_models_have_a_price_of_what_they_draw(book, now, model):
    cost = book.price("openai", model, DRAWN, when=now)
    assert (cost.nano_usd > 4160 * 20_000, cost.status) == (True, CostStatus.EXACT)


LONG = "claude-haiku-5-5"  # dearer above 100,000 tokens


@pytest.mark.parametrize(
    ("sizes", "nano"),
    [((60_000, 70_000), 130_000 * 100), ((60_000, 120_000), 60_000 * 100 + 120_000 * 500), ((100_001, 110_000), 210_001 * 500)],
)
def test_each_of_several_prompts_costs_what_its_size_does(book, now, sizes, nano):
    usage = Usage(sum(sizes), 0, tools={"web_search": 1}, parts=[Part(None, Usage(size, 0)) for size in sizes])
    cost = book.price("anthropic", LONG, usage, when=now)
    assert (cost.nano_usd, cost.status) == (nano + 10_000_000, CostStatus.EXACT)


@pytest.mark.parametrize(
    ("model", "nano", "status"),
    [("claude-opus-5-5", 10 * 100 + 30 * 4000 + 20 * 20_000, CostStatus.EXACT), ("nonsense", 10 * 100, CostStatus.PARTIAL)],
)
def test_what_was_sent_to_another_model_costs_what_that_model_does(book, now, model, nano, status):
    usage = Usage(40, 20, parts=[Part(None, Usage(10, 0)), Part(model, Usage(30, 20))])
    cost = book.price("anthropic", LONG, usage, when=now)
    assert (cost.nano_usd, cost.status, cost.model) == (nano, status, f"anthropic/{LONG}")
    usage.state = State.ESTIMATED
    assert book.price("anthropic", LONG, usage, when=now).status == max(status, CostStatus.ESTIMATED, key=[*CostStatus].index)


def test_an_advisor_is_where_the_call_is(book, now):
    usage = Usage(40, 0, parts=[Part(None, Usage(10, 0)), Part("claude-opus-5-5", Usage(30, 0))])
    cost = book.price("anthropic", LONG, usage, when=now, context={"inference_geo": "us"})
    assert (cost.nano_usd, cost.status) == ((10 * 100 + 30 * 4000) * 11 // 10, CostStatus.EXACT)


def test_a_price_per_call_is_charged_once_for_several_prompts(tmp_path, now):
    file = tmp_path / "prices.yaml"
    file.write_text("models:\n- {provider: anthropic, model: m, input: '1', output: '1', per_call: '0.01'}\n", encoding="utf-8")
    usage = Usage(40, 0, parts=[Part(None, Usage(10, 0)), Part("m", Usage(30, 0))])
    assert PriceBook(file).price("anthropic", "m", replace(usage, parts=None), when=now).nano_usd == 40_000 + 10_000_000
    usage.parts = [Part(None, Usage(10, 0)), Part("claude-opus-5-5", Usage(30, 0))]
    assert PriceBook(file).price("anthropic", "m", usage, when=now).nano_usd == 10_000 + 120_000 + 10_000_000


def test_a_model_without_a_price_has_the_costs_of_what_others_did_for_it():
    cost = charge_with_calls(UNPRICED, drawing(1), lambda _model, _usage: Cost(7, CostStatus.EXACT))
    assert cost == (7, CostStatus.PARTIAL)
