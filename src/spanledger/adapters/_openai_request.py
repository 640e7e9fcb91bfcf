"""Requests in OpenAI's format: chat, Responses, legacy completions and embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spanledger.adapters._hosts import endpoint
from spanledger.adapters._read import (
    Counts,
    contents,
    fields,
    given,
    items,
    lists_for_iterators,
    params,
    rule,
    strings,
    text,
    tier_of,
)
from spanledger.model import Activity, Request
from spanledger.telemetry.semconv import OPENAI_API_TYPE

if TYPE_CHECKING:
    from collections.abc import Mapping


class _Asked(dict[str, Any]):
    """``stream_options`` in which we, not the application, asked for usage."""


def _output_type(value: Any) -> str | None:
    """``response_format``, ``text`` or ``text_format``: a class is parsed from JSON, a mapping names its type."""
    if isinstance(value, type):
        return "json"
    seen = fields(value)
    kind = text(fields(seen.get("format", seen)).get("type"))
    return kind if kind in {None, "text"} else "json"


def _level(value: Any) -> str | None:
    return text(value) or text(fields(value).get("effort"))


_RULES = {
    **{name: rule(name) for name in ("temperature", "top_p", "top_k", "seed", "frequency_penalty", "presence_penalty")},
    **{name: rule(name, text) for name in ("service_tier", "previous_response_id")},
    "n": rule("choice_count"),
    "stop": rule("stop_sequences", strings),
    "dimensions": rule("dimension_count"),
    "encoding_format": rule("encoding_formats", strings),
    "reasoning_effort": rule("reasoning_level", _level),
    "reasoning": rule("reasoning_level", _level),
    "response_format": rule("output_type", _output_type),
    "text": rule("output_type", _output_type),
    "text_format": rule("output_type", _output_type),
    "conversation": rule("conversation_id", lambda value: text(value) or text(fields(value).get("id"))),
    "starting_after": rule("stream_cursor", lambda value: str(value) if type(value) is int else None),
}
_SPECIAL = frozenset({"response_id", "previous_response_id", "best_of", "n", "prompt", "service_tier"})
"""Arguments that few calls have, and that say more about the call than a parameter does."""
_CHAT_LISTS = ("messages", "tools", "functions", "prompt")
"""Arguments in which the SDK takes any iterable."""
_RESIDENT = ".api.openai.com"
"""What hosts of a region end with: https://developers.openai.com/api/docs/guides/data-residency."""


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """Reads the arguments of one API. ``content`` names those that become input tokens; ``default`` is the provider of unknown hosts."""

    operation: str
    content: tuple[str, ...]
    api: str | None = None
    activity: Activity = Activity.LLM
    streaming: bool = False
    default: str = "openai"

    def read(self, instance: Any, _args: tuple[Any, ...], kwargs: Mapping[str, Any], /) -> Request:
        sent = given(kwargs) if "extra_body" in kwargs else kwargs
        found = params(sent, _RULES)
        if self.api is not None:
            found[OPENAI_API_TYPE] = self.api
        provider, address, port = endpoint(instance, self.default)
        asked = sent.get
        model = asked("model")
        request = Request(  # by position, which takes half the time
            self.operation,
            self.activity,
            provider,
            model if isinstance(model, str) and model else None,
            self.streaming or bool(asked("stream")),
            Counts()(asked("max_completion_tokens"), asked("max_output_tokens"), asked("max_tokens")),
            1,
            address,
            port,
            found,
            contents(sent, self.content),
        )
        request.ask_usage = type(asked("stream_options")) is _Asked
        if not _SPECIAL.isdisjoint(sent):
            _specialize(request, sent)
        if address is not None and address.endswith(_RESIDENT):
            request.context = {**(request.context or {}), "data_residency": address.removesuffix(_RESIDENT)}
        return request


def _specialize(request: Request, sent: Mapping[str, Any]) -> None:
    if sent.get("response_id"):
        request.operation = "fetch_response"
    request.continues = text(sent.get("previous_response_id"))
    request.choices = (Counts()(sent.get("best_of"), sent.get("n")) or 1) * _prompts(sent.get("prompt"))
    request.context = tier_of(sent)


def _prompts(prompt: Any) -> int:
    """Each prompt of a legacy completion gets choices of its own; a list of integers is one prompt, as tokens."""
    prompts = items(prompt)
    return len(prompts) if prompts and type(prompts[0]) is not int else 1


def chat_prepare(kwargs: dict[str, Any], ask_usage: bool) -> dict[str, Any]:
    """The usage of a stream is sent only on request: https://platform.openai.com/docs/api-reference/chat/create#chat-create-stream_options."""
    kwargs = lists_for_iterators(kwargs, _CHAT_LISTS)
    return _asking(kwargs) if ask_usage and kwargs.get("stream") else kwargs


def chat_stream_prepare(kwargs: dict[str, Any], ask_usage: bool) -> dict[str, Any]:
    """The same where the API always streams."""
    kwargs = lists_for_iterators(kwargs, _CHAT_LISTS)
    return _asking(kwargs) if ask_usage else kwargs


def _asking(kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments with usage asked for, unless the application asks itself or its options are out of our reach."""
    options = kwargs.get("stream_options")
    options = options if isinstance(options, dict) else {}
    if options.get("include_usage") or _not_ours_to_ask(kwargs):
        return kwargs
    return {**kwargs, "stream_options": _Asked({**options, "include_usage": True})}


def _not_ours_to_ask(kwargs: Mapping[str, Any]) -> bool:
    """``extra_body`` would win over our options. And nothing can be hidden in bytes and lines: the SDKs mark what is sent by
    ``with_streaming_response`` so, while the stream of a ``with_raw_response`` (another mark) comes from ``parse``."""
    unread = fields(kwargs.get("extra_headers")).get("X-Stainless-Raw-Response") == "stream"
    return unread or "stream_options" in fields(kwargs.get("extra_body"))


def prepare(kwargs: dict[str, Any], _ask_usage: bool) -> dict[str, Any]:
    """For APIs whose streams carry usage unasked."""
    return lists_for_iterators(kwargs, ("input", "tools", "questions"))
