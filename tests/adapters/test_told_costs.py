"""What a call costs by the provider's own word, and how far that is believed."""

from __future__ import annotations

from typing import Any

import pytest

from spanledger.model import CostStatus

TICKS = {"prompt_tokens": 7, "completion_tokens": 8, "cost_in_usd_ticks": 0}


def _chunk(piece: str, reason: str | None, model: str, total_cost: float) -> dict[str, Any]:
    usage = {"prompt_tokens": 1000, "completion_tokens": 1, "cost": {"total_cost": total_cost}}
    choices = [{"index": 0, "delta": {"content": piece}, "finish_reason": reason}]
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": model, "choices": choices, "usage": usage}


def _read(ask: Any, chunks: int, model: str, *costs: float) -> None:
    """Sends a stream and reads as many of its chunks."""
    last = len(costs) - 1
    ask.loopback.events([_chunk("", "stop" if number == last else None, model, cost) for number, cost in enumerate(costs)])
    _, stream = ask.call("chat", stream=True)
    for _ in zip(range(chunks), stream, strict=False):
        pass
    stream.close()


def test_a_field_that_nobody_filled_in_is_no_cost(make_house: Any, ask: Any) -> None:
    house = make_house()
    ask.loopback.json({"id": "c1", "object": "chat.completion", "created": 1, "model": "gpt-4o", "choices": [], "usage": TICKS})
    ask.call("chat", stream=False)
    (entry,) = house.entries
    assert (entry.cost.nano_usd, entry.cost.source) == (7 * 2_500 + 8 * 10_000, "genai-prices")


@pytest.mark.parametrize(
    ("chunks", "model", "told", "cost"),
    [
        (1, "gpt-4o", 0.000001, (1000 * 2_500 + 10_000, CostStatus.ESTIMATED)),
        (1, "gpt-4o", 0.5, (500_000_000, CostStatus.ESTIMATED)),
        (1, "nobody-knows", 0.5, (500_000_000, CostStatus.ESTIMATED)),
        (1, "nobody-knows", 0.0, (None, CostStatus.UNPRICED)),
        (2, "gpt-4o", 0.000001, (700_000_000, CostStatus.EXACT)),
    ],
)
def test_a_cost_told_before_a_stream_was_cut_is_a_lower_bound(
    make_house: Any, ask: Any, chunks: int, model: str, told: float, cost: tuple[int | None, CostStatus]
) -> None:
    house = make_house()
    _read(ask, chunks, model, told, 0.7)
    (entry,) = house.entries
    assert (entry.cost.nano_usd, entry.cost.status) == cost
