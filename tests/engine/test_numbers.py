from __future__ import annotations

import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from spanledger.engine import numbers
from spanledger.model import CostStatus, Response, Usage
from spanledger.pricing.book import PriceBook

if TYPE_CHECKING:
    from pathlib import Path

SONNET = "claude-sonnet-4-5-20250929"
REGIONAL, GLOBAL = 1000 * 3_300, 1000 * 3_000
PROFILE = "arn:aws:bedrock:us-east-1:123:application-inference-profile/abc123"


def _cost(asked: str, answered: str, book: PriceBook | None = None) -> tuple[int | None, CostStatus]:
    entry = SimpleNamespace(provider="aws.bedrock", model=asked, usage=Usage(1000, 0), time=time.time())
    response = Response()
    response.model, response.complete = answered, True
    call: Any = SimpleNamespace(
        entry=entry, response=response, request=SimpleNamespace(context=None), runtime=SimpleNamespace(book=book or PriceBook())
    )
    cost = numbers.cost(call)
    return cost.nano_usd, cost.status


@pytest.mark.parametrize(
    ("asked", "answered", "cost"),
    [
        (f"global.anthropic.{SONNET}-v1:0", SONNET, (GLOBAL, CostStatus.EXACT)),
        (f"arn:aws:bedrock:us-east-1:123:inference-profile/global.anthropic.{SONNET}-v1:0", SONNET, (GLOBAL, CostStatus.EXACT)),
        (f"us.anthropic.{SONNET}-v1:0", SONNET, (REGIONAL, CostStatus.EXACT)),
        (SONNET, f"anthropic.{SONNET}-v1:0", (REGIONAL, CostStatus.EXACT)),
        (PROFILE, SONNET, (REGIONAL, CostStatus.ESTIMATED)),
        ("global.anthropic.claude-opus-4-6-v1", SONNET, (REGIONAL, CostStatus.ESTIMATED)),  # another model answered
        (f"global.anthropic.{SONNET}-v1:0", "nobody-knows", (GLOBAL, CostStatus.EXACT)),
        (PROFILE, "nobody-knows", (None, CostStatus.UNPRICED)),
    ],
)
def test_the_name_asked_for_says_where_a_call_runs_on_bedrock(asked: str, answered: str, cost: tuple[int | None, CostStatus]) -> None:
    assert _cost(asked, answered) == cost


def test_a_price_of_ones_own_holds_for_the_name_in_the_answer(tmp_path: Path) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text(f"models:\n  - {{model: {SONNET}, input: 1, output: 1}}\n")
    book = PriceBook(path)
    assert book.problems == ()
    assert _cost(f"global.anthropic.{SONNET}-v1:0", SONNET, book) == (1000 * 1_000, CostStatus.EXACT)
