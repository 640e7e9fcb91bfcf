"""What is read from the arguments of a call, and what is changed in them."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import anthropic
import openai
import pytest
from anthropic import AnthropicVertex
from hypothesis import given
from hypothesis import strategies as st
from openai.resources import Completions as LegacyCompletions
from openai.resources.chat import Completions
from pydantic import BaseModel

from spanledger.adapters import _hosts
from spanledger.model import Activity
from spanledger.pricing.estimate import estimate_input

CHAT = ("openai", "Completions.create")
CALLS = st.dictionaries(
    st.sampled_from(["messages", "input", "tools", "model", "stream", "stream_options", "system", "prompt", "extra_body", "n", "stop", "text"]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.just(openai.NOT_GIVEN) | st.just(openai.omit if hasattr(openai, "omit") else None),
        lambda inner: st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "include_usage", "id"]), inner, max_size=3),
        max_leaves=6,
    ),
)  # fmt: skip


@pytest.fixture(
    scope="session", params=[CHAT, ("openai", "Responses.create"), ("openai", "Embeddings.create"), ("anthropic", "Messages.create")]
)
def any_reader(request: Any, reader: Any) -> Any:
    return reader(*request.param)


def test_chat(reader: Any, openai_client: openai.OpenAI) -> None:
    messages, tools = [{"role": "user", "content": "hi"}], [{"type": "function", "function": {"name": "f"}}]
    arguments = {
        "model": "gpt-4o", "messages": messages, "tools": tools, "stream": True, "max_completion_tokens": 9, "max_tokens": 5, "n": 2,
        "temperature": 0, "top_p": 0.5, "seed": 7, "stop": "END", "response_format": {"type": "json_object"}, "reasoning_effort": "low",
        "service_tier": "flex", "extra_body": {"top_k": 4}, "presence_penalty": openai.NOT_GIVEN, "frequency_penalty": None, "user": "u",
    }  # fmt: skip
    read = reader(*CHAT, module="chat").request(openai_client.chat.completions, (), arguments)
    assert (read.operation, read.activity, read.model, read.stream, read.max_output, read.choices) == (
        "chat",
        Activity.LLM,
        "gpt-4o",
        True,
        9,
        2,
    )
    assert read.params == {
        "gen_ai.request.temperature": 0.0, "gen_ai.request.top_p": 0.5, "gen_ai.request.seed": 7, "gen_ai.request.top_k": 4,
        "gen_ai.request.choice.count": 2, "gen_ai.request.stop_sequences": ("END",), "gen_ai.output.type": "json",
        "gen_ai.request.reasoning.level": "low", "openai.request.service_tier": "flex", "openai.api.type": "chat_completions",
    }  # fmt: skip
    assert type(read.params["gen_ai.request.temperature"]) is float, "as the conventions say"
    assert read.context == {"service_tier": "flex"}
    assert read.content[0] is messages
    assert read.content[1] is tools
    assert (read.provider, read.server_address, read.server_port) == ("openai", "127.0.0.1", openai_client.base_url.port)
    assert not read.ask_usage


def test_only_what_was_given_becomes_input(reader: Any, openai_client: openai.OpenAI) -> None:
    messages = [{"role": "user", "content": "hi"}]
    arguments = {
        "messages": messages,
        "tools": openai.NOT_GIVEN,
        "functions": [],
        "response_format": None,
        "max_completion_tokens": openai.NOT_GIVEN,
    }
    read = reader(*CHAT, module="chat").request(
        openai_client.chat.completions, (), {**arguments, "max_tokens": 0, "service_tier": openai.NOT_GIVEN}
    )
    assert (read.content, read.max_output, read.context, read.choices) == ((messages, []), 0, None, 1)


BOUNDS = st.sampled_from([None, openai.NOT_GIVEN, 0, -1, 12, 12.0, 2**70, "12", True, float("nan")])


@given(BOUNDS, BOUNDS, BOUNDS)
def test_the_bound_is_the_first_count_that_was_given(reader: Any, newest: Any, other: Any, oldest: Any) -> None:
    bounds = {"max_completion_tokens": newest, "max_output_tokens": other, "max_tokens": oldest}
    read = reader(*CHAT, module="chat").request(None, (), bounds)
    assert read.max_output == next((int(told) for told in bounds.values() if told is not True and told in {0, 12}), None)


def test_of_many_clients_each_has_its_own_endpoint_and_few_are_remembered() -> None:
    hosts = {"x_ai": "api.x.ai", "groq": "api.groq.com", "openai": "api.openai.com"}
    for provider, host in list(hosts.items()) * 300:  # short-lived: the id of one's URL is soon another's
        instance = SimpleNamespace(_client=SimpleNamespace(base_url=SimpleNamespace(host=host, scheme="https", path="/v1")))
        assert _hosts.endpoint(instance, "none").provider == provider
    assert len(_hosts._known) <= 256


def test_clients_of_two_kinds_may_share_a_url() -> None:
    azure, plain = openai.AzureOpenAI(api_key="test", api_version="1", base_url="https://example.com/v1"), openai.OpenAI(api_key="test")
    plain._base_url = azure._base_url
    found = [_hosts.endpoint(client.chat, default).provider for client in (azure, plain, azure) for default in ("openai", "other")]
    assert found == ["azure.ai.openai", "azure.ai.openai", "openai", "other", "azure.ai.openai", "azure.ai.openai"]


def test_responses(reader: Any, openai_client: openai.OpenAI) -> None:
    class Answer(BaseModel):
        text: str

    arguments = {
        "model": "gpt-5", "input": "hi", "instructions": "be brief", "text_format": Answer, "reasoning": {"effort": "high"}, "max_output_tokens": 9,
        "previous_response_id": "r0", "conversation": {"id": "conv1"},
    }  # fmt: skip
    read = reader("openai", "Responses.parse").request(openai_client.responses, (), arguments)
    assert read.params == {
        "gen_ai.output.type": "json", "gen_ai.request.reasoning.level": "high", "gen_ai.request.previous_response.id": "r0",
        "gen_ai.conversation.id": "conv1", "openai.api.type": "responses",
    }  # fmt: skip
    assert (read.max_output, read.content, read.continues) == (9, ("hi", "be brief", Answer), "r0")
    fetched = reader("openai", "Responses.retrieve").request(openai_client.responses, ("r1",), {"stream": True, "starting_after": 3})
    assert (fetched.operation, fetched.stream, fetched.params["gen_ai.request.stream_cursor"]) == ("fetch_response", True, "3")
    resumed = reader("openai", "Responses.stream").request(openai_client.responses, (), {"response_id": "r1"})
    assert (resumed.operation, resumed.stream) == ("fetch_response", True)


def test_embeddings_and_legacy_completions(reader: Any, openai_client: openai.OpenAI) -> None:
    arguments = {"model": "e", "input": ["a", "b"], "dimensions": 64, "encoding_format": "float"}
    read = reader("openai", "Embeddings.create").request(openai_client.embeddings, (), arguments)
    assert (read.operation, read.activity, read.max_output) == ("embeddings", Activity.EMBEDDING, None)
    assert read.params == {"gen_ai.embeddings.dimension.count": 64, "gen_ai.request.encoding_formats": ("float",)}
    legacy = reader("openai", "Completions.create", module="resources.completions").request
    assert legacy(openai_client.completions, (), {"prompt": ["a", "b"], "n": 2, "best_of": 3}).choices == 6
    assert legacy(openai_client.completions, (), {"prompt": [1, 2, 3]}).choices == 1
    assert legacy(openai_client.completions, (), {"prompt": "a"}).operation == "text_completion"


SCHEMA = {"type": "json_schema", "schema": {"type": "object", "properties": {"a": {"type": "integer"}}}}


@pytest.mark.parametrize(
    "asked",
    [
        {"output_config": {"format": SCHEMA}},
        {"output_format": SCHEMA},
        {"output_config": {"effort": "low", "format": SCHEMA}, "output_format": anthropic.NOT_GIVEN},
    ],
)
def test_an_output_format_costs_more_input_than_its_schema(reader: Any, asked: dict[str, Any]) -> None:
    request = reader("anthropic", "Messages.create").request
    messages = [{"role": "user", "content": "hi"}]

    def estimated(**more: Any) -> int:
        return estimate_input(request(None, (), {"messages": messages, **more}).content, "anthropic", "claude-sonnet-4-6")

    assert estimated(**asked) > estimated() + 150
    assert estimated(output_config={"effort": "low"}) == estimated()


def test_messages(reader: Any, anthropic_client: anthropic.Anthropic) -> None:
    arguments = {
        "model": "claude-x", "messages": [{"role": "user", "content": "hi"}], "system": "be brief", "max_tokens": 9, "top_k": 3, "stop_sequences": ("a", "b"),
        "speed": "fast", "inference_geo": "us", "output_config": {"effort": "low", "format": {"type": "json_schema"}}, "service_tier": "auto",
    }  # fmt: skip
    read = reader("anthropic", "Messages.create").request(anthropic_client.messages, (), arguments)
    assert (read.provider, read.model, read.max_output, read.stream) == ("anthropic", "claude-x", 9, False)
    assert read.params == {
        "gen_ai.request.top_k": 3,
        "gen_ai.request.stop_sequences": ("a", "b"),
        "gen_ai.output.type": "json",
        "gen_ai.request.reasoning.level": "low",
        "spanledger.request.service_tier": "auto",
    }
    assert read.context == {"speed": "fast", "inference_geo": "us", "service_tier": "auto"}
    assert read.content == (arguments["messages"], "be brief", {"output_format": {"type": "json_schema"}})
    assert reader("anthropic", "Messages.stream").request(anthropic_client.messages, (), {}).stream


@pytest.mark.parametrize("place", ["argument", "extra_body"])
def test_a_whole_request_to_be_cached_is_seen_in_its_content(reader: Any, anthropic_client: anthropic.Anthropic, place: str) -> None:
    messages, mark = [{"role": "user", "content": "hi"}], {"type": "ephemeral", "ttl": "1h"}
    asked = {"cache_control": mark} if place == "argument" else {"extra_body": {"cache_control": mark}}
    request = reader("anthropic", "Messages.create").request
    assert request(anthropic_client.messages, (), {"messages": messages, **asked}).content == ({"cache_control": mark}, messages)
    for nothing in (None, anthropic.NOT_GIVEN):
        assert request(anthropic_client.messages, (), {"messages": messages, "cache_control": nothing}).content == (messages,)


@pytest.mark.parametrize(
    ("url", "provider"),
    [
        ("https://api.openai.com/v1", "openai"),
        ("https://eu.api.openai.com/v1", "openai"),
        ("https://r.openai.azure.com/openai/v1", "azure.ai.openai"),
        ("https://r.cognitiveservices.azure.com/openai", "azure.ai.openai"),
        ("https://r.services.ai.azure.com/openai/v1", "azure.ai.openai"),
        ("https://r.services.ai.azure.com/models", "azure.ai.inference"),
        ("https://api.x.ai/v1", "x_ai"),
        ("https://api.deepseek.com", "deepseek"),
        ("https://api.groq.com/openai/v1", "groq"),
        ("https://api.mistral.ai/v1", "mistral_ai"),
        ("https://api.perplexity.ai", "perplexity"),
        ("https://api.moonshot.cn/v1", "moonshot_ai"),
        ("https://openrouter.ai/api/v1", "openrouter"),
        ("https://api.together.xyz/v1", "together"),
        ("https://api.fireworks.ai/inference/v1", "fireworks"),
        ("https://api.cerebras.ai/v1", "cerebras"),
        ("https://generativelanguage.googleapis.com/v1beta/openai/", "gcp.gemini"),
        ("https://us-central1-aiplatform.googleapis.com/v1", "gcp.vertex_ai"),
        ("https://bedrock-runtime.us-west-2.amazonaws.com/openai/v1", "aws.bedrock"),
        ("http://localhost:8000/v1", "openai"),
    ],
)
def test_provider_by_host(reader: Any, url: str, provider: str) -> None:
    with openai.OpenAI(api_key="test", base_url=url) as client:
        read = reader(*CHAT).request(client.chat.completions, (), {})
        assert read.provider == provider
        assert (read.server_address, read.server_port) == (
            client.base_url.host,
            client.base_url.port or (443 if url.startswith("https") else 80),
        )


@pytest.mark.parametrize(
    ("url", "asked", "context"),
    [
        ("https://eu.api.openai.com/v1", {}, {"data_residency": "eu"}),
        ("https://us.api.openai.com", {"service_tier": "flex"}, {"data_residency": "us", "service_tier": "flex"}),
        ("https://api.openai.com/v1", {}, None),
        ("https://api.openai.com/v1", {"service_tier": "flex"}, {"service_tier": "flex"}),
        ("https://eu.api.openai.com.example.org/v1", {}, None),
    ],
)
def test_the_host_says_where_data_stays(reader: Any, url: str, asked: dict[str, Any], context: dict[str, str] | None) -> None:
    with openai.OpenAI(api_key="test", base_url=url) as client:
        assert reader(*CHAT).request(client.chat.completions, (), {"model": "gpt-5.4", **asked}).context == context
        assert reader("openai", "Responses.create").request(client.responses, (), asked).context == context


def test_provider_by_class_and_changed_address(reader: Any) -> None:
    request = reader(*CHAT).request
    with openai.AzureOpenAI(api_key="test", azure_endpoint="https://gateway.corp", api_version="2024-10-21") as client:
        assert request(client.chat.completions, (), {}).provider == "azure.ai.openai"
    with AnthropicVertex(region="us-east5", project_id="p", access_token="t") as vertex:
        assert reader("anthropic", "Messages.create").request(vertex.messages, (), {}).provider == "gcp.vertex_ai"
    with openai.OpenAI(api_key="test", base_url="https://api.openai.com/v1") as client:
        assert request(client.chat.completions, (), {}).provider == "openai"
        client.base_url = "https://api.x.ai/v1"
        assert request(client.chat.completions, (), {}).provider == "x_ai"


def test_a_resource_without_client_has_the_librarys_provider(reader: Any) -> None:
    read = reader("anthropic", "Messages.create").request(SimpleNamespace(), (), {})
    assert (read.provider, read.server_address, read.server_port) == ("anthropic", None, None)


@given(kwargs=CALLS)
def test_reading_a_request_never_raises_nor_changes_it(any_reader: Any, kwargs: dict[str, Any]) -> None:
    before = repr(kwargs)
    read = any_reader.request(SimpleNamespace(), (), kwargs)
    assert read.operation
    prepared = any_reader.prepare(kwargs, True)
    any_reader.request(SimpleNamespace(), (), prepared)
    if any_reader.content is not None:
        assert isinstance(any_reader.content(kwargs), dict)
    assert repr(kwargs) == before


@given(messages=st.lists(st.integers(), max_size=5), kind=st.sampled_from(["list", "tuple", "iterator", "generator"]))
def test_only_one_shot_iterators_are_made_lists(any_reader: Any, messages: list[int], kind: str) -> None:
    value: Any = {"list": list, "tuple": tuple, "iterator": iter, "generator": lambda items: (item for item in items)}[kind](messages)
    for name in ("messages", "input", "tools"):
        kwargs = {name: value, "model": "m"}
        prepared = any_reader.prepare(kwargs, False)
        if prepared is not kwargs:
            assert isinstance(value, Iterator)
            assert prepared == {name: messages, "model": "m"}
            assert kwargs[name] is value  # the caller's own mapping stays as it was
            return
        assert kwargs[name] is value
    assert not isinstance(value, Iterator)


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        ({"stream": True}, True),
        ({"stream": True, "stream_options": {"include_usage": False, "include_obfuscation": False}}, True),
        ({"stream": True, "stream_options": openai.NOT_GIVEN}, True),
        ({"stream": True, "stream_options": {"include_usage": True}}, False),
        ({"stream": True, "extra_body": {"stream_options": {"include_usage": True}}}, False),
        ({"stream": True, "extra_headers": {"X-Stainless-Raw-Response": "stream"}}, False),
        ({"stream": True, "extra_headers": {"X-Stainless-Raw-Response": "true"}}, True),
        ({"stream": True, "extra_headers": {"X-Stainless-Raw-Response": "raw"}}, True),
        ({"stream": True, "extra_headers": None}, True),
        ({"stream": False}, False),
        ({"stream": openai.NOT_GIVEN}, False),
        ({}, False),
    ],
)
def test_asking_for_usage(reader: Any, arguments: dict[str, Any], asked: bool) -> None:
    chat = reader(*CHAT, module="chat")
    before = copy.copy(arguments)
    prepared = chat.prepare(arguments, True)
    assert arguments == before
    assert chat.request(SimpleNamespace(), (), prepared).ask_usage is asked
    assert (prepared is not arguments) is asked
    if asked:
        given_options = arguments.get("stream_options")
        options = given_options if isinstance(given_options, dict) else {}
        assert prepared["stream_options"] == {**options, "include_usage": True}
    assert chat.prepare(arguments, False) is arguments


def test_the_stream_helper_asks_without_a_stream_argument(reader: Any) -> None:
    chat = reader("openai", "Completions.stream")
    assert chat.request(SimpleNamespace(), (), chat.prepare({}, True)).ask_usage


def test_what_we_ask_reaches_the_wire(loopback: Any, openai_client: openai.OpenAI, reader: Any) -> None:
    loopback.events([])
    prepared = reader(*CHAT, module="chat").prepare(
        {"model": "m", "messages": iter([{"role": "user", "content": "hi"}]), "stream": True}, True
    )
    list(openai_client.chat.completions.create(**prepared))
    assert loopback.requests[-1]["stream_options"] == {"include_usage": True}
    assert loopback.requests[-1]["messages"] == [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize("resource", ["chat", "legacy"])
@pytest.mark.parametrize("taken", ["with_streaming_response", "with_raw_response"])
def test_usage_is_not_asked_for_where_it_could_not_be_hidden(
    loopback: Any, reader: Any, monkeypatch: pytest.MonkeyPatch, resource: str, taken: str
) -> None:
    """The SDK's own mark of a response that is read as bytes and lines reaches us."""
    module, sent = ("chat", {"messages": []}) if resource == "chat" else ("resources.completions", {"prompt": "hi"})
    cls = Completions if resource == "chat" else LegacyCompletions
    create, prepare = cls.create, reader(*CHAT, module=module).prepare
    monkeypatch.setattr(cls, "create", lambda self, **kwargs: create(self, **prepare(kwargs, True)))
    loopback.events([])
    with openai.OpenAI(api_key="test", base_url=f"{loopback.url}/v1", max_retries=0) as client:
        completions = client.chat.completions if resource == "chat" else client.completions
        call = getattr(completions, taken).create(model="m", stream=True, **sent)
        if taken == "with_raw_response":
            list(call.parse())
        else:
            with call as answer:
                list(answer.iter_lines())
    assert ("stream_options" in loopback.requests[-1]) is (taken == "with_raw_response")
