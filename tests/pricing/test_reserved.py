"""What is reserved for a request covers what it is charged, whatever its prompt's cache, its searches and its voice turn out to be."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanledger.budgets.gate import Gate
from spanledger.budgets.rule import parse
from spanledger.errors import BudgetExceeded
from spanledger.ledger.memory import MemoryLedger
from spanledger.model import Activity, Entry, Request, State, Usage
from spanledger.pricing.book import PriceBook
from spanledger.pricing.estimate import estimate_input, estimate_usage

NOW = 1_795_000_000.0  # 2026-11-18
CLAUDE = ("anthropic", "claude-sonnet-4-5")
PROSE = "The committee will meet again on Thursday to decide about the budget for the coming year. "
MARK, HOUR = {"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}
HELLO = [{"role": "user", "content": "hello"}]


def block(words, mark=None):
    return {"type": "text", "text": words, **({"cache_control": mark} if mark else {})}


def tool(name, mark=None):
    return {"name": name, "description": PROSE, "input_schema": {"type": "object"}, **({"cache_control": mark} if mark else {})}


def reserved(content, model=CLAUDE, output=None):
    return estimate_usage(content, *model, output)


def parts(usage):
    """Tokens that are plain, written for five minutes, and for an hour."""
    short, hour = usage.cache_write or 0, usage.cache_write_1h or 0
    return usage.input - short - hour, short, hour


@pytest.mark.parametrize(
    "content",
    [
        (HELLO,),
        (HELLO, "be brief", [tool("f")]),
        ([{"role": "user", "content": [block(PROSE), block(PROSE)]}],),
        ([{"role": "user", "content": [{**block(PROSE), "cache_control": None}]}],),
        {"input": {"cache_control": "a word of the application's"}, "tools": [tool("f")]},
    ],
)
def test_what_is_not_marked_is_plain(content):
    usage = reserved(content, output=7)
    assert usage == Usage(estimate_input(content, *CLAUDE), 7, state=State.ESTIMATED)


@pytest.mark.parametrize("mark", [MARK, HOUR, SimpleNamespace(type="ephemeral", ttl="1h"), {"type": "ephemeral", "ttl": 3}])
def test_a_mark_says_how_long(mark):
    plain, short, hour = parts(reserved((HELLO, [block(PROSE * 30, mark)])))
    ttl = mark.get("ttl") if isinstance(mark, Mapping) else mark.ttl
    assert (short > 500, hour > 500) == (ttl != "1h", ttl == "1h")
    assert plain < 15


TAIL = PROSE * 40
"""Some 1,000 tokens that come after the mark."""
MARKED = {
    "on a system block": ([{"role": "user", "content": TAIL}], [block(PROSE * 9), block(PROSE * 9, MARK)]),
    "before another system block": (HELLO, [block(PROSE * 9, MARK), block(TAIL)]),
    "on a tool": (HELLO, TAIL, [tool("f"), tool("g", MARK)]),
    "on a tool of a gateway": (HELLO, TAIL, [{"type": "function", "function": {**tool("f"), "cache_control": MARK}}]),
    "beside a tool of a gateway": (HELLO, TAIL, [{"type": "function", "function": tool("f"), "cache_control": MARK}]),
    "on a message's block": ([{"role": "user", "content": [block(PROSE * 9, MARK), block(TAIL)]},], PROSE * 9),
    "on an earlier message": ([{"role": "user", "content": [block(PROSE * 9, MARK)]}, {"role": "user", "content": TAIL}],),
    "on a message": ([{"role": "user", "content": PROSE * 9, "cache_control": MARK}, {"role": "user", "content": TAIL}],),
    "within a tool's result": (
        [{"role": "user", "content": [{"type": "tool_result", "content": [block(PROSE * 9, MARK)]}, block(TAIL)]}],
    ),
    "on an object": ([SimpleNamespace(role="user", content=[SimpleNamespace(type="text", text=PROSE * 9, cache_control=MARK), block(TAIL)])],),
    "on the last of several": (
        [{"role": "user", "content": [block(PROSE, MARK)]}, {"role": "user", "content": [block(PROSE * 9, MARK)]}, {"role": "user", "content": TAIL}],
    ),
}  # fmt: skip


@pytest.mark.parametrize("content", MARKED.values(), ids=MARKED.keys())
def test_what_comes_after_the_last_mark_is_plain(content):
    usage = reserved(content)
    tail = estimate_input(TAIL, *CLAUDE)
    plain, short, hour = parts(usage)
    assert usage.input == estimate_input(content, *CLAUDE)
    assert hour == 0
    assert tail - 40 < plain < tail + 40
    assert short == usage.input - plain > 100


@pytest.mark.parametrize("marks", [(MARK, HOUR), (HOUR, MARK)])
def test_of_two_lifetimes_the_dearer_holds(marks):
    plain, short, hour = parts(reserved((HELLO, [block(PROSE, mark) for mark in marks])))
    assert (short, plain < 15, hour > 30) == (0, True, True)


class Broken(dict):
    def get(self, *_):
        raise RuntimeError


@pytest.mark.parametrize("content", [({"cache_control": MARK}, HELLO, TAIL), ({"messages": HELLO, "x": block(TAIL, MARK)},)])
def test_where_the_last_mark_is_not_found_all_is_written(content):
    usage = reserved(content)
    assert usage.cache_write == usage.input > 40


def test_nothing_makes_it_raise():
    usage = reserved(([*HELLO, Broken(role="user")], [block(TAIL, MARK)]))
    assert usage.cache_write == usage.input > 1_000
    assert reserved((HELLO, [block(TAIL, object())])).cache_write


def test_the_gateways_claude_is_marked_alike_and_gemini_not_dearer():
    content = ([{"role": "user", "content": [block(TAIL, MARK)]}],)
    assert reserved(content, ("openrouter", "anthropic/claude-sonnet-4.5")).cache_write > 1_000
    assert reserved(content, ("openrouter", "google/gemini-2.5-pro")).cache_write is None


@pytest.mark.parametrize(
    ("model", "words", "written"),
    [
        (("openai", "gpt-5.6-sol"), TAIL * 2, True),
        (("azure.ai.openai", "gpt-6.1-terra"), TAIL * 2, True),
        (("openrouter", "openai/gpt-5.6-sol"), TAIL * 2, True),
        (("openai", "gpt-5.6-sol"), "hello", False),
        (("aws.bedrock", "openai.gpt-5.6-luna"), "hello", True),
        (("openai", "gpt-5.5"), TAIL * 2, False),
        (("openai", "gpt-4o"), TAIL * 2, False),
        (("azure.ai.openai", "gpt-35-turbo"), TAIL * 2, False),
        (("openai", "gpt-oss-120b"), TAIL * 2, False),
    ],
)
def test_models_that_cache_unasked(model, words, written):
    usage = reserved(([{"role": "user", "content": words}],), model)
    assert (usage.cache_write == usage.input) == written


def test_what_the_provider_keeps_is_input_that_may_be_written_to_a_cache_anew():
    new, whole = (estimate_usage(("hello",), "openai", "gpt-5.6-sol", 9, kept) for kept in (0, 5_000))
    assert (whole.input, whole.output, whole.cache_write) == (new.input + 5_000, 9, new.input + 5_000)


def test_a_speaking_model_may_answer_in_speech(book):
    usage = reserved((HELLO,), ("openai", "gpt-audio"), 1_000)
    cost = book.price("openai", "gpt-audio", usage, when=NOW)
    spoken = book.price("openai", "gpt-audio", Usage(usage.input, 1_000, output_audio=1_000), when=NOW)
    assert cost.nano_usd == spoken.nano_usd > 60_000_000


@pytest.mark.parametrize(
    ("tools", "searches", "results"),
    [
        ([{"type": "web_search_20260318", "name": "web_search", "max_uses": 2}], 2, 16_000),
        ([{"type": "web_search_20250305", "name": "web_search", "max_uses": 50}], 50, 24_000),
        ([{"type": "web_search_20250305", "name": "web_search", "max_uses": 10**30}], 1_000, 24_000),
        ([tool("f"), SimpleNamespace(type="web_search_preview_2025_03_11")], 3, 24_000),
        ([{"type": "web_search", "search_context_size": "high"}], 3, 24_000),
        ([{"type": "web_search_20250305", "name": "web_search", "max_uses": 0}], None, 0),
        ([{"type": "web_search_call", "id": "ws_1"}], None, 0),
        ([tool("web_search")], None, 0),
        ([None, 3, {"type": 7}], None, 0),
    ],
)
def test_searches_of_the_web(tools, searches, results):
    usage = reserved((HELLO, tools))
    name = "web_search_preview" if "preview" in str(tools) else "web_search"
    assert usage.tools == (None if searches is None else {name: searches})
    assert usage.input == estimate_input((HELLO, tools), *CLAUDE) >= results
    assert usage.input < results + 1_500


def test_the_fee_of_searches_is_reserved(book):
    usage = reserved((HELLO, [{"type": "web_search_20260318", "name": "web_search", "max_uses": 2}]))
    assert book.price(*CLAUDE, usage, when=NOW).nano_usd >= 2 * 10_000_000 + 16_000 * 3_000


MODELS = [CLAUDE, ("anthropic", "claude-opus-5-5"), ("anthropic", "claude-haiku-4-5"), ("openrouter", "anthropic/claude-sonnet-4.5"),
          ("aws.bedrock", "global.anthropic.claude-opus-4-7-v1:0"), ("openai", "gpt-5.6-sol")]  # fmt: skip
BLOCKS = st.builds(block, st.integers(1, 60).map(PROSE.__mul__), st.sampled_from([None, MARK, HOUR]))
PROMPTS = st.tuples(
    st.lists(st.fixed_dictionaries({"role": st.just("user"), "content": st.lists(BLOCKS, min_size=1, max_size=3)}), min_size=1, max_size=4),
    st.lists(BLOCKS, max_size=2),
    st.lists(st.builds(tool, st.just("f"), st.sampled_from([None, MARK, HOUR])), max_size=2),
)


@given(
    PROMPTS,
    st.sampled_from(MODELS),
    st.fractions(0, 1),
    st.fractions(0, 1),
    st.fractions(0, 1),
    st.sampled_from([None, {"inference_geo": "us"}, {"service_tier": "priority"}]),
)
def test_no_use_of_the_cache_costs_more_than_was_reserved(book, content, model, cached, written, hour, context):
    """A cache ends at the last mark; what of the prompt before it is read, written or neither, and for how long, is not known."""
    usage = reserved(content, model, 100)
    room = (usage.cache_write or 0) + (usage.cache_write_1h or 0)
    in_cache = int(room * cached)
    writes = int(in_cache * written)
    for_an_hour = int(writes * hour) if usage.cache_write_1h else 0
    used = Usage(usage.input, 100, cache_read=in_cache - writes, cache_write=writes - for_an_hour, cache_write_1h=for_an_hour)
    before, after = (book.price(*model, told, when=NOW, context=context).nano_usd for told in (usage, used))
    assert before >= after > 0


def test_marked_calls_in_parallel_cannot_overrun_a_budget_together():
    """All prompts are reserved before the first is charged: each is written to the cache, and costs more than plain input."""
    book = PriceBook()
    ledger = MemoryLedger()
    gate = Gate([parse("DAY", "0.05 USD per day")], ledger, book, timezone=ZoneInfo("UTC"), clock=lambda: NOW)
    content = ([{"role": "user", "content": [block(PROSE * 60, HOUR)]}],)
    request = Request("chat", Activity.LLM, *CLAUDE, max_output=1, content=content)
    drafts = [Entry(f"e{number}", NOW, Activity.LLM, CLAUDE[0], "chat", CLAUDE[1]) for number in range(100)]
    admitted = []
    for draft in drafts:
        with suppress(BudgetExceeded):
            admitted.append((draft, gate.admit(draft, request)))
    for draft, admission in admitted:
        draft.usage = Usage(draft.usage.input, 1, cache_write_1h=draft.usage.input)
        draft.cost = book.price(*CLAUDE, draft.usage, when=NOW)
        gate.settle(draft, admission)
    (balance,) = ledger.balances(NOW)
    assert 2 < len(admitted) < 100
    assert 0 < balance.spent <= balance.limit


def test_all_blocks_of_a_message_that_is_marked_itself_are_written():
    message = {"role": "user", "content": [block(PROSE * 9, MARK), block(TAIL)], "cache_control": MARK}
    plain, short, _ = parts(reserved(([message],)))
    assert (plain < 15, short > 1_000) == (True, True)
