"""What providers mean by their usage fields, read through the real clients."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from spanledger.model import Part, State, Usage


def chat(usage: Any, **more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": "hello"}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    return {"id": "c1", "object": "chat.completion", "created": 1, "model": "m-1", "choices": choices, "usage": usage, **more}


def response(usage: Any, output: list[Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"id": "r1", "object": "response", "status": "completed", "model": "m-1", "output": output or [], "usage": usage, **more}


def message(usage: Any) -> dict[str, Any]:
    content = [{"type": "text", "text": "hello"}]
    return {
        "id": "a1",
        "type": "message",
        "role": "assistant",
        "model": "m-1",
        "content": content,
        "stop_reason": "end_turn",
        "usage": usage,
    }


DETAILS = {"cached_tokens": 4, "audio_tokens": 3, "image_tokens": 2, "cache_write_tokens": 1}
CASES: dict[str, tuple[str, Any, Usage]] = {
    "openai chat": (
        "chat",
        chat({
            "prompt_tokens": 20, "completion_tokens": 9, "total_tokens": 29, "prompt_tokens_details": DETAILS,
            "completion_tokens_details": {"reasoning_tokens": 5, "audio_tokens": 2, "image_tokens": 1},
        }),
        Usage(20, 9, 4, 1, reasoning=5, input_audio=3, output_audio=2, input_image=2, output_image=1),
    ),
    "openai responses": (
        "responses",
        response({
            "input_tokens": 20, "output_tokens": 9, "total_tokens": 29,
            "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 6}, "output_tokens_details": {"reasoning_tokens": 5},
        }),
        Usage(20, 9, 4, 6, reasoning=5),
    ),
    "litellm: written for an hour": (
        "chat",
        chat({
            "prompt_tokens": 20, "completion_tokens": 9, "total_tokens": 29, "cache_creation_input_tokens": 8, "cache_read_input_tokens": 4,
            "prompt_tokens_details": {
                "cached_tokens": 4, "cache_creation_tokens": 8,
                "cache_creation_token_details": {"ephemeral_5m_input_tokens": 2, "ephemeral_1h_input_tokens": 6},
            },
        }),
        Usage(20, 9, 4, 2, 6),
    ),
    "doubleword: written for an hour": (
        "chat",
        chat({
            "prompt_tokens": 20, "completion_tokens": 9, "total_tokens": 29, "cache_creation_input_tokens": 8, "cache_read_input_tokens": 4,
            "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 8},
        }),
        Usage(20, 9, 4, 0, 8),
    ),
    "dashscope: written": (
        "chat",
        chat({
            "prompt_tokens": 20, "completion_tokens": 9, "total_tokens": 29,
            "prompt_tokens_details": {
                "cached_tokens": 0, "cache_creation_input_tokens": 8, "cache_creation": {"ephemeral_5m_input_tokens": 8},
                "cache_type": "ephemeral",
            },
        }),
        Usage(20, 9, 0, 8),
    ),
    "openai responses: kept for 12 hours": (
        "responses",
        response({
            "input_tokens": 20, "output_tokens": 9, "total_tokens": 29, "output_tokens_details": {"reasoning_tokens": 0},
            "input_tokens_details": {
                "cached_tokens": 0, "cache_write_tokens": 16, "cache_write_tokens_details": {"ttl_12h_tokens": 10, "ttl_30m_tokens": 6},
            },
        }),
        Usage(20, 9, 0, 6, 10, reasoning=0),
    ),
    "openai responses: kept for half an hour": (
        "responses",
        response({
            "input_tokens": 20, "output_tokens": 9, "total_tokens": 29, "output_tokens_details": {"reasoning_tokens": 0},
            "input_tokens_details": {
                "cached_tokens": 0, "cache_write_tokens": 16, "cache_write_tokens_details": {"ttl_12h_tokens": 0, "ttl_30m_tokens": 16},
            },
        }),
        Usage(20, 9, 0, 16, reasoning=0),
    ),
    "details missing": ("chat", chat({"prompt_tokens": 20, "completion_tokens": 9}), Usage(20, 9)),
    "details null": ("chat", chat({"prompt_tokens": 20, "completion_tokens": 9, "prompt_tokens_details": None}), Usage(20, 9)),
    "xai: reasoning outside": (
        "chat",
        chat({"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 268, "completion_tokens_details": {"reasoning_tokens": 256}}),
        Usage(10, 258, reasoning=256),
    ),
    "deepseek: hit and miss only": (
        "chat",
        chat({"completion_tokens": 2, "prompt_cache_hit_tokens": 64, "prompt_cache_miss_tokens": 36}),
        Usage(100, 2, 64),
    ),
    "mistral: num_cached_tokens": ("chat", chat({"prompt_tokens": 10, "completion_tokens": 2, "num_cached_tokens": 8}), Usage(10, 2, 8)),
    "mistral: audio outside": (
        "chat",
        chat({"prompt_tokens": 9, "completion_tokens": 201, "total_tokens": 585, "prompt_tokens_details": {"audio_tokens": 375}}),
        Usage(384, 201, input_audio=375),
    ),
    "moonshot: cached_tokens on top": ("chat", chat({"prompt_tokens": 10, "completion_tokens": 2, "cached_tokens": 8}), Usage(10, 2, 8)),
    "perplexity: deep research": (
        "chat",
        chat({
            "prompt_tokens": 33, "completion_tokens": 7163, "total_tokens": 7196, "citation_tokens": 20016, "num_search_queries": 18,
            "reasoning_tokens": 73997,
        }),
        Usage(33, 7163 + 20016 + 73997, reasoning=73997),
    ),
    "gemini's compatible endpoint: thoughts in the total only": (
        "chat",
        chat({"prompt_tokens": 35, "completion_tokens": 12, "total_tokens": 109}),
        Usage(35, 74, reasoning=62, state=State.ESTIMATED),
    ),
    "gemini's compatible endpoint: cached tokens say nothing about thoughts": (
        "chat",
        chat({"prompt_tokens": 35, "completion_tokens": 12, "total_tokens": 109, "prompt_tokens_details": {"cached_tokens": 20}}),
        Usage(35, 74, 20, reasoning=62, state=State.ESTIMATED),
    ),
    "a total that nothing explains, where reasoning was told": (
        "chat",
        chat({"prompt_tokens": 35, "completion_tokens": 12, "total_tokens": 109, "completion_tokens_details": {"reasoning_tokens": 0}}),
        Usage(35, 12, reasoning=0),
    ),
    "portkey before anthropic: cache outside the prompt, inside the total": (
        "chat",
        chat({
            "prompt_tokens": 20, "completion_tokens": 50, "total_tokens": 100070,
            "cache_read_input_tokens": 100000, "cache_creation_input_tokens": 0,
        }),
        Usage(100020, 50, 100000, 0),
    ),
    "portkey before anthropic: told in the details, too": (
        "chat",
        chat({
            "prompt_tokens": 20, "completion_tokens": 50, "total_tokens": 100070, "prompt_tokens_details": {"cached_tokens": 100000},
            "cache_read_input_tokens": 100000, "cache_creation_input_tokens": 0,
        }),
        Usage(100020, 50, 100000, 0),
    ),
    "portkey before anthropic: read and written": (
        "chat",
        chat({"prompt_tokens": 20, "completion_tokens": 50, "total_tokens": 100, "cache_read_input_tokens": 12, "cache_creation_input_tokens": 18}),
        Usage(50, 50, 12, 18),
    ),
    "a gateway that tells the cached part outside in the details only": (
        "chat",
        chat({
            "prompt_tokens": 20, "completion_tokens": 50, "total_tokens": 85, "prompt_tokens_details": {"cached_tokens": 15},
            "completion_tokens_details": {"reasoning_tokens": 4},
        }),
        Usage(35, 50, 15, reasoning=4),
    ),
    "anthropic's names tell the cache from reasoning of the same size": (
        "chat",
        chat({
            "prompt_tokens": 60, "completion_tokens": 80, "total_tokens": 190, "cache_read_input_tokens": 50,
            "completion_tokens_details": {"reasoning_tokens": 50},
        }),
        Usage(110, 80, 50, reasoning=50),
    ),
    "xai: reasoning of the size of the cached part": (
        "chat",
        chat({
            "prompt_tokens": 60, "completion_tokens": 2, "total_tokens": 112, "prompt_tokens_details": {"cached_tokens": 50},
            "completion_tokens_details": {"reasoning_tokens": 50},
        }),
        Usage(60, 52, 50, reasoning=50),
    ),
    "more cached than the prompt has: it cannot be inside": (
        "chat",
        chat({
            "prompt_tokens": 20, "completion_tokens": 80, "total_tokens": 150, "prompt_tokens_details": {"cached_tokens": 50},
            "completion_tokens_details": {"reasoning_tokens": 50},
        }),
        Usage(70, 80, 50, reasoning=50),
    ),
    "gateway before anthropic": (
        "chat",
        chat({"prompt_tokens": 90, "completion_tokens": 5, "cache_read_input_tokens": 50, "cache_creation_input_tokens": 30}),
        Usage(90, 5, 50, 30),
    ),
    "more reasoning than output": (
        "chat",
        chat({"prompt_tokens": 5, "completion_tokens": 16, "total_tokens": 21, "completion_tokens_details": {"reasoning_tokens": 19}}),
        Usage(5, 16, reasoning=16, clamped=True),
    ),
    "more cached than input": (
        "chat",
        chat({"prompt_tokens": 298, "completion_tokens": 14, "prompt_tokens_details": {"cached_tokens": 387, "cache_write_tokens": 1}}),
        Usage(298, 14, 298, 0, clamped=True),
    ),
    "negative": ("chat", chat({"prompt_tokens": -1, "completion_tokens": 14}), Usage(None, 14, clamped=True)),
    "more than a number of 64 bits holds": (
        "chat", chat({"prompt_tokens": 2**63, "completion_tokens": 14, "total_tokens": 2**63 + 14}), Usage(None, 14, clamped=True),
    ),
    "a total of more than that": (
        "responses", response({"input_tokens": 7, "output_tokens": 14, "total_tokens": 10**40}), Usage(7, 14, clamped=True),
    ),
    "a fraction of more than that": ("messages", message({"input_tokens": 1e300, "output_tokens": 14}), Usage(None, 14, clamped=True)),
    "input told by the total only": ("chat", chat({"completion_tokens": 14, "total_tokens": 21}), Usage(7, 14)),
    "embeddings have no output": (
        "embeddings",
        {"object": "list", "model": "m-1", "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}], "usage": {"prompt_tokens": 8, "total_tokens": 8}},
        Usage(8),
    ),
    "voyage: embeddings with a total only": (
        "embeddings",
        {"object": "list", "model": "m-1", "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}], "usage": {"total_tokens": 8}},
        Usage(8),
    ),
    "legacy completion": (
        "completions",
        {"id": "t1", "object": "text_completion", "created": 1, "model": "m-1", "choices": [{"index": 0, "text": "x", "finish_reason": "stop"}],
         "usage": {"prompt_tokens": 8, "completion_tokens": 1, "total_tokens": 9}},
        Usage(8, 1),
    ),
    "web searches of responses: only the action search": (
        "responses",
        response(
            {"input_tokens": 1, "output_tokens": 1},
            [{"type": "web_search_call", "id": "1", "status": "completed", "action": {"type": kind}} for kind in ("search", "open_page", "search")]
            + [{"type": "file_search_call", "id": "2", "status": "completed", "queries": []}],
        ),
        Usage(1, 1, tools={"web_search": 2, "file_search": 1}),
    ),
    "web searches of responses: as many as are billed": (
        "responses",
        {
            **response(
                {"input_tokens": 1, "output_tokens": 1},
                [{"type": "web_search_call", "id": str(number), "status": "completed", "action": {"type": "search"}} for number in (1, 2)],
            ),
            "tool_usage": {"image_gen": {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}, "web_search": {"num_requests": 1}},
        },
        Usage(1, 1, tools={"web_search": 1}),
    ),
    "web searches of responses: a number that cannot be": (
        "responses",
        {
            **response(
                {"input_tokens": 1, "output_tokens": 1},
                [{"type": "web_search_call", "id": "1", "status": "completed", "action": {"type": "search"}}],
            ),
            "tool_usage": {"web_search": {"num_requests": -1}},
        },
        Usage(1, 1, tools={"web_search": 1}),
    ),
    "images and code made by responses": (
        "responses",
        response(
            {"input_tokens": 1, "output_tokens": 1},
            [
                {"type": "image_generation_call", "id": "1", "status": "completed", "result": "AAAA", "action": "generate"},
                {"type": "code_interpreter_call", "id": "2", "status": "completed", "code": "1", "container_id": "c", "outputs": None},
                {"type": "code_interpreter_call", "id": "3", "status": "completed", "code": "2", "container_id": "c", "outputs": None},
            ],
        ),
        Usage(1, 1, tools={"image_generation": 1, "code_interpreter_call": 2}),
    ),
    "shells of responses: only in a container of the provider's": (
        "responses",
        response(
            {"input_tokens": 1, "output_tokens": 1},
            [
                {"type": "shell_call", "id": str(number), "call_id": "c", "status": "completed", "action": {"commands": ["ls"]}, "environment": environment}
                for number, environment in enumerate(({"type": "container_reference", "container_id": "c"}, {"type": "local"}, None))
            ],
        ),
        Usage(1, 1, tools={"shell_call": 1}),
    ),
    "anthropic without cache": ("messages", message({"input_tokens": 25, "output_tokens": 4}), Usage(25, 4)),
    "anthropic: cache outside": (
        "messages",
        message({
            "input_tokens": 25, "output_tokens": 9, "cache_read_input_tokens": 32, "cache_creation_input_tokens": 10,
            "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 7}, "output_tokens_details": {"thinking_tokens": 6},
            "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 1},
        }),
        Usage(67, 9, 32, 3, 7, reasoning=6, tools={"web_search": 2, "web_fetch": 1}),
    ),
    "anthropic: writes that the split leaves out are of its only kind, an hour": (
        "messages",
        message({
            "input_tokens": 5, "output_tokens": 9, "cache_creation_input_tokens": 30,
            "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 10},
        }),
        Usage(35, 9, None, 0, 30),
    ),
    "anthropic: writes that the split leaves out are of its only kind, five minutes": (
        "messages",
        message({
            "input_tokens": 5, "output_tokens": 9, "cache_creation_input_tokens": 30,
            "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 0},
        }),
        Usage(35, 9, None, 30, 0),
    ),
    "anthropic: writes that a mixed split leaves out": (
        "messages",
        message({
            "input_tokens": 5, "output_tokens": 9, "cache_creation_input_tokens": 30,
            "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 7},
        }),
        Usage(35, 9, None, 23, 7, state=State.ESTIMATED),
    ),
    "anthropic: compaction is billed on top": (
        "messages",
        message({
            "input_tokens": 23, "output_tokens": 10, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0,
            "iterations": [
                {"type": "compaction", "input_tokens": 180, "output_tokens": 35, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 0},
                {"type": "message", "input_tokens": 23, "output_tokens": 10, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0},
            ],
        }),
        Usage(208, 45, 5, 0, parts=[Part(None, Usage(23, 10, 0, 0)), Part(None, Usage(185, 35, 5, 0))]),
    ),
    "anthropic: turns of a loop over server tools": (
        "messages",
        message({
            "input_tokens": 5, "cache_read_input_tokens": 50, "output_tokens": 3, "server_tool_use": {"web_search_requests": 0, "web_fetch_requests": 1},
            "iterations": [
                {"type": "message", "input_tokens": 5, "output_tokens": 1},
                {"type": "message", "input_tokens": 0, "output_tokens": 2, "cache_read_input_tokens": 50},
            ],
        }),
        Usage(55, 3, 50, tools={"web_fetch": 1}, parts=[Part(None, Usage(5, 1)), Part(None, Usage(50, 2, 50))]),
    ),
    "anthropic: iterations that are not all that was used": (
        "messages",
        message({
            "input_tokens": 50, "output_tokens": 3,
            "iterations": [{"type": "message", "input_tokens": 5, "output_tokens": 1}, {"type": "message", "input_tokens": 9, "output_tokens": 2}],
        }),
        Usage(50, 3),
    ),
    "anthropic: an advisor has other prices": (
        "messages",
        message({
            "input_tokens": 23, "output_tokens": 10,
            "iterations": [{"type": "advisor_message", "model": "m-2", "input_tokens": 100, "output_tokens": 5}],
        }),
        Usage(123, 15, parts=[Part(None, Usage(23, 10)), Part("m-2", Usage(100, 5))]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_usage(ask: Any, name: str) -> None:
    api, body, want = CASES[name]
    told = ask.whole(api, body)
    assert asdict(told.usage) == asdict(want)
    assert told.complete
    assert told.text == []  # nothing to estimate


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": "12", "completion_tokens": [1]}, {"input_tokens": True}, "many", 7])
@pytest.mark.parametrize(("api", "body"), [("chat", chat), ("responses", response), ("messages", message)])
def test_without_a_count_there_is_no_usage(ask: Any, api: str, body: Any, usage: Any) -> None:
    assert ask.whole(api, body(usage)).usage is None


def test_an_object_for_an_answer_is_text_too(ask: Any) -> None:
    told = ask.whole("chat", chat(None, choices=[{"index": 0, "message": {"content": {"age": 32}}, "finish_reason": "stop"}]))
    assert told.text == ['{"age": 32}']


def test_text_is_collected_where_usage_is_missing(ask: Any) -> None:
    calls = [{"id": "1", "type": "function", "function": {"name": "find", "arguments": "{}"}}]
    body = chat(None)
    body["choices"][0]["message"] |= {"tool_calls": calls, "reasoning_content": "hm", "refusal": "no"}
    assert ask.whole("chat", body).text == ["hello", "hm", "no", "find", "{}"]
    output = [
        {"type": "message", "id": "1", "role": "assistant", "status": "completed", "content": [{"type": "output_text", "text": "hello", "annotations": []}]},
        {"type": "function_call", "id": "2", "call_id": "2", "name": "find", "arguments": "{}"},
    ]  # fmt: skip
    assert ask.whole("responses", response(None, output)).text == ["hello", "find", "{}"]
    assert ask.whole("messages", message(None)).text == ["hello"]


def test_identity_and_tier(ask: Any) -> None:
    told = ask.whole("chat", chat({"prompt_tokens": 1, "completion_tokens": 1}, service_tier="flex", system_fingerprint="fp"))
    assert (told.id, told.model, told.finish_reasons, told.fingerprint) == ("c1", "m-1", ["stop"], "fp")
    assert told.context == {"service_tier": "flex"}
    told = ask.whole(
        "messages", message({"input_tokens": 1, "output_tokens": 1, "service_tier": "priority", "speed": "fast", "inference_geo": "us"})
    )
    assert (told.id, told.model, told.finish_reasons) == ("a1", "m-1", ["end_turn"])
    assert told.context == {"service_tier": "priority", "speed": "fast", "inference_geo": "us"}


@pytest.mark.parametrize(
    ("body", "status", "reasons", "error"),
    [
        (response(None, status="in_progress"), "in_progress", [], None),
        (
            response(None, status="incomplete", incomplete_details={"reason": "max_output_tokens"}),
            "incomplete",
            ["max_output_tokens"],
            None,
        ),
        (response(None, status="failed", error={"code": "server_error", "message": "the prompt"}), "failed", ["failed"], "server_error"),
    ],
)
def test_status_of_a_response(ask: Any, body: Any, status: str, reasons: list[str], error: str | None) -> None:
    told = ask.whole("responses", body)
    assert (told.status, told.finish_reasons, told.error_type, told.usage) == (status, reasons, error, None)


def test_an_error_inside_a_successful_answer(ask: Any) -> None:
    told = ask.whole("chat", {"id": "c1", "choices": None, "error": {"code": 502, "message": "the prompt"}})
    assert told.error_type == "502"


@pytest.mark.parametrize(("api", "body"), [("chat", chat), ("responses", response), ("messages", message)])
@pytest.mark.parametrize(
    ("error", "kind"), [({"type": "overloaded"}, "overloaded"), ({"message": "the prompt"}, "error"), ("the prompt", "error"), ("", None)]
)
def test_an_error_without_a_code_is_an_error_still(ask: Any, api: str, body: Any, error: Any, kind: str | None) -> None:
    """Its message is never told: it may repeat what was sent."""
    assert ask.whole(api, {**body(None), "error": error}).error_type == kind


def test_an_error_inside_a_choice(ask: Any) -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": ""}, "finish_reason": "error", "error": {"code": 502, "message": "x"}}
    assert ask.whole("chat", {"id": "c1", "choices": [choice]}).error_type == "502"


@pytest.mark.parametrize("api", ["chat", "completions", "responses", "messages"])
def test_a_page_instead_of_an_answer_is_an_error(make_house: Any, ask: Any, api: str) -> None:
    house = make_house()
    ask.loopback.body, ask.loopback.content_type = b"<html>log in</html>", "text/html"
    assert ask.call(api, stream=False)[1] == "<html>log in</html>"
    (entry,) = house.entries
    assert (entry.error, entry.usage.state) == ("invalid_response", State.ESTIMATED)


@pytest.mark.parametrize(
    ("usage", "nano_usd"),
    [
        ({"cost": 0.00256995, "is_byok": False}, 2_569_950),
        ({"cost": 0.1 + 0.2, "is_byok": False}, 300_000_000),
        ({"cost": 5e-07, "is_byok": False}, 500),
        ({"cost": 0, "is_byok": False}, 0),
        ({"cost": 0.01, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.2}}, 210_000_000),
        ({"cost": 0.01, "is_byok": True, "cost_details": {"upstream_inference_cost": None}}, None),
        ({"cost": 0.01}, None),
        ({"cost": -1, "is_byok": False}, None),
        ({"cost": 1e50, "is_byok": False}, None),
        ({"cost_in_usd_ticks": 10**40}, None),
        ({"cost": True, "is_byok": False}, None),
        ({"cost": {"total_cost": 0.006, "request_cost": 0.005}}, 6_000_000),
        ({"cost": {"total_cost": 0.006, "currency": "EUR"}}, None),
        ({"cost": {"total_cost": 0.0, "request_cost": 0.0}}, None),
        ({"cost_in_usd_ticks": 3950400}, 395_040),
        ({"cost_in_usd_ticks": 0}, None),
    ],
)
def test_cost_told_by_the_provider(ask: Any, usage: dict[str, Any], nano_usd: int | None) -> None:
    assert ask.whole("chat", chat({"prompt_tokens": 1, "completion_tokens": 1, **usage})).cost_nano_usd == nano_usd
