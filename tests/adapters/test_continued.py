"""Responses that go on with an earlier one: the provider keeps the conversation and bills it as input again."""

from __future__ import annotations

import asyncio
from typing import Any

import openai
import pytest

import spanledger

USAGE = {"input_tokens": 900, "output_tokens": 50, "total_tokens": 950, "input_tokens_details": {"cached_tokens": 0}}
ANSWER = {"id": "resp_1", "object": "response", "model": "gpt-4o", "status": "completed", "output": [], "usage": USAGE}
ASKED = {"model": "gpt-4o", "input": "and now?", "max_output_tokens": 60}


@pytest.mark.parametrize("asynchronous", [False, True])
def test_what_was_said_before_is_in_the_budget_before_the_call_is_sent(make_house: Any, loopback: Any, asynchronous: bool) -> None:
    house = make_house(SPANLEDGER_BUDGET_DAY="1950 tokens per day")
    loopback.json(ANSWER)
    client = (openai.AsyncOpenAI if asynchronous else openai.OpenAI)(api_key="test", base_url=f"{loopback.url}/v1", max_retries=0)

    async def create(**more: Any) -> None:
        answer = client.responses.create(**ASKED, **more)
        if asynchronous:
            await answer

    async def converse() -> None:
        async with asyncio.timeout(60):
            await create()
            await create(store=False)  # begins anew: only what is sent counts
            with pytest.raises(spanledger.BudgetExceeded) as refusal:
                await create(previous_response_id="resp_1")
            assert refusal.value.asked > 1_010

    asyncio.run(converse())
    assert (len(loopback.requests), len(house.entries)) == (2, 2)
