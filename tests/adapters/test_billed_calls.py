"""Calls of OpenAI's tools that are billed by themselves, read through the real client."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from spanledger.model import CostStatus, Delegated, Usage
from spanledger.pricing.book import PriceBook
from spanledger.pricing.rates import FEMTO, Rates, charge, rate

NOW = 1_795_000_000.0  # 2026-11-18


def response(usage: Any, output: list[Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"id": "r1", "object": "response", "status": "completed", "model": "m-1", "output": output or [], "usage": usage, **more}


@pytest.mark.parametrize("kind", ["image_generation_call", "code_interpreter_call", "shell_call"])
def test_images_and_code_of_responses_make_the_cost_partial(ask: Any, kind: str) -> None:
    """No amount is made up for them: not even where an execution of code has a price."""
    item = {"type": kind, "id": "1", "status": "completed", "result": None, "code": None, "container_id": "c", "outputs": None}
    if kind == "shell_call":
        item |= {"call_id": "2", "action": {"commands": ["ls"]}, "environment": {"type": "container_reference", "container_id": "c"}}
    told = ask.whole("responses", response({"input_tokens": 1000, "output_tokens": 0, "total_tokens": 1000}, [item]))
    prices = {"web_searches": FEMTO, "code_executions": FEMTO}
    rates = Rates(rate({"input": Fraction(1, 10**6), "output": Fraction(1, 10**6)}), per_request=prices)
    assert charge(rates, told.usage) == (1_000_000, CostStatus.PARTIAL)


DRAWN = {
    "input_tokens": 50, "input_tokens_details": {"image_tokens": 0, "text_tokens": 50}, "output_tokens": 4160, "total_tokens": 4210,
}  # fmt: skip
PRICED = {"type": "image_generation", "model": "gpt-image-2"}


def _images(tools: list[Any], told: Any) -> dict[str, Any]:
    calls = [{"type": "image_generation_call", "id": str(number), "status": "completed", "result": None} for number in (1, 2)]
    body = response({"input_tokens": 1000, "output_tokens": 0, "total_tokens": 1000}, calls)
    return {**body, "tools": tools, "tool_usage": {"image_gen": told, "web_search": {"num_requests": 0}}}


def test_images_are_priced_as_tokens_of_the_model_that_made_them(ask: Any) -> None:
    told = ask.whole("responses", _images([{"type": "function", "name": "f", "parameters": None, "strict": None}, PRICED], DRAWN))
    drawn = Usage(50, 4160, input_image=0, output_image=4160)
    assert told.usage == Usage(1000, 0, tools={"image_generation": 2}, delegated={"image_generation": Delegated("gpt-image-2", drawn)})
    cost = PriceBook().price("openai", "gpt-4o", told.usage, when=NOW)
    assert (cost.nano_usd, cost.status) == (1000 * 2500 + 50 * 5_000 + 4160 * 30_000, CostStatus.EXACT)


@pytest.mark.parametrize(
    ("tools", "told"),
    [
        ([{"type": "image_generation"}], DRAWN),
        ([PRICED, {**PRICED, "model": "gpt-image-1.5"}], DRAWN),
        ([{**PRICED, "model": "gpt-image-99"}], DRAWN),
        ([PRICED], {**DRAWN, "output_tokens": 0}),
        ([PRICED], {**DRAWN, "input_tokens": -5}),
        ([PRICED], None),
        (None, DRAWN),
    ],
)
def test_images_whose_model_or_tokens_are_not_told_have_no_price(ask: Any, tools: Any, told: Any) -> None:
    read = ask.whole("responses", _images(tools, told))
    assert (read.usage.total, read.usage.tools) == (1000, {"image_generation": 2})
    cost = PriceBook().price("openai", "gpt-4o", read.usage, when=NOW)
    assert (cost.nano_usd, cost.status) == (1000 * 2500, CostStatus.PARTIAL)


def test_who_writes_an_image_in_svg_is_priced_beside_who_paints_it(ask: Any) -> None:
    svg = {"input_tokens": 900, "output_tokens": 2000, "reasoning_tokens": 500, "total_tokens": 2900, "model": "gpt-4.1"}
    body = _images([PRICED], DRAWN)
    body["output"] = [{**call, "svg_usage": svg} for call in body["output"]]
    told = ask.whole("responses", body).usage
    assert told.tools == {"image_generation": 2, "svg_authoring": 2}
    assert told.delegated["svg_authoring"] == Delegated("gpt-4.1", Usage(1800, 4000))
    cost = PriceBook().price("openai", "gpt-4o", told, when=NOW)
    drawn = 1000 * 2500 + 50 * 5_000 + 4160 * 30_000
    assert (cost.nano_usd, cost.status) == (drawn + 1800 * 2_000 + 4000 * 8_000, CostStatus.EXACT)
    body["output"][0]["svg_usage"] = {**svg, "model": "gpt-4o"}
    cost = PriceBook().price("openai", "gpt-4o", ask.whole("responses", body).usage, when=NOW)
    assert (cost.nano_usd, cost.status) == (drawn, CostStatus.PARTIAL)


SEARCH = {"type": "web_search_call", "id": "1", "status": "completed", "action": {"type": "search", "query": "x"}}


@pytest.mark.parametrize(
    ("told", "tools"), [(None, {"web_search": 1}), (0, None), (1, {"web_search": 1}), (3, {"web_search": 3}), (-1, {"web_search": 1})]
)
def test_the_searches_that_are_billed_are_those_told(ask: Any, told: Any, tools: Any) -> None:
    body = response({"input_tokens": 1, "output_tokens": 0, "total_tokens": 1}, [SEARCH], tool_usage={"web_search": {"num_requests": told}})
    assert ask.whole("responses", body).usage.tools == tools


@pytest.mark.parametrize(
    ("model", "versions", "nano"),
    [
        ("gpt-4.1", ["web_search_preview"], 25_000_000),
        ("gpt-4o-mini", ["function", "web_search_preview_2025_03_11"], 25_000_000),
        ("gpt-4o", ["web_search"], 10_000_000),
        ("gpt-4o", ["web_search_preview", "web_search"], 10_000_000),
        ("gpt-4o", [], 10_000_000),
        ("gpt-5", ["web_search_preview"], 10_000_000),
        ("o4-mini", ["web_search_preview"], 10_000_000),
    ],
)
@pytest.mark.parametrize("told", [None, 1])
def test_the_preview_of_searching_costs_more_for_models_that_do_not_reason(
    ask: Any, model: str, versions: list[str], nano: int, told: int | None
) -> None:
    tools = [{"type": version} for version in versions]
    usage = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
    read = ask.whole("responses", response(usage, [SEARCH], tools=tools, tool_usage={"web_search": {"num_requests": told}}))
    cost = PriceBook().price("openai", model, read.usage, when=NOW)
    assert (cost.nano_usd, cost.status) == (nano, CostStatus.EXACT)
