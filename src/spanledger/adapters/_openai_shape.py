"""OpenAI's wire format: chat completions, legacy completions and embeddings. Many other providers speak it, each with its own usage.

Where a provider means something else by a field, the numbers tell: its own field names, or a ``total_tokens`` that only adds up one
way. That holds behind any gateway and any host name, so the readers do not ask who the provider is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spanledger.adapters._messages import chat_choice, finish, grow, grow_call
from spanledger.adapters._read import NOTHING, Counts, clamp, fields, first, items, known, text, tier_of, told_cost
from spanledger.model import State, Usage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spanledger.model import Response

_MOST_CHOICES = 1024
"""No API offers as many; an index beyond it is an error of the server and must not cost memory."""


_PLAIN_CHAT = frozenset({"prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details", "completion_tokens_details"})
_PLAIN_RESPONSES = frozenset({"input_tokens", "output_tokens", "total_tokens", "input_tokens_details", "output_tokens_details"})


def plain_usage(told: Mapping[str, Any]) -> Usage | None:
    """What ``usage_of`` makes of OpenAI's own fields where all numbers are as they should be, in a third of its time.

    None if there is anything else, or anything odd, about them. Most calls have nothing of that.
    """
    get = told.get
    if told.keys() <= _PLAIN_CHAT:
        inside, out = get("prompt_tokens_details"), get("completion_tokens_details")
        return _consistent(get("prompt_tokens"), get("completion_tokens"), get("total_tokens"), inside, out)
    if told.keys() <= _PLAIN_RESPONSES:
        inside, out = get("input_tokens_details"), get("output_tokens_details")
        return _consistent(get("input_tokens"), get("output_tokens"), get("total_tokens"), inside, out)
    return None


def _consistent(asked: Any, written: Any, total: Any, inside: Any, out: Any) -> Usage | None:
    if type(asked) is not int or type(written) is not int or asked < 0 or written < 0 or asked + written != total:
        return None
    part = NOTHING.get if inside is None else fields(inside).get
    cached, stored, heard, seen = part("cached_tokens"), part("cache_write_tokens"), part("audio_tokens"), part("image_tokens")
    part = NOTHING.get if out is None else fields(out).get
    reasoned, spoken, painted = part("reasoning_tokens"), part("audio_tokens"), part("image_tokens")
    room = asked
    for count in (cached, stored):
        if count is not None:
            if type(count) is not int or not 0 <= count <= room:
                return None
            room -= count
    for most, counts in ((asked, (heard, seen)), (written, (reasoned, spoken, painted))):
        for count in counts:
            if count is not None and (type(count) is not int or not 0 <= count <= most):
                return None
    return Usage(asked, written, cached, stored, None, reasoned, heard, spoken, seen, painted)


def usage_of(told: Mapping[str, Any]) -> Usage | None:
    """Usage from the fields of a ``usage`` object of chat, completions, embeddings or Responses; None if there is no count in it.

    Cached tokens stand in the details (OpenAI), in ``prompt_cache_hit_tokens`` (DeepSeek, https://api-docs.deepseek.com/guides/kv_cache),
    ``num_cached_tokens`` (Mistral), ``cached_tokens`` (Moonshot) or ``cache_read_input_tokens`` (gateways before Anthropic models).
    """
    count = Counts()
    details = fields(first(told.get("prompt_tokens_details"), told.get("input_tokens_details")))
    out = fields(first(told.get("completion_tokens_details"), told.get("output_tokens_details")))
    usage = Usage(
        input=count(told.get("prompt_tokens"), told.get("input_tokens")),
        output=count(told.get("completion_tokens"), told.get("output_tokens")),
        cache_read=count(
            details.get("cached_tokens"),
            told.get("prompt_cache_hit_tokens"),
            told.get("num_cached_tokens"),
            told.get("cached_tokens"),
            told.get("cache_read_input_tokens"),
        ),
        cache_write=count(details.get("cache_write_tokens"), told.get("cache_creation_input_tokens")),
        reasoning=count(out.get("reasoning_tokens"), told.get("reasoning_tokens")),
        input_audio=count(details.get("audio_tokens")),
        output_audio=count(out.get("audio_tokens")),
        input_image=count(details.get("image_tokens")),
        output_image=count(out.get("image_tokens")),
        tools=_tools(told, count),
    )
    if usage.input is None and usage.cache_read is not None:
        missed = count(told.get("prompt_cache_miss_tokens"))
        usage.input = None if missed is None else usage.cache_read + missed
    if usage.input is None and usage.output is None:
        return None
    _add_what_is_outside(usage, told, count, detailed=bool(details or out))
    usage.clamped = count.odd
    return clamp(usage)


def _tools(told: Mapping[str, Any], count: Counts) -> dict[str, int] | None:
    used = fields(first(told.get("server_tool_use"), told.get("server_tool_use_details")))
    searches = count(used.get("web_search_requests"))
    return {"web_search": searches} if searches else None


def _add_what_is_outside(usage: Usage, told: Mapping[str, Any], count: Counts, *, detailed: bool) -> None:
    """Adds to the totals what some providers bill, but count outside them."""
    if "citation_tokens" in told:  # Perplexity's deep research; its total_tokens leaves these out too
        usage.output = (usage.output or 0) + (usage.reasoning or 0) + (count(told["citation_tokens"]) or 0)
        return
    total = count(told.get("total_tokens"))
    beyond = 0 if total is None else total - usage.total
    if beyond <= 0 or usage.output is None:
        return
    if beyond == usage.reasoning:  # xAI
        usage.output += beyond
    elif beyond == usage.input_audio:  # Mistral's audio models
        usage.input = (usage.input or 0) + beyond
    elif not detailed:  # Gemini's compatible endpoint: thoughts are in no field of their own
        usage.output += beyond
        usage.reasoning = beyond
        usage.state = State.ESTIMATED


def take_usage(told: Any, into: Response) -> None:
    """Usage and the provider's own cost into the response; a later report without counts does not undo an earlier one."""
    seen = fields(told)
    usage = plain_usage(seen)
    if usage is not None:
        into.usage, into.cost_nano_usd = usage, None
        return
    usage = usage_of(seen)
    if usage is not None:
        into.usage = usage
        into.cost_nano_usd = told_cost(seen)
        into.context = tier_of(seen) or into.context


def identify(seen: Mapping[str, Any], into: Response) -> None:
    """Id, model, tier and fingerprint of a result or of a stream's first chunks."""
    told = seen.get
    into.id = text(told("id")) or into.id
    into.model = text(told("model")) or into.model
    into.fingerprint = text(told("system_fingerprint")) or into.fingerprint
    into.context = tier_of(seen) or into.context


def error_of(seen: Mapping[str, Any]) -> str | None:
    """Code of an error that came inside a successful answer, as OpenRouter sends it. Never its message."""
    error = seen.get("error")
    if error is None:
        return None
    error = fields(error)
    code = first(error.get("code"), error.get("type"))
    return str(code) if isinstance(code, (str, int)) else None


def chat_response(result: Any, into: Response) -> None:
    """A whole chat or legacy completion."""
    seen = fields(result)
    identify(seen, into)
    take_usage(seen.get("usage"), into)
    into.error_type = error_of(seen)
    for choice in items(seen.get("choices")):
        parts = fields(choice)
        _finish(parts, _index(parts), into)
        if into.usage is None:
            _generated(parts, into, None)
        if into.output is not None:
            into.output.append(chat_choice(parts))
    into.complete = True


def embeddings_response(result: Any, into: Response) -> None:
    """A list of embeddings: all tokens are input, so a total alone (Voyage) says it too."""
    chat_response(result, into)
    total = Counts()(fields(fields(result).get("usage")).get("total_tokens"))
    if into.usage is None and total is not None:
        into.usage = Usage(input=total)


def chat_chunk(event: Any, into: Response) -> bool:
    """One event of a stream. True for the chunk that carries nothing but usage, which comes only to those who asked for it."""
    seen = getattr(event, "__dict__", None) or known(event)  # an SDK's object without a call: streams have hundreds of them
    if not into.id:
        identify(seen, into)
    usage = seen.get("usage")
    if usage is not None:
        take_usage(usage, into)
    choices = items(seen.get("choices"))
    for choice in choices:
        parts = getattr(choice, "__dict__", None) or known(choice)
        index = parts.get("index")
        if index != 0:
            index = _index(parts)
            if index:
                _expect(index, into)
        _generated(parts, into, index)
        if parts.get("finish_reason"):
            _finish(parts, index, into)
            if into.output is not None:
                finish(into.output, index, text(parts["finish_reason"]))
            if into.usage is None:
                _late_usage(event, choice, into)
    if choices:
        return False
    if usage is None:
        into.error_type = error_of(fields(event)) or into.error_type
    else:
        into.complete = True  # it is the last chunk
    return usage is not None


def _late_usage(event: Any, choice: Any, into: Response) -> None:
    """Usage of the last chunk in other places: ``x_groq`` (Groq), the choice itself (Moonshot)."""
    take_usage(fields(fields(event).get("x_groq")).get("usage"), into)
    take_usage(fields(choice).get("usage"), into)


def _index(parts: Mapping[str, Any]) -> int:
    index = parts.get("index")
    return index if type(index) is int and 0 <= index < _MOST_CHOICES else 0


def _expect(index: int, into: Response) -> None:
    """There are at least ``index + 1`` choices; the stream is complete when each has its reason to finish."""
    missing = index + 1 - len(into.finish_reasons)
    if missing > 0:
        into.finish_reasons += [""] * missing
        into.complete = False


def _finish(parts: Mapping[str, Any], index: int, into: Response) -> None:
    reason = text(parts.get("finish_reason"))
    if reason is None:
        return
    _expect(index, into)
    into.finish_reasons[index] = reason
    into.complete = "" not in into.finish_reasons


def _generated(parts: Mapping[str, Any], into: Response, index: int | None) -> None:
    """What the model wrote in one choice: answer, reasoning, refusal, tool calls. ``index`` is None if no output is to be built."""
    said = parts.get("delta")  # Perplexity sends the whole message so far beside each delta
    if said is None:
        said = parts.get("message")
    if said is None:
        _say(parts.get("text"), "text", into, index)
        return
    declared = getattr(said, "__dict__", None) or known(said)
    told = declared.get
    content = told("content")
    if content:
        if not isinstance(content, str):
            _say_list(content, into, index)
        elif into.output is not None:
            _say(content, "text", into, index)
        else:
            into.text.append(content)
    extra = declared if declared is said or "reasoning" in declared else getattr(said, "__pydantic_extra__", None)
    if extra:
        _say(extra.get("reasoning_content") or extra.get("reasoning"), "reasoning", into, index)
    if told("refusal"):
        _say(told("refusal"), "text", into, index)
    if told("tool_calls"):
        _calls(told("tool_calls"), into, index)
    elif told("function_call"):
        _call(0, fields(told("function_call")), into, index)


def _say(piece: Any, kind: str, into: Response, index: int | None) -> None:
    if isinstance(piece, str) and piece:
        into.text.append(piece)
        if into.output is not None and index is not None:
            grow(into.output, index, kind, piece)


def _say_list(content: Any, into: Response, index: int | None) -> None:
    """Mistral's reasoning models stream lists of ``thinking`` and ``text`` parts."""
    for part in items(content):
        seen = fields(part)
        _say(seen.get("text"), "text", into, index)
        for thought in items(seen.get("thinking")):
            _say(fields(thought).get("text"), "reasoning", into, index)


def _calls(calls: Any, into: Response, index: int | None) -> None:
    for position, call in enumerate(items(calls)):
        seen = known(call)
        number = seen.get("index")
        function = known(seen.get("function") or fields(call).get("custom"))
        _call(number if type(number) is int else position, {"id": seen.get("id"), **function}, into, index)


def _call(number: int, piece: Mapping[str, Any], into: Response, index: int | None) -> None:
    written = (piece.get("name"), piece.get("arguments"), piece.get("input"))
    into.text.extend(item for item in written if isinstance(item, str) and item)
    if into.output is not None and index is not None:
        grow_call(into.output, index, number, piece)
