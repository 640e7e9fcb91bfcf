"""OpenAI's wire format: chat completions, legacy completions and embeddings, as many other providers speak it too."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from spanledger.adapters._messages import chat_choice, finish, grow, grow_call
from spanledger.adapters._openai_usage import take_usage
from spanledger.adapters._read import Counts, fields, first, items, known, text, tier_of
from spanledger.engine.adapter import Wire
from spanledger.model import INVALID_RESPONSE, Called, Usage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spanledger.model import Response

_IDENTITY = (("id", "id"), ("model", "model"), ("system_fingerprint", "fingerprint"))
_PIECE = frozenset({"content", "role"})
"""All that is told in most deltas."""
_MOST_CHOICES = 1024
"""No API offers as many; an index beyond it is an error of the server and must not cost memory."""


def identify(seen: Mapping[str, Any], into: Response) -> None:
    """Id, model, tier and fingerprint of a result or of a stream's first chunks."""
    for name, field in _IDENTITY:
        value = seen.get(name)
        if value and isinstance(value, str):
            setattr(into, field, value)
    into.context = tier_of(seen) or into.context


def error_of(error: Any) -> str | None:
    """Code of an error that came inside a successful answer, as OpenRouter sends it. Never its message."""
    if not error:
        return None
    told = fields(error)
    code = first(told.get("code"), told.get("type"))
    return str(code) if isinstance(code, (str, int)) else "error"


def unusable(seen: Mapping[str, Any]) -> str | None:
    """What is wrong with an answer that tells no usage: its error, or that it is no object at all, as a proxy's page is none."""
    return error_of(seen.get("error")) if seen else INVALID_RESPONSE


def chat_response(result: Any, into: Response) -> None:
    """A whole chat or legacy completion."""
    seen = fields(result)
    identify(seen, into)
    take_usage(seen.get("usage"), into)
    if into.usage is None or seen.get("error") is not None:
        into.error_type = unusable(seen)
    for choice in items(seen.get("choices")):
        parts = known(choice)
        index = parts.get("index")
        _finish(parts.get("finish_reason"), _index(index) if index else 0, into)
        if into.usage is None:
            _answered(fields(choice), into)
        if into.output is not None:
            into.output.append(chat_choice(fields(choice)))
    into.complete = True


def _answered(choice: Mapping[str, Any], into: Response) -> None:
    """A choice of an answer without usage. OpenRouter tells an error of whom it asked there: https://openrouter.ai/docs/errors."""
    _generated(choice, into, None)
    into.error_type = error_of(choice.get("error")) or into.error_type


def embeddings_response(result: Any, into: Response) -> None:
    """A list of embeddings: all tokens are input, so a total alone (Voyage) says it too."""
    chat_response(result, into)
    if into.usage is None:
        total = Counts()(fields(fields(result).get("usage")).get("total_tokens"))
        into.usage = None if total is None else Usage(input=total)


def chat_chunk(event: Any, into: Response) -> bool:
    """One event of a stream. True for the chunk that carries nothing but usage, which comes only to those who asked for it.

    A stream has hundreds of chunks, and nearly all are the SDK's objects with a piece of the answer and nothing else: for them, a look
    at their attributes is all that it takes.
    """
    if type(event) is not Wire:
        try:
            seen = event.__dict__
            (choice,) = seen["choices"]
            parts = choice.__dict__
            delta = parts["delta"]
            content, extra = delta.__dict__["content"], delta.__pydantic_extra__
            if (
                content
                and type(content) is str
                and delta.__pydantic_fields_set__ <= _PIECE
                and into.id
                and into.output is None
                and seen["usage"] is None
                and not (parts["index"] or parts["finish_reason"] or (extra and any(extra.values())))
            ):
                into.text.append(content)
                return False
        except (AttributeError, TypeError, ValueError, KeyError):
            pass  # it has another shape than the SDK declares, or no choice, or several
    return any_chunk(event, into)


def any_chunk(event: Any, into: Response) -> bool:
    """The same for chunks of all kinds."""
    seen = known(event)
    if not into.id:
        identify(seen, into)
    usage = seen.get("usage")
    if usage is not None:
        into.context = tier_of(seen) or into.context
        take_usage(usage, into)
    choices = items(seen.get("choices"))
    for choice in choices:
        parts = known(choice)
        index = _index(parts.get("index"))
        if index:
            _expect(index, into)
        _generated(parts, into, index)
        reason = parts.get("finish_reason")
        if reason:
            into.context = tier_of(seen) or into.context  # told only at the end by OpenRouter; beside the usage by Groq
            _finish(reason, index, into)
            if into.output is not None:
                finish(into.output, index, text(reason))
            if into.usage is None:
                _late_usage(event, choice, into)
    if choices:
        return False
    if usage is None:
        into.error_type = error_of(fields(event).get("error")) or into.error_type
    elif into.finish_reasons or (into.usage is not None and into.usage.output):
        into.complete = True  # it is the last chunk; some servers send one with the input ahead of the answer
    return usage is not None


def _late_usage(event: Any, choice: Any, into: Response) -> None:
    """Usage of the last chunk in other places: ``x_groq`` (Groq), the choice itself (Moonshot)."""
    take_usage(fields(fields(event).get("x_groq")).get("usage"), into)
    take_usage(fields(choice).get("usage"), into)


def _index(told: Any) -> int:
    return told if type(told) is int and 0 <= told < _MOST_CHOICES else 0


def _expect(index: int, into: Response) -> None:
    """There are at least ``index + 1`` choices; the stream is complete when each has its reason to finish."""
    missing = index + 1 - len(into.finish_reasons)
    if missing > 0:
        into.finish_reasons += [""] * missing
        into.complete = False


def _finish(reason: Any, index: int, into: Response) -> None:
    if not reason or not isinstance(reason, str):
        return
    reasons = into.finish_reasons
    if index == len(reasons):
        reasons.append(reason)
    else:
        _expect(index, into)
        reasons[index] = reason
    into.complete = "" not in reasons and not _is_ahead(into)


def _is_ahead(into: Response) -> bool:
    """Whether the usage so far is that which a server told ahead of the answer, whose output is not in it."""
    return into.usage is not None and not into.usage.output and bool(into.text)


def _generated(parts: Mapping[str, Any], into: Response, index: int | None) -> None:
    """What the model wrote in one choice: answer, reasoning, refusal, tool calls. ``index`` is None if no output is to be built."""
    said = parts.get("delta")  # Perplexity sends the whole message so far beside each delta
    if said is None:
        said = parts.get("message")
    if said is None:
        _say(parts.get("text"), "text", into, index)
        return
    declared = known(said)
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
    """Mistral's reasoning models stream lists of ``thinking`` and ``text`` parts; Cloudflare's JSON mode answers with an object."""
    if isinstance(content, dict):
        _say(json.dumps(content), "text", into, index)
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
    name, written = piece.get("name"), (piece.get("arguments"), piece.get("input"))
    if isinstance(name, str) and name:
        into.text.append(Called(name))
    into.text.extend(item for item in written if isinstance(item, str) and item)
    if into.output is not None and index is not None:
        grow_call(into.output, index, number, piece)
