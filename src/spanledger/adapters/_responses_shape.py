"""OpenAI's Responses API: whole responses, polled ones, and streams of typed events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spanledger.adapters._messages import grow, grow_call, responses_output
from spanledger.adapters._openai_shape import error_of, identify, unusable
from spanledger.adapters._openai_usage import take_usage
from spanledger.adapters._read import NOTHING, Counts, clamp, fields, items, text
from spanledger.model import Called, Delegated, Usage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spanledger.model import Response

# https://platform.openai.com/docs/api-reference/responses-streaming: events whose ``delta`` is text that the model wrote.
_TEXT = {
    "response.output_text.delta": "text",
    "response.refusal.delta": "text",
    "response.audio.transcript.delta": "text",
    "response.reasoning_text.delta": "reasoning",
    "response.reasoning_summary_text.delta": "reasoning",
}
_ARGUMENTS = frozenset(
    {
        "response.function_call_arguments.delta",
        "response.custom_tool_call_input.delta",
        "response.mcp_call_arguments.delta",
        "response.code_interpreter_call_code.delta",
        "response.shell_call_command.delta",
    }
)
_BEGUN = frozenset({"response.created", "response.queued", "response.in_progress"})
_ENDED = frozenset({"response.completed", "response.incomplete", "response.failed"})
_ENDED_ELSEWHERE = frozenset({"response.done", "response.cancelled"})
"""The same at gateways, some of which send it after OpenAI's event. The SDK does not declare these events, nor their ``response``."""
_FINAL = frozenset({"completed", "incomplete", "failed", "cancelled"})
# https://platform.openai.com/docs/pricing: generated images are tokens of another model, and code runs in containers that are billed by
# time, whatever the number of calls; so that no price per execution is taken for it, its name is not that of the tool.
_BILLED_CALLS = {
    "web_search_call": "web_search",
    "file_search_call": "file_search",
    "image_generation_call": "image_generation",
    "code_interpreter_call": "code_interpreter_call",
    "shell_call": "shell_call",
}


def responses_response(result: Any, into: Response) -> None:
    """A whole Response, finished or not: while it is queued or in progress it has no usage, and nothing is billed for it yet."""
    seen = fields(result)
    _status(seen, into)
    output = items(seen.get("output"))
    take_usage(seen.get("usage"), into)
    if into.usage is not None:
        _count_tools(output, into.usage)
        _take_tool_usage(fields(seen.get("tool_usage")), seen.get("tools"), into.usage)
        if into.usage.tools is not None and "image_generation" in into.usage.tools:
            _take_svg_usage(output, into.usage)
    else:
        into.error_type = unusable(seen) or into.error_type
        for item in output:
            _item(fields(item), into)
    if into.output is not None:
        into.output[:] = responses_output(output, into.finish_reasons[0] if into.finish_reasons else "")
    into.complete = True


def responses_chunk(event: Any, into: Response) -> None:
    """One typed event of a stream."""
    seen = event if isinstance(event, dict) else getattr(event, "__dict__", NOTHING)
    kind = seen.get("type")
    if kind == "response.output_text.delta" and into.output is None:  # nearly all of a stream's hundreds of events
        piece = seen.get("delta")
        if isinstance(piece, str):
            into.text.append(piece)
    elif type(kind) is str:
        _typed(kind, fields(event) if kind in _ENDED_ELSEWHERE else seen, into)
    else:
        _untyped(fields(event), into)


def _untyped(seen: Mapping[str, Any], into: Response) -> None:
    if seen.get("event") == "error":  # openai before 1.97 hands on the name and the data of all events but ``response.*`` as a pair
        _typed("error", fields(seen.get("data")), into)
    else:  # gateways send their errors without a type
        into.error_type = error_of(seen.get("error")) or into.error_type


def _typed(kind: str, seen: Mapping[str, Any], into: Response) -> None:
    if kind in _TEXT:
        _say(seen, _TEXT[kind], into)
    elif kind in _ARGUMENTS:
        _say(seen, None, into)
    elif kind in _ENDED or (kind in _ENDED_ELSEWHERE and seen.get("response") and not into.complete):
        into.text, said = [], into.text
        responses_response(seen.get("response"), into)
        into.text = into.text or said
    elif kind in _BEGUN:
        _status(fields(seen.get("response")), into)
    elif kind == "response.output_item.added":
        _begin(fields(seen.get("item")), into)
    elif kind == "error":
        into.error_type = text(seen.get("code")) or error_of(seen.get("error")) or "error"


def _status(seen: Mapping[str, Any], into: Response) -> None:
    identify(seen, into)
    status = seen.get("status")
    if status and isinstance(status, str):
        into.status = status
    if into.status in _FINAL:
        into.finish_reasons = [text(fields(seen.get("incomplete_details")).get("reason")) or into.status]
    into.error_type = error_of(seen.get("error")) or into.error_type


def _say(seen: Mapping[str, Any], kind: str | None, into: Response) -> None:
    piece = seen.get("delta")
    if not isinstance(piece, str):
        return
    into.text.append(piece)
    if into.output is None:
        return
    if kind is not None:
        grow(into.output, 0, kind, piece)
    elif into.output and into.output[0]["parts"] and into.output[0]["parts"][-1]["type"] == "tool_call":
        into.output[0]["parts"][-1]["arguments"] += piece


def _begin(item: Mapping[str, Any], into: Response) -> None:
    """A new output item; the name of a tool call is only told here."""
    name = text(item.get("name"))
    if name is None:
        return
    into.text.append(Called(name))
    if into.output is not None:
        calls = sum(part["type"] == "tool_call" for message in into.output for part in message["parts"])
        grow_call(into.output, 0, calls, {"id": item.get("call_id"), "name": name})


def _item(item: Mapping[str, Any], into: Response) -> None:
    """What the model wrote in one output item of a response without usage."""
    name = text(item.get("name"))
    written = [None if name is None else Called(name), item.get("arguments"), item.get("input"), item.get("code")]
    for part in (*items(item.get("content")), *items(item.get("summary"))):
        seen = fields(part)
        written += [seen.get("text"), seen.get("refusal")]
    into.text.extend(piece for piece in written if isinstance(piece, str) and piece)


def _count_tools(output: list[Any] | tuple[Any, ...], usage: Usage) -> None:
    """Tool calls with a price of their own. Of web searches only the action ``search`` is billed, not opening a page:
    https://platform.openai.com/docs/guides/tools-web-search."""
    for item in output:
        seen = fields(item)
        name = _BILLED_CALLS.get(str(seen.get("type")))
        if name is not None and _is_billed(name, seen):
            usage.tools = usage.tools or {}
            usage.tools[name] = usage.tools.get(name, 0) + 1


def _is_billed(name: str, call: Mapping[str, Any]) -> bool:
    if name == "shell_call":  # else it runs where the application does
        return bool(fields(call.get("environment")).get("type") == "container_reference")
    return bool(fields(call.get("action")).get("type", "search") == "search")


def _take_tool_usage(told: Mapping[str, Any], tools: Any, usage: Usage) -> None:
    """What the tools used, where it is told: billed searches, and the tokens of the model that made images."""
    counted = dict(usage.tools or {})
    seen = counted.pop("web_search", 0)
    searches = Counts()(fields(told.get("web_search")).get("num_requests"), seen)
    if searches:
        counted["web_search_preview" if _only_preview(tools) else "web_search"] = searches
    usage.tools = counted or None
    images = counted.get("image_generation")
    drawn = _drawn(fields(told.get("image_gen"))) if images else None
    if images and drawn is not None:
        models = {text(fields(tool).get("model")) for tool in items(tools) if fields(tool).get("type") == "image_generation"}
        model = models.pop() if len(models) == 1 else None
        if model is not None:
            usage.delegated = {"image_generation": Delegated(model, drawn)}


def _take_svg_usage(output: list[Any] | tuple[Any, ...], usage: Usage) -> None:
    """An image in SVG is written by another model, after a picture that is made first; its tokens are told "separate from image rendering
    usage" (``SvgUsage`` in openai's ``ImagesResponse``), call by call."""
    told = [svg for item in output if (svg := fields(fields(item).get("svg_usage")))]
    if not told:
        return
    usage.tools = {**(usage.tools or {}), "svg_authoring": len(told)}
    models = {text(svg.get("model")) for svg in told}
    model = models.pop() if len(models) == 1 else None
    asked, written = ([Counts()(svg.get(f"{kind}_tokens")) or 0 for svg in told] for kind in ("input", "output"))
    if model is not None and all(asked) and all(written):
        usage.delegated = {**(usage.delegated or {}), "svg_authoring": Delegated(model, Usage(sum(asked), sum(written)))}


def _only_preview(tools: Any) -> bool:
    """Whether it was the tool's first version that searched, which has prices of its own: https://platform.openai.com/docs/pricing."""
    kinds = [kind for tool in items(tools) if (kind := text(fields(tool).get("type")) or "").startswith("web_search")]
    return bool(kinds) and all(kind.startswith("web_search_preview") for kind in kinds)


def _drawn(told: Mapping[str, Any]) -> Usage | None:
    count = Counts()
    asked, made = count(told.get("input_tokens")), count(told.get("output_tokens"))
    if not asked or not made:
        return None
    shown, written, cached = (fields(told.get(f"{kind}_tokens_details")) for kind in ("input", "output", "cached"))
    painted = count(written.get("image_tokens"))
    usage = Usage(input=asked, output=made, output_image=made if painted is None else painted)
    usage.input_image, usage.cache_read = count(shown.get("image_tokens")), count(told.get("cached_tokens"))
    usage.cache_read_image = count(cached.get("cached_image_tokens"))
    usage.clamped = count.odd
    return clamp(usage)
