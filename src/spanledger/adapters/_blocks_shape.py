"""Anthropic's wire format: messages made of content blocks. Bedrock, Vertex, Foundry and several other providers speak it too."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from spanledger.adapters._messages import blocks_output, finish, grow, grow_call
from spanledger.adapters._openai_shape import error_of, unusable
from spanledger.adapters._read import NOTHING, Counts, clamp, context, fields, items, known, text, told_cost
from spanledger.model import Called, Part, State, Usage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spanledger.model import Response

_WRITTEN = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json", "compaction_delta": "content"}
"""Kind of delta -> the field that holds what the model wrote; signatures and citations are not written by it."""
_CONTEXT = ("service_tier", "speed", "inference_geo")
_OUTSIDE = frozenset({"compaction", "advisor_message"})
"""Kinds of ``iterations`` that are billed, but left out of the totals of ``usage``."""
_ATTEMPTS = frozenset({"message", "fallback_message"})
_RESOLD = ("msg_bdrk_", "msg_vrtx_")
"""Beginnings of ids of messages that others than Anthropic bill."""


def usage_of(told: Mapping[str, Any]) -> Usage | None:
    """Usage from the fields of a ``usage`` object; None if there is no count in it.

    ``input_tokens`` leaves out what was read from or written to the cache, so the total is the sum of the three
    (https://docs.claude.com/en/docs/build-with-claude/prompt-caching). Compactions, calls of an advisor and attempts of models that
    declined are billed, but appear in ``iterations`` only (https://docs.claude.com/en/docs/build-with-claude/compaction).
    """
    count = Counts()
    fresh, output = count(told.get("input_tokens")), count(told.get("output_tokens"))
    if fresh is None and output is None:
        return None
    usage = Usage(input=fresh, output=output)
    usage.reasoning = count(fields(told.get("output_tokens_details")).get("thinking_tokens"))
    _add_cache(usage, told, count)
    if told.get("fallback_credit") is not None:
        _take_credit(usage, fields(told["fallback_credit"]))
    if told.get("iterations"):
        _add_iterations(usage, [fields(iteration) for iteration in items(told["iterations"])], count)
    usage.tools = _tools(fields(told.get("server_tool_use")), count)
    usage.clamped = count.odd
    return clamp(usage)


def _tools(told: Mapping[str, Any], count: Counts) -> dict[str, int] | None:
    """Fetching a page is free, but tells of one more prompt."""
    used = {name: count(told.get(f"{name}_requests")) for name in ("web_search", "web_fetch")}
    return {name: requests for name, requests in used.items() if requests} or None


def _add_cache(usage: Usage, told: Mapping[str, Any], count: Counts) -> None:
    read, written = count(told.get("cache_read_input_tokens")), count(told.get("cache_creation_input_tokens"))
    split = fields(told.get("cache_creation"))
    short, hour = count(split.get("ephemeral_5m_input_tokens")), count(split.get("ephemeral_1h_input_tokens"))
    if written is None:
        written = _plus(short, hour)
    usage.input = _plus(usage.input, read, written)
    usage.cache_read = _plus(usage.cache_read, read)
    if hour is not None and written is not None:
        if hour and written > hour + (short or 0):  # with server tools the split may leave out later writes
            if short:
                usage.state = State.ESTIMATED
            else:
                hour = written
        usage.cache_write_1h = _plus(usage.cache_write_1h, min(hour, written))
        written -= min(hour, written)
    usage.cache_write = _plus(usage.cache_write, written)


def _take_credit(usage: Usage, told: Mapping[str, Any]) -> None:
    """What was written to the cache may be billed as if read from it, after another model declined; which part is not said:
    https://platform.claude.com/docs/en/build-with-claude/fallback-credit."""
    if text(fields(told.get("status")).get("type")) == "redeemed" and (usage.cache_write or usage.cache_write_1h):
        usage.state = State.ESTIMATED


def _add_iterations(usage: Usage, told: list[Mapping[str, Any]], count: Counts) -> None:
    """Adds what the totals leave out, and keeps what each prompt used, as far as that agrees with the totals."""
    declined = _declined([iteration for iteration in told if text(iteration.get("type")) in _ATTEMPTS])
    inside, outside = [], []
    for iteration in told:
        model = text(iteration.get("model"))
        if text(iteration.get("type")) in _OUTSIDE or model in declined:
            outside.append(Part(model, _iteration(iteration, count)))
        else:
            inside.append(Part(None, _iteration(iteration, count)))
    if not _agree(usage, [part.usage for part in inside]):
        inside = [Part(None, replace(usage))]
    for _, used in outside:
        _add(usage, used)
    parts = [*inside, *outside]
    usage.parts = parts if len(parts) > 1 else None


def _declined(attempts: list[Mapping[str, Any]]) -> set[str]:
    """Models that wrote something, and then declined to go on and left the answer to another.

    The totals describe the last attempt only; of the others, those that wrote something are billed, each at the rate of its model
    (https://platform.claude.com/docs/en/build-with-claude/refusals-and-fallback).
    """
    served = text(attempts[-1].get("model")) if attempts else None
    if served is None:
        return set()
    return {model for attempt in attempts if attempt.get("output_tokens") and (model := text(attempt.get("model")))} - {served}


def _iteration(told: Mapping[str, Any], count: Counts) -> Usage:
    usage = Usage(input=count(told.get("input_tokens")), output=count(told.get("output_tokens")))
    _add_cache(usage, told, count)
    return clamp(usage)


_SUMMED = ("input", "output", "cache_read", "cache_write", "cache_write_1h")


def _agree(usage: Usage, parts: list[Usage]) -> bool:
    return all(sum(getattr(part, name) or 0 for part in parts) == (getattr(usage, name) or 0) for name in _SUMMED)


def _add(usage: Usage, part: Usage) -> None:
    for name in _SUMMED:
        setattr(usage, name, _plus(getattr(usage, name), getattr(part, name)))
    if part.state is State.ESTIMATED:
        usage.state = State.ESTIMATED


def _plus(*counts: int | None) -> int | None:
    given = [count for count in counts if count is not None]
    return sum(given) if given else None


def _take_usage(told: Mapping[str, Any], into: Response) -> None:
    """Folds what was told into what was told before; counts of a stream are cumulative, so the last one holds, and an event repeats only
    some of them."""
    into.told = {**(into.told or NOTHING), **{key: value for key, value in told.items() if value is not None}}
    usage = usage_of(into.told)
    if usage is not None:
        into.usage = usage
        into.cost_nano_usd = told_cost(told)
        into.context = context(into.told, _CONTEXT)


def blocks_response(result: Any, into: Response) -> None:
    """A whole message."""
    seen = fields(result)
    into.id, into.model = text(seen.get("id")), text(seen.get("model"))
    _take_usage(fields(seen.get("usage")), into)
    _finish(seen, into)
    content = items(seen.get("content"))
    if into.usage is None:
        into.error_type = unusable(seen)
        for block in content:
            _written(fields(block), into)
    if into.output is not None:
        into.output.extend(blocks_output(content, into.finish_reasons[0] if into.finish_reasons else ""))
    into.complete = True


def blocks_chunk(event: Any, into: Response) -> None:
    """One event of a stream (https://docs.claude.com/en/docs/build-with-claude/streaming)."""
    seen = event if isinstance(event, dict) else getattr(event, "__dict__", NOTHING)
    kind = seen.get("type")
    if kind == "content_block_delta":
        delta = seen.get("delta")
        said = delta if isinstance(delta, dict) else getattr(delta, "__dict__", NOTHING)
        piece = said.get("text")
        if said.get("type") == "text_delta" and isinstance(piece, str) and into.output is None:  # nearly all events of a stream
            into.text.append(piece)
        else:
            _delta(delta, into)
    elif kind == "content_block_start":
        _begin(fields(seen.get("content_block")), into)
    elif kind == "message_start":
        message = fields(seen.get("message"))
        into.id, into.model = text(message.get("id")), text(message.get("model"))
        # Output tokens are a first guess here; the count comes with message_delta, or never if the stream is abandoned.
        _take_usage({**fields(message.get("usage")), "output_tokens": None}, into)
    elif kind == "message_delta":
        _take_usage(fields(seen.get("usage")), into)
        _finish(fields(seen.get("delta")), into)
        into.complete = bool(into.finish_reasons)  # the counts are final with it; message_stop brings nothing more
        if into.output is not None and into.finish_reasons:
            finish(into.output, 0, into.finish_reasons[0])
    elif kind == "message_stop":
        into.complete = True
    elif kind == "error":
        into.error_type = error_of(seen.get("error")) or "error"


def _finish(seen: Mapping[str, Any], into: Response) -> None:
    reason = text(seen.get("stop_reason"))
    if reason is not None:
        into.finish_reasons = [reason]
        if reason == "refusal":
            _refuse(into)


def _refuse(into: Response) -> None:
    """Anthropic bills nothing where a request was declined before anything was written, though its input is counted:
    https://platform.claude.com/docs/en/build-with-claude/refusals-and-fallback."""
    usage, ident = into.usage, into.id or ""
    if usage is not None and usage.output == 0 and ident.startswith("msg_") and not ident.startswith(_RESOLD):
        into.cost_nano_usd = 0


def _delta(delta: Any, into: Response) -> None:
    seen = known(delta)
    kind = text(seen.get("type"))
    name = _WRITTEN.get(kind or "")
    if name is None:
        return
    piece = seen.get(name)
    if piece is None:  # a kind of delta that this version of the SDK does not know
        piece = fields(delta).get(name)
    if not isinstance(piece, str):
        return
    into.text.append(piece)
    if into.output is None:
        return
    if kind == "input_json_delta":
        parts = into.output[0]["parts"] if into.output else []
        if parts and parts[-1]["type"] == "tool_call":
            parts[-1]["arguments"] += piece
    else:
        grow(into.output, 0, "reasoning" if kind == "thinking_delta" else "text", piece)


def _begin(block: Mapping[str, Any], into: Response) -> None:
    """A new block. Only here are told the name of a tool call, and the model that takes over when another declined to go on."""
    if block.get("type") == "fallback":
        into.model = text(fields(block.get("to")).get("model")) or into.model
    name = text(block.get("name"))
    if name is None:
        return
    into.text.append(Called(name))
    if into.output is not None:
        calls = sum(part["type"] == "tool_call" for message in into.output for part in message["parts"])
        grow_call(into.output, 0, calls, {"id": block.get("id"), "name": name})


def _written(block: Mapping[str, Any], into: Response) -> None:
    """What the model wrote in one block of a message without usage."""
    name = text(block.get("name"))
    written = (None if name is None else Called(name), block.get("text"), block.get("thinking"), _json(block.get("input")))
    into.text.extend(piece for piece in written if isinstance(piece, str) and piece)


def _json(value: Any) -> str | None:
    return str(value) if value else None
