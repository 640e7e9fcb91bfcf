"""Code that fails inside or beside us: adapters, subscribers, redaction, our own parts, providers that answer nonsense.

Whatever it is, the application gets what it gets without us, and the call is in the books. ``SPANLEDGER_DEBUG`` is off, as it is for users.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import openai
import pytest
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.trace import Tracer

import spanledger
from spanledger import install, plugins, settings
from spanledger.budgets.gate import Gate
from spanledger.budgets.match import Matcher
from spanledger.engine import call as engine_call
from spanledger.engine.reaper import Reaper
from spanledger.ledger.memory import MemoryLedger
from spanledger.model import State
from spanledger.pricing.book import PriceBook
from spanledger.redaction.redactor import Redactor
from spanledger.telemetry import spans
from spanledger.telemetry.events import Events
from spanledger.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

USUAL = {"SPANLEDGER_DEBUG": "false", "SPANLEDGER_BUDGET_ALL": "100 USD per day, warn at 1%"}
CAPTURED = {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_AND_EVENT"}


SECRET = "secret prompt"


class OurBug(RuntimeError):  # noqa: N818  # it is one
    """Raised where it must not be seen."""


def broken(*_args: Any, **_kwargs: Any) -> Any:
    """Takes the place of a function of ours."""
    raise OurBug(SECRET)


def uses(library: Any) -> dict[str, Any]:
    """Every way of using the small library: what the application saw."""
    client = library.module.Client()

    def failing() -> str:
        try:
            return client.ask(fail=True).text
        except library.module.ProviderError as error:
            return f"raised {error}"

    seen = {
        "ask": client.ask(messages="hello").text,
        "fail": failing(),
        "async": asyncio.run(client.ask_async()).text,
        "stream": [piece.text for piece in client.stream(streams=True)],
    }
    return {**seen, "sent": client.sent}


CALLS = 4


def errors_told(house: Any) -> dict[str, int]:
    house.settle()
    return {point.attributes["spanledger.error.place"]: point.value for point in house.metric("spanledger.internal_errors")}


# --- adapters


@pytest.mark.parametrize("reader", ["request", "response", "chunk", "content", "prepare"])
@pytest.mark.parametrize(
    "error", [OurBug("secret prompt"), KeyError("secret prompt"), RecursionError("secret prompt")], ids=lambda error: type(error).__name__
)
def test_an_adapter_that_raises(make_house: Any, library: Any, caplog: Any, reader: str, error: Exception) -> None:
    def fails(*_args: Any) -> Any:
        raise error

    before = uses(library)
    house = make_house(library.adapter(**{reader: fails}), **USUAL, **CAPTURED)

    assert uses(library) == before
    assert len(house.entries) == CALLS
    assert len(house.call_spans) == CALLS
    places = errors_told(house)
    assert sum(places.values()) >= 1
    assert f"{type(error).__name__} at {__file__}:" in caplog.text
    assert "the call goes on" in caplog.text
    assert "secret prompt" not in caplog.text
    assert caplog.text.count("internal error") == len(places)  # once for each place


@pytest.mark.parametrize("reader", ["request", "response", "chunk", "content", "prepare"])
def test_an_adapter_that_answers_nonsense(make_house: Any, library: Any, reader: str) -> None:
    before = uses(library)
    house = make_house(library.adapter(**{reader: lambda *_: 7}), **USUAL, **CAPTURED)

    assert uses(library) == before
    if reader in ("response", "chunk", "content"):  # without a request or its arguments there is nothing to book
        assert len(house.entries) == CALLS


# --- the application's own code in our way


def test_a_subscriber_that_raises_hurts_nobody(make_house: Any, caplog: Any) -> None:
    @spanledger.plugin
    def look_up() -> str:
        return "found"

    house = make_house(**USUAL)
    seen: list[str] = []
    stops = [spanledger.subscribe(broken), spanledger.subscribe(lambda event: seen.append(event.name))]
    try:
        assert [look_up(), look_up()] == ["found", "found"]
    finally:
        for stop in stops:
            stop()

    assert seen == ["tool_called", "tool_called"]
    assert len(house.entries) == 2
    assert errors_told(house) == {"subscriber": 2}
    assert caplog.text.count("internal error in subscriber: OurBug") == 1


def test_a_subscriber_that_raises_does_not_undo_a_refusal(make_house: Any, library: Any) -> None:
    make_house(library.adapter(), SPANLEDGER_DEBUG="false", SPANLEDGER_BUDGET_NONE="0 calls per day")
    client = library.module.Client()
    stop = spanledger.subscribe(broken)
    try:
        with pytest.raises(spanledger.BudgetExceeded):
            client.ask()
    finally:
        stop()

    assert client.sent == 0


def test_arguments_that_fail_when_looked_at(make_house: Any, library: Any) -> None:
    class Hostile:
        __slots__ = ()

        def __getattr__(self, name: str) -> Any:
            raise OurBug(name)

        __str__ = __repr__ = __eq__ = __hash__ = __bool__ = __len__ = __iter__ = broken  # type: ignore[assignment]

    @spanledger.plugin
    def look_up(what: Any) -> str:
        return type(what).__name__

    house = make_house(library.adapter(), **USUAL, **CAPTURED)

    assert look_up(Hostile()) == "Hostile"
    assert library.module.Client().ask(messages=Hostile(), model=Hostile()).text == "hello"
    assert len(house.entries) == 2


# --- redaction


def test_a_redactor_that_raises_costs_the_content_and_nothing_else(make_house: Any, library: Any, monkeypatch: Any, caplog: Any) -> None:
    before = uses(library)
    content = {"content": lambda _kwargs: {"input_messages": [{"role": "user", "parts": [{"type": "text", "content": "secret prompt"}]}]}}
    house = make_house(library.adapter(**content), **USUAL, **CAPTURED)
    for method in ("attributes", "text", "value"):
        monkeypatch.setattr(Redactor, method, broken)

    assert uses(library) == before
    assert len(house.entries) == CALLS
    exported = [repr((span.name, span.attributes, span.events, span.status)) for span in house.spans]
    exported += [repr((record.body, record.attributes)) for record in house.log_events()]
    assert len(house.call_spans) == CALLS
    assert house.log_events()
    assert not [text for text in exported if "secret" in text]
    assert {span.attributes["gen_ai.usage.input_tokens"] for span in house.spans if "gen_ai.usage.input_tokens" in span.attributes} == {7}
    assert errors_told(house)["redaction"] > 0
    assert "internal error in redaction: OurBug" in caplog.text
    assert "secret prompt" not in caplog.text


# --- our own parts


PARTS: dict[str, tuple[Any, str, int]] = {
    "reading the scope": (engine_call.scopes, "current", 0),
    "matching budgets": (Matcher, "find", 0),
    "estimating": (Gate, "_estimate", 0),
    "the gate": (Gate, "admit", 0),
    "reserving": (MemoryLedger, "reserve", 0),
    "starting a span": (spans, "start_call", CALLS),
    "ending a span": (spans, "end_call", CALLS),
    "pricing": (PriceBook, "price", 0),
    "metrics": (Metrics, "record", CALLS),
    "events": (Events, "emit", CALLS),
    "balances": (MemoryLedger, "balances", CALLS),
    "usage": (engine_call.numbers, "usage", 0),
}
"""What fails, and how many of the calls must be in the books all the same. Where it is 0 the books may miss what was never known."""


@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_ours_that_fails_is_not_noticed(make_house: Any, library: Any, monkeypatch: Any, caplog: Any, part: str) -> None:
    where, name, booked = PARTS[part]
    before = uses(library)
    house = make_house(library.adapter(), **USUAL)
    monkeypatch.setattr(where, name, broken)
    with caplog.at_level(logging.WARNING):
        after = uses(library)
    monkeypatch.undo()

    assert after == before
    assert len(house.entries) >= booked
    assert "secret prompt" not in caplog.text


@pytest.mark.parametrize("part", ["estimating", "the gate", "reserving"])
def test_a_gate_that_fails_does_not_lose_the_calls(make_house: Any, library: Any, monkeypatch: Any, part: str) -> None:
    where, name, _ = PARTS[part]
    house = make_house(library.adapter(), **USUAL)
    monkeypatch.setattr(where, name, broken)
    uses(library)
    monkeypatch.undo()

    assert len(house.entries) == CALLS
    assert {entry.usage.input for entry in house.entries if entry.usage.state is State.EXACT} == {7}


WORKFLOW_PARTS: dict[str, tuple[Any, str]] = {
    "starting a span": (Tracer, "start_span"),
    "events": (Events, "emit"),
    "ending a step": (MemoryLedger, "end_step"),
    "ending a workflow": (MemoryLedger, "end_execution"),
    "ending its span": (spans, "end_workflow"),
    "metrics": (Metrics, "record_workflow"),
}


@pytest.mark.parametrize("part", WORKFLOW_PARTS)
def test_a_workflow_whose_records_fail_runs_as_it_would(make_house: Any, library: Any, monkeypatch: Any, part: str) -> None:
    house = make_house(library.adapter(), **USUAL)
    where, name = WORKFLOW_PARTS[part]
    monkeypatch.setattr(where, name, broken)
    client, seen = library.module.Client(), []
    with spanledger.workflow("nightly", customer="acme") as run:
        with spanledger.step("only"):
            seen.append(client.ask().text)
        with pytest.raises(library.module.ProviderError, match="told by the provider"), spanledger.step("failing"):
            client.ask(fail=True)
        assert run.totals()["llm"].calls == 2
    with pytest.raises(ZeroDivisionError), spanledger.workflow("broken"):
        raise ZeroDivisionError
    monkeypatch.undo()

    assert seen == ["hello"]
    assert [(entry.workflow, entry.step, entry.keys.get("customer")) for entry in house.entries] == [
        ("nightly", "only", "acme"), ("nightly", "failing", "acme"),
    ]  # fmt: skip


def test_settling_that_fails_once_loses_nothing(make_house: Any, library: Any, monkeypatch: Any) -> None:
    settle, failed = MemoryLedger.settle, []

    def fails_first(self: Any, entry: Any, charges: Any, **options: Any) -> Any:
        if entry.id not in failed:
            failed.append(entry.id)
            raise OurBug
        return settle(self, entry, charges, **options)

    before = uses(library)
    house = make_house(library.adapter(), **USUAL)
    monkeypatch.setattr(MemoryLedger, "settle", fails_first)

    assert uses(library) == before
    assert len(house.entries) == CALLS == len(failed)
    (balance,) = house.runtime.ledger.balances(0.0)
    assert balance.reserved == 0


@pytest.mark.parametrize(
    ("where", "name"), [(install, "open_ledger"), (Reaper, "start"), (plugins, "parse_target")], ids=["ledger", "thread", "plugins"]
)
def test_instrument_never_raises(monkeypatch: Any, library: Any, where: Any, name: str) -> None:
    """Its docstring says so. Whether anything is recorded then is another question."""
    before = uses(library)
    monkeypatch.setattr(where, name, broken)
    config = settings.load({"SPANLEDGER_LEDGER": "memory:", "HOME": "/nonexistent", "SPANLEDGER_PLUGINS": "a:b"})
    try:
        spanledger.instrument(config)
        after = uses(library)
    finally:
        monkeypatch.undo()
        spanledger.uninstrument()

    assert after == before


# --- the provider


BEHAVIOURS = ("", "nonsense", "cut", "error-500", "error-400", "rate-limit", "no-usage")


def answers(url: str, behaviour: str) -> dict[str, Any]:
    """Every API of the real client, synchronous and asynchronous, with its answers and exceptions; ids left out."""
    model = f"gpt-4o-mini+{behaviour}" if behaviour else "gpt-4o-mini"
    chat = {"model": model, "max_tokens": 40, "messages": [{"role": "user", "content": "tell me something"}]}
    options: Any = {"base_url": f"{url}/v1", "api_key": "local", "max_retries": 0}
    with openai.OpenAI(**options) as client:
        found = {
            "chat": _told(lambda: client.chat.completions.create(**chat)),
            "stream": _told(lambda: list(client.chat.completions.create(stream=True, **chat))),
            "stream with usage": _told(
                lambda: list(client.chat.completions.create(stream=True, stream_options={"include_usage": True}, **chat))
            ),
            "raw": _told(lambda: client.chat.completions.with_raw_response.create(**chat).parse()),
            "responses": _told(lambda: client.responses.create(model=model, input="tell me something")),
            "streamed responses": _told(lambda: list(client.responses.create(model=model, input="tell me something", stream=True))),
            "embeddings": _told(lambda: client.embeddings.create(model=model, input="words", encoding_format="float")),
        }
    return {**found, **asyncio.run(_async_answers(options, chat))}


async def _async_answers(options: Any, chat: Any) -> dict[str, Any]:
    async with openai.AsyncOpenAI(**options) as client:

        async def stream() -> list[Any]:
            return [chunk async for chunk in await client.chat.completions.create(stream=True, **chat)]

        found = {}
        for name, work in {"async chat": lambda: client.chat.completions.create(**chat), "async stream": stream}.items():
            try:
                value = await work()
                found[name] = _told(lambda value=value: value)
            except Exception as error:
                found[name] = ("raised", type(error), str(error))
        return found


def _told(work: Callable[[], Any]) -> Any:
    try:
        value = work()
    except Exception as error:
        return "raised", type(error), str(error), getattr(error, "status_code", None)
    return "returned", _without_ids(value if isinstance(value, list) else [value])


def _without_ids(values: list[Any]) -> list[Any]:
    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items() if key not in ("id", "item_id", "created_at")}
        return [plain(item) for item in value] if isinstance(value, list) else value

    return [(type(value), plain(value.model_dump(warnings=False)) if hasattr(value, "model_dump") else value) for value in values]


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
@pytest.mark.parametrize("capture", ["NO_CONTENT", "SPAN_AND_EVENT"])
def test_a_provider_that_misbehaves_is_seen_as_without_us(
    make_house: Any, provider: Any, caplog: Any, behaviour: str, capture: str
) -> None:
    before = answers(provider.url, behaviour)
    house = make_house(**USUAL, OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=capture)
    sent = len(provider.requests)

    assert answers(provider.url, behaviour) == before
    assert len(provider.requests) - sent == len(before)
    assert len(house.entries) == len(before)
    assert len(house.call_spans) == len(before)
    assert house.runtime.ledger.open_leases() == 0
    assert errors_told(house) == {}, caplog.text
    for entry, (kind, *_) in zip(house.entries, before.values(), strict=True):
        if kind == "raised":
            assert entry.error is not None
            assert entry.usage.state is not State.EXACT


HELLO = [{"role": "user", "content": "hello"}]
ODD_ARGUMENTS: tuple[dict[str, Any], ...] = (
    {}, {"model": "gpt-4o-mini"}, {"messages": HELLO}, {"model": None, "messages": None}, {"model": 5, "messages": HELLO},
    {"model": "gpt-4o-mini", "messages": "hello"}, {"model": "gpt-4o-mini", "messages": [None]}, {"model": "gpt-4o-mini", "messages": object()},
    {"model": "gpt-4o-mini", "messages": HELLO, "max_tokens": "many"}, {"model": "gpt-4o-mini", "messages": HELLO, "no_such": 1},
    {"model": "gpt-4o-mini", "messages": HELLO, "stream": "yes"}, {"model": "gpt-4o-mini", "messages": HELLO, "max_tokens": -5},
    {"model": "gpt-4o-mini", "messages": HELLO, "n": 10**30}, {"model": "gpt-4o-mini", "messages": HELLO, "max_tokens": 2**70},
)  # fmt: skip


@pytest.mark.parametrize("ledger", ["memory:", "sqlite:///"])
def test_odd_arguments_are_answered_as_without_us(make_house: Any, provider: Any, ledger: str, tmp_path: Path) -> None:
    """The provider refuses them all with 400; what the client itself refuses it must go on refusing in the same words."""
    refusing = {"x-behaviour": "error-400"}
    client = openai.OpenAI(base_url=f"{provider.url}/v1", api_key="local", max_retries=0, default_headers=refusing)

    def all_cases() -> list[Any]:
        return [_shown(_told(lambda case=case: client.chat.completions.create(**case))) for case in ODD_ARGUMENTS]

    before = all_cases()
    url = ledger if ledger == "memory:" else f"{ledger}{tmp_path / 'ledger.db'}"
    warn = {"SPANLEDGER_BUDGET_TOKENS": "10 tokens per day, then warn", "SPANLEDGER_BUDGET_USD": "1 USD per day, then warn"}
    house = make_house(SPANLEDGER_DEBUG="false", SPANLEDGER_LEDGER=url, **warn)

    assert all_cases() == before
    assert len(house.entries) == len(ODD_ARGUMENTS)
    assert house.runtime.ledger.open_leases() == 0
    assert errors_told(house) == {}
    client.close()


def _shown(told: Any) -> Any:
    """Addresses of objects differ."""
    kind, *rest = told
    return kind, rest[0], rest[1].partition(" object at 0x")[0], *rest[2:]


# --- switched off for a while


def test_suppressed_calls_leave_no_trace(make_house: Any, library: Any, provider: Any) -> None:
    before = uses(library)
    client = openai.OpenAI(base_url=f"{provider.url}/v1", api_key="local", max_retries=0)
    house = make_house(library.adapter(), SPANLEDGER_DEBUG="false", SPANLEDGER_BUDGET_NONE="0 calls per day")
    with suppress_instrumentation():
        assert uses(library) == before
        answer = client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "hello"}])
    client.close()

    assert answer.choices[0].message.content
    assert house.entries == []
    assert house.spans == []
    with pytest.raises(spanledger.BudgetExceeded):
        library.module.Client().ask()


def test_only_a_refusal_reaches_the_application(make_house: Any, library: Any) -> None:
    house = make_house(library.adapter(), SPANLEDGER_DEBUG="false", SPANLEDGER_BUDGET_TWO="2 calls per day")
    client = library.module.Client()
    client.ask()
    client.ask()
    for ask in (client.ask, lambda: asyncio.run(client.ask_async()), lambda: list(client.stream(streams=True))):
        with pytest.raises(spanledger.BudgetExceeded, match="budget TWO refused this call: limit 2 calls, spent 2 calls"):
            ask()

    assert client.sent == 2
    assert len(house.entries) == 2
