"""What is short for ordinary values says what the careful way says."""

from __future__ import annotations

import json
from typing import Any
from unittest.mock import patch

import pytest
from anthropic.types import RawContentBlockDeltaEvent
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import ResponseTextDeltaEvent

from spanledger.adapters import _blocks_shape, _openai_shape, _responses_shape
from spanledger.adapters._openai_shape import any_chunk, chat_chunk
from spanledger.adapters._openai_usage import plain_usage, usage_of
from spanledger.engine.wire import decode
from spanledger.model import Response, Usage

COUNT = st.one_of(st.none(), st.integers(0, 12), st.sampled_from([-1, True, 3.0, "7", []]))
COUNTS = st.dictionaries(
    st.sampled_from(["cached_tokens", "cache_write_tokens", "audio_tokens", "image_tokens", "reasoning_tokens", "rejected_prediction_tokens"]),
    COUNT,
)  # fmt: skip
LIFETIMES = st.fixed_dictionaries({"cache_write_tokens_details": st.none() | COUNT | st.fixed_dictionaries({"ttl_12h_tokens": COUNT})})
DETAILS = st.none() | COUNTS | st.builds(dict.__or__, COUNTS, LIFETIMES)
OTHERS = st.dictionaries(
    st.sampled_from(["cached_tokens", "citation_tokens", "cost", "num_cached_tokens", "service_tier"]), COUNT, max_size=1
)


@st.composite
def usages(draw: st.DrawFn) -> dict[str, Any]:
    (asked, written), (inside, out) = draw(
        st.sampled_from(
            [
                (("prompt_tokens", "completion_tokens"), ("prompt_tokens_details", "completion_tokens_details")),
                (("input_tokens", "output_tokens"), ("input_tokens_details", "output_tokens_details")),
            ]
        )
    )
    told = {asked: draw(COUNT), written: draw(COUNT), inside: draw(DETAILS), out: draw(DETAILS), **draw(OTHERS)}
    sums = [told[asked] + (told[written] or 0)] if type(told[asked]) is int and type(told[written]) in (int, type(None)) else []
    return {**told, "total_tokens": draw(st.sampled_from(sums) | COUNT if sums else COUNT)}


@settings(max_examples=1000, deadline=None)
@given(usages())
def test_the_short_way_agrees_with_the_careful_one(told: dict[str, Any]) -> None:
    short = plain_usage(told)
    assert short is None or short == usage_of(told)


@pytest.mark.parametrize("kind", ["chat", "responses"])
def test_what_openai_tells_goes_the_short_way(kind: str) -> None:
    asked, written = ("prompt", "completion") if kind == "chat" else ("input", "output")
    told = {f"{asked}_tokens": 9, f"{written}_tokens": 5, "total_tokens": 14}
    told |= {f"{asked}_tokens_details": {"cached_tokens": 4, "audio_tokens": 0}, f"{written}_tokens_details": {"reasoning_tokens": 2}}
    assert plain_usage(told) == Usage(input=9, output=5, cache_read=4, input_audio=0, reasoning=2)


def test_embeddings_have_no_output_and_go_the_short_way() -> None:
    assert plain_usage({"prompt_tokens": 9, "total_tokens": 9}) == Usage(input=9)


PIECE = st.sampled_from(["he", "llo", "", None, 7, True, [], [{"type": "text", "text": "so"}]])
CALLS = st.sampled_from([None, [], [{"index": 0, "id": "t1", "function": {"name": "find", "arguments": "{"}}], "odd"])
DELTAS = st.fixed_dictionaries({}, optional={
    "content": PIECE, "role": st.sampled_from(["assistant", None]), "refusal": PIECE, "tool_calls": CALLS, "reasoning": PIECE, "reasoning_content": PIECE,
    "function_call": st.sampled_from([None, {"name": "find", "arguments": "{}"}]), "token_id": st.just(5),
})  # fmt: skip
ORDINARY = st.builds(lambda piece: {"content": piece}, st.sampled_from(["he", "llo", "so"]))
CHOICES = st.fixed_dictionaries({"delta": ORDINARY | ORDINARY | DELTAS | st.sampled_from([None, "odd", []])}, optional={
    "index": st.sampled_from([0, 0, 1, 2000, -1, None, False, True, 0.0, "1"]), "finish_reason": st.sampled_from([None, None, "stop", "", 7]), "message": DELTAS,
    "usage": usages(), "logprobs": st.none(),
})  # fmt: skip
CHUNKS = st.fixed_dictionaries({"choices": st.lists(CHOICES, min_size=1, max_size=1) | st.lists(CHOICES, max_size=2) | st.sampled_from([None, "odd", [None]])}, optional={
    "id": st.sampled_from(["c1", "", None, 7]), "model": st.just("m-1"), "service_tier": st.sampled_from(["flex", None]), "usage": st.none() | usages(),
    "error": st.sampled_from([None, {"code": 502}]), "x_groq": st.builds(lambda usage: {"usage": usage}, usages()),
})  # fmt: skip


def _sdk(kind: Any, told: dict[str, Any]) -> Any:
    """An event as the client makes it, and one as it is read from a raw response."""
    return kind.construct(**json.loads(json.dumps(told)))


def _wire(_kind: Any, told: dict[str, Any]) -> Any:
    return decode(json.dumps(told))


@pytest.mark.parametrize("make", [_sdk, _wire])
@pytest.mark.parametrize("capture", [False, True])
@settings(max_examples=400, deadline=None)
@given(chunks=st.lists(CHUNKS, max_size=6))
def test_chunks_fold_the_same_either_way(make: Any, capture: bool, chunks: list[Any]) -> None:
    short, careful = Response(output=[] if capture else None), Response(output=[] if capture else None)
    for chunk in chunks:
        event = make(ChatCompletionChunk, chunk)
        assert chat_chunk(event, short) is any_chunk(event, careful)
        assert short == careful


def test_a_piece_of_an_answer_goes_the_short_way() -> None:
    told = {"id": "c1", "model": "m-1", "choices": [{"index": 0, "delta": {"content": "he"}, "finish_reason": None}]}
    into = Response()
    chat_chunk(_sdk(ChatCompletionChunk, told), into)  # the first one tells what the stream is
    with patch.object(_openai_shape, "any_chunk", side_effect=AssertionError):
        assert chat_chunk(_sdk(ChatCompletionChunk, told), into) is False
    assert (into.id, into.text) == ("c1", ["he", "he"])


@pytest.mark.parametrize("make", [_sdk, _wire])
@pytest.mark.parametrize("capture", [False, True])
@given(pieces=st.lists(PIECE, max_size=4))
def test_events_of_responses_fold_the_same_either_way(make: Any, capture: bool, pieces: list[Any]) -> None:
    short, careful = Response(output=[] if capture else None), Response(output=[] if capture else None)
    for piece in pieces:
        told = {"type": "response.output_text.delta", "delta": piece}
        _responses_shape.responses_chunk(make(ResponseTextDeltaEvent, told), short)
        _responses_shape._typed("response.output_text.delta", told, careful)
    assert short == careful


@pytest.mark.parametrize("make", [_sdk, _wire])
@pytest.mark.parametrize("capture", [False, True])
@given(deltas=st.lists(
    st.fixed_dictionaries({"type": st.sampled_from(["text_delta", "text_delta", "thinking_delta", "compaction_delta", "odd", None])}, optional={
        "text": PIECE, "thinking": PIECE, "content": PIECE,
    }) | st.none(), max_size=4,
))  # fmt: skip
def test_deltas_of_messages_fold_the_same_either_way(make: Any, capture: bool, deltas: list[Any]) -> None:
    short, careful = Response(output=[] if capture else None), Response(output=[] if capture else None)
    for delta in deltas:
        event = make(RawContentBlockDeltaEvent, {"type": "content_block_delta", "index": 0, "delta": delta})
        _blocks_shape.blocks_chunk(event, short)
        _blocks_shape._delta(event.delta, careful)
    assert short == careful
