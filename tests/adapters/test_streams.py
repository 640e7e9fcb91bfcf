"""Streams, event by event: text, tool calls, the end, usage wherever it comes, and what is hidden."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from spanledger.model import Response, State, Usage

USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


def chunk(delta: dict[str, Any] | None = None, *, index: int = 0, finish: str | None = None, **more: Any) -> dict[str, Any]:
    choices = [] if delta is None else [{"index": index, "delta": delta, "finish_reason": finish}]
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m-1", "choices": choices, **more}


def test_chat_text_and_usage_chunk(ask: Any) -> None:
    events = [chunk({"role": "assistant", "content": ""}), chunk({"content": "he"}), chunk({"content": "llo"}), chunk({}, finish="stop")]
    told, hidden = ask.stream("chat", [*events, chunk(usage=USAGE)])
    assert (told.text, told.finish_reasons, told.complete) == (["he", "llo"], ["stop"], True)
    assert (told.id, told.model) == ("c1", "m-1")
    assert asdict(told.usage) == asdict(Usage(7, 3))
    assert hidden == [False, False, False, False, True]


def test_an_abandoned_stream_is_not_complete(ask: Any) -> None:
    told, hidden = ask.stream("chat", [chunk({"content": "he"})])
    assert (told.text, told.usage, told.complete, hidden) == (["he"], None, False, [False])


def test_azure_begins_with_a_chunk_without_choices(ask: Any) -> None:
    first = {**chunk(prompt_filter_results=[]), "id": "", "model": ""}
    told, hidden = ask.stream("chat", [first, chunk({"content": "x"}, finish="stop")])
    assert (told.id, told.model, hidden) == ("c1", "m-1", [False, False])


def test_several_choices_are_complete_when_all_have_finished(ask: Any) -> None:
    begun = [chunk({"content": "a"}), chunk({"content": "b"}, index=1), chunk({}, finish="stop")]
    assert not ask.stream("chat", begun)[0].complete
    told, _ = ask.stream("chat", [*begun, chunk({}, index=1, finish="length")])
    assert (told.complete, told.finish_reasons) == (True, ["stop", "length"])


@pytest.mark.parametrize(
    ("delta", "text"),
    [
        ({"reasoning_content": "hm"}, ["hm"]),
        ({"content": "", "reasoning": "hm", "reasoning_details": [{"type": "reasoning.text", "text": "hm"}]}, ["hm"]),
        ({"reasoning": "hm", "reasoning_content": "hm"}, ["hm"]),
        ({"refusal": "no"}, ["no"]),
        ({"tool_calls": [{"index": 0, "id": "1", "function": {"name": "find", "arguments": ""}}]}, ["find"]),
        ({"tool_calls": [{"index": 0, "function": {"arguments": '{"a"'}}]}, ['{"a"']),
        ({"function_call": {"name": "find", "arguments": "{}"}}, ["find", "{}"]),
        ({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "so"}]}, ["so", "hm"]),
        ({"role": "assistant", "token_id": 5}, []),
    ],
)
def test_what_the_model_wrote(ask: Any, delta: dict[str, Any], text: list[str]) -> None:
    assert sorted(ask.stream("chat", [chunk(delta)])[0].text) == sorted(text)


@pytest.mark.parametrize(
    "last",
    [
        chunk({}, finish="stop", x_groq={"id": "1", "usage": USAGE}),
        chunk({}, finish="stop", usage=USAGE),
        {**chunk(), "choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "usage": USAGE}]},
    ],
    ids=["groq", "mistral", "moonshot"],
)
def test_usage_in_the_last_chunk_is_not_hidden(ask: Any, last: dict[str, Any]) -> None:
    told, hidden = ask.stream("chat", [chunk({"content": "x"}), last])
    assert asdict(told.usage) == asdict(Usage(7, 3))
    assert hidden == [False, False]


def test_usage_in_every_chunk_is_cumulative(ask: Any) -> None:
    growing = [chunk({"content": "x"}, usage={**USAGE, "completion_tokens": n, "total_tokens": 7 + n}) for n in (1, 2, 3)]
    assert asdict(ask.stream("chat", growing)[0].usage) == asdict(Usage(7, 3))


def test_usage_ahead_of_the_answer_is_not_its_end(ask: Any) -> None:
    """Some servers tell the input first; who stops reading after that has received more than the 0 it tells of the output."""
    first = chunk(usage={"prompt_tokens": 7, "completion_tokens": 0, "total_tokens": 7})
    begun = [first, chunk({"content": "he"})]
    told, _ = ask.stream("chat", begun)
    assert (told.usage.input, told.text, told.complete) == (7, ["he"], False)
    told, _ = ask.stream("chat", [*begun, chunk({}, finish="stop")])  # and nothing more of it: the 0 is not what was received
    assert not told.complete
    told, _ = ask.stream("chat", [*begun, chunk({}, finish="stop", usage=USAGE)])
    assert (told.usage.output, told.complete) == (3, True)
    told, _ = ask.stream("chat", [*begun, chunk({}, finish="stop"), chunk(usage=USAGE)])
    assert (told.usage.output, told.complete) == (3, True)


def test_usage_of_an_answer_without_a_reason_to_finish_is_its_end(ask: Any) -> None:
    told, _ = ask.stream("chat", [chunk({"content": "he"}), chunk(usage=USAGE)])
    assert told.complete


@pytest.mark.parametrize(
    "last",
    [
        [chunk({}, finish="stop", service_tier="priority"), chunk(usage=USAGE)],  # OpenRouter
        [chunk({}, finish="stop", service_tier="priority", usage=USAGE)],  # OpenRouter, Vercel
        [chunk({}, finish="stop"), chunk(usage=USAGE, service_tier="priority")],  # Groq
    ],
)
def test_the_tier_that_served_may_be_told_at_the_end(ask: Any, last: list[Any]) -> None:
    told, _ = ask.stream("chat", [chunk({"content": "he"}), chunk({"content": "llo"}), *last])
    assert told.context == {"service_tier": "priority"}
    told, _ = ask.stream("chat", [chunk({"content": "he"}, service_tier="default"), *last])
    assert told.context == {"service_tier": "priority"}


def test_an_empty_usage_does_not_undo_an_earlier_one(ask: Any) -> None:
    assert ask.stream("chat", [chunk({"content": "x"}, usage=USAGE), chunk({}, usage={})])[0].usage.output == 3


def test_legacy_completion(ask: Any) -> None:
    def piece(text: str, finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "text": text, "finish_reason": finish, "logprobs": None}
        return {"id": "t1", "object": "text_completion", "created": 1, "model": "m-1", "choices": [choice]}

    told, hidden = ask.stream("completions", [piece("he"), piece("llo", "stop"), {**piece(""), "choices": [], "usage": USAGE}])
    assert (told.text, told.complete, told.usage.total, hidden) == (["he", "llo"], True, 10, [False, False, True])


RESPONSE = {"id": "r1", "object": "response", "model": "m-1", "status": "in_progress", "output": [], "usage": None, "service_tier": "auto"}
DONE = {**RESPONSE, "status": "completed", "service_tier": "default", "usage": {"input_tokens": 7, "output_tokens": 3}}


def test_responses(ask: Any) -> None:
    call = {"type": "function_call", "id": "f", "call_id": "f", "name": "find", "arguments": ""}
    events = [
        {"type": "response.created", "response": RESPONSE, "sequence_number": 0},
        {"type": "response.reasoning_summary_text.delta", "delta": "hm", "sequence_number": 1},
        {"type": "response.output_text.delta", "delta": "he", "sequence_number": 2},
        {"type": "response.output_item.added", "item": call, "output_index": 1, "sequence_number": 3},
        {"type": "response.function_call_arguments.delta", "delta": "{}", "sequence_number": 4},
        {"type": "response.output_text.done", "text": "he", "sequence_number": 5},
        {"type": "response.audio.delta", "delta": "AAAA", "sequence_number": 6},
    ]
    told, _ = ask.stream("responses", events)
    assert (told.id, told.model, told.status, told.usage, told.complete) == ("r1", "m-1", "in_progress", None, False)
    assert told.text == ["hm", "he", "find", "{}"]
    told, hidden = ask.stream("responses", [*events, {"type": "response.completed", "response": DONE, "sequence_number": 7}])
    assert (told.status, told.finish_reasons, told.complete, told.context) == (
        "completed",
        ["completed"],
        True,
        {"service_tier": "default"},
    )
    assert asdict(told.usage) == asdict(Usage(7, 3))
    assert told.text == ["hm", "he", "find", "{}"]
    assert not any(hidden)


@pytest.mark.parametrize("kind", ["incomplete", "failed"])
def test_responses_that_end_otherwise(ask: Any, kind: str) -> None:
    ended = {**DONE, "status": kind, "incomplete_details": {"reason": "max_output_tokens"} if kind == "incomplete" else None}
    told, _ = ask.stream("responses", [{"type": f"response.{kind}", "response": ended, "sequence_number": 0}])
    assert (told.status, told.complete, told.usage.output) == (kind, True, 3)
    assert told.finish_reasons == ["max_output_tokens" if kind == "incomplete" else "failed"]


SEARCH = {"type": "web_search_call", "id": "s", "status": "completed", "action": {"type": "search", "query": "q"}}


@pytest.mark.parametrize(("kind", "status"), [("done", "completed"), ("cancelled", "cancelled")])
def test_responses_that_end_with_an_event_of_a_gateways_own(ask: Any, kind: str, status: str) -> None:
    said = {"type": "response.output_text.delta", "delta": "he", "sequence_number": 0}
    ended = {"type": f"response.{kind}", "response": {**DONE, "status": status}, "sequence_number": 2}
    told, _ = ask.stream("responses", [said, ended])
    assert (told.complete, told.finish_reasons, told.usage.total, told.text) == (True, [status], 10, ["he"])
    assert not ask.stream("responses", [said, {"type": f"response.{kind}"}])[0].complete
    completed = {"type": "response.completed", "response": {**DONE, "output": [SEARCH]}, "sequence_number": 1}
    without = {**ended, "response": {**DONE, "output": [SEARCH], "usage": None}}
    told, _ = ask.stream("responses", [said, completed, without])
    assert told.usage.tools == {"web_search": 1}


def start(**usage: Any) -> dict[str, Any]:
    message = {"id": "a1", "type": "message", "role": "assistant", "model": "m-1", "content": [], "stop_reason": None, "usage": usage}
    return {"type": "message_start", "message": message}


def delta(**usage: Any) -> dict[str, Any]:
    return {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": usage}


BLOCKS = [
    {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "AAAA"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "ping"},
    {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "he"}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "llo"}},
    {"type": "content_block_stop", "index": 1},
    {"type": "content_block_start", "index": 2, "content_block": {"type": "tool_use", "id": "t1", "name": "find", "input": {}}},
    {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": '{"a":'}},
    {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": "1}"}},
    {"type": "content_block_stop", "index": 2},
]
STOP = {"type": "message_stop"}


def test_anthropic_counts_are_cumulative(ask: Any) -> None:
    begin = start(input_tokens=25, output_tokens=1, cache_read_input_tokens=32, cache_creation_input_tokens=0, service_tier="standard")
    told, _ = ask.stream("messages", [begin, *BLOCKS, delta(output_tokens=15), STOP])
    assert asdict(told.usage) == asdict(Usage(57, 15, 32, 0))
    assert told.text == ["hm", "he", "llo", "find", '{"a":', "1}"]
    assert (told.id, told.model, told.finish_reasons, told.complete) == ("a1", "m-1", ["end_turn"], True)
    assert told.context == {"service_tier": "standard"}


def test_what_an_anthropic_price_depends_on_may_be_told_in_parts(ask: Any) -> None:
    begin = start(input_tokens=25, output_tokens=1, service_tier="priority", inference_geo="us")
    told, _ = ask.stream("messages", [begin, *BLOCKS, delta(output_tokens=15, speed="fast", service_tier="standard"), STOP])
    assert told.context == {"service_tier": "standard", "inference_geo": "us", "speed": "fast"}


@pytest.mark.parametrize(
    ("api", "events"),
    [
        ("messages", [start(input_tokens=7, output_tokens=1), *BLOCKS, {**delta(), "usage": None}, STOP]),
        ("chat", [chunk({"content": "hello there"}, usage={"prompt_tokens": 7}), chunk({}, finish="stop", usage={"prompt_tokens": 7})]),
    ],
)
def test_a_stream_that_never_told_its_output_is_estimated(make_house: Any, ask: Any, api: str, events: list[Any]) -> None:
    house = make_house()
    ask.loopback.events(events)
    for _ in ask.call(api, stream=True)[1]:
        pass
    (entry,) = house.entries
    assert (entry.usage.state, entry.usage.input) == (State.ESTIMATED, 7)
    assert entry.usage.output > 0


def test_anthropic_input_may_grow_with_server_tools(ask: Any) -> None:
    split = {"ephemeral_5m_input_tokens": 2, "ephemeral_1h_input_tokens": 8}
    begin = start(input_tokens=25, output_tokens=1, cache_read_input_tokens=32, cache_creation_input_tokens=10, cache_creation=split)
    end = delta(
        input_tokens=100,
        output_tokens=15,
        cache_read_input_tokens=40,
        cache_creation_input_tokens=10,
        server_tool_use={"web_search_requests": 1},
    )
    told, _ = ask.stream("messages", [begin, end, STOP])
    assert asdict(told.usage) == asdict(Usage(150, 15, 40, 2, 8, tools={"web_search": 1}))


def cached(total: int, short: int | None = None, hour: int | None = None) -> dict[str, Any]:
    split = {"cache_creation": {"ephemeral_5m_input_tokens": short, "ephemeral_1h_input_tokens": hour}} if short is not None else {}
    return {"cache_creation_input_tokens": total, **split}


@pytest.mark.parametrize(
    ("first", "later", "written", "state"),
    [
        (cached(10, 0, 10), [cached(30)], (0, 30), State.EXACT),
        (cached(10, 10, 0), [cached(30)], (30, 0), State.EXACT),
        (cached(10, 2, 8), [cached(10)], (2, 8), State.EXACT),
        (cached(10, 2, 8), [cached(30)], (22, 8), State.ESTIMATED),
        (cached(10, 2, 8), [cached(30), cached(30)], (22, 8), State.ESTIMATED),
        (cached(10, 2, 8), [cached(30), cached(30, 5, 25)], (5, 25), State.EXACT),
        (cached(10, 0, 10), [cached(30, 20, 10)], (20, 10), State.EXACT),
        (cached(10, 0, 10), [cached(20), cached(30)], (0, 30), State.EXACT),
        (cached(0, 0, 0), [cached(30)], (30, 0), State.EXACT),  # the default lifetime
        (cached(10), [cached(30)], (30, None), State.EXACT),
    ],
)
def test_anthropic_cache_writes_may_grow_in_a_stream(
    ask: Any, first: Any, later: list[Any], written: tuple[int, int | None], state: State
) -> None:
    ends = [delta(output_tokens=15, **more) for more in later]
    told, _ = ask.stream("messages", [start(input_tokens=25, output_tokens=1, **first), *ends, STOP])
    total = later[-1]["cache_creation_input_tokens"]
    assert asdict(told.usage) == asdict(Usage(25 + total, 15, None, *written, state=state))


def test_a_gateway_before_anthropic_streams_usage_with_the_last_choice(ask: Any) -> None:
    usage = {
        "completion_tokens": 50, "prompt_tokens": 20, "cache_read_input_tokens": 100000, "cache_creation_input_tokens": 0, "total_tokens": 100070,
    }  # fmt: skip
    told, _ = ask.stream("chat", [chunk({"content": "he"}), chunk({}, finish="end_turn", usage=usage)])
    assert asdict(told.usage) == asdict(Usage(100020, 50, 100000, 0))


def test_anthropic_abandoned_stream_knows_its_input_but_not_its_output(ask: Any) -> None:
    told, _ = ask.stream("messages", [start(input_tokens=25, output_tokens=1, cache_read_input_tokens=32), *BLOCKS[:7]])
    assert (told.usage.input, told.usage.output, told.complete, told.text) == (57, None, False, ["hm", "he"])


def test_anthropic_compaction_in_a_stream_is_added_once(ask: Any) -> None:
    compaction = {
        "type": "compaction",
        "input_tokens": 100,
        "output_tokens": 5,
        "cache_read_input_tokens": 0,
        "cache_creation_input_tokens": 0,
    }
    end = delta(input_tokens=25, output_tokens=15, iterations=[compaction])
    told, _ = ask.stream("messages", [start(input_tokens=25, output_tokens=1), end, STOP])
    assert (told.usage.input, told.usage.output) == (125, 20)
    early = {**delta(output_tokens=9, iterations=[compaction]), "delta": {"stop_reason": None, "stop_sequence": None}}
    for last in (end, delta(output_tokens=15)):
        again, _ = ask.stream("messages", [start(input_tokens=25, output_tokens=1), early, last, STOP])
        assert again.usage == told.usage


def test_anthropic_errors_come_as_events_of_a_raw_stream(reader: Any) -> None:
    told = Response()
    reader("anthropic", "Messages.create").chunk({"type": "error", "error": {"type": "overloaded_error", "message": "the prompt"}}, told)
    assert told.error_type == "overloaded_error"


def test_gateways_send_errors_without_a_type_into_a_raw_stream(reader: Any) -> None:
    told = Response()
    reader("openai", "Responses.create").chunk({"error": {"code": 502, "message": "the prompt"}}, told)
    assert told.error_type == "502"


def test_output_is_built_from_pieces(ask: Any) -> None:
    told, _ = ask.stream("messages", [start(input_tokens=1, output_tokens=1), *BLOCKS, delta(output_tokens=2), STOP], capture=True)
    parts = [
        {"type": "reasoning", "content": "hm"},
        {"type": "text", "content": "hello"},
        {"type": "tool_call", "id": "t1", "name": "find", "arguments": '{"a":1}'},
    ]
    assert told.output == [{"role": "assistant", "parts": parts, "finish_reason": "end_turn"}]
    calls = [{"index": 0, "id": "t1", "type": "function", "function": {"name": "find", "arguments": '{"a":'}}]
    more = [{"index": 1, "id": "t2", "type": "function", "function": {"name": "look", "arguments": "{}"}}]
    rest = [{"index": 0, "function": {"arguments": "1}"}}]
    pieces = [{"reasoning": "hm"}, {"content": "he"}, {"content": "llo"}, {"tool_calls": calls}, {"tool_calls": more}, {"tool_calls": rest}]
    told, _ = ask.stream("chat", [*(chunk(piece) for piece in pieces), chunk({}, finish="tool_calls")], capture=True)
    parts.append({"type": "tool_call", "id": "t2", "name": "look", "arguments": "{}"})
    assert told.output == [{"role": "assistant", "parts": parts, "finish_reason": "tool_calls"}]


def test_output_of_responses_is_the_final_one(ask: Any) -> None:
    piece = {"type": "response.output_text.delta", "delta": "he", "sequence_number": 0}
    told, _ = ask.stream("responses", [piece], capture=True)
    assert told.output == [{"role": "assistant", "parts": [{"type": "text", "content": "he"}], "finish_reason": ""}]
    item = {
        "type": "message",
        "id": "1",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": "hello", "annotations": []}],
    }
    told, _ = ask.stream(
        "responses", [piece, {"type": "response.completed", "response": {**DONE, "output": [item]}, "sequence_number": 1}], capture=True
    )
    assert told.output == [{"role": "assistant", "parts": [{"type": "text", "content": "hello"}], "finish_reason": "completed"}]
