"""The local provider, asked by the real clients: what it says is what they understand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anthropic
import openai
import pytest
from wire_formats import ANSWER, REASONING, tokens

if TYPE_CHECKING:
    from local_provider import LocalProvider

QUESTION = "What is the capital of France?"
ASK = [{"role": "user", "content": QUESTION}]
SEARCH = {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]}


@pytest.fixture
def gpt(provider: LocalProvider) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{provider.url}/v1", api_key="local", max_retries=0)


@pytest.fixture
def claude(provider: LocalProvider) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=provider.url, api_key="local", max_retries=0)


def test_chat_counts_one_token_for_every_four_characters(gpt: openai.OpenAI) -> None:
    answer = gpt.chat.completions.create(model="gpt-4o-mini", messages=ASK)

    assert answer.choices[0].message.content == ANSWER + QUESTION
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.prompt_tokens == tokens(QUESTION) == 8
    assert answer.usage.completion_tokens == tokens(ANSWER + QUESTION)
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_an_answer_stops_at_the_request_s_limit(gpt: openai.OpenAI, claude: anthropic.Anthropic) -> None:
    short = gpt.chat.completions.create(model="gpt-4o-mini", messages=ASK, max_tokens=5)
    cut = claude.messages.create(model="claude-haiku-4-5", messages=ASK, max_tokens=5)

    assert (short.usage.completion_tokens, short.choices[0].finish_reason) == (5, "length")
    assert (cut.usage.output_tokens, cut.stop_reason) == (5, "max_tokens")


@pytest.mark.parametrize("asked", [True, False])
def test_a_chat_stream_has_usage_only_when_asked(gpt: openai.OpenAI, asked: bool) -> None:
    options = {"stream_options": {"include_usage": True}} if asked else {}
    chunks = list(gpt.chat.completions.create(model="gpt-4o-mini", messages=ASK, stream=True, **options))

    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == ANSWER + QUESTION
    assert [chunk.usage.completion_tokens for chunk in chunks if chunk.usage] == ([tokens(text)] if asked else [])


def test_responses_whole_and_streamed_say_the_same(gpt: openai.OpenAI) -> None:
    whole = gpt.responses.create(model="gpt-5-mini", input=QUESTION)
    with gpt.responses.stream(model="gpt-5-mini", input=QUESTION) as stream:
        deltas = [event.delta for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()

    assert whole.output_text == final.output_text == "".join(deltas) == ANSWER + QUESTION
    assert whole.usage == final.usage
    assert whole.usage.input_tokens == 8


def test_messages_whole_and_streamed_say_the_same(claude: anthropic.Anthropic) -> None:
    asked = {"model": "claude-haiku-4-5", "messages": ASK, "max_tokens": 100, "system": "Be brief."}
    whole = claude.messages.create(**asked)
    with claude.messages.stream(**asked) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()

    assert whole.content[0].text == text == ANSWER + QUESTION
    assert final.usage.output_tokens == whole.usage.output_tokens == tokens(text)
    assert whole.usage.input_tokens == tokens("Be brief.") + tokens(QUESTION)


def test_embeddings_and_completions(gpt: openai.OpenAI) -> None:
    embedded = gpt.embeddings.create(model="text-embedding-3-small", input=["four", "eight ch"], encoding_format="float")
    completed = gpt.completions.create(model="gpt-3.5-turbo-instruct", prompt=QUESTION, max_tokens=100)

    assert (len(embedded.data), embedded.usage.prompt_tokens) == (2, 3)
    assert completed.choices[0].text == ANSWER + QUESTION


def test_a_tool_is_called_once_and_its_result_answered(gpt: openai.OpenAI, claude: anthropic.Anthropic) -> None:
    tool = {"type": "function", "function": {"name": "search", "parameters": SEARCH}}
    call = gpt.chat.completions.create(model="gpt-4o-mini", messages=ASK, tools=[tool]).choices[0].message
    result = {"role": "tool", "tool_call_id": call.tool_calls[0].id, "content": "Paris"}
    second = gpt.chat.completions.create(model="gpt-4o-mini", messages=[*ASK, call.model_dump(), result], tools=[tool])
    use = claude.messages.create(
        model="claude-haiku-4-5", messages=ASK, max_tokens=50, tools=[{"name": "search", "input_schema": SEARCH}]
    ).content[0]

    assert call.tool_calls[0].function.name == "search"
    assert call.tool_calls[0].function.arguments == '{"query": "What is the capital of France?"}'
    assert second.choices[0].message.content == ANSWER + QUESTION
    assert (use.name, use.input) == ("search", {"query": QUESTION})


def test_a_cached_prompt_is_written_once_and_then_read(claude: anthropic.Anthropic) -> None:
    system = [{"type": "text", "text": "x" * 400, "cache_control": {"type": "ephemeral"}}]
    first, second = (claude.messages.create(model="claude-haiku-4-5", system=system, messages=ASK, max_tokens=5).usage for _ in range(2))

    assert (first.cache_creation_input_tokens, first.cache_read_input_tokens, first.input_tokens) == (100, 0, 8)
    assert (second.cache_creation_input_tokens, second.cache_read_input_tokens, second.input_tokens) == (0, 100, 8)


def test_reasoning_is_part_of_the_output(gpt: openai.OpenAI) -> None:
    usage = gpt.chat.completions.create(model="reasoner", messages=ASK).usage

    assert usage.completion_tokens_details.reasoning_tokens == REASONING
    assert usage.completion_tokens == REASONING + tokens(ANSWER + QUESTION)


def test_errors_are_the_ones_the_clients_know(gpt: openai.OpenAI, claude: anthropic.Anthropic) -> None:
    with pytest.raises(openai.InternalServerError, match="asked to fail with 503"):
        gpt.chat.completions.create(model="error-503", messages=ASK)
    with pytest.raises(openai.RateLimitError) as limited:
        gpt.chat.completions.create(model="rate-limit", messages=ASK)
    with pytest.raises(anthropic.APIStatusError) as overloaded:
        claude.messages.create(model="error-529", messages=ASK, max_tokens=5)

    assert limited.value.response.headers["retry-after"] == "0"
    assert overloaded.value.status_code == 529


def test_a_flaky_model_is_answered_on_the_client_s_retry(provider: LocalProvider, gpt: openai.OpenAI) -> None:
    answer = gpt.with_options(max_retries=1).chat.completions.create(
        model="gpt-4o-mini", messages=ASK, extra_headers={"x-behaviour": "flaky"}
    )

    assert answer.choices[0].finish_reason == "stop"
    assert len(provider.requests) == 2


def test_a_cut_stream_ends_in_the_middle(gpt: openai.OpenAI) -> None:
    read: list[str] = []

    def read_all() -> None:
        for chunk in gpt.chat.completions.create(model="cut", messages=ASK, stream=True):
            read.append(chunk.choices[0].delta.content or "")  # noqa: PERF401  # what was read before the cut is the point

    with pytest.raises(Exception, match=r"incomplete chunked read|Connection error"):
        read_all()

    assert "".join(read)
    assert (ANSWER + QUESTION).startswith("".join(read))


def test_nonsense_is_no_json_and_slow_exceeds_a_timeout(gpt: openai.OpenAI) -> None:
    nonsense = gpt.chat.completions.with_raw_response.create(model="nonsense", messages=ASK)
    assert nonsense.text.startswith("<html>")
    with pytest.raises(openai.APITimeoutError):
        gpt.with_options(timeout=0.2).chat.completions.create(model="slow-2", messages=ASK)


def test_the_log_keeps_requests_but_no_credentials(provider: LocalProvider, gpt: openai.OpenAI, claude: anthropic.Anthropic) -> None:
    gpt.chat.completions.create(model="gpt-4o-mini", messages=ASK)
    claude.messages.create(model="claude-haiku-4-5", messages=ASK, max_tokens=5)

    assert [request["path"] for request in provider.requests] == ["/v1/chat/completions", "/v1/messages"]
    assert provider.requests[0]["body"]["messages"] == ASK
    assert "local" not in {value for request in provider.requests for value in request["headers"].values()}
    assert "Bearer local" not in str(provider.requests)
