"""Prompts and answers in the JSON of the conventions; only asked for when the application wants its content captured."""

from __future__ import annotations

from typing import Any

import pytest

CHAT = ("openai", "Completions.create")


def text(content: str) -> dict[str, Any]:
    return {"type": "text", "content": content}


def test_chat(reader: Any) -> None:
    call = {"id": "t1", "type": "function", "function": {"name": "find", "arguments": '{"a": 1}'}}
    broken = {"id": "t2", "type": "function", "function": {"name": "find", "arguments": '{"a": '}}
    image = {"type": "image_url", "image_url": {"url": "https://x.test/i.png"}}
    inline = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    sound = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
    messages = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "hi"}, image, inline, sound, {"type": "file", "file": {"file_id": "f1"}}]},
        {"role": "assistant", "content": None, "tool_calls": [call, broken]},
        {"role": "tool", "tool_call_id": "t1", "content": "found"},
    ]
    tools = [
        {"type": "function", "function": {"name": "find", "description": "long", "parameters": {}}},
        {"type": "custom", "custom": {"name": "c"}},
    ]
    assert reader(*CHAT, module="chat").content({"messages": messages, "tools": tools}) == {
        "input_messages": [
            {"role": "system", "parts": [text("be brief")]},
            {
                "role": "user",
                "parts": [
                    text("hi"),
                    {"type": "uri", "modality": "image", "uri": "https://x.test/i.png"},
                    {"type": "blob", "modality": "image", "mime_type": None, "content": "", "length": 26},
                    {"type": "blob", "modality": "audio", "mime_type": None, "content": "", "length": 4},
                    {"type": "file", "modality": "document", "file_id": "f1"},
                ],
            },
            {
                "role": "assistant",
                "parts": [
                    {"type": "tool_call", "id": "t1", "name": "find", "arguments": {"a": 1}},
                    {"type": "tool_call", "id": "t2", "name": "find", "arguments": '{"a": '},
                ],
            },
            {"role": "tool", "parts": [{"type": "tool_call_response", "id": "t1", "response": "found"}]},
        ],
        "tool_definitions": [{"type": "function", "name": "find"}, {"type": "function", "name": "c"}],
    }


def test_responses(reader: Any) -> None:
    items = [
        {"role": "user", "content": [{"type": "input_text", "text": "hi"}, {"type": "input_image", "file_id": "f1"}]},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
        {"type": "function_call", "call_id": "t1", "name": "find", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "t1", "output": "found"},
        {"type": "item_reference", "id": "x"},
    ]
    content = reader("openai", "Responses.create").content
    tools = [{"type": "function", "name": "find"}, {"type": "web_search"}]
    assert content({"instructions": "be brief", "input": items, "tools": tools}) == {
        "system_instructions": [text("be brief")],
        "input_messages": [
            {"role": "user", "parts": [text("hi"), {"type": "file", "modality": "image", "file_id": "f1"}]},
            {"role": "assistant", "parts": [{"type": "reasoning", "content": "hm"}]},
            {"role": "assistant", "parts": [{"type": "tool_call", "id": "t1", "name": "find", "arguments": {}}]},
            {"role": "tool", "parts": [{"type": "tool_call_response", "id": "t1", "response": "found"}]},
            {"role": "assistant", "parts": [{"type": "item_reference"}]},
        ],
        "tool_definitions": [{"type": "function", "name": "find"}, {"type": "web_search", "name": "web_search"}],
    }
    assert content({"input": "hi"}) == {"input_messages": [{"role": "user", "parts": [text("hi")]}]}


def test_messages(reader: Any) -> None:
    messages = [
        {"role": "user", "content": "hi"},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "s"},
                {"type": "text", "text": "so"},
                {"type": "tool_use", "id": "t1", "name": "find", "input": {"a": 1}},
                {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "q"}},
                {
                    "type": "web_search_tool_result",
                    "tool_use_id": "s1",
                    "content": [{"type": "web_search_result", "url": "https://x.test"}],
                },
                {"type": "compaction", "content": "so far"},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "found"}]},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
                {"type": "document", "source": {"type": "file", "file_id": "f1"}},
            ],
        },
    ]
    content = reader("anthropic", "Messages.create").content
    assert content(
        {"system": [{"type": "text", "text": "be brief"}], "messages": messages, "tools": [{"name": "find", "input_schema": {}}]}
    ) == {
        "system_instructions": [text("be brief")],
        "input_messages": [
            {"role": "user", "parts": [text("hi")]},
            {
                "role": "assistant",
                "parts": [
                    {"type": "reasoning", "content": "hm"},
                    text("so"),
                    {"type": "tool_call", "id": "t1", "name": "find", "arguments": {"a": 1}},
                    {
                        "type": "server_tool_call",
                        "id": "s1",
                        "name": "web_search",
                        "server_tool_call": {"type": "web_search", "input": {"query": "q"}},
                    },
                    {
                        "type": "server_tool_call_response",
                        "id": "s1",
                        "server_tool_call_response": {
                            "type": "web_search_tool_result",
                            "content": [{"type": "web_search_result", "url": "https://x.test"}],
                        },
                    },
                    {"type": "compaction", "content": "so far"},
                ],
            },
            {
                "role": "user",
                "parts": [
                    {"type": "tool_call_response", "id": "t1", "response": [text("found")]},
                    {"type": "blob", "modality": "image", "mime_type": "image/png", "content": "", "length": 4},
                    {"type": "file", "modality": "document", "file_id": "f1"},
                ],
            },
        ],
        "tool_definitions": [{"type": "function", "name": "find"}],
    }


def test_legacy_prompts(reader: Any) -> None:
    content = reader("openai", "Completions.create", module="resources.completions").content
    assert content({"prompt": ["a", "b"]})["input_messages"] == [{"role": "user", "parts": [text(prompt)]} for prompt in "ab"]
    assert content({"prompt": [1, 2]}) == {}


def test_the_clients_own_objects_as_history(ask: Any, reader: Any) -> None:
    body = {"id": "a1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "tool_use",
            "content": [{"type": "tool_use", "id": "t1", "name": "find", "input": {"a": [1]}}], "usage": {"input_tokens": 1, "output_tokens": 1}}  # fmt: skip
    told = ask.whole("messages", body, capture=True)
    answer = {"role": "assistant", "parts": [{"type": "tool_call", "id": "t1", "name": "find", "arguments": {"a": [1]}}]}
    assert told.output == [{**answer, "finish_reason": "tool_use"}]
    blocks = ask.anthropic.messages.create(model="m", max_tokens=1, messages=[]).content
    assert reader("anthropic", "Messages.create").content({"messages": [{"role": "assistant", "content": blocks}]}) == {
        "input_messages": [answer]
    }


def test_whole_answers(ask: Any) -> None:
    message = {
        "role": "assistant",
        "content": "hi",
        "reasoning_content": "hm",
        "tool_calls": [{"id": "t1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    }
    choices = [{"index": n, "message": message, "finish_reason": reason} for n, reason in enumerate(("stop", "length"))]
    told = ask.whole("chat", {"id": "c1", "object": "chat.completion", "created": 1, "model": "m", "choices": choices}, capture=True)
    parts = [{"type": "reasoning", "content": "hm"}, text("hi"), {"type": "tool_call", "id": "t1", "name": "f", "arguments": {}}]
    assert told.output == [{"role": "assistant", "parts": parts, "finish_reason": reason} for reason in ("stop", "length")]
    assert told.finish_reasons == ["stop", "length"]


@pytest.mark.parametrize("name", ["messages", "input"])
def test_iterators_are_left_alone(reader: Any, name: str) -> None:
    for target in (("openai", "Completions.create"), ("openai", "Responses.create"), ("anthropic", "Messages.create")):
        one_shot = iter([{"role": "user", "content": "hi"}])
        reader(*target).content({name: one_shot})
        parts = iter([{"type": "text", "text": "hi"}])
        reader(*target).content({name: [{"role": "user", "content": parts}]})
        assert next(one_shot)
        assert next(parts)
