"""OpenAI's wire format: chat completions, legacy completions and embeddings, as many other providers speak it too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spanledger.adapters._messages import chat_choice, finish, grow, grow_call
from spanledger.adapters._openai_usage import take_usage
from spanledger.adapters._read import Counts, fields, first, items, known, text, tier_of
from spanledger.model import Usage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spanledger.model import Response

_MOST_CHOICES = 1024
"""No API offers as many; an index beyond it is an error of the server and must not cost memory."""


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
