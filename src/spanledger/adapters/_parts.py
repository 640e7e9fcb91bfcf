"""Parts of messages in the JSON of the GenAI conventions, from the content parts and blocks of the three APIs.

Binary data is left out (its length is told): an image in an attribute can be larger than what exporters accept, and would take a whole
batch of spans down with it. Iterators are never consumed.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from spanledger.adapters._read import fields, first, items, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Part = dict[str, Any]
_DEEPEST = 20


def message(role: str, parts: Iterable[Part]) -> Part:
    return {"role": role, "parts": list(parts)}


def text_part(content: str) -> Part:
    return {"type": "text", "content": content}


def parts_of(content: Any) -> list[Part]:
    if isinstance(content, str):
        return [text_part(content)] if content else []
    return [text_part(part) if isinstance(part, str) else _part(fields(part)) for part in items(content)]


def _part(seen: Mapping[str, Any]) -> Part:
    """One content part of any of the three APIs."""
    kind = text(seen.get("type")) or "text"
    read = _PARTS.get(kind) or (_server_result if kind.endswith("_tool_result") else _medium)
    return read(seen)


def _written(seen: Mapping[str, Any]) -> Part:
    return text_part(first(text(seen.get("text")), text(seen.get("refusal"))) or "")


def _thinking(seen: Mapping[str, Any]) -> Part:
    return {"type": "reasoning", "content": text(seen.get("thinking")) or ""}


def _tool_use(seen: Mapping[str, Any]) -> Part:
    return call_part(seen.get("id"), seen)


def _tool_result(seen: Mapping[str, Any]) -> Part:
    return result_part(seen.get("tool_use_id"), seen.get("content"))


def _server_call(seen: Mapping[str, Any]) -> Part:
    name = text(seen.get("name")) or str(seen.get("type"))
    call = {"type": name, "input": plain(seen.get("input"))}
    return {"type": "server_tool_call", "id": text(seen.get("id")), "name": name, "server_tool_call": call}


def _server_result(seen: Mapping[str, Any]) -> Part:
    told = {"type": seen.get("type"), "content": plain(seen.get("content"))}
    return {"type": "server_tool_call_response", "id": text(seen.get("tool_use_id")), "server_tool_call_response": told}


def _compaction(seen: Mapping[str, Any]) -> Part:
    return {"type": "compaction", "content": text(seen.get("content"))}


_PARTS = {
    **dict.fromkeys(("text", "input_text", "output_text", "refusal", "summary_text"), _written),
    **dict.fromkeys(("server_tool_use", "mcp_tool_use"), _server_call),
    "thinking": _thinking,
    "tool_use": _tool_use,
    "tool_result": _tool_result,
    "compaction": _compaction,
}


def _medium(seen: Mapping[str, Any]) -> Part:
    """An image, sound or document: by address or file id, or the fact that there was one."""
    kind = str(seen.get("type"))
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


def call_part(ident: Any, function: Mapping[str, Any]) -> Part:
    arguments = first(function.get("arguments"), function.get("input"))
    if isinstance(arguments, str):
        with contextlib.suppress(ValueError):  # models do write broken JSON; then the text is what there is
            arguments = json.loads(arguments)
    return {"type": "tool_call", "id": text(ident), "name": text(function.get("name")) or "", "arguments": plain(arguments)}


def result_part(ident: Any, content: Any) -> Part:
    told = content if isinstance(content, str) else parts_of(content) or plain(content)
    return {"type": "tool_call_response", "id": text(ident), "response": told}


def plain(value: Any, depth: int = 0) -> Any:
    """JSON of a value that may hold SDK objects; None where it is something else, or nested beyond reason."""
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if depth > _DEEPEST:
        return None
    if isinstance(value, (list, tuple)):
        return [plain(item, depth + 1) for item in value]
    seen = fields(value)
    return {str(key): plain(item, depth + 1) for key, item in seen.items()} if seen or isinstance(value, dict) else None
