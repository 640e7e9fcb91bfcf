"""Errors inside of HTTP 200: docs/decisions/0006-what-a-failed-call-costs.md."""

from __future__ import annotations

import contextlib
from typing import Any

import anthropic
import openai
import pytest

from spanledger.model import State

BUDGET = {"SPANLEDGER_BUDGET_DAY": "1 USD per day"}
ERROR = {"error": {"code": 429, "message": "the prompt"}}
OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": "the prompt"}}
FAILED = {"id": "r1", "object": "response", "model": "gpt-4o", "output": [], "status": "failed", "usage": None}
FAILED |= {"error": {"code": "rate_limit_exceeded", "message": "the prompt"}}
BEGUN = {**FAILED, "status": "in_progress", "error": None}
USAGE = {"input_tokens": 9, "output_tokens": 1}
CREATED = {"type": "response.created", "sequence_number": 0, "response": BEGUN}
ENDED = {"type": "response.failed", "sequence_number": 2, "response": FAILED}
SAID = {"type": "response.output_text.delta", "sequence_number": 1, "delta": "hello"}
EVENT = {"type": "error", "sequence_number": 1, "code": "server_error", "message": "the prompt"}
START = {
    "type": "message_start",
    "message": {"id": "m1", "type": "message", "role": "assistant", "model": "m", "content": [], "usage": USAGE},
}


def _choice(**more: Any) -> dict[str, Any]:
    return {"id": "c1", "object": "chat.completion", "created": 1, "model": "gpt-4o", "choices": [{"index": 0, **more}]}


ROLE = {**_choice(delta={"role": "assistant", "content": ""}), "object": "chat.completion.chunk"}
PIECE = {**_choice(delta={"role": "assistant", "content": "hello"}), "object": "chat.completion.chunk"}


def _send(house: Any, ask: Any, api: str, answer: Any) -> Any:
    """The call's entry and what its budget was charged."""
    stream = isinstance(answer, list)
    (ask.loopback.events if stream else ask.loopback.json)(answer)
    with contextlib.suppress(openai.APIError, anthropic.APIError):
        _, result = ask.call(api, stream=stream)
        for _ in result if stream else ():
            pass
    (entry,) = house.entries
    (balance,) = house.runtime.ledger.balances(0) or [None]
    return entry, balance and (balance.spent, balance.reserved)


@pytest.mark.parametrize(
    ("api", "answer"),
    [
        ("chat", ERROR),
        ("chat", _choice(message={"role": "assistant", "content": ""}, finish_reason="error", **ERROR)),
        ("completions", ERROR),
        ("responses", FAILED),
        ("messages", OVERLOADED),
        ("chat", [ERROR]),
        ("chat", [ROLE, ERROR]),
        ("responses", [CREATED, ENDED]),
        ("responses", [EVENT]),
        ("responses", [CREATED, EVENT]),
        ("messages", [OVERLOADED]),
    ],
)
def test_an_error_and_nothing_else_costs_what_an_http_error_does(make_house: Any, ask: Any, api: str, answer: Any) -> None:
    entry, charged = _send(make_house(**BUDGET), ask, api, answer)
    assert (entry.usage.state, entry.usage.input, entry.usage.output, entry.cost.nano_usd) == (State.UNKNOWN, None, None, None)
    assert entry.error
    assert charged in {None, (0, 0)}


@pytest.mark.parametrize(
    ("api", "answer"),
    [
        ("chat", [PIECE, ERROR]),
        ("chat", _choice(message={"role": "assistant", "content": "hello"}, finish_reason="error", **ERROR)),
        ("responses", [CREATED, SAID, ENDED]),
        ("messages", [START, OVERLOADED]),
    ],
)
def test_an_error_after_the_provider_has_worked_is_a_stream_cut_short(make_house: Any, ask: Any, api: str, answer: Any) -> None:
    entry, _ = _send(make_house(**BUDGET), ask, api, answer)
    assert (entry.usage.state, bool(entry.usage.input), entry.usage.output is not None) == (State.ESTIMATED, True, True)


def test_silence_alone_is_no_error(make_house: Any, ask: Any) -> None:
    entry, _ = _send(make_house(**BUDGET), ask, "chat", [ROLE])
    assert (entry.usage.state, entry.usage.input is None) == (State.ESTIMATED, False)
