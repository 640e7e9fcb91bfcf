"""Requests of plain messages and texts are taken at once, without the general walk; their estimate must be what the walk would find."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanledger.pricing import estimate
from spanledger.pricing.estimate import estimate_input

GPT = ("openai", "gpt-4o")
MODELS = [GPT, ("anthropic", "claude-sonnet-4-5"), ("anthropic", "claude-opus-5"), ("gcp.gemini", "gemini-3-flash"), ("xai", "grok-4")]
PROSE = "The committee will meet again on Thursday to decide about the budget for the coming year. "
PICTURE = base64.b64encode(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\2\x80\0\0\1\xe0" + b"\0" * 40).decode()
TOOL = {"type": "function", "function": {"name": "search", "description": PROSE, "parameters": {"type": "object"}}}


class Word(str):
    __slots__ = ()


def walked(content, provider, model):
    """The estimate, found by the general walk alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(estimate, "_plain_texts", lambda _: None)
        return estimate_input(content, provider, model)


words = st.one_of(
    st.sampled_from(["Hello", "x" * 48, "x" * 49, "x" * 48 + " y", PICTURE, "data:image/png;base64," + PICTURE]),
    st.sampled_from([1, 20, 800]).map(PROSE.__mul__),
    st.text(),
)
contents = words | words.map(Word) | st.none() | st.integers() | st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": words}))
messages = st.fixed_dictionaries({"role": st.just("user"), "content": words})
others = st.one_of(
    st.fixed_dictionaries({"role": st.none() | words, "content": contents}, optional={"name": words, "tool_call_id": words}),
    st.fixed_dictionaries({"content": words, "type": words}),
    st.dictionaries(st.sampled_from(["role", "content", "text", "image_url", "input", "parameters"]), contents, max_size=3),
    contents,
)
ordinary = st.lists(messages, max_size=6) | words | st.lists(words, max_size=4) | st.just([TOOL])
odd = st.lists(messages | others, max_size=4) | st.tuples(messages) | others | st.just([1, 2, 3])
requests = st.lists(ordinary, max_size=3).map(tuple) | st.lists(ordinary | odd, max_size=10).map(tuple) | ordinary | odd


@given(requests, st.sampled_from(MODELS))
def test_what_is_taken_at_once_is_estimated_as_the_walk_does(content, model):
    assert estimate_input(content, *model) == walked(content, *model)


def plain(*sizes):
    return [{"role": "user", "content": (PROSE * (size // len(PROSE) + 1))[:size]} for size in sizes]


@pytest.mark.parametrize(
    "make",
    [
        lambda: (plain(65_536),),
        lambda: (plain(65_537),),
        lambda: (plain(30_000, 35_536),),
        lambda: (plain(30_000, 35_537),),
        lambda: (plain(*[60_000] * 20),),
        lambda: (plain(*[10] * 1_000),),
        lambda: (plain(*[10] * 1_001),),
        lambda: (plain(*[10] * 25_000),),
        lambda: tuple(plain(*[5] * 1_000) for _ in range(8)),
        lambda: tuple(plain(*[5] * 1_000) for _ in range(9)),
        lambda: (plain(*[5] * 900), [{"parameters": [1] * 7_000}]),
        lambda: (plain(*[5] * 900), [{"parameters": [1] * 8_500}]),
        lambda: (plain(*[5] * 900), [{"parameters": [1] * 25_000}]),
        lambda: (plain(60_000), plain(*[60_000] * 15)),
        lambda: (plain(60_000), plain(*[60_000] * 16)),
        lambda: (plain(60_000), plain(*[60_000] * 30)),
        lambda: (PROSE,) * 30_000,
        tuple,
        lambda: ([],),
        lambda: ((1, 2, 3),),
        lambda: (1, 2, 3),
    ],
)
def test_the_bounds_are_those_of_the_walk(make):
    assert estimate_input(make(), *GPT) == walked(make(), *GPT)


@pytest.mark.parametrize("content", [(plain(20, 200),), (plain(200), "You are terse."), (["one text", "and another"],)])
def test_an_ordinary_request_is_not_walked_through(monkeypatch, content):
    monkeypatch.setattr(estimate._Walk, "through", lambda *_: pytest.fail("walked"))
    assert estimate_input(content, *GPT) > 0
    with pytest.raises(pytest.fail.Exception):
        estimate_input((*content, [TOOL]), *GPT)


def test_messages_beside_tools_are_taken_at_once(monkeypatch):
    looked_at = []
    mapping = estimate._Walk._mapping
    monkeypatch.setattr(estimate._Walk, "_mapping", lambda walk, value, json: looked_at.append(value) or mapping(walk, value, json))
    estimate_input((plain(20, 200), [TOOL]), *GPT)
    assert looked_at
    assert not any("role" in value for value in looked_at)
