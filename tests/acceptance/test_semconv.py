"""Our telemetry against the registry of the GenAI conventions, in both generations; and against a few rules written down here."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anthropic
import openai
import pytest
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler

import spanledger
from spanledger.ledger.spans import SpanStore

if TYPE_CHECKING:
    from collections.abc import Callable

EXAMPLES = Path(__file__).parents[2] / "examples"
GENERATIONS = ("default", "latest")
CAPTURED = {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_AND_EVENT"}
TOOL = {
    "type": "function",
    "function": {"name": "look_up", "description": "Finds.", "parameters": {"type": "object", "properties": {"what": {"type": "string"}}, "required": ["what"]}},
}  # fmt: skip


@pytest.fixture
def tool(load_tool: Callable[[str], Any]) -> Any:
    return load_tool("semconv_check")


@pytest.fixture
def registry(tool: Any, generation: str) -> Any:
    found = tool.load(generation)
    if found is None:
        pytest.skip("the flattened registry is not on this machine: set SPANLEDGER_SEMCONV_DATA to its folder")
    return found


class Recorder(Sampler):
    """Remembers what a sampler is given to decide on."""

    def __init__(self) -> None:
        self.given: dict[str, set[str]] = {}

    def should_sample(
        self, parent_context: Any, trace_id: int, name: str, kind: Any = None, attributes: Any = None, *rest: Any, **more: Any
    ) -> Any:
        self.given.setdefault(name, set()).update(attributes or {})
        return ALWAYS_ON.should_sample(parent_context, trace_id, name, kind, attributes)

    def get_description(self) -> str:
        return "recorder"


@spanledger.plugin(price="0.002 USD")
def look_up(what: str, *, fail: bool = False) -> Any:
    if fail:
        raise LookupError(what)
    return {"found": what}


@spanledger.plugin
def say(what: str) -> str:
    """Returns no object, but a text."""
    return what


def everything(url: str) -> None:
    """Every operation, shape and way to fail that the clients have with the local provider."""
    gpt = openai.OpenAI(base_url=f"{url}/v1", api_key="local", max_retries=0)
    claude = anthropic.Anthropic(base_url=url, api_key="local", max_retries=0)
    with spanledger.workflow("everything", customer="acme"), gpt, claude:
        with spanledger.step("openai"):
            _openai(gpt)
        with spanledger.step("anthropic"):
            _anthropic(claude)
        with spanledger.step("tools"):
            look_up("key")
            say("hello")
            _fails(LookupError, lambda: look_up("key", fail=True))
        with spanledger.step("failures"):
            for model in ("gpt-4o-mini+error-500", "gpt-4o-mini+rate-limit", "gpt-4o-mini+cut", "gpt-4o-mini+nonsense"):
                _fails(
                    Exception, lambda model=model: gpt.chat.completions.create(model=model, messages=[{"role": "user", "content": "x"}]).id
                )
        with spanledger.step("refusal"):
            dear: Any = {"model": "claude-opus-4-1", "max_tokens": 64_000, "messages": [{"role": "user", "content": "a book"}]}
            _fails(spanledger.BudgetExceeded, lambda: claude.messages.create(**dear, timeout=5))
    with pytest.raises(KeyError), spanledger.workflow("failing"), spanledger.step("only"):
        raise KeyError


def _openai(gpt: openai.OpenAI) -> None:
    hello: Any = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hello ada@example.com"}]
    usage: Any = {"stream": True, "stream_options": {"include_usage": True}}
    chat = gpt.chat.completions.create
    chat(
        model="gpt-4o-mini",
        messages=hello,
        temperature=1,
        top_p=0.5,
        seed=7,
        max_tokens=20,
        stop=["end"],
        frequency_penalty=0.5,
        presence_penalty=0,
    )
    chat(model="gpt-4o-mini", messages=hello, n=2, response_format={"type": "json_object"}, service_tier="default", reasoning_effort="low")
    asked = chat(model="gpt-4o-mini", messages=hello, tools=[TOOL]).choices[0].message  # type: ignore[list-item]
    answers = [{"role": "tool", "tool_call_id": call.id, "content": "found"} for call in asked.tool_calls or ()]
    chat(model="gpt-4o-mini", messages=[*hello, asked.model_dump(exclude_none=True), *answers], tools=[TOOL])  # type: ignore[list-item]
    list(chat(model="gpt-4o-mini", messages=hello, **usage))
    list(chat(model="gpt-4o-mini", messages=hello, stream=True, tools=[TOOL]))  # type: ignore[list-item]
    with chat(model="o3-reason", messages=hello, stream=True) as left:
        next(iter(left))
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    chat(model="gpt-4o", messages=[{"role": "user", "content": [{"type": "text", "text": "what is it?"}, image]}])  # type: ignore[list-item]
    gpt.chat.completions.with_raw_response.create(model="gpt-4o-mini", messages=hello).parse()
    gpt.responses.create(model="gpt-4o-mini", input="hello", instructions="be brief", max_output_tokens=30)
    list(gpt.responses.create(model="o3-reason", input="hello", stream=True))
    gpt.embeddings.create(model="text-embedding-3-small", input=["one", "two"], encoding_format="float", dimensions=8)
    gpt.completions.create(model="gpt-3.5-turbo-instruct", prompt="once", max_tokens=5)


def _anthropic(claude: anthropic.Anthropic) -> None:
    cached: Any = [{"type": "text", "text": "be brief " * 50, "cache_control": {"type": "ephemeral"}}]
    hello: Any = {"model": "claude-haiku-4-5", "max_tokens": 40, "messages": [{"role": "user", "content": "hello"}]}
    claude_tool: Any = {"name": "look_up", "description": "Finds.", "input_schema": TOOL["function"]["parameters"]}
    claude.messages.create(**hello, system=cached, stop_sequences=["end"])
    claude.messages.create(**hello, system=cached, tools=[claude_tool])
    with claude.messages.stream(**hello) as stream:
        list(stream.text_stream)
    with claude.messages.create(**hello, stream=True) as left:
        next(iter(left))


def _fails(kind: type[Exception], work: Callable[[], Any]) -> None:
    try:
        work()
    except kind:
        return


def ours(spans: list[Any]) -> list[Any]:
    return [span for span in spans if span.instrumentation_scope.name == "spanledger"]


def listed(findings: list[Any]) -> str:
    """One line for each finding that differs."""
    return "\n".join(sorted({str(finding) for finding in findings}))


@pytest.fixture(params=GENERATIONS)
def generation(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def sampler() -> Recorder:
    return Recorder()


@pytest.fixture
def busy(make_house: Any, provider: Any, generation: str, sampler: Recorder) -> Any:
    """A house in which everything has happened."""
    house = make_house(sampler=sampler, SPANLEDGER_SEMCONV=generation, SPANLEDGER_BUDGET_DAY="0.5 USD per day, warn at 1%", **CAPTURED)
    everything(provider.url)
    return house


def test_spans(busy: Any, tool: Any, registry: Any) -> None:
    spans = ours(busy.spans)
    operations = {span.attributes.get("gen_ai.operation.name") for span in spans}

    assert operations == {"chat", "text_completion", "embeddings", "execute_tool", "invoke_workflow", None}
    assert {span.attributes["spanledger.outcome"] for span in spans if "spanledger.outcome" in span.attributes} >= {
        "completed",
        "closed",
        "error",
        "refused",
    }
    assert listed(tool.check(spans, registry)) == ""


def test_what_a_sampler_may_decide_on_is_there_when_the_span_starts(busy: Any, tool: Any, registry: Any, sampler: Recorder) -> None:
    late = []
    for span in ours(busy.spans):
        kind = registry.span_type(span.attributes.get("gen_ai.operation.name"), span.kind.name.lower())
        wanted = {name for name, use in (kind["attributes"] if kind else {}).items() if use["sampling"]}
        late += [f"{span.name}: {name}" for name in wanted & span.attributes.keys() - sampler.given[span.name]]

    assert sorted(set(late)) == []


def test_metrics(busy: Any, tool: Any, registry: Any) -> None:
    busy.settle()
    data = busy.reader.get_metrics_data()
    metrics = [metric for resource in data.resource_metrics for scope in resource.scope_metrics for metric in scope.metrics]
    names = {metric.name for metric in metrics if metric.name.startswith("gen_ai.")}

    assert len(names) >= 5, names
    assert listed(tool.check_metrics(metrics, registry)) == ""
    assert not [m.name for m in metrics if not m.name.startswith(("gen_ai.", "spanledger."))]


def test_events(busy: Any, tool: Any, registry: Any) -> None:
    busy.settle()
    records = busy.log_events()

    assert any(record.event_name == "gen_ai.client.inference.operation.details" for record in records)
    assert listed(tool.check_events(records, registry)) == ""


@pytest.mark.parametrize("program", ["zero_code.py", "agent.py"])
def test_the_examples(provider: Any, tool: Any, registry: Any, generation: str, program: str, tmp_path: Path) -> None:
    """As ``examples/demo.py`` runs them."""
    import demo  # type: ignore[import-not-found]

    ledger = tmp_path / "ledger.db"
    settings = {**demo.NO_NETWORK, **demo.BUDGETS, **demo.PLUGINS, **demo.CAPTURE, "SPANLEDGER_SEMCONV": generation}
    command = [str(demo.BIN / "opentelemetry-instrument"), "python", program]
    environ = {**demo.environment(provider, ledger), **settings}
    done = subprocess.run(command, cwd=EXAMPLES, env=environ, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    spans = [span for span in SpanStore(ledger).trace("") if span.scope == "spanledger"]

    assert len(spans) >= 5
    assert listed(tool.check(spans, registry)) == ""


# --- the checker itself, and rules of our own that need no registry

SMALL: dict[str, Any] = {
    "attributes": {
        "gen_ai.operation.name": {"type": "enum(string)", "enum": ["chat", "execute_tool"]},
        "gen_ai.request.model": {"type": "string", "enum": []},
        "gen_ai.provider.name": {"type": "enum(string)", "enum": ["openai", "anthropic"]},
        "gen_ai.request.temperature": {"type": "double", "enum": []},
        "gen_ai.usage.input_tokens": {"type": "int", "enum": []},
        "gen_ai.response.finish_reasons": {"type": "string[]", "enum": []},
        "gen_ai.tool.name": {"type": "string", "enum": []},
        "openai.api.type": {"type": "string", "enum": []},
    },
    "spans": {
        "gen_ai.inference.client": {
            "kind": "client",
            "name": "**Span name** SHOULD be `{gen_ai.operation.name} {gen_ai.request.model}`.",
            "attributes": {
                name: {"level": level, "cond": "", "sampling": False}
                for name, level in {
                    "gen_ai.operation.name": "required", "gen_ai.provider.name": "required", "gen_ai.request.model": "recommended",
                    "gen_ai.request.temperature": "recommended", "gen_ai.usage.input_tokens": "recommended", "server.address": "recommended",
                    "server.port": "conditionally_required", "gen_ai.response.finish_reasons": "recommended",
                }.items()
            },
        },
    },
    "metrics": {}, "events": {},
}  # fmt: skip

GOOD = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "m", "gen_ai.usage.input_tokens": 3}
MISTAKES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "it should be called 'chat m'": ({"name": "m chat"}, {}),
    "its kind is internal, not client": ({"kind": "internal"}, {}),
    "gen_ai.provider.name is missing": ({}, {"gen_ai.provider.name": None}),
    "gen_ai.request.temperature is 1, not of type double": ({}, {"gen_ai.request.temperature": 1}),
    "gen_ai.usage.input_tokens is True, not of type int": ({}, {"gen_ai.usage.input_tokens": True}),
    "gen_ai.response.finish_reasons is 'stop', not of type string[]": ({}, {"gen_ai.response.finish_reasons": "stop"}),
    "gen_ai.provider.name is 'OpenAI', not one of openai, anthropic": ({}, {"gen_ai.provider.name": "OpenAI"}),
    "gen_ai.usage.prompt_tokens is not in the registry": ({}, {"gen_ai.usage.prompt_tokens": 3}),
    "gen_ai.tool.name does not belong here": ({}, {"gen_ai.tool.name": "look_up"}),
    "server.port is missing beside server.address": ({}, {"server.address": "localhost"}),
    "its status is error and error.type is None": ({"status": "error"}, {}),
    "its status is unset and error.type is 'timeout'": ({}, {"error.type": "timeout"}),
    "error.type 'it said: no' is no name of low cardinality": ({"status": "error"}, {"error.type": "it said: no"}),
    "openai.api.type is for OpenAI only": ({}, {"openai.api.type": "x", "gen_ai.provider.name": "anthropic"}),
    "no span type has the operation 'guess'": ({}, {"gen_ai.operation.name": "guess"}),
}


def row(attributes: dict[str, Any], **changes: Any) -> Any:
    from spanledger.ledger.spans import SpanRow

    usual = {
        "trace_id": "1",
        "span_id": "2",
        "parent_id": None,
        "name": "chat m",
        "kind": "client",
        "start_ns": 0,
        "end_ns": 1,
        "status": "unset",
    }
    return SpanRow(**{**usual, **changes}, attributes={name: value for name, value in {**GOOD, **attributes}.items() if value is not None})


@pytest.mark.parametrize("what", MISTAKES)
def test_the_checker_sees_each_mistake(tool: Any, what: str) -> None:
    changes, attributes = MISTAKES[what]

    assert tool.check([row({})], tool.Registry(SMALL)) == []
    assert what in [finding.what for finding in tool.check([row(attributes, **changes)], tool.Registry(SMALL))]


COUNTS = ("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens")


def test_a_few_rules_without_a_registry(busy: Any, generation: str) -> None:
    """What tools that read our telemetry rely on most."""
    for span in ours(busy.spans):
        attributes, operation = span.attributes, span.attributes.get("gen_ai.operation.name")
        if operation in ("chat", "text_completion", "embeddings"):
            assert span.name == f"{operation} {attributes['gen_ai.request.model']}"
            assert span.kind.name == "CLIENT"
            assert attributes["gen_ai.provider.name"] in ("openai", "anthropic")
            assert (attributes["server.address"], type(attributes["server.port"])) == ("127.0.0.1", int)
            assert all(type(attributes[name]) is int for name in COUNTS if name in attributes)
        if operation == "execute_tool":
            assert (span.name, span.kind.name) == (f"execute_tool {attributes['gen_ai.tool.name']}", "INTERNAL")
        if operation == "invoke_workflow":
            assert (span.name, span.kind.name) == (f"invoke_workflow {attributes['gen_ai.workflow.name']}", "INTERNAL")
        assert (span.status.status_code.name == "ERROR") == ("error.type" in attributes)
        assert not [name for name in attributes if name.startswith("gen_ai.system") and name != "gen_ai.system_instructions"]
        for name in ("gen_ai.input.messages", "gen_ai.output.messages"):
            for message in json.loads(attributes.get(name, "[]")):
                assert message["role"] in ("system", "user", "assistant", "tool")
                assert all(isinstance(part["type"], str) for part in message["parts"])
    cached = {name for span in busy.spans for name in span.attributes if name.startswith("gen_ai.usage.cache_")}
    written = {"default": "gen_ai.usage.cache_creation.input_tokens", "latest": "gen_ai.usage.cache_write.input_tokens"}[generation]
    assert cached == {"gen_ai.usage.cache_read.input_tokens", written}
    assert "ada@example.com" not in repr([span.attributes for span in busy.spans])
