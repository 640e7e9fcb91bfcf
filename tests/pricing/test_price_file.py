from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest

from spanledger.model import Unit
from spanledger.pricing.plugin_price import plugin_price
from spanledger.pricing.price_file import PriceFile, read

GOOD = """
models:
  - provider: openai
    model: gpt-4o*
    input: 2.25
    output: "9.00"
    per_request: {web_search: 0.01}
    context: {service_tier: flex}
    effective_from: 2026-01-01
    effective_to: 2026-12-31
  - {model: mine, per_call: 0.1}
aliases:
  my-deployment: openai/gpt-4o
multipliers:
  - {provider: anthropic, model: claude-*, factor: 0.9}
plugins:
  search: 0.002 USD
  summarise: 250 tokens
"""


def test_a_good_file_is_read_without_floating_point():
    file = read(GOOD, "prices.yaml")
    assert isinstance(file, PriceFile)
    first = file.models[0]
    assert (first.input, first.output) == (Decimal("2.25"), Decimal("9.00"))
    assert (first.effective_from, first.effective_to) == (dt.date(2026, 1, 1), dt.date(2026, 12, 31))
    assert file.plugins == {"search": (Unit.USD, 2_000_000), "summarise": (Unit.TOKENS, 250)}
    assert read("models: [{model: a, input: 0.100000000000001}]", "f").models[0].input == Decimal("0.100000000000001")


def test_sections_whose_entries_are_commented_out_are_empty():
    assert read("models:\nplugins: {a: 1 USD}", "f").models == ()


@pytest.mark.parametrize(
    ("text", "where", "problem", "expected"),
    [
        ("", "f:1", "nothing in it", "models, aliases, multipliers, plugins"),
        ("# only a comment", "f:1", "nothing in it", "models"),
        ("- a", "f:1", "no mapping", "models"),
        ("hello", "f:1", "no mapping", "models"),
        ("a: [", "f:1", "not YAML", "a YAML mapping"),
        ("models:\n  - a: b\n   c: d", "f:3", "not YAML", "a YAML mapping"),
        ("models: 3", "f:1", "models is '3' (not a list)", "a list of entries"),
        ("models:\n  - hello", "f:2", "models.0 is 'hello' (not a mapping)", "a list of entries"),
        ("models: {my-llama: {input: 1, output: 2}}", "f:1", "models (not a list)", ": [{model: my-llama, input: 1, output: 2}]"),
        ("multipliers: {gpt-5: 0.9}", "f:1", "multipliers (not a list)", ": [{model: claude-*, factor: 0.9}]"),
        ("modles: []", "f:1", "modles is not a known key", "one of models, aliases"),
        ("models:\n  - model: a\n    inptu: 1", "f:3", "models.0.inptu is not a known key", "cache_read"),
        ("models:\n  - input: 1", "f:2", "models.0.model is missing", "a model's name"),
        ("models:\n  - model: ''\n    input: 1", "f:2", "at least 1 character", "not empty"),
        ("models:\n  - model: a\n    input: -1", "f:3", "'-1'", "not negative"),
        ("models:\n  - model: a\n    input: cheap", "f:3", "'cheap'", "USD per million tokens"),
        ("models:\n  - model: a\n    input: true", "f:3", "'true'", "USD per million tokens"),
        ("models:\n  - model: a\n    input: .nan", "f:3", "'.nan'", "USD per million tokens"),
        ("models:\n  - model: a\n    input: NaN", "f:3", "'NaN'", "USD per million tokens"),
        ("models:\n  - model: a\n    input: Infinity", "f:3", "'Infinity'", "USD per million tokens"),
        ("models:\n  - model: a\n    input: 1e999999999", "f:3", "1e999999999", "USD per million tokens"),
        ("models:\n  - model: a\n    input: 1e-999999999", "f:3", "1e-999999999", "USD per million tokens"),
        ("models:\n  - model: a\n    input: [1]", "f:3", "models.0.input", "USD per million tokens"),
        ("models:\n  - model: a\n    per_request: {web_search: -1}", "f:3", "'-1'", "web_search: 0.01"),
        ("models:\n  - model: a\n    input: 1\n    effective_from: 2026-13-45", "f:4", "'2026-13-45'", "2026-01-31"),
        ("models:\n  - model: a\n    input: 1\n    effective_from: yesterday", "f:4", "'yesterday'", "2026-01-31"),
        ("models:\n  - {model: a, input: 1, effective_from: 2026-02-01, effective_to: 2026-01-01}", "f:2", "is before effective_from", ""),
        ("models:\n  - {model: a, cache_read: 1}", "f:2", "a part of input has a price, but input has none", ""),
        ("models:\n  - {model: a, input: 1, reasoning: 1}", "f:2", "a part of output has a price", ""),
        ("models:\n  - {model: a}", "f:2", "no price given", "prices for input, output, or calls"),
        ("models:\n  - model: a\n    input: 1\n    input: 2", "f:4", "'input' is there twice", "every key once"),
        ("multipliers:\n  - factor: 0", "f:2", "'0'", "above 0"),
        ("multipliers:\n  - factor: lots", "f:2", "'lots'", "above 0"),
        ("aliases: [a]", "f:1", "aliases (not a mapping)", "a mapping of your names"),
        ("aliases:\n  a: {b: c}", "f:2", "aliases.a", "a mapping of your names"),
        ("plugins:\n  a: 1 USD\n  b: 3 apples", "f:3", "'3 apples'", "0.002 USD or 250 tokens"),
        ("plugins:\n  a: 1 USD\n  b: [2 USD]", "f:3", "plugins.b (not an amount", "0.002 USD or 250 tokens"),
        ("plugins:\n  a: 1 USD\n  b: {price: 2 USD}", "f:3", "plugins.b (not an amount", "0.002 USD or 250 tokens"),
        ("plugins:\n  a: 1.5 tokens", "f:2", "tokens are whole", "0.002 USD or 250 tokens"),
        ("&a [*a]", "f:1", "not YAML", "a YAML mapping"),
        ("models: !!python/object:os.system {}", "f:1", "models", "a list of entries"),
        ("[" * 5000, "f", "not YAML", "a YAML mapping"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_line_and_expectation(text, where, problem, expected):
    problems = read(text, "f")
    assert isinstance(problems, list)
    assert problems[0].where == where or (where == "f" and problems[0].where.startswith("f"))
    assert problem in problems[0].problem
    assert expected in problems[0].expected


def test_all_mistakes_are_told():
    assert len(read("models:\n  - {model: a, input: x}\n  - {model: b, input: -1}\nplugins: {c: d}", "f")) == 3


@pytest.mark.parametrize("text", ["1 USD", "1usd", " 0.000000001 USD "])
def test_plugin_price_in_money(text):
    unit, amount = plugin_price(text)
    assert unit is Unit.USD
    assert amount in {10**9, 1}


@pytest.mark.parametrize("text", ["", "1", "USD", "-1 USD", "1 EUR", "1,5 USD", "1 USD per call", "9" * 50 + " USD", 5, None])
def test_no_plugin_price(text):
    with pytest.raises(ValueError, match="USD or tokens"):
        plugin_price(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("0.0000000004 USD", "nine decimals"),
        ("1000000.1 USD", "a million USD"),
        ("1000000000000001 tokens", "1000000000000000 tokens"),
    ],
)
def test_plugin_price_that_the_books_would_keep_otherwise(text, problem):
    with pytest.raises(ValueError, match=problem):
        plugin_price(text)
