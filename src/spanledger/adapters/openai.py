"""The ``openai`` client, which also talks to Azure and to every provider with a compatible endpoint."""

from __future__ import annotations

from functools import partial

from spanledger.adapters._messages import chat_input, prompt_input, responses_input
from spanledger.adapters._openai_request import ReadRequest, chat_prepare, chat_stream_prepare, prepare
from spanledger.adapters._openai_shape import any_chunk, chat_chunk, chat_response, embeddings_response
from spanledger.adapters._responses_shape import responses_chunk, responses_response
from spanledger.adapters._sent import never_sent
from spanledger.engine.adapter import Adapter, Reader, Target
from spanledger.model import Activity

_reader = partial(Reader, never_sent=never_sent)
_CHAT = ("messages", "tools", "functions", "response_format")
_RESPONSES = ("input", "instructions", "tools", "text", "text_format")


def _chat(*, streaming: bool) -> Reader:
    request = ReadRequest("chat", _CHAT, "chat_completions", streaming=streaming)
    return _reader(request.read, chat_response, chat_chunk, chat_stream_prepare if streaming else chat_prepare, chat_input)


def _responses(operation: str = "chat", *, streaming: bool = False) -> Reader:
    request = ReadRequest(operation, _RESPONSES, "responses", streaming=streaming)
    return _reader(request.read, responses_response, responses_chunk, prepare, responses_input)


def _both(path: str, reader: Reader, *, tap: str | None = None, since: str = "0") -> tuple[Target, ...]:
    """``module:Class.method``, and the same of the asynchronous class."""
    module, _, name = path.partition(":")
    return tuple(Target(f"openai.resources.{module}", prefix + name, reader, tap=tap, since=since) for prefix in ("", "Async"))


CHAT, CHAT_STREAM = _chat(streaming=False), _chat(streaming=True)
RESPONSES, RESPONSES_STREAM, FETCH = _responses(), _responses(streaming=True), _responses("fetch_response")
COMPLETIONS = _reader(ReadRequest("text_completion", ("prompt", "suffix")).read, chat_response, any_chunk, chat_prepare, prompt_input)
EMBEDDINGS = _reader(ReadRequest("embeddings", ("input",), activity=Activity.EMBEDDING).read, embeddings_response, any_chunk, prepare)
DECISIONS = _reader(
    ReadRequest("chat", ("input", "questions"), activity=Activity.CLASSIFICATION).read, responses_response, responses_chunk, prepare
)
_TAP = "_raw_stream"
_GONE = "999"
"""Moved to ``chat.completions`` in 1.92, so its absence never is an error."""

ADAPTER = Adapter(
    name="openai",
    requires="openai >= 1.66",
    targets=(
        *_both("chat.completions.completions:Completions.create", CHAT),
        *_both("chat.completions.completions:Completions.parse", CHAT, since="1.92"),
        *_both("chat.completions.completions:Completions.stream", CHAT_STREAM, tap=_TAP, since="1.92"),
        *_both("beta.chat.completions:Completions.parse", CHAT, since=_GONE),
        *_both("beta.chat.completions:Completions.stream", CHAT_STREAM, tap=_TAP, since=_GONE),
        *_both("responses.responses:Responses.create", RESPONSES),
        *_both("responses.responses:Responses.parse", RESPONSES),
        *_both("responses.responses:Responses.stream", RESPONSES_STREAM, tap=_TAP),
        *_both("responses.responses:Responses.retrieve", FETCH),
        *_both("responses.responses:Responses.compact", RESPONSES, since="2.24"),
        *_both("beta.responses.responses:Responses.create", RESPONSES, since="3.54"),
        *_both("beta.responses.responses:Responses.retrieve", FETCH, since="3.54"),
        *_both("beta.responses.responses:Responses.compact", RESPONSES, since="3.54"),
        *_both("completions:Completions.create", COMPLETIONS),
        *_both("embeddings:Embeddings.create", EMBEDDINGS),
        *_both("decisions:Decisions.create", DECISIONS, since="3.54"),
    ),
)
