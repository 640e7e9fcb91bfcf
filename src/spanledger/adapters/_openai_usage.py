"""Usage as OpenAI's wire format tells it, and as the many providers that speak the format mean it.

Where a provider means something else by a field, the numbers tell: its own field names, or a ``total_tokens`` that only adds up one
way. That holds behind any gateway and any host name, so nothing here asks who the provider is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spanledger.adapters._read import MOST_TOKENS, Counts, clamp, fields, first, tier_of, told_cost
from spanledger.model import State, Usage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spanledger.model import Response

_CHAT = frozenset({"prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details", "completion_tokens_details"})
_RESPONSES = frozenset({"input_tokens", "output_tokens", "total_tokens", "input_tokens_details", "output_tokens_details"})
_IN_INPUT = {
    "cached_tokens": "cache_read", "cache_write_tokens": "cache_write", "audio_tokens": "input_audio", "image_tokens": "input_image",
    "cache_write_tokens_details": "", "cache_creation_input_tokens": "", "cache_creation_tokens": "", "cache_creation": "",
    "cache_creation_token_details": "",
}  # fmt: skip
_IN_OUTPUT = {"reasoning_tokens": "reasoning", "audio_tokens": "output_audio", "image_tokens": "output_image"}
"""Names in the details -> fields of ``Usage``; "" is for what only ``usage_of`` understands."""
_OF_MESSAGES = frozenset({"cache_read_input_tokens", "cache_creation_input_tokens"})
"""Fields of Anthropic's own API, where they are no parts of the input beside them; gateways pass them on."""


def plain_usage(told: Mapping[str, Any]) -> Usage | None:
    """What ``usage_of`` makes of OpenAI's own fields where all numbers are as they should be, in fewer steps.

    None if there is anything else, or anything odd, about them. Most calls have nothing of that.
    """
    get = told.get
    if told.keys() <= _CHAT:
        asked, written = get("prompt_tokens"), get("completion_tokens")
        inside, out = get("prompt_tokens_details"), get("completion_tokens_details")
    elif told.keys() <= _RESPONSES:
        asked, written = get("input_tokens"), get("output_tokens")
        inside, out = get("input_tokens_details"), get("output_tokens_details")
    else:
        return None
    if type(asked) is not int or (written is not None and type(written) is not int):
        return None
    total = asked + (written or 0)
    if total != get("total_tokens") or total > MOST_TOKENS:
        return None
    usage = Usage(asked, written)
    return usage if _fit(inside, _IN_INPUT, asked, usage) and _fit(out, _IN_OUTPUT, written or 0, usage) else None


def _fit(details: Any, names: Mapping[str, str], room: int, usage: Usage) -> bool:
    """Puts the parts of a total into the usage; whether they are counts that together fit into it."""
    for name, count in fields(details).items():
        part = names.get(name)
        if part is not None and count is not None:
            if not part or type(count) is not int or count < 0:
                return False
            room -= count
            setattr(usage, part, count)
    return room >= 0


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
        cache_write=count(
            details.get("cache_write_tokens"),
            details.get("cache_creation_input_tokens"),
            details.get("cache_creation_tokens"),
            told.get("cache_creation_input_tokens"),
        ),
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
    explained = usage.reasoning is not None or any(value is not None for value in out.values())
    _add_what_is_outside(usage, told, count, explained=explained)
    _split_writes(usage, [fields(split) for split in _splits(told, details)], count)
    usage.clamped = count.odd
    return clamp(usage)


def _splits(told: Mapping[str, Any], details: Mapping[str, Any]) -> tuple[Any, ...]:
    """Where OpenAI, LiteLLM, DashScope and Doubleword tell how long what was written to a cache is kept."""
    inside = ("cache_write_tokens_details", "cache_creation_token_details", "cache_creation")
    return (*(details.get(name) for name in inside), told.get("cache_creation"))


def _split_writes(usage: Usage, told: list[Mapping[str, Any]], count: Counts) -> None:
    """OpenAI keeps what is written to its cache for half an hour, or for 12 if asked to; the latter is what others' hour is."""
    if not usage.cache_write:
        return
    longer = count(*(split.get(name) for split in told for name in ("ttl_12h_tokens", "ephemeral_1h_input_tokens")))
    if longer:
        usage.cache_write_1h = min(longer, usage.cache_write)
        usage.cache_write -= usage.cache_write_1h


def _tools(told: Mapping[str, Any], count: Counts) -> dict[str, int] | None:
    used = fields(first(told.get("server_tool_use"), told.get("server_tool_use_details")))
    searches = count(used.get("web_search_requests"))
    return {"web_search": searches} if searches else None


def _add_what_is_outside(usage: Usage, told: Mapping[str, Any], count: Counts, *, explained: bool) -> None:
    """Adds to the totals what some providers bill, but count outside them. ``explained`` if details say what the output is made of.

    What ``total_tokens`` holds beyond both totals is told by being equal to a part; the surest sign is asked for first.
    """
    if "citation_tokens" in told:  # Perplexity's deep research; its total_tokens leaves these out too
        usage.output = (usage.output or 0) + (usage.reasoning or 0) + (count(told["citation_tokens"]) or 0)
        return
    total = count(told.get("total_tokens"))
    beyond = 0 if total is None else total - usage.total
    if beyond <= 0 or usage.output is None:
        return
    if usage.input is None:  # nothing else told how much it was
        usage.input = beyond
        return
    asked, cached = usage.input, (usage.cache_read or 0) + (usage.cache_write or 0)
    if beyond == cached and (cached > asked or not told.keys().isdisjoint(_OF_MESSAGES)):  # Portkey before Anthropic models
        usage.input = asked + beyond
    elif beyond == usage.reasoning:  # xAI
        usage.output += beyond
    elif beyond in (usage.input_audio, cached):  # Mistral's audio models; a gateway that tells the cached part in the details only
        usage.input = asked + beyond
    elif not explained:  # Gemini's compatible endpoint: thoughts are in no field of their own
        usage.output += beyond
        usage.reasoning = beyond
        usage.state = State.ESTIMATED


def take_usage(told: Any, into: Response) -> None:
    """Usage and the provider's own cost into the response; a later report without counts does not undo an earlier one."""
    if told is None:
        return
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
