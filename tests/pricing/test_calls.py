"""Tools whose calls are tokens of another model."""

from __future__ import annotations

import copy
import json
import pickle

import pytest

from spanledger.model import CostStatus, State, Usage
from spanledger.pricing.book import PriceBook
from spanledger.pricing.calls import Calls

DRAWN = Usage(50, 4160, output_image=4160)


def test_calls_are_a_number_that_can_be_copied_and_written():
    calls = Calls(2, "gpt-image-2", DRAWN)
    for again in (copy.deepcopy(calls), pickle.loads(pickle.dumps(calls))):
        assert (again, again.model, again.usage) == (2, "gpt-image-2", DRAWN)
    assert json.dumps({"image_generation": calls}) == '{"image_generation": 2}'
    assert sum([calls, 1]) == 3


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
    tools = {"image_generation": Calls(1, "gpt-image-2", usage), **more}
    cost = book.price("openai", "gpt-4o", Usage(1000, 0, tools=tools), when=now)
    assert (cost.nano_usd, cost.status, cost.model) == (2_500_000 + nano, status, "openai/gpt-4o")
    assert tools["image_generation"] == 1


def test_a_price_per_call_in_the_price_file_goes_before(tmp_path, now):
    file = tmp_path / "prices.yaml"
    file.write_text(
        "models:\n- {provider: openai, model: gpt-4o, input: '1', output: '1', per_request: {image_generation: '0.04'}}\n", encoding="utf-8"
    )
    usage = Usage(1000, 0, tools={"image_generation": Calls(2, "gpt-image-2", DRAWN)})
    book = PriceBook(file)
    assert not book.problems
    assert book.price("openai", "gpt-4o", usage, when=now).nano_usd == 1_000_000 + 80_000_000


@pytest.mark.parametrize("model", ["gpt-image-1", "gpt-image-1.5", "gpt-image-2", "gpt-image-2.5-flare", "chatgpt-image-latest"])
def test_image_models_have_a_price_of_what_they_draw(book, now, model):
    cost = book.price("openai", model, DRAWN, when=now)
    assert (cost.nano_usd > 4160 * 20_000, cost.status) == (True, CostStatus.EXACT)
