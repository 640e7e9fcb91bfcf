from __future__ import annotations

import datetime as dt
import json
import os
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spanledger.model import Cost, CostStatus, Unit, Usage
from spanledger.pricing.book import PriceBook
from spanledger.pricing.overrides import OverrideFile

MILLION = Usage(input=1_000_000, output=1_000_000)
DOLLAR = 10**9


def write(path, text):
    """Replaces a file in one step, as editors and config maps do; the new inode makes the change visible at any clock resolution."""
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(path)


@pytest.fixture
def prices(tmp_path):
    """A price file and a book that looks at it on every call."""
    path = tmp_path / "prices.yaml"

    def make(text):
        write(path, text)
        return PriceBook(path, ttl=0)

    make.path = path
    return make


def test_the_file_wins_over_built_in_prices_and_says_so(prices, now):
    book = prices("models: [{provider: openai, model: gpt-4o, input: 1, output: 2, effective_from: 2026-01-01}]")
    cost = book.price("openai", "gpt-4o", MILLION, when=now)
    assert cost == Cost(3 * DOLLAR, CostStatus.EXACT, "file", book.status()["file hash"], "openai/gpt-4o", "2026-01-01")
    assert book.price("openai", "gpt-4o-mini", MILLION, when=now).source == "genai-prices"


@pytest.mark.parametrize(
    ("text", "nano"),
    [
        ("models: [{provider: openai, model: gpt-oss-*, input: 1, output: 2}]", 3 * DOLLAR),
        ("models: [{model: openai/gpt-oss-120b, input: 0, output: 0}]", 0),
        ("aliases: {openai/gpt-oss-120b: cerebras/gpt-oss-120b}", 1_100_000_000),
        ("models: [{provider: groq, model: openai/gpt-oss-120b, input: 1, output: 2}]", None),
    ],
)
def test_the_file_prices_open_weights_that_a_host_of_ones_own_serves(prices, now, text, nano):
    assert prices(text).price("openai", "openai/gpt-oss-120b", MILLION, when=now).nano_usd == nano


@pytest.mark.parametrize(
    ("provider", "model", "found"),
    [
        ("openai", "mine-1", True),
        ("OpenAI", "MINE-1", True),
        ("openai", "mine-2026-02-03", True),
        ("litellm", "openai/mine-1", True),
        ("anthropic", "mine-1", False),
        ("openai", "other", False),
    ],
)
def test_entries_match_by_provider_glob_and_dated_name(prices, now, provider, model, found):
    book = prices("models: [{provider: openai, model: 'mine-?', input: 1}, {provider: openai, model: mine, input: 1}]")
    assert (book.price(provider, model, Usage(input=1), when=now).nano_usd is not None) is found


@pytest.mark.parametrize("model", ["ft:gpt-4o-2024-08-06:org::1", "gpt-4o:extended"])
def test_a_fine_tuned_model_or_variant_with_a_price_of_its_own_keeps_it(prices, now, model):
    book = prices("models: [{model: gpt-4o, input: 2, output: 8}]\nmultipliers: [{model: gpt-4o, factor: 0.5}]")
    assert book.price("openai", model, MILLION, when=now) == PriceBook().price("openai", model, MILLION, when=now)


@pytest.mark.parametrize(
    ("provider", "model", "status"),
    [
        ("openai", "mine-2026-02-03", CostStatus.EXACT),
        ("openai", "models/mine@20260203", CostStatus.EXACT),
        ("litellm", "openai/mine-2026-02-03", CostStatus.EXACT),
        ("openai", "mine:online", CostStatus.ESTIMATED),
        ("openai", "ft:mine:org::1", CostStatus.ESTIMATED),
        ("openai", "ft:mine-2026-02-03:org::1", CostStatus.ESTIMATED),
        ("openrouter", "openai/mine", CostStatus.ESTIMATED),
    ],
)
def test_a_price_holds_for_snapshots_and_is_a_guess_for_what_else_has_none(prices, now, provider, model, status):
    book = prices("models: [{model: mine, input: 1}]\nmultipliers: [{model: mine, factor: 0.5}]")
    cost = book.price(provider, model, Usage(input=10**6), when=now)
    assert (cost.nano_usd, cost.status, cost.source) == (DOLLAR // 2, status, "file")


def test_a_name_written_out_or_a_glob_is_no_guess(prices, now):
    book = prices("models: [{model: 'ft:gpt-4o-2024-08-06:org::1', input: 7}, {model: 'gpt-4o:*', input: 9}]")
    for model, price in (("ft:gpt-4o-2024-08-06:org::1", 7), ("gpt-4o:extended", 9)):
        cost = book.price("openai", model, Usage(input=10**6), when=now)
        assert (cost.nano_usd, cost.status) == (price * DOLLAR, CostStatus.EXACT)


def test_the_first_entry_that_applies_wins(prices, now):
    book = prices("models: [{model: a-*, input: 1, effective_to: 2020-01-01}, {model: a-b, input: 2}, {model: a-*, input: 3}]")
    assert book.price("p", "a-b", Usage(input=10**6), when=now).nano_usd == 2 * DOLLAR
    assert book.price("p", "a-c", Usage(input=10**6), when=now).nano_usd == 3 * DOLLAR


def test_an_entry_holds_from_its_first_to_its_last_day(prices):
    book = prices("models: [{model: m, input: 1, effective_from: 2026-03-01, effective_to: 2026-03-31}]")
    first, last = dt.datetime(2026, 3, 1, tzinfo=dt.UTC).timestamp(), dt.datetime(2026, 4, 1, tzinfo=dt.UTC).timestamp()
    for when, priced in ((first - 1, False), (first, True), (last - 1, True), (last, False), (first - 1, False)):
        assert (book.price("p", "m", Usage(input=1), when=when).nano_usd is not None) is priced


def test_all_kinds_of_prices(prices, now):
    book = prices(
        "models: [{model: m, input: 1, output: 2, cache_read: 0.1, cache_write: 1.25, cache_write_1h: 2, reasoning: 4, input_audio: 10,"
        " output_audio: 20, per_request: {web_search: 0.01}, per_call: 0.5}]"
    )
    usage = Usage(
        input=1000, cache_read=100, cache_write=100, cache_write_1h=100, input_audio=100, output=1000, reasoning=100, output_audio=100
    )
    usage.cache_read_audio, usage.tools = 0, {"web_search": 3}
    micro = 600 * 1 + 100 * 10 + 100 * 0.1 + 100 * 1.25 + 100 * 2 + 800 * 2 + 100 * 4 + 100 * 20 + 30_000 + 500_000
    assert book.price("p", "m", usage, when=now) == Cost(
        round(micro * 1000), CostStatus.EXACT, "file", book.status()["file hash"], "p/m", None
    )


def test_context_entries_are_for_their_context_only(prices, now):
    book = prices("models: [{model: m, input: 1, context: {service_tier: flex}}, {model: m, input: 2}]")
    usage = Usage(input=10**6)
    assert book.price("p", "m", usage, when=now).nano_usd == 2 * DOLLAR
    assert book.price("p", "m", usage, when=now, context={"service_tier": "flex"}).nano_usd == DOLLAR
    other = book.price("p", "m", usage, when=now, context={"service_tier": "priority"})
    assert (other.nano_usd, other.status) == (2 * DOLLAR, CostStatus.ESTIMATED)


def test_an_entry_for_a_region_is_exact_there_and_one_for_none_a_guess(prices, now):
    book = prices("models: [{model: a, input: 1, context: {data_residency: eu}}, {model: a, input: 2}, {model: b, input: 3}]")
    usage, eu = Usage(input=10**6), {"data_residency": "eu", "service_tier": "default"}
    there = [book.price("openai", model, usage, when=now, context=eu) for model in "ab"]
    assert [(cost.nano_usd, cost.status) for cost in there] == [(DOLLAR, CostStatus.EXACT), (3 * DOLLAR, CostStatus.ESTIMATED)]
    assert book.price("openai", "a", usage, when=now).nano_usd == 2 * DOLLAR


STANDARD = {
    "service_tier": st.sampled_from(["auto", "default", "standard", "on_demand", "SERVICE_TIER_STANDARD"]),
    "speed": st.sampled_from(["standard", "normal"]),
    "batch": st.sampled_from(["false", "False", "0"]),
    "inference_geo": st.sampled_from(["global", "not_available"]),
}


@given(st.fixed_dictionaries({}, optional=STANDARD), st.fixed_dictionaries({}, optional=STANDARD))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_standard_need_not_be_asked_for_nor_mentioned(prices, asked, mentioned):
    book = prices(json.dumps({"models": [{"model": "m", "input": "1", "context": mentioned}]}))
    cost = book.price("p", "m", Usage(input=10**6), when=1.8e9, context=asked)
    assert (cost.nano_usd, cost.status) == (DOLLAR, CostStatus.EXACT)


@pytest.mark.parametrize(
    ("asked", "dollars", "status"),
    [
        ({"service_tier": "flex"}, 1, CostStatus.EXACT),
        ({"service_tier": "flex", "inference_geo": "not_available"}, 1, CostStatus.EXACT),
        ({"service_tier": "flex", "inference_geo": "us"}, 1, CostStatus.ESTIMATED),
        ({"service_tier": "default"}, 2, CostStatus.EXACT),
        ({"batch": "true"}, 3, CostStatus.ESTIMATED),
        ({"service_tier": "priority"}, 3, CostStatus.ESTIMATED),
    ],
)
def test_an_entry_for_standard_calls_is_for_no_others(prices, now, asked, dollars, status):
    book = prices(
        "models: [{model: m, input: 1, context: {service_tier: flex}},"
        " {model: m, input: 2, context: {service_tier: default, batch: 'false'}}, {model: m, input: 3}]"
    )
    cost = book.price("p", "m", Usage(input=10**6), when=now, context=asked)
    assert (cost.nano_usd, cost.status) == (dollars * DOLLAR, status)


@pytest.mark.parametrize(
    ("provider", "alias", "real"),
    [
        ("azure.ai.openai", "prod-chat", ("openai", "gpt-4o")),
        ("azure.ai.openai", "PROD-Chat", ("openai", "gpt-4o")),
        ("azure.ai.openai", "mini", ("azure.ai.openai", "gpt-4o-mini")),
        ("aws.bedrock", "arn:aws:bedrock:us-east-1:1:application-inference-profile/abc", ("aws.bedrock", "us.anthropic.claude-sonnet-4-6")),
    ],
)
def test_aliases(prices, now, provider, alias, real):
    book = prices(
        "aliases: {prod-chat: openai/gpt-4o, mini: gpt-4o-mini,"
        " 'arn:aws:bedrock:us-east-1:1:application-inference-profile/abc': us.anthropic.claude-sonnet-4-6}"
    )
    aliased, named = (book.price(*names, MILLION, when=now) for names in ((provider, alias), real))
    assert aliased == named
    assert named.status is CostStatus.EXACT


def test_an_alias_is_stronger_than_a_built_in_model_of_that_name_and_a_price_for_it_stronger_still(prices, now):
    book = prices("aliases: {gpt-4: gpt-4o}")
    assert book.price("openai", "gpt-4", MILLION, when=now) == book.price("openai", "gpt-4o", MILLION, when=now)
    book = prices("aliases: {gpt-4: gpt-4o}\nmodels: [{model: gpt-4, input: 1, output: 1}]")
    assert book.price("openai", "gpt-4", MILLION, when=now).nano_usd == 2 * DOLLAR


def test_multipliers_are_multiplied_and_named_in_the_version(prices, now):
    plain = PriceBook().price("anthropic", "claude-opus-4-5", MILLION, when=now)
    book = prices(
        "multipliers: [{provider: anthropic, factor: 0.9}, {model: claude-*, factor: 1.1}, {factor: 7, effective_to: 2020-01-01},"
        " {provider: openai, factor: 3}]\nmodels: [{provider: anthropic, model: mine, input: 1}]"
    )
    cost = book.price("anthropic", "claude-opus-4-5", MILLION, when=now)
    assert cost.nano_usd * 100 == plain.nano_usd * 99
    assert cost.version == f"{plain.version}+{book.status()['file hash']}"
    assert book.price("anthropic", "mine", Usage(input=10**6), when=now).nano_usd == 9 * DOLLAR // 10


def test_a_multiplier_that_is_no_round_number_stays_exact(prices, now):
    book = prices("models: [{model: m, input: 1}]\nmultipliers: [{factor: 0.333333333333}]")
    assert book.price("p", "m", Usage(input=10**6), when=now).nano_usd == 333_333_333


def test_plugins(prices):
    book = prices("plugins: {search: 0.002 USD, summarise: 250 tokens}")
    assert book.plugin("search") == (Unit.USD, 2_000_000)
    assert book.plugin("summarise") == (Unit.TOKENS, 250)
    assert book.plugin("other") is None
    assert PriceBook().plugin("search") is None


def test_a_changed_file_is_used_without_restart(prices, now):
    book = prices("models: [{model: m, input: 1}]")
    usage = Usage(input=10**6)
    before = book.price("p", "m", usage, when=now)
    write(prices.path, "models: [{model: m, input: 2}]")
    after = book.price("p", "m", usage, when=now)
    assert (before.nano_usd, after.nano_usd) == (DOLLAR, 2 * DOLLAR)
    assert before.version != after.version


def test_a_model_without_a_price_gets_one_when_the_file_does(prices, now):
    book = prices("models: [{model: other, input: 1}]")
    assert book.price("p", "m", Usage(input=1), when=now).nano_usd is None
    write(prices.path, "models: [{model: m, input: 1}]")
    assert book.price("p", "m", Usage(input=1), when=now).nano_usd == 1000


BAD = {
    "broken yaml": "models: [",
    "negative": "models: [{model: m, input: -1}]",
    "unknown key": "prices: []",
    "empty": "",
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_a_broken_file_keeps_the_last_good_one_and_tells(prices, now, text):
    book = prices("models: [{model: m, input: 1}]")
    assert (book.price("p", "m", Usage(input=1), when=now).nano_usd, book.problems) == (1000, ())
    write(prices.path, text)
    assert book.price("p", "m", Usage(input=1), when=now).nano_usd == 1000
    assert str(book.problems[0]).startswith(f"{prices.path}:1: ")
    assert str(prices.path) in book.status()["file problems"]
    write(prices.path, "models: [{model: m, input: 3}]")
    assert (book.price("p", "m", Usage(input=1), when=now).nano_usd, book.problems) == (3000, ())


def _directory(path):
    path.unlink()
    path.mkdir()


BROKEN = {
    "missing": (lambda path: path.unlink(), "No such file"),
    "directory": (_directory, "not a regular file"),
    "binary": (lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n\xff\xfe"), "not UTF-8 text"),
    "huge": (lambda path: path.write_bytes(b"#" * 5_000_000), "not a regular file of at most 4 MB"),
    "nul bytes": (lambda path: path.write_bytes(b"models: \0"), "not YAML"),
    "a pipe": (lambda path: (path.unlink(), os.mkfifo(path)), "not a regular file"),
}


@pytest.mark.parametrize(("harm", "problem"), BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("was_good", [True, False])
def test_what_is_no_price_file_is_told(tmp_path, now, harm, problem, was_good):
    path = tmp_path / "prices.yaml"
    path.write_text("models: [{model: m, input: 1}]")
    book = PriceBook(path, ttl=0)
    if was_good:
        book.price("p", "m", Usage(input=1), when=now)
    harm(path)
    assert (book.price("p", "m", Usage(input=1), when=now).nano_usd == 1000) is was_good
    assert problem in book.problems[0].problem
    assert book.problems[0].where.startswith(str(path))


def test_a_file_that_breaks_while_it_is_in_use_is_told_once(prices, now, caplog):
    def told(text):
        caplog.clear()
        write(prices.path, text) if text else prices.path.unlink(missing_ok=True)
        for _ in range(3):
            assert book.price("p", "m", Usage(input=10**6), when=now).nano_usd == DOLLAR
        return caplog.messages

    book = prices("models: oops")
    assert len(book.problems) == 1
    assert told("models: [{model: m, input: 1}]") == [f"{prices.path} is in force again"]
    assert told("models: [{model: m, input: 1}]") == []
    (broken,) = told("models: oops")
    assert broken == f"{book.problems[0]}; the last good version of this file stays in force"
    (missing,) = told(None)
    assert "No such file or directory" in missing
    assert told("models: [{model: m, input: 1}]") == [f"{prices.path} is in force again"]


def test_what_is_wrong_at_the_start_is_left_to_the_caller(prices, caplog):
    assert len(prices("models: oops").problems) == 1
    assert caplog.messages == []


def test_the_file_is_looked_at_once_per_ttl(tmp_path):
    path = tmp_path / "prices.yaml"
    times = {"now": 0.0}
    write(path, "aliases: {a: b}")
    file = OverrideFile(path, 60.0, clock=lambda: times["now"])
    first = file.current()
    write(path, "aliases: {a: c}")
    times["now"] = 59.9
    assert file.current() is first
    times["now"] = 60.0
    assert file.current().alias("a") == "c"


def test_an_unchanged_file_is_not_read_again(tmp_path):
    path = tmp_path / "prices.yaml"
    path.write_text("aliases: {a: b}")
    file = OverrideFile(path, 0)
    assert file.current() is file.current()


def test_readers_never_see_half_a_file(tmp_path, now):
    path = tmp_path / "prices.yaml"
    write(path, "models: [{model: m, input: 1, output: 1}]")
    book, seen, stop = PriceBook(path, ttl=0), set(), threading.Event()

    def reader():
        while not stop.is_set():
            seen.add(book.price("p", "m", Usage(input=10**6, output=10**6), when=now).nano_usd)

    threads = [threading.Thread(target=reader) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(20):
        write(path, f"models: [{{model: m, input: {number}, output: {number}}}]")
        book.price("p", "m", MILLION, when=now)
    stop.set()
    for thread in threads:
        thread.join()
    assert seen
    assert seen <= {2 * number * DOLLAR for number in range(20)}


def test_a_file_that_comes_back_as_it_was_is_in_force_again(prices, now):
    book = prices("models: [{model: m, input: 1}]")
    assert book.price("p", "m", Usage(input=1), when=now).nano_usd == 1000
    away = prices.path.rename(prices.path.with_suffix(".away"))
    assert "No such file" in book.problems[0].problem
    away.rename(prices.path)
    assert book.problems == ()


@pytest.mark.parametrize("model", ["gpt-4o:online", "ft:gpt-4o:org::1"])
def test_a_guess_from_the_file_goes_before_a_built_in_guess(prices, now, model):
    cost = prices("models: [{model: gpt-4o, input: 7}]").price("openai", model, Usage(input=10**6), when=now)
    assert (cost.nano_usd, cost.status, cost.source) == (7 * DOLLAR, CostStatus.ESTIMATED, "file")
