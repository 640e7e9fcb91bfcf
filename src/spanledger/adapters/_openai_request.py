"""Requests in OpenAI's format: chat, Responses, legacy completions and embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spanledger.adapters._hosts import endpoint
from spanledger.adapters._read import Counts, context, fields, given, items, lists_for_iterators, number, params, present, strings, text
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
        sent, count, host = given(kwargs), Counts(), endpoint(instance, self.default)
        asked, found = sent.get, params(sent, _RULES)
        if self.api is not None:
            found["api_type"] = self.api
        return Request(
            operation="fetch_response" if sent.get("response_id") else self.operation,
            activity=self.activity,
            provider=host.provider,
            model=text(sent.get("model")),
            stream=self.streaming or bool(sent.get("stream")),
            max_output=count(sent.get("max_completion_tokens"), sent.get("max_output_tokens"), sent.get("max_tokens")),
            choices=(count(sent.get("best_of"), sent.get("n")) or 1) * _prompts(sent.get("prompt")),
            server_address=host.address,
            server_port=host.port,
            params=found,
            content=tuple(sent[name] for name in self.content if present(sent.get(name))),
            context=context(("service_tier", sent.get("service_tier"))),
            ask_usage=isinstance(sent.get("stream_options"), _Asked),
        )


def _prompts(prompt: Any) -> int:
    """Each prompt of a legacy completion gets choices of its own; a list of integers is one prompt, as tokens."""
    several = items(prompt)
    return len(several) if several and type(several[0]) is not int else 1


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
