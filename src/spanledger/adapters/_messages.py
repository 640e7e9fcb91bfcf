"""Prompts and answers as the JSON of the GenAI conventions; called only when the application wants its content captured.

The shapes are those of gen-ai-input-messages.json, gen-ai-output-messages.json and their neighbours in
https://github.com/open-telemetry/semantic-conventions-genai. Binary data is left out (its length is told): an image in an attribute can
be larger than what exporters accept, and would take a whole batch of spans down with it. Iterators are never consumed.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from spanledger.adapters._read import fields, first, items, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    type Part = dict[str, Any]

_DEEPEST = 20


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
    return _content(input_messages=[_message("user", [_text(item)]) for item in prompts])


def responses_input(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """OpenAI Responses: ``instructions`` are apart, ``input`` is a text or a list of items."""
    given = kwargs.get("input")
    messages = [_message("user", [_text(given)])] if isinstance(given, str) else [_item(fields(item)) for item in items(given)]
    return _content(
        system_instructions=_parts(kwargs.get("instructions")), input_messages=messages, tool_definitions=definitions(kwargs.get("tools"))
    )


def blocks_input(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Anthropic messages: ``system`` is apart, contents are texts or lists of blocks."""
    messages = [
        _message(text(seen.get("role")) or "user", _parts(seen.get("content")))
        for seen in (fields(message) for message in items(kwargs.get("messages")))
    ]
    return _content(
        system_instructions=_parts(kwargs.get("system")), input_messages=messages, tool_definitions=definitions(kwargs.get("tools"))
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
    message = _chat_message({"role": "assistant", **said}) if said else _message("assistant", _parts(choice.get("text")))
    return {**message, "finish_reason": text(choice.get("finish_reason")) or ""}


def responses_output(output: Any, reason: str) -> list[Part]:
    """All output items of a Response: one answer, so one message."""
    parts = [part for item in items(output) for part in _item(fields(item))["parts"]]
    return [{**_message("assistant", parts), "finish_reason": reason}]


def blocks_output(content: Any, reason: str) -> list[Part]:
    """The content blocks of an Anthropic message."""
    return [{**_message("assistant", _parts(content)), "finish_reason": reason}]


def grow(output: list[Part], index: int, kind: str, piece: str) -> None:
    """Appends streamed text to message ``index``: to its last part if that is of the same kind."""
    parts = _growing(output, index)["parts"]
    if parts and parts[-1]["type"] == kind:
        parts[-1]["content"] += piece
    else:
        parts.append({"type": kind, "content": piece})


def grow_call(output: list[Part], index: int, number: int, ident: str | None, name: str | None, arguments: str | None) -> None:
    """Adds a streamed piece to tool call ``number`` of message ``index``; arguments stay the text that they are."""
    parts = _growing(output, index)["parts"]
    calls = [part for part in parts if part["type"] == "tool_call"]
    if number >= len(calls):
        parts.append({"type": "tool_call", "id": ident, "name": name or "", "arguments": arguments or ""})
    else:
        calls[number]["arguments"] += arguments or ""


def _growing(output: list[Part], index: int) -> Part:
    while len(output) <= index:
        output.append({"role": "assistant", "parts": [], "finish_reason": ""})
    return output[index]


# --- parts


def _content(**found: list[Part]) -> dict[str, Any]:
    return {key: value for key, value in found.items() if value}


def _message(role: str, parts: Iterable[Part]) -> Part:
    return {"role": role, "parts": list(parts)}


def _text(content: str) -> Part:
    return {"type": "text", "content": content}


def _chat_message(seen: Mapping[str, Any]) -> Part:
    role = text(seen.get("role")) or "user"
    if role == "tool":
        return _message(role, [_result(seen.get("tool_call_id"), seen.get("content"))])
    thought = text(seen.get("reasoning_content")) or text(seen.get("reasoning"))
    parts = [{"type": "reasoning", "content": thought}] if thought else []
    parts += _parts(seen.get("content")) + _parts(seen.get("refusal")) + _parts(fields(seen.get("audio")).get("transcript"))
    for call in items(seen.get("tool_calls")):
        told = fields(call)
        parts.append(_call(told.get("id"), fields(told.get("function") or told.get("custom"))))
    if seen.get("function_call"):
        parts.append(_call(None, fields(seen["function_call"])))
    return _message(role, parts)


def _item(seen: Mapping[str, Any]) -> Part:
    """An item of the Responses API, input or output, as a message of one or more parts."""
    kind = text(seen.get("type")) or "message"
    if kind == "message":
        return _message(text(seen.get("role")) or "user", _parts(seen.get("content")))
    if kind in {"function_call_output", "custom_tool_call_output"}:
        return _message("tool", [_result(seen.get("call_id"), seen.get("output"))])
    if kind in {"function_call", "custom_tool_call"}:
        return _message("assistant", [_call(seen.get("call_id"), seen)])
    if kind == "reasoning":
        thoughts = [*items(seen.get("content")), *items(seen.get("summary"))]
        return _message("assistant", [{"type": "reasoning", "content": text(fields(item).get("text")) or ""} for item in thoughts])
    return _message("assistant", [{"type": kind}])


def _parts(content: Any) -> list[Part]:
    if isinstance(content, str):
        return [_text(content)] if content else []
    return [_text(part) if isinstance(part, str) else _part(fields(part)) for part in items(content)]


def _part(seen: Mapping[str, Any]) -> Part:
    """One content part of any of the three APIs."""
    kind = text(seen.get("type")) or "text"
    written = first(text(seen.get("text")), text(seen.get("refusal")))
    if kind in {"text", "input_text", "output_text", "refusal", "summary_text"}:
        return _text(written or "")
    if kind == "thinking":
        return {"type": "reasoning", "content": text(seen.get("thinking")) or ""}
    if kind == "tool_use":
        return _call(seen.get("id"), {"name": seen.get("name"), "arguments": seen.get("input")})
    if kind == "tool_result":
        return _result(seen.get("tool_use_id"), seen.get("content"))
    if kind in {"server_tool_use", "mcp_tool_use"}:
        call = {"type": text(seen.get("name")) or kind, "input": plain(seen.get("input"))}
        return {"type": "server_tool_call", "id": text(seen.get("id")), "name": text(seen.get("name")) or kind, "server_tool_call": call}
    if kind.endswith("_tool_result"):
        told = {"type": kind, "content": plain(seen.get("content"))}
        return {"type": "server_tool_call_response", "id": text(seen.get("tool_use_id")), "server_tool_call_response": told}
    if kind == "compaction":
        return {"type": kind, "content": text(seen.get("content"))}
    return _medium(kind, seen)


def _medium(kind: str, seen: Mapping[str, Any]) -> Part:
    """An image, sound or document: by address or file id, or the fact that there was one."""
    source = fields(first(seen.get("source"), seen.get("image_url"), seen.get("input_audio"), seen.get("file")))
    modality = next((word for word in ("image", "audio", "video") if word in kind), "document" if kind in {"file", "input_file"} else kind)
    url = first(text(source.get("url")), text(seen.get("image_url")), text(seen.get("file_url")))
    file = first(text(source.get("file_id")), text(seen.get("file_id")))
    data = first(text(source.get("data")), text(source.get("file_data")), text(seen.get("file_data")))
    if url is not None and url.startswith("data:"):
        data, url = url, None
    if url is not None:
        return {"type": "uri", "modality": modality, "uri": url}
    if file is not None:
        return {"type": "file", "modality": modality, "file_id": file}
    if data is not None:
        return {"type": "blob", "modality": modality, "mime_type": text(source.get("media_type")), "content": "", "length": len(data)}
    return {"type": kind}


def _call(ident: Any, function: Mapping[str, Any]) -> Part:
    arguments = first(function.get("arguments"), function.get("input"))
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except ValueError:
            pass  # models do write broken JSON; the text is what there is
    return {"type": "tool_call", "id": text(ident), "name": text(function.get("name")) or "", "arguments": plain(arguments)}


def _result(ident: Any, content: Any) -> Part:
    told = content if isinstance(content, str) else _parts(content) or plain(content)
    return {"type": "tool_call_response", "id": text(ident), "response": told}


def plain(value: Any, depth: int = 0) -> Any:
    """JSON of a value that may hold SDK objects; None where it is something else, or nested beyond reason."""
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if depth > _DEEPEST:
        return None
    if isinstance(value, (list, tuple)):
        return [plain(item, depth + 1) for item in value]
    return {str(key): plain(item, depth + 1) for key, item in fields(value).items()} or None
