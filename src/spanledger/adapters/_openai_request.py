"""Requests in OpenAI's format: chat, Responses, legacy completions and embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spanledger.adapters._hosts import endpoint
from spanledger.adapters._read import Counts, fields, given, items, lists_for_iterators, number, params, present, strings, text, tier_of
from spanledger.model import Activity, Request

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
    **{name: (name, number) for name in ("temperature", "top_p", "top_k", "seed", "frequency_penalty", "presence_penalty")},
    **{name: (name, text) for name in ("service_tier", "previous_response_id")},
    "n": ("choice_count", number),
    "stop": ("stop_sequences", strings),
    "dimensions": ("dimension_count", number),
    "encoding_format": ("encoding_formats", strings),
    "reasoning_effort": ("reasoning_level", _level),
    "reasoning": ("reasoning_level", _level),
    "response_format": ("output_type", _output_type),
    "text": ("output_type", _output_type),
    "text_format": ("output_type", _output_type),
    "conversation": ("conversation_id", lambda value: text(value) or text(fields(value).get("id"))),
    "starting_after": ("stream_cursor", lambda value: str(value) if type(value) is int else None),
}


@dataclass(frozen=True)
class ReadRequest:
    """Reads the arguments of one API. ``content`` names those that become input tokens; ``default`` is the provider of unknown hosts."""

    operation: str
    content: tuple[str, ...]
    api: str | None = None
    activity: Activity = Activity.LLM
    streaming: bool = False
    default: str = "openai"

    def __call__(self, instance: Any, _args: tuple[Any, ...], kwargs: Mapping[str, Any], /) -> Request:
        sent, count = given(kwargs), Counts()
        asked, found = sent.get, params(sent, _RULES)
        provider, address, port = endpoint(instance, self.default)
        if self.api is not None:
            found["api_type"] = self.api
        content = []
        for name in self.content:
            value = asked(name)
            if value is not None and present(value):
                content.append(value)
        return Request(  # by position, which takes half the time
            "fetch_response" if asked("response_id") else self.operation,
            self.activity,
            provider,
            text(asked("model")),
            self.streaming or bool(asked("stream")),
            count(asked("max_completion_tokens"), asked("max_output_tokens"), asked("max_tokens")),
            _choices(asked("best_of"), asked("n"), asked("prompt")),
            address,
            port,
            found,
            tuple(content),
            tier_of(sent),
            ask_usage=isinstance(asked("stream_options"), _Asked),
        )


def _choices(best_of: Any, several: Any, prompt: Any) -> int:
    """Each prompt of a legacy completion gets choices of its own; a list of integers is one prompt, as tokens."""
    if best_of is None and several is None and prompt is None:
        return 1
    prompts = items(prompt)
    return (Counts()(best_of, several) or 1) * (len(prompts) if prompts and type(prompts[0]) is not int else 1)


def chat_prepare(kwargs: dict[str, Any], ask_usage: bool, *, streaming: bool = False) -> dict[str, Any]:
    """The usage of a stream is sent only on request: https://platform.openai.com/docs/api-reference/chat/create#chat-create-stream_options."""
    kwargs = lists_for_iterators(kwargs, "messages", "tools", "functions", "prompt")
    if not ask_usage or not (streaming or kwargs.get("stream")) or "stream_options" in fields(kwargs.get("extra_body")):
        return kwargs
    options = kwargs.get("stream_options")
    options = options if isinstance(options, dict) else {}
    return kwargs if options.get("include_usage") else {**kwargs, "stream_options": _Asked({**options, "include_usage": True})}


def prepare(kwargs: dict[str, Any], _ask_usage: bool) -> dict[str, Any]:
    """For APIs whose streams carry usage unasked."""
    return lists_for_iterators(kwargs, "input", "tools", "questions")
