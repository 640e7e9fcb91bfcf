"""The grammar of budgets: what is understood, what is refused with which words, and that rules can be written back."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from spanledger.budgets.rule import KEYS, Action, Rule, Window, describe, parse, parse_all
from spanledger.errors import ConfigurationError
from spanledger.model import Unit

USD, TOKENS, CALLS = Unit.USD, Unit.TOKENS, Unit.CALLS
DOLLAR = 10**9

OWN = (
    "session_id", "customer_id", "consumer", "client", "tenant", "team", "Region", "x", "org", "company", "account", "project", "workspace",
    "environment", "env", "job", "task", "queue", "thread", "conversation", "feature", "route", "tier", "plan", "country", "channel",
    "department", "section", "version", "host", "operator", "apikey", "prompt", "tool", "date", "batch", "cluster", "role",
)  # fmt: skip

GOOD = [
    ("200 USD per month", Rule("B", USD, 200 * DOLLAR, window=Window.MONTH)),
    ("50000 tokens per workflow", Rule("B", TOKENS, 50_000, ("workflow",), Window.RUN)),
    ("3 calls per step", Rule("B", CALLS, 3, ("step",), Window.RUN)),
    ("5 USD per customer per day, warn at 80%", Rule("B", USD, 5 * DOLLAR, ("customer",), Window.DAY, warn_at=(80,))),
    (
        "10 USD per user per day for model=claude-opus-*, then warn",
        Rule("B", USD, 10 * DOLLAR, ("user",), Window.DAY, (("model", ("claude-opus-*",)),), action=Action.WARN),
    ),
    ("0.5 USD per run", Rule("B", USD, DOLLAR // 2, window=Window.RUN)),
    ("1 USD per execution", Rule("B", USD, DOLLAR, window=Window.RUN)),
    (".000000001 usd per hour", Rule("B", USD, 1, window=Window.HOUR)),
    ("$5 per day", Rule("B", USD, 5 * DOLLAR, window=Window.DAY)),
    ("$5 USD per day", Rule("B", USD, 5 * DOLLAR, window=Window.DAY)),
    ("5USD per day", Rule("B", USD, 5 * DOLLAR, window=Window.DAY)),
    ("1_000 tokens per minute", Rule("B", TOKENS, 1_000, window=Window.MINUTE)),
    ("50k tokens per week", Rule("B", TOKENS, 50_000, window=Window.WEEK)),
    ("50ktokens per week", Rule("B", TOKENS, 50_000, window=Window.WEEK)),
    ("1.5k tokens per week", Rule("B", TOKENS, 1_500, window=Window.WEEK)),
    ("2M tokens per month", Rule("B", TOKENS, 2_000_000, window=Window.MONTH)),
    ("1B tokens per month", Rule("B", TOKENS, 10**9, window=Window.MONTH)),
    ("1 call per customer", Rule("B", CALLS, 1, ("customer",))),
    ("0 calls per day for model=gpt-5-pro", Rule("B", CALLS, 0, window=Window.DAY, filters=(("model", ("gpt-5-pro",)),))),
    ("5 usd Per Customer PER Day, Warn At 50%, THEN Block", Rule("B", USD, 5 * DOLLAR, ("customer",), Window.DAY, warn_at=(50,))),
    ("  5\tUSD\n per  day ,then warn ", Rule("B", USD, 5 * DOLLAR, window=Window.DAY, action=Action.WARN)),
    ("5 USD per user and campaign per month", Rule("B", USD, 5 * DOLLAR, ("user", "campaign"), Window.MONTH)),
    ("5 USD per user and campaign and month", Rule("B", USD, 5 * DOLLAR, ("user", "campaign"), Window.MONTH)),
    ("5 USD per user per campaign", Rule("B", USD, 5 * DOLLAR, ("user", "campaign"))),
    ("5 USD per user per user", Rule("B", USD, 5 * DOLLAR, ("user",))),
    ("5 USD per workflow per day", Rule("B", USD, 5 * DOLLAR, ("workflow",), Window.DAY)),
    ("5 USD per Tenant_Id per day", Rule("B", USD, 5 * DOLLAR, ("Tenant_Id",), Window.DAY)),
    ("9 calls per app.tenant-id per day", Rule("B", CALLS, 9, ("app.tenant-id",), Window.DAY)),
    *[(f"9 calls per {key} per day", Rule("B", CALLS, 9, (key,), Window.DAY)) for key in OWN],
    (
        "9 calls per day for provider=openai for model=gpt-* model=o? and Plugin=x, operation=chat",
        Rule("B", CALLS, 9, (), Window.DAY, (("provider", ("openai",)), ("model", ("gpt-*", "o?")), ("plugin", ("x",)), ("operation", ("chat",)))),
    ),
    (
        """9 calls per day for customer='Acme, Inc' user="it's me" Team=a=b""",
        Rule("B", CALLS, 9, (), Window.DAY, (("customer", ("Acme, Inc",)), ("user", ("it's me",)), ("Team", ("a=b",)))),
    ),
    ("9 calls per day for activity=LLM activity=e*", Rule("B", CALLS, 9, (), Window.DAY, (("activity", ("LLM", "e*")),))),
    ("9 calls per day, warn at 80% 50%", Rule("B", CALLS, 9, (), Window.DAY, warn_at=(50, 80))),
    ("9 calls per day warn at 80%, 50% and 100% then warn", Rule("B", CALLS, 9, (), Window.DAY, warn_at=(50, 80, 100), action=Action.WARN)),
    ("9 calls per day, warn at 80%, warn at 50%, warn at 80%", Rule("B", CALLS, 9, (), Window.DAY, warn_at=(50, 80))),
    ("9 calls per day, then warn, warn at 5%, for model=a", Rule("B", CALLS, 9, (), Window.DAY, (("model", ("a",)),), (5,), Action.WARN)),
]  # fmt: skip


@pytest.mark.parametrize(("text", "rule"), GOOD, ids=[text for text, _ in GOOD])
def test_what_is_understood(text: str, rule: Rule) -> None:
    assert parse("B", text) == rule
    assert parse("B", describe(rule)) == rule


KEY = "a key (workflow, step, customer, user, agent, campaign, session, service, model, provider, plugin, activity or a name of your own) or a window (run, minute, hour, day, week, month)"
LIKE = "as in '5 USD per customer per day, warn at 80%'"
AMOUNT = f"an amount such as 200, 0.5, 1_000, 50k or 2M, {LIKE}"
UNIT = f"the unit USD, tokens or calls, {LIKE}; write thousands as 1_000"
CLAUSE = f"one of per, for, warn, then or the end, {LIKE}"
PERCENT = "'at' and percentages from 1% to 100%, as in 'warn at 50% 80%'"
FILTER = "<attribute>=<glob>, as in 'for model=claude-opus-*'; an attribute is one of workflow, step, customer, user, agent, campaign, session, service, model, provider, plugin, activity, operation or a scope key"
EVERYBODY = "a window, as in '5 USD per day': without a key a budget is for everybody together"
ACTIVITY = (
    "activity=llm or embedding or memory or classification or plugin; what is asked of a model is its operation, as in 'for operation=chat'"
)

BAD = [
    ("", "something is missing at the end of", AMOUNT),
    ("five USD per day", "cannot read 'five' (word 1) in", AMOUNT),
    ("-5 USD per day", "cannot read '-5' (word 1) in", AMOUNT),
    ("1e3 USD per day", "cannot read '1e3' (word 1) in", AMOUNT),
    ("5 EUR per day", "cannot read 'EUR' (word 2) in", UNIT),
    ("5EUR per day", "cannot read '5EUR' (word 1) in", UNIT),
    ("$5 tokens per day", "cannot read 'tokens' (word 2) in", UNIT),
    ("1,000 USD per day", "cannot read '000' (word 2) in", UNIT),
    ("200", "something is missing at the end of", UNIT),
    ("200 per day", "cannot read 'per' (word 2) in", UNIT),
    ("0.0000000001 USD per day", "cannot read '0.0000000001' (word 1) in", "at most nine decimals of a USD"),
    ("2.5 calls per day", "cannot read '2.5' (word 1) in", "a whole number of calls"),
    ("2000M USD per day", "cannot read '2000M' (word 1) in", "at most a billion USD"),
    ("200 USD", "something is missing at the end of", f"'per' and {KEY}, {LIKE}"),
    ("200 USD a day", "cannot read 'a' (word 3) in", f"'per' and {KEY}, {LIKE}"),
    ("200 USD per", "something is missing at the end of", KEY),
    ("200 USD per user and", "something is missing at the end of", KEY),
    ("200 USD per year", "cannot read 'year' (word 4) in", f"{KEY}, {LIKE}"),
    ("200 USD per seconds", "cannot read 'seconds' (word 4) in", f"{KEY}, {LIKE}"),
    ("200 USD per for model=x", "cannot read 'for' (word 4) in", f"{KEY}, {LIKE}"),
    ("200 USD per 7 days", "cannot read '7' (word 4) in", f"{KEY}, {LIKE}"),
    ("200 USD per agnet", "cannot read 'agnet' (word 4) in", "'agent', or a name of your own that differs more from it"),
    ("200 USD per days", "cannot read 'days' (word 4) in", "'day', or a name of your own that differs more from it"),
    ("200 USD per custmer per day", "cannot read 'custmer' (word 4) in", "'customer', or a name of your own that differs more from it"),
    ("0 USD per costumer per day", "cannot read 'costumer' (word 4) in", "'customer', or a name of your own that differs more from it"),
    ("200 USD per dya", "cannot read 'dya' (word 4) in", "'day', or a name of your own that differs more from it"),
    ("200 USD per min", "cannot read 'min' (word 4) in", "'minute'"),
    ("200 USD per h", "cannot read 'h' (word 4) in", "'hour'"),
    ("200 USD per D", "cannot read 'D' (word 4) in", "'day'"),
    ("200 USD per wk", "cannot read 'wk' (word 4) in", "'week'"),
    ("200 USD per mo", "cannot read 'mo' (word 4) in", "'month'"),
    ("200 USD per m", "cannot read 'm' (word 4) in", "'minute' or 'month'"),
    ("200 USD per user and daily", "cannot read 'daily' (word 6) in", "'day'"),
    ("200 USD per sec", "cannot read 'sec' (word 4) in", f"{KEY}, {LIKE}"),
    ("200 USD per s", "cannot read 's' (word 4) in", f"{KEY}, {LIKE}"),
    ("200 USD per fortnight", "cannot read 'fortnight' (word 4) in", f"{KEY}, {LIKE}"),
    ("200 USD per 24h", "cannot read '24h' (word 4) in", f"{KEY}, {LIKE}"),
    ("200 USD per everyone", "cannot read 'everyone' (word 4) in", EVERYBODY),
    ("200 USD per All per day", "cannot read 'All' (word 4) in", EVERYBODY),
    ("200 USD per day for activity=chat", "cannot read 'activity=chat' (word 6) in", ACTIVITY),
    ("200 USD per day for activity=llm activity=", "cannot read 'activity=' (word 7) in", FILTER),
    ("200 USD per day per month", "cannot read 'month' (word 6) in", "one window; it already has 'day'"),
    ("200 USD per day and week", "cannot read 'week' (word 6) in", "one window; it already has 'day'"),
    ("200 USD per day maybe", "cannot read 'maybe' (word 5) in", CLAUSE),
    ("200 USD per day for", "something is missing at the end of", FILTER),
    ("200 USD per day for gpt-*", "cannot read 'gpt-*' (word 6) in", FILTER),
    ("200 USD per day for model=", "cannot read 'model=' (word 6) in", FILTER),
    ("200 USD per day for modle=x", "cannot read 'modle=x' (word 6) in", "'model', or a name of your own that differs more from it"),
    ("$5calls per day", "cannot read '$5calls' (word 1) in", UNIT),
    ("200 USD per day for model=''", "cannot read 'model=''' (word 6) in", FILTER),
    ("200 USD per day for model=a b", "cannot read 'b' (word 7) in", FILTER),
    ("200 USD per day for customer='Acme", "cannot read 'customer=' (word 6) in", FILTER),
    ("200 USD per day, warn 80%", "cannot read '80%' (word 6) in", PERCENT),
    ("200 USD per day, warn at", "something is missing at the end of", PERCENT),
    ("200 USD per day, warn at 80", "cannot read '80' (word 7) in", PERCENT),
    ("200 USD per day, warn at 0%", "cannot read '0%' (word 7) in", PERCENT),
    ("200 USD per day, warn at 101%", "cannot read '101%' (word 7) in", PERCENT),
    ("200 USD per day, warn at 50% soon", "cannot read 'soon' (word 8) in", PERCENT),
    ("200 USD per day, then", "something is missing at the end of", "'block' or 'warn'"),
    ("200 USD per day, then explode", "cannot read 'explode' (word 6) in", "'then block' or 'then warn', once"),
    ("200 USD per day, then warn then block", "cannot read 'block' (word 8) in", "'then block' or 'then warn', once"),
    ("200 USD per day, then cap", "cannot read 'cap' (word 6) in", "'then block' or 'then warn': cap is not available in this version"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "problem", "expected"), BAD, ids=[text or "(empty)" for text, _, _ in BAD])
def test_what_is_refused_and_how(text: str, problem: str, expected: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse("TEAM", text)
    assert caught.value.where == "SPANLEDGER_BUDGET_TEAM"
    assert caught.value.problem == f"{problem} '{text}'"
    assert caught.value.expected == expected


def test_a_budget_needs_a_name() -> None:
    with pytest.raises(
        ConfigurationError, match="there is no name for '5 USD per day'; expected one after the prefix, as in SPANLEDGER_BUDGET_TEAM"
    ):
        parse("", "5 USD per day")


def test_parse_all_keeps_the_good_and_reports_the_bad() -> None:
    rules, problems = parse_all({"A": "5 USD per day", "B": "5 USD per fortnite and", "C": "nothing", "D": "1 call per run"})
    assert [rule.name for rule in rules] == ["A", "D"]
    assert [problem.where for problem in problems] == ["SPANLEDGER_BUDGET_B", "SPANLEDGER_BUDGET_C"]


def test_describe_is_readable() -> None:
    text = "10.50 USD per user and campaign and day for model=gpt-* for model=o?, warn at 80% 50%, then warn"
    assert describe(parse("B", text)) == "10.5 USD per user and campaign per day for model=gpt-* model=o?, warn at 50% 80%, then warn"
    assert describe(parse("B", "2M tokens per workflow")) == "2000000 tokens per workflow per run"
    assert describe(parse("B", "1000 USD per customer, then block")) == "1000 USD per customer"


globs = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=12)
names = st.one_of(st.sampled_from(KEYS), st.from_regex(r"x_[A-Za-z0-9_.-]{0,8}", fullmatch=True))
rules = st.builds(
    Rule,
    st.just("B"),
    st.sampled_from(Unit),
    st.integers(0, 10**18),
    st.lists(names, unique=True, max_size=3).map(tuple),
    st.sampled_from(Window),
    st.dictionaries(names.filter(lambda name: name != "activity") | st.just("operation"), st.lists(globs, unique=True, min_size=1, max_size=3).map(tuple), max_size=3).map(lambda d: tuple(d.items())),
    st.sets(st.integers(1, 100), max_size=3).map(lambda s: tuple(sorted(s))),
    st.sampled_from(Action),
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(rules)
@example(Rule("B", CALLS, 1, (), Window.DAY, (("model", ("""both ' and " quotes""",)),)))
def test_every_rule_can_be_written_and_read_back(rule: Rule) -> None:
    assert parse("B", describe(rule)) == rule


WORDS = [
    "5", "0.5", "50k", "$5", "1_0", "USD", "tokens", "calls", "per", "day", "month", "run", "customer", "workflow", "and", "for",
    "model=a*", "x=b,", "warn", "at", "80%", ",", "then", "block", "cap", "'", "=",
]  # fmt: skip
words = st.sampled_from([*WORDS, '"'])


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.lists(words, max_size=14).map(" ".join), st.text(max_size=30)))
def test_any_text_is_a_rule_or_one_clear_error(text: str) -> None:
    rules, problems = parse_all({"B": text})
    assert len(rules) + len(problems) == 1
    for problem in problems:
        assert f"'{text}'" in problem.problem
        assert problem.expected
    for rule in rules:
        assert parse("B", describe(rule)) == rule
