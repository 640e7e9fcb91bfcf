"""Prompts and answers as the JSON of the GenAI conventions; called only when the application wants its content captured.

The shapes are those of gen-ai-input-messages.json, gen-ai-output-messages.json and their neighbours in
https://github.com/open-telemetry/semantic-conventions-genai.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spanledger.adapters._parts import call_part, message, parts_of, result_part, text_part
from spanledger.adapters._read import fields, items, text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spanledger.adapters._parts import Part


# --- input


def chat_input(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Chat completions: system messages are part of the history and stay there."""
    return _content(
        input_messages=[_chat_message(fields(message)) for message in items(kwargs.get("messages"))],
        tool_definitions=definitions(kwargs.get("tools")),
    )


def prompt_input(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Legacy completions: each prompt is a user's message."""
    prompt = kwargs.get("prompt")
    prompts = [prompt] if isinstance(prompt, str) else [item for item in items(prompt) if isinstance(item, str)]
    return _content(input_messages=[message("user", [text_part(item)]) for item in prompts])


def responses_input(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """OpenAI Responses: ``instructions`` are apart, ``input`` is a text or a list of items."""
    given = kwargs.get("input")
    messages = [message("user", [text_part(given)])] if isinstance(given, str) else [_item(fields(item)) for item in items(given)]
    return _content(
        system_instructions=parts_of(kwargs.get("instructions")), input_messages=messages, tool_definitions=definitions(kwargs.get("tools"))
    )


def blocks_input(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Anthropic messages: ``system`` is apart, contents are texts or lists of blocks."""
    messages = [
        message(text(seen.get("role")) or "user", parts_of(seen.get("content")))
        for seen in (fields(message) for message in items(kwargs.get("messages")))
    ]
    return _content(
        system_instructions=parts_of(kwargs.get("system")), input_messages=messages, tool_definitions=definitions(kwargs.get("tools"))
    )


def definitions(tools: Any) -> list[Part]:
    """Type and name of each tool; descriptions and schemas are large, and the conventions advise against them."""
    found = []
    for tool in items(tools):
        seen = fields(tool)
        kind = text(seen.get("type")) or "function"
        name = text(seen.get("name")) or text(fields(seen.get("function") or seen.get("custom")).get("name"))
        found.append({"type": "function" if kind == "custom" else kind, "name": name or kind})
    return found


# --- output


def chat_choice(choice: Mapping[str, Any]) -> Part:
    """One choice of a chat or legacy completion."""
    said = fields(choice.get("message"))
    answer = _chat_message({**said, "role": "assistant"}) if said else message("assistant", parts_of(choice.get("text")))
    return {**answer, "finish_reason": text(choice.get("finish_reason")) or ""}


def responses_output(output: Any, reason: str) -> list[Part]:
    """All output items of a Response: one answer, so one message."""
    parts = [part for item in items(output) for part in _item(fields(item))["parts"]]
    return [{**message("assistant", parts), "finish_reason": reason}]


def blocks_output(content: Any, reason: str) -> list[Part]:
    """The content blocks of an Anthropic message."""
    return [{**message("assistant", parts_of(content)), "finish_reason": reason}]


def grow(output: list[Part], index: int, kind: str, piece: str) -> None:
    """Appends streamed text to message ``index``: to its last part if that is of the same kind."""
    parts = _growing(output, index)["parts"]
    if parts and parts[-1]["type"] == kind:
        parts[-1]["content"] += piece
    else:
        parts.append({"type": kind, "content": piece})


def grow_call(output: list[Part], index: int, number: int, piece: Mapping[str, Any]) -> None:
    """Adds a streamed piece (``id``, ``name``, ``arguments``) to tool call ``number`` of message ``index``; arguments stay text."""
    parts = _growing(output, index)["parts"]
    calls = [part for part in parts if part["type"] == "tool_call"]
    if number >= len(calls):
        calls.append({"type": "tool_call", "id": text(piece.get("id")), "name": text(piece.get("name")) or "", "arguments": ""})
        parts.append(calls[-1])
    calls[min(number, len(calls) - 1)]["arguments"] += text(piece.get("arguments")) or ""


def finish(output: list[Part], index: int, reason: str | None) -> None:
    """The reason why message ``index`` ended."""
    _growing(output, index)["finish_reason"] = reason or ""


def _growing(output: list[Part], index: int) -> Part:
    while len(output) <= index:
        output.append({"role": "assistant", "parts": [], "finish_reason": ""})
    return output[index]


# --- one message


def _content(**found: list[Part]) -> dict[str, Any]:
    return {key: value for key, value in found.items() if value}


def _chat_message(seen: Mapping[str, Any]) -> Part:
    role = text(seen.get("role")) or "user"
    if role == "tool":
        return message(role, [result_part(seen.get("tool_call_id"), seen.get("content"))])
    thought = text(seen.get("reasoning_content")) or text(seen.get("reasoning"))
    parts = [{"type": "reasoning", "content": thought}] if thought else []
    parts += parts_of(seen.get("content")) + parts_of(seen.get("refusal")) + parts_of(fields(seen.get("audio")).get("transcript"))
    for call in items(seen.get("tool_calls")):
        told = fields(call)
        parts.append(call_part(told.get("id"), fields(told.get("function") or told.get("custom"))))
    if seen.get("function_call"):
        parts.append(call_part(None, fields(seen["function_call"])))
    return message(role, parts)


def _item(seen: Mapping[str, Any]) -> Part:
    """An item of the Responses API, input or output, as a message of one or more parts."""
    kind = text(seen.get("type")) or "message"
    if kind == "message":
        return message(text(seen.get("role")) or "user", parts_of(seen.get("content")))
    if kind in {"function_call_output", "custom_tool_call_output"}:
        return message("tool", [result_part(seen.get("call_id"), seen.get("output"))])
    if kind in {"function_call", "custom_tool_call"}:
        return message("assistant", [call_part(seen.get("call_id"), seen)])
    if kind == "reasoning":
        thoughts = [*items(seen.get("content")), *items(seen.get("summary"))]
        return message("assistant", [{"type": "reasoning", "content": text(fields(item).get("text")) or ""} for item in thoughts])
    return message("assistant", [{"type": kind}])
