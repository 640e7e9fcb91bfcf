"""Whatever a server sends, reading it neither raises nor yields impossible numbers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanledger.engine.adapter import Wire
from spanledger.model import Response, State

FIELDS = [
    "prompt_tokens", "input_tokens", "completion_tokens", "output_tokens", "total_tokens", "cached_tokens", "reasoning_tokens", "audio_tokens", "image_tokens",
    "cache_write_tokens", "prompt_tokens_details", "completion_tokens_details", "input_tokens_details", "output_tokens_details", "prompt_cache_hit_tokens",
    "prompt_cache_miss_tokens", "num_cached_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "cache_creation", "ephemeral_5m_input_tokens",
    "ephemeral_1h_input_tokens", "thinking_tokens", "citation_tokens", "server_tool_use", "web_search_requests", "cost", "is_byok", "iterations", "type",
]  # fmt: skip
COUNTS = st.integers(-3, 40) | st.floats(allow_nan=True) | st.sampled_from([None, "7", True, 12.0])
USAGES = st.dictionaries(
    st.sampled_from(FIELDS),
    st.recursive(
        COUNTS, lambda inner: st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4) | st.lists(inner, max_size=2), max_leaves=8
    ),
)
NAMES = [
    "choices", "delta", "message", "content", "usage", "index", "finish_reason", "tool_calls", "function", "arguments", "name", "type", "response", "output",
    "item", "content_block", "status", "id", "model", "error", "code", "text", "stop_reason", "x_groq", "reasoning", "refusal", "incomplete_details", "action",
]  # fmt: skip
KINDS = [
    "response.output_text.delta", "response.completed", "response.created", "response.output_item.added", "response.function_call_arguments.delta", "error",
    "content_block_delta", "content_block_start", "message_start", "message_delta", "message_stop", "text_delta", "input_json_delta", "tool_use", "message",
]  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3000) | st.text(max_size=4) | st.sampled_from(KINDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5),
    max_leaves=25,
)
READERS = [
    ("openai", "Completions.create", "chat"), ("openai", "Completions.create", "resources.completions"), ("openai", "Responses.create", ""),
    ("openai", "Embeddings.create", ""), ("anthropic", "Messages.create", ""),
]  # fmt: skip


@pytest.fixture(scope="session", params=READERS, ids=lambda param: f"{param[1]} {param[2]}")
def any_reader(request: Any, reader: Any) -> Any:
    library, name, module = request.param
    return reader(library, name, module=module)


def check(told: Response) -> None:
    usage = told.usage
    if usage is None:
        return
    counts = [getattr(usage, name) for name in usage.__slots__ if name not in ("tools", "state", "clamped")]
    assert all(count is None or (type(count) is int and count >= 0) for count in counts)
    assert usage.input is not None or usage.output is not None
    assert usage.state in (State.EXACT, State.ESTIMATED)
    if usage.input is not None:
        assert (usage.cache_read or 0) + (usage.cache_write or 0) + (usage.cache_write_1h or 0) <= usage.input
        assert max(usage.input_audio or 0, usage.input_image or 0) <= usage.input
    if usage.output is not None:
        assert max(usage.reasoning or 0, usage.output_audio or 0, usage.output_image or 0) <= usage.output
    assert told.cost_nano_usd is None or told.cost_nano_usd >= 0


@given(usage=USAGES)
def test_usage_is_possible(any_reader: Any, usage: dict[str, Any]) -> None:
    told = Response()
    any_reader.response(Wire(usage=usage, status="completed"), told)
    check(told)


@given(usages=st.lists(USAGES, max_size=3))
def test_streamed_usage_is_possible(any_reader: Any, usages: list[dict[str, Any]]) -> None:
    told = Response()
    for usage in usages:
        any_reader.chunk(Wire(type="message_start", message={"usage": usage}), told)
        any_reader.chunk(Wire(type="message_delta", delta={}, usage=usage), told)
        any_reader.chunk(Wire(type="response.completed", response={"usage": usage}), told)
        any_reader.chunk(Wire(choices=[], usage=usage), told)
        check(told)


@given(answers=st.lists(JSON, max_size=4), capture=st.booleans())
def test_any_answer_can_be_read(any_reader: Any, answers: list[Any], capture: bool) -> None:
    told = Response(output=[] if capture else None)
    for answer in answers:
        any_reader.chunk(Wire(answer) if isinstance(answer, dict) else answer, told)
        any_reader.response(Wire(answer) if isinstance(answer, dict) else answer, told)
    assert all(isinstance(piece, str) for piece in told.text)
    assert all(isinstance(reason, str) for reason in told.finish_reasons)
    if any_reader.content is not None and answers:
        assert isinstance(
            any_reader.content({"messages": answers, "input": answers[0], "system": answers[0], "tools": answers, "prompt": answers}), dict
        )


@given(usage=USAGES)
def test_a_second_look_at_the_same_numbers_changes_nothing(any_reader: Any, usage: dict[str, Any]) -> None:
    once, twice = Response(), Response()
    for told, times in ((once, 1), (twice, 2)):
        for _ in range(times):
            any_reader.response(Wire(usage=usage, status="completed"), told)
    if "iterations" not in usage and once.usage is not None and not once.usage.clamped:
        assert once.usage == twice.usage
