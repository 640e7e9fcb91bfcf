"""The functions that the adapters name are there in the installed clients, and are what the engine takes them for."""

from __future__ import annotations

import importlib
import inspect
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pytest

from spanledger.adapters import KNOWN, load

if TYPE_CHECKING:
    from spanledger.engine.adapter import Target

ADAPTERS = tuple(load(name) for name in KNOWN)
TARGETS = [(adapter, target) for adapter in ADAPTERS for target in adapter.targets]

USAGE_BEARING = ("ChatCompletion", "Response", "Completion", "Message", "Embedding", "Decision")
# Helpers that call the named methods, readings of what is stored already, and what costs nothing.
NOT_SENT = {"tool_runner", "thread", "with_raw_response", "with_streaming_response", "connect"}
NOT_BILLED = {f"Completions.{name}" for name in ("retrieve", "update", "list", "delete")} | {"Responses.cancel", "Messages.count_tokens"}


def number(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2])


def function(target: Target) -> Any:
    parent: Any = importlib.import_module(target.module)
    for name in target.name.split("."):
        parent = getattr(parent, name)
    return inspect.unwrap(parent)


@pytest.mark.parametrize(("adapter", "target"), TARGETS, ids=[f"{target.module}:{target.name}" for _, target in TARGETS])
def test_target_is_there_since_it_says(adapter: Any, target: Target) -> None:
    try:
        found = function(target)
    except (ImportError, AttributeError):
        assert number(target.since) > number(version(adapter.name)), "named as there in this version"
        return
    asynchronous = target.name.startswith("Async") and target.tap is None
    assert inspect.iscoroutinefunction(found) is asynchronous
    assert next(iter(inspect.signature(found).parameters)) == "self"


def test_no_function_is_named_twice() -> None:
    names = [(target.module, target.name) for _, target in TARGETS]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    "stream",
    [
        "openai.lib.streaming.chat._completions:ChatCompletionStream",
        "openai.lib.streaming.chat._completions:AsyncChatCompletionStream",
        "openai.lib.streaming.responses._responses:ResponseStream",
        "openai.lib.streaming.responses._responses:AsyncResponseStream",
        "anthropic.lib.streaming._messages:MessageStream",
        "anthropic.lib.streaming._messages:AsyncMessageStream",
        "anthropic.lib.streaming._beta_messages:BetaMessageStream",
        "anthropic.lib.streaming._beta_messages:BetaAsyncMessageStream",
    ],
)
def test_helper_streams_read_from_what_we_tap(stream: str) -> None:
    module, _, name = stream.partition(":")
    cls = getattr(importlib.import_module(module), name)
    taps = {target.tap for _, target in TARGETS if target.tap}
    assert taps == {"_raw_stream"}
    assert "for sse_event in self._raw_stream" in inspect.getsource(cls.__stream__)


def test_every_call_that_returns_token_usage_is_named() -> None:
    """A method that sends a request for one of these results and is not patched would be spent, but not booked."""
    named = {(target.module, target.name) for _, target in TARGETS}
    for module, cls in {(target.module, target.name.split(".")[0]) for _, target in TARGETS}:
        try:
            kind = getattr(importlib.import_module(module), cls)
        except (ImportError, AttributeError):
            continue
        for name, member in vars(kind).items():
            hint = str(inspect.unwrap(member).__annotations__.get("return", "")) if inspect.isfunction(member) else ""
            free = name in NOT_SENT or f"{cls.removeprefix('Async')}.{name}" in NOT_BILLED
            if any(word in hint for word in USAGE_BEARING) and not free:
                assert (module, f"{cls}.{name}") in named, f"{module}:{cls}.{name} returns {hint}"
