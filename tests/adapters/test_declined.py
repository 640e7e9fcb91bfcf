"""Claude models that decline a request: what is billed then, and to which model.

https://platform.claude.com/docs/en/build-with-claude/refusals-and-fallback
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import pytest

from spanledger.model import Part, State, Usage


def attempt(kind: str, model: str | None, asked: int, written: int, **more: int) -> dict[str, Any]:
    told = {"type": kind, "input_tokens": asked, "output_tokens": written, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0}
    return {**told, **({"model": model} if model else {}), **more}


def usage(*attempts: dict[str, Any]) -> dict[str, Any]:
    """As the API tells it: the totals are those of the last attempt."""
    last = {key: value for key, value in attempts[-1].items() if key not in ("type", "model")}
    return {**last, "iterations": list(attempts)}


def message(told: dict[str, Any], reason: str = "end_turn", **more: Any) -> dict[str, Any]:
    body = {"id": "msg_01A", "type": "message", "role": "assistant", "model": "claude-opus-4-8", "content": [], "stop_sequence": None}
    return {**body, "stop_reason": reason, "usage": told, **more}


SERVED = attempt("fallback_message", "claude-opus-4-8", 412, 264)


@pytest.mark.parametrize(
    ("attempts", "want"),
    [
        ([attempt("message", "claude-fable-5", 408, 0), SERVED], Usage(412, 264, 0, 0)),
        ([attempt("message", "claude-fable-5", 408, 30), SERVED], Usage(820, 294, 0, 0)),
        (
            [attempt("message", "claude-fable-5", 8, 30, cache_read_input_tokens=400), SERVED],
            Usage(820, 294, 400, 0),
        ),
        (
            [attempt("message", "claude-fable-5", 408, 30), attempt("message", "claude-opus-5", 410, 5), SERVED],
            Usage(1230, 299, 0, 0),
        ),
        # Turns of a loop over server tools, by the model that answered: they are in the totals.
        ([attempt("message", "claude-opus-4-8", 100, 20), SERVED], Usage(412, 264, 0, 0)),
        ([attempt("message", None, 100, 20), SERVED], Usage(412, 264, 0, 0)),
        ([attempt("message", "claude-fable-5", 100, 20), attempt("message", None, 412, 264)], Usage(412, 264, 0, 0)),
    ],
)
def test_attempts_of_models_that_declined_are_billed_if_they_wrote_something(ask: Any, attempts: list[Any], want: Usage) -> None:
    told = ask.whole("messages", message(usage(*attempts))).usage
    assert asdict(replace(told, parts=None)) == asdict(want)


def test_what_each_model_did_is_kept_apart(ask: Any) -> None:
    tried = attempt("message", "claude-fable-5", 408, 30)
    parts = [Part(None, Usage(412, 264, 0, 0)), Part("claude-fable-5", Usage(408, 30, 0, 0))]
    assert ask.whole("messages", message(usage(tried, SERVED))).usage.parts == parts


@pytest.mark.parametrize(
    ("outcome", "written", "state"),
    [("redeemed", 30, State.ESTIMATED), ("redeemed", 0, State.EXACT), ("not_applied", 30, State.EXACT)],
)
def test_a_credit_for_what_is_written_to_the_cache_anew_makes_it_an_estimate(ask: Any, outcome: str, written: int, state: State) -> None:
    status = {"type": outcome} if outcome == "redeemed" else {"type": outcome, "reason": "expired"}
    told = {"input_tokens": 5, "output_tokens": 9, "cache_creation_input_tokens": written, "fallback_credit": {"status": status}}
    assert asdict(ask.whole("messages", message(told)).usage) == asdict(Usage(5 + written, 9, None, written, state=state))


def test_a_stream_is_of_the_model_that_took_over(ask: Any) -> None:
    begun = {"model": "claude-fable-5", "stop_reason": None, "usage": {"input_tokens": 408, "output_tokens": 1}}
    seam = {"type": "fallback", "from": {"model": "claude-fable-5"}, "to": {"model": "claude-opus-4-8"}}
    events = [
        {"type": "message_start", "message": {**message({}), **begun}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "he"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_start", "index": 1, "content_block": seam},
        {"type": "content_block_stop", "index": 1},
    ]
    cut, _ = ask.stream("messages", events)
    assert (cut.model, cut.complete) == ("claude-opus-4-8", False)
    told = usage(attempt("message", "claude-fable-5", 408, 30), SERVED)
    end = {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": told}
    whole, _ = ask.stream("messages", [*events, end, {"type": "message_stop"}])
    assert (whole.id, whole.model) == ("msg_01A", "claude-opus-4-8")
    assert asdict(replace(whole.usage, parts=None)) == asdict(Usage(820, 294, 0, 0))


NOTHING_WRITTEN = {"input_tokens": 412, "output_tokens": 0}


@pytest.mark.parametrize(
    ("reason", "told", "ident", "cost"),
    [
        ("refusal", NOTHING_WRITTEN, "msg_01A", 0),
        ("refusal", usage(attempt("message", "claude-fable-5", 408, 0), attempt("message", "claude-opus-4-8", 412, 0)), "msg_01A", 0),
        ("refusal", usage(attempt("message", "claude-fable-5", 408, 9), attempt("message", "claude-opus-4-8", 412, 0)), "msg_01A", None),
        ("refusal", {"input_tokens": 412, "output_tokens": 7}, "msg_01A", None),
        ("refusal", {"input_tokens": 412}, "msg_01A", None),
        ("end_turn", NOTHING_WRITTEN, "msg_01A", None),
        ("refusal", NOTHING_WRITTEN, "msg_bdrk_01A", None),
        ("refusal", NOTHING_WRITTEN, "msg_vrtx_01A", None),
        ("refusal", NOTHING_WRITTEN, "gen-1", None),
    ],
)
def test_a_request_that_was_declined_before_anything_was_written_costs_nothing(
    ask: Any, reason: str, told: dict[str, Any], ident: str, cost: int | None
) -> None:
    whole = ask.whole("messages", message(told, reason, id=ident))
    begin = {
        "type": "message_start",
        "message": message({**told, "output_tokens": 1, "iterations": None}, id=ident) | {"stop_reason": None},
    }
    end = {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": told}
    streamed, _ = ask.stream("messages", [begin, end, {"type": "message_stop"}])
    for response in (whole, streamed):
        assert response.usage.input >= 412  # the tokens are what the provider says
        assert response.cost_nano_usd == cost
