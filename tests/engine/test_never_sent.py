"""Calls that fail before the provider could work on them, or whose caller is gone: nothing stays reserved and nothing is charged."""

from __future__ import annotations

import asyncio
import gc
import socket
from typing import Any

import anthropic
import openai
import pydantic
import pytest

from spanledger import BudgetExceeded

HELLO: Any = [{"role": "user", "content": "hello"}]
BUDGET = {"SPANLEDGER_BUDGET_DAY": "1 USD per day"}
DEAR = {"model": "claude-opus-4-1", "messages": HELLO}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _books(house: Any) -> tuple[int, int]:
    (balance,) = house.runtime.ledger.balances(0) or [None]
    assert house.runtime.ledger.open_leases() == 0
    assert house.runtime.open_calls == {}
    return (balance.spent, balance.reserved) if balance else (0, 0)


def _many(client: Any, **arguments: Any) -> None:
    for _ in range(20):  # each reserves 0.08 USD
        with pytest.raises(TypeError):
            client.messages.create(**arguments)


def test_a_forgotten_argument_costs_nothing(make_house: Any, provider: Any) -> None:
    house = make_house(**BUDGET)
    _many(anthropic.Anthropic(base_url=provider.url, api_key="k"), **DEAR)
    assert _books(house) == (0, 0)
    assert {(entry.usage.state.value, entry.usage.output, entry.error) for entry in house.entries} == {("unknown", None, "TypeError")}


def test_nor_in_an_asynchronous_client(make_house: Any, provider: Any) -> None:
    async def main() -> None:
        async with anthropic.AsyncAnthropic(base_url=provider.url, api_key="k") as client:
            for _ in range(20):
                with pytest.raises(TypeError):
                    await client.messages.create(**DEAR)

    house = make_house(**BUDGET)
    asyncio.run(main())
    assert _books(house) == (0, 0)


def test_a_message_that_cannot_be_written_costs_nothing(make_house: Any, provider: Any) -> None:
    house = make_house(**BUDGET)
    before = len(provider.requests)
    _many(
        anthropic.Anthropic(base_url=provider.url, api_key="k"),
        model="claude-opus-4-1", max_tokens=1000, messages=[{"role": "user", "content": object()}],
    )  # fmt: skip
    assert len(provider.requests) == before
    assert _books(house) == (0, 0)


@pytest.mark.parametrize("retries", [0, 1])
def test_an_outage_does_not_empty_a_budget(make_house: Any, retries: int) -> None:
    house = make_house(**BUDGET)
    client = openai.OpenAI(base_url=f"http://127.0.0.1:{_free_port()}", api_key="k", max_retries=retries)
    for _ in range(3):
        with pytest.raises(openai.APIConnectionError):
            client.chat.completions.create(model="gpt-4o", messages=HELLO, max_tokens=60_000)  # 0.6 USD
    assert _books(house) == (0, 0)


def test_an_answer_that_breaks_off_is_charged_as_estimated(make_house: Any, provider: Any) -> None:
    """The other side of the rule: the provider may have worked."""
    house = make_house(**BUDGET)
    client = openai.OpenAI(base_url=f"{provider.url}/v1", api_key="k", max_retries=0)
    with pytest.raises(openai.APIConnectionError):
        client.chat.completions.create(model="gpt-4o", messages=HELLO, max_tokens=1000, extra_headers={"x-behaviour": "cut"})
    (entry,) = house.entries
    assert (entry.usage.state.value, entry.usage.output) == ("unknown", 1000)
    assert _books(house)[0] == entry.cost.nano_usd


def test_what_came_back_with_the_error_is_in_the_books(make_house: Any, provider: Any) -> None:
    """``parse`` raises if the answer was cut by its length; the error carries the completion."""
    house = make_house(**BUDGET)
    client = openai.OpenAI(base_url=f"{provider.url}/v1", api_key="k", max_retries=0)
    whole = client.chat.completions.create(model="gpt-4o", messages=HELLO, max_tokens=5)
    error = openai.LengthFinishReasonError(completion=whole)

    def post(*_: Any, **__: Any) -> Any:
        raise error

    completions = client.chat.completions
    if not hasattr(completions, "parse"):  # older clients have it under beta alone
        completions = client.beta.chat.completions
    completions._post = post  # the local provider cannot be asked for a cut and still well-formed JSON document
    with pytest.raises(openai.LengthFinishReasonError):
        completions.parse(model="gpt-4o", messages=HELLO, max_tokens=5)
    first, second = house.entries
    assert (second.usage, second.cost) == (first.usage, first.cost)
    assert second.error == "openai.LengthFinishReasonError"


def test_a_refused_call_is_not_one_that_was_withdrawn(make_house: Any, provider: Any) -> None:
    house = make_house(SPANLEDGER_BUDGET_DAY="0 USD per day")
    with pytest.raises(BudgetExceeded):
        openai.OpenAI(base_url=f"{provider.url}/v1", api_key="k").chat.completions.create(model="gpt-4o", messages=HELLO)
    assert house.entries == []


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_refused_manager_leaves_nothing_that_was_never_awaited(make_house: Any, provider: Any) -> None:
    """The libraries make the coroutine that sends before their manager is entered; Python warns of one that is collected unused."""
    house = make_house(SPANLEDGER_BUDGET_DAY="0 USD per day")

    async def main() -> None:
        async with (
            openai.AsyncOpenAI(base_url=f"{provider.url}/v1", api_key="k") as gpt,
            anthropic.AsyncAnthropic(base_url=provider.url, api_key="k") as claude,
        ):
            managers = (
                gpt.beta.chat.completions.stream(model="gpt-4o", messages=HELLO),
                gpt.responses.stream(model="gpt-4o", input="hello"),
                claude.messages.stream(model="claude-sonnet-5", messages=HELLO, max_tokens=10),
                claude.beta.messages.stream(model="claude-sonnet-5", messages=HELLO, max_tokens=10),
            )
            for manager in managers:
                with pytest.raises(BudgetExceeded):
                    async with manager:
                        pass

    before = len(provider.requests)
    asyncio.run(main())
    gc.collect()  # an unraisable warning fails the test
    assert len(provider.requests) == before
    assert house.entries == []


def test_an_answer_that_does_not_fit_was_sent(make_house: Any, provider: Any) -> None:
    """A pydantic ``ValidationError`` is a ``ValueError``, too, but what it is about has come back."""

    class City(pydantic.BaseModel):
        name: str

    house = make_house(**BUDGET)
    client = openai.OpenAI(base_url=f"{provider.url}/v1", api_key="k", max_retries=0)
    with pytest.raises(pydantic.ValidationError):
        client.beta.chat.completions.parse(model="gpt-4o", messages=HELLO, max_tokens=1000, response_format=City)
    (entry,) = house.entries
    assert (entry.usage.state.value, entry.usage.output) == ("unknown", 1000)
    assert _books(house)[0] == entry.cost.nano_usd > 0
