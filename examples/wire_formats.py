"""What a model provider says on the wire: the JSON and the server-sent events of OpenAI's and Anthropic's APIs.

The answer is made from the question, so that every run gives the same numbers:

- the answer to a text is ``ANSWER`` followed by the last user message, cut to the request's output limit;
- a text has one token for every four characters, rounded up (``tokens``);
- input tokens are those of all texts in the request: messages, system prompt and tool definitions (as JSON);
- a model whose name holds ``reason`` thinks ``REASONING`` tokens long, which count as output;
- with tools and a last message from the user, the answer is a call of the first tool; every argument it requires is that message;
- Anthropic's ``cache_control``: all texts up to the mark are written to the cache when first seen, and read from it afterwards.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ANSWER = "Understood. You asked me this, and I have thought about it with care: "
REASONING = 64
CREATED = 1_767_225_600
"""Creation time in every answer: 2026-01-01, so that runs can be compared."""

Json = dict[str, Any]
Event = tuple[str | None, Json]
"""Name (``event:`` line, if any) and data of one server-sent event."""


def tokens(text: str) -> int:
    """One token for every four characters, rounded up."""
    return -(-len(text) // 4)


def texts(content: Any) -> list[str]:
    """All texts in a message's content, a system prompt, a list of messages or of content blocks."""
    if content is None:
        return []
    if isinstance(content, str):
        return [content]
    if isinstance(content, list):
        return [text for part in content for text in texts(part)]
    return [text for key in ("content", "text", "input", "output", "arguments") for text in texts(content.get(key))]


@dataclass
class Answer:
    """One answer, before it is put into a wire format."""

    id: str
    model: str
    text: str
    tool: tuple[str, str] | None
    """Name and JSON arguments of the tool call, if the answer is one."""
    input: int
    output: int
    reasoning: int
    cache_read: int
    cache_write: int
    cut_short: bool
    """The request's output limit was reached."""

    @property
    def pieces(self) -> list[str]:
        """The text as a stream sends it: eight pieces or fewer, of whole tokens."""
        size = 4 * max(1, -(-tokens(self.text) // 8))
        return [self.text[start : start + size] for start in range(0, len(self.text), size)]


@dataclass
class Model:
    """Answers requests. Remembers only which prompts were cached, and how many answers it gave (for their ids)."""

    cached: set[str] = field(default_factory=set)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def answer(self, prefix: str, body: Json, messages: Any, limit: int | None) -> Answer:
        """Answers ``messages``; ``prefix`` starts the answer's id."""
        system = [*texts(body.get("system")), *texts(body.get("instructions"))]
        tools = [json.dumps(tool) for tool in body.get("tools") or ()]
        everything = [*tools, *system, *texts(messages)]
        question = _last_user_text(messages)
        call = _tool_call(body.get("tools") or (), question) if _may_call(messages) else None
        reasoning = REASONING if "reason" in body["model"] else 0
        text = "" if call else ANSWER + question
        room = None if limit is None else max(0, limit - reasoning)
        short = room is not None and tokens(text) > room
        text = text[: 4 * room] if short and room is not None else text
        read, write = self._cache(body, messages)
        return Answer(
            id=f"{prefix}{next(self.numbers):08d}",
            model=body["model"],
            text=text,
            tool=call,
            input=sum(map(tokens, everything)),
            output=reasoning + tokens(text) + (tokens("".join(call)) if call else 0),
            reasoning=reasoning,
            cache_read=read,
            cache_write=write,
            cut_short=short,
        )

    def _cache(self, body: Json, messages: Any) -> tuple[int, int]:
        """Tokens read from and written to the prompt cache."""
        before: list[str] = []
        marked: list[str] = []
        for block in _blocks(body, messages):
            before += texts(block)
            if isinstance(block, dict) and "cache_control" in block:
                marked = list(before)
        prompt, size = "\n".join(marked), sum(map(tokens, marked))
        if not marked:
            return 0, 0
        if prompt in self.cached:
            return size, 0
        self.cached.add(prompt)
        return 0, size


def _blocks(body: Json, messages: Any) -> Iterable[Any]:
    system = body.get("system")
    yield from system if isinstance(system, list) else ()
    for message in messages if isinstance(messages, list) else ():
        content = message.get("content")
        yield from content if isinstance(content, list) else [content]


def _last_user_text(messages: Any) -> str:
    if isinstance(messages, str):
        return messages
    users = [message for message in messages if message.get("role") == "user"]
    return " ".join(texts(users[-1])) if users else ""


def _may_call(messages: Any) -> bool:
    """Tools are called on a user's question, not again on a tool's result."""
    if isinstance(messages, str):
        return True
    last = messages[-1] if messages else {}
    content = last.get("content")
    results = isinstance(content, list) and any(block.get("type") == "tool_result" for block in content)
    return last.get("role") == "user" and not results


def _tool_call(tools: Any, question: str) -> tuple[str, str] | None:
    if not tools:
        return None
    tool = tools[0].get("function", tools[0])
    schema = tool.get("parameters") or tool.get("input_schema") or {}
    return tool["name"], json.dumps(dict.fromkeys(schema.get("required", ()), question))


# OpenAI chat completions: https://platform.openai.com/docs/api-reference/chat/object


def chat(answer: Answer) -> Json:
    """A ``chat.completion``."""
    message: Json = {"role": "assistant", "content": answer.text or None, "refusal": None}
    if answer.tool:
        message["tool_calls"] = [_chat_tool(answer)]
    choice = {"index": 0, "message": message, "finish_reason": _chat_finish(answer), "logprobs": None}
    return {**_chat_head(answer, "chat.completion"), "choices": [choice], "usage": _chat_usage(answer)}


def chat_events(answer: Answer, *, usage: bool) -> Iterator[Event]:
    """Chunks of a chat stream; the last one has the usage and no choice, and is sent only if asked for."""

    def chunk(delta: Json, finish: str | None = None) -> Event:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        return None, {**head, "choices": [choice], **({"usage": None} if usage else {})}

    head = _chat_head(answer, "chat.completion.chunk")
    yield chunk({"role": "assistant", "content": ""})
    if answer.tool:
        yield chunk({"tool_calls": [{"index": 0, **_chat_tool(answer)}]})
    for piece in answer.pieces:
        yield chunk({"content": piece})
    yield chunk({}, _chat_finish(answer))
    if usage:
        yield None, {**head, "choices": [], "usage": _chat_usage(answer)}


def _chat_head(answer: Answer, kind: str) -> Json:
    return {"id": answer.id, "object": kind, "created": CREATED, "model": answer.model, "system_fingerprint": "fp_local"}


def _chat_tool(answer: Answer) -> Json:
    name, arguments = answer.tool or ("", "")
    return {"id": f"call_{answer.id}", "type": "function", "function": {"name": name, "arguments": arguments}}


def _chat_finish(answer: Answer) -> str:
    return "tool_calls" if answer.tool else "length" if answer.cut_short else "stop"


def _chat_usage(answer: Answer) -> Json:
    return {
        "prompt_tokens": answer.input,
        "completion_tokens": answer.output,
        "total_tokens": answer.input + answer.output,
        "prompt_tokens_details": {"cached_tokens": answer.cache_read, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": answer.reasoning, "audio_tokens": 0},
    }


def completion(answer: Answer) -> Json:
    """A ``text_completion``, OpenAI's older API."""
    choice = {"index": 0, "text": answer.text, "finish_reason": _chat_finish(answer), "logprobs": None}
    return {**_chat_head(answer, "text_completion"), "choices": [choice], "usage": _chat_usage(answer)}


def embeddings(model: str, inputs: list[str]) -> Json:
    """A list of embeddings with three dimensions each."""
    used = sum(map(tokens, inputs))
    data = [{"object": "embedding", "index": n, "embedding": [len(text) / 100, n / 100, 0.5]} for n, text in enumerate(inputs)]
    return {"object": "list", "data": data, "model": model, "usage": {"prompt_tokens": used, "total_tokens": used}}


# OpenAI Responses: https://platform.openai.com/docs/api-reference/responses/object


def response(answer: Answer, status: str = "completed") -> Json:
    """A ``response``; one in progress has neither output nor usage yet."""
    done = status != "in_progress"
    return {
        "id": answer.id,
        "object": "response",
        "created_at": CREATED,
        "status": "incomplete" if done and answer.cut_short else status,
        "incomplete_details": {"reason": "max_output_tokens"} if done and answer.cut_short else None,
        "model": answer.model,
        "output": [_response_item(answer, "completed")] if done else [],
        "usage": _response_usage(answer) if done else None,
        "error": None,
        "instructions": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "temperature": 1.0,
        "top_p": 1.0,
    }


def response_events(answer: Answer) -> Iterator[Event]:
    """Events of a Responses stream, numbered as the API does."""
    sequence = itertools.count()

    def event(kind: str, **fields: Any) -> Event:
        return kind, {"type": kind, "sequence_number": next(sequence), **fields}

    item = _response_item(answer, "completed")
    place = {"item_id": item["id"], "output_index": 0}
    yield event("response.created", response=response(answer, "in_progress"))
    yield event("response.in_progress", response=response(answer, "in_progress"))
    yield event("response.output_item.added", output_index=0, item=_response_item(answer, "in_progress"))
    if answer.tool:
        arguments = answer.tool[1]
        yield event("response.function_call_arguments.delta", **place, delta=arguments)
        yield event("response.function_call_arguments.done", **place, arguments=arguments, name=answer.tool[0])
    else:
        place["content_index"] = 0
        yield event("response.content_part.added", **place, part=_response_text(""))
        for piece in answer.pieces:
            yield event("response.output_text.delta", **place, delta=piece, logprobs=[])
        yield event("response.output_text.done", **place, text=answer.text, logprobs=[])
        yield event("response.content_part.done", **place, part=_response_text(answer.text))
    yield event("response.output_item.done", output_index=0, item=item)
    end = response(answer)
    yield event(f"response.{end['status']}", response=end)


def _response_item(answer: Answer, status: str) -> Json:
    done = status == "completed"
    if answer.tool:
        name, arguments = answer.tool
        call = {"id": f"fc_{answer.id}", "type": "function_call", "call_id": f"call_{answer.id}", "name": name, "status": status}
        return {**call, "arguments": arguments if done else ""}
    content = [_response_text(answer.text)] if done else []
    return {"id": f"msg_{answer.id}", "type": "message", "role": "assistant", "status": status, "content": content}


def _response_text(text: str) -> Json:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _response_usage(answer: Answer) -> Json:
    return {
        "input_tokens": answer.input,
        "input_tokens_details": {"cached_tokens": answer.cache_read},
        "output_tokens": answer.output,
        "output_tokens_details": {"reasoning_tokens": answer.reasoning},
        "total_tokens": answer.input + answer.output,
    }


# Anthropic messages: https://docs.anthropic.com/en/api/messages


def message(answer: Answer) -> Json:
    """A ``message``."""
    head = _message_head(answer)
    return {**head, "content": [_block(answer)], "stop_reason": _stop_reason(answer), "usage": _message_usage(answer, answer.output)}


def message_events(answer: Answer) -> Iterator[Event]:
    """Events of a message stream; output tokens in ``message_delta`` are cumulative, as the API documents."""

    def event(kind: str, **fields: Any) -> Event:
        return kind, {"type": kind, **fields}

    yield event("message_start", message={**_message_head(answer), "content": [], "stop_reason": None, "usage": _message_usage(answer, 1)})
    empty = {"type": "text", "text": ""} if not answer.tool else {**_block(answer), "input": {}}
    yield event("content_block_start", index=0, content_block=empty)
    yield event("ping")
    if answer.tool:
        yield event("content_block_delta", index=0, delta={"type": "input_json_delta", "partial_json": answer.tool[1]})
    for piece in answer.pieces:
        yield event("content_block_delta", index=0, delta={"type": "text_delta", "text": piece})
    yield event("content_block_stop", index=0)
    end = {"stop_reason": _stop_reason(answer), "stop_sequence": None}
    yield event("message_delta", delta=end, usage={"output_tokens": answer.output})
    yield event("message_stop")


def _message_head(answer: Answer) -> Json:
    return {"id": answer.id, "type": "message", "role": "assistant", "model": answer.model, "stop_sequence": None}


def _block(answer: Answer) -> Json:
    if answer.tool:
        return {"type": "tool_use", "id": f"toolu_{answer.id}", "name": answer.tool[0], "input": json.loads(answer.tool[1])}
    return {"type": "text", "text": answer.text}


def _stop_reason(answer: Answer) -> str:
    return "tool_use" if answer.tool else "max_tokens" if answer.cut_short else "end_turn"


def _message_usage(answer: Answer, output: int) -> Json:
    """``input_tokens`` leaves out what the cache wrote or gave: the three add up to the prompt."""
    return {
        "input_tokens": answer.input - answer.cache_read - answer.cache_write,
        "cache_read_input_tokens": answer.cache_read,
        "cache_creation_input_tokens": answer.cache_write,
        "cache_creation": {"ephemeral_5m_input_tokens": answer.cache_write, "ephemeral_1h_input_tokens": 0},
        "output_tokens": output,
        "service_tier": "standard",
    }
