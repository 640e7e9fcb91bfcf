from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanledger.model import Cost, CostStatus, State, Usage
from spanledger.pricing import book as book_module
from spanledger.pricing.book import PriceBook
from spanledger.pricing.rates import charge

USAGE = Usage(input=1000, output=500, cache_read=200)


@pytest.mark.parametrize(
    ("provider", "model", "found"),
    [
        ("openai", "gpt-4o", "openai/gpt-4o"),
        ("openai", "gpt-4o-2024-08-06", "openai/gpt-4o"),
        ("x_ai", "grok-4.3", "x-ai/grok-4.3"),
        ("gcp.gemini", "models/gemini-2.5-pro", "google/gemini-2.5-pro"),
        ("gcp.vertex_ai", "projects/p/locations/l/publishers/google/models/gemini-2.5-pro", "google/gemini-2.5-pro"),
        ("gcp.vertex_ai", "claude-sonnet-4-5@20250929", "google/claude-sonnet-4-5"),
        ("azure.ai.openai", "gpt-35-turbo", "openai/gpt-3.5-turbo"),
        ("azure.ai.openai", "gpt-35-turbo-0125", "openai/gpt-3.5-turbo"),
        ("azure.ai.openai", "gpt-35-turbo-instruct", "openai/gpt-3.5-turbo-instruct"),
        ("azure.ai.inference", "gpt-4o", "openai/gpt-4o"),
        ("aws.bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "aws/regional.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ("mistral_ai", "mistral-small-latest", "mistral/mistral-small-latest"),
        ("litellm", "anthropic/claude-sonnet-4-5", "anthropic/claude-sonnet-4-5"),
        ("openai", "ft:gpt-4o-mini-2024-07-18:acme::id", "openai/ft:gpt-4o-mini"),
        ("openrouter", "deepseek/deepseek-chat:free", "openrouter/deepseek/deepseek-chat:free"),
    ],
)
def test_a_known_model_is_priced_exactly(book, now, provider, model, found):
    cost = book.price(provider, model, USAGE, when=now)
    assert (cost.model, cost.status, cost.source) == (found, CostStatus.EXACT, "genai-prices")


@pytest.mark.parametrize(
    ("provider", "model", "found"),
    [
        ("openai", "gpt-4o-2099-01-01", "openai/gpt-4o"),
        ("openai", "ft:gpt-4.1-2025-04-14:acme::id", "openai/gpt-4.1"),
        ("openrouter", "openai/gpt-4o:nitro", "openrouter/openai/gpt-4o"),
        ("openai", "anthropic/claude-opus-4-5", "anthropic/claude-opus-4-5"),
    ],
)
def test_a_guessed_name_is_an_estimate(book, now, provider, model, found):
    cost = book.price(provider, model, USAGE, when=now)
    assert (cost.model, cost.status) == (found, CostStatus.ESTIMATED)
    assert cost.nano_usd > 0


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-7-unheard-of"),
        ("ollama", "llama3"),
        ("vllm", "openai/gpt-oss-20b"),
        ("openai", "gpt-oss-120b"),
        ("azure.ai.openai", "gpt-oss-120b"),
        ("litellm", "openai/gpt-oss-20b"),
        ("ibm.watsonx.ai", "x"),
        ("openai", None),
        ("", ""),
        ("openai", ""),
    ],
)
def test_an_unknown_model_has_no_cost(book, now, provider, model):
    assert book.price(provider, model, USAGE, when=now) == Cost(None, CostStatus.UNPRICED)
    assert book.price(provider, model, USAGE, when=now) == Cost(None, CostStatus.UNPRICED)


@pytest.mark.parametrize(
    "arguments",
    [
        (None, None, USAGE, 0.0, None),
        (3, object(), USAGE, 0.0, None),
        ("openai", ["gpt-4o"], USAGE, 0.0, None),
        ("openai", "gpt-4o", None, 0.0, None),
        ("openai", "gpt-4o", Usage(input="many"), 0.0, None),
        ("openai", "gpt-4o", Usage(input=float("nan"), output=1), 0.0, None),
        ("openai", "gpt-4o", Usage(input=1, output=1, tools={"web_search": "x"}), 0.0, None),
        ("openai", "gpt-4o", USAGE, float("nan"), None),
        ("openai", "gpt-4o-new", USAGE, float("inf"), None),
        ("openai", "gpt-4o", USAGE, "today", None),
        ("openai", "gpt-4o", USAGE, 0.0, {"a": ["b"]}),
        ("openai", "gpt-4o", USAGE, 0.0, {1: 2, "a": 3}),
    ],
)
def test_nonsense_never_raises(book, arguments):
    provider, model, usage, when, context = arguments
    cost = book.price(provider, model, usage, when=when, context=context)
    assert (cost.nano_usd is None) == (cost.status is CostStatus.UNPRICED)


@given(st.text(), st.none() | st.text(), st.floats(), st.none() | st.dictionaries(st.text(), st.text(), max_size=3))
def test_any_words_get_a_cost(book, provider, model, when, context):
    cost = book.price(provider, model, USAGE, when=when, context=context)
    assert (cost.nano_usd is None) == (cost.status is CostStatus.UNPRICED)


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4o-2099-01-01", "o3", "gpt-5.5", "text-embedding-3-small", "nobody"])
@pytest.mark.parametrize("usage", [USAGE, Usage(7, 3), Usage(7), Usage(300_000, 5, reasoning=2), Usage(5, 5, tools={"web_search": 1})])
def test_a_cost_is_the_charge_at_the_rates_of_the_time(book, now, model, usage):
    cost = book.price("openai", model, usage, when=now)
    rates = replace(book._edition.rates["openai", model], flat=None)
    assert (cost.nano_usd, cost.status) == charge(rates, usage)


def test_contexts_are_told_apart_in_any_order(book, now):
    asked = [{"batch": "true"}, {"service_tier": "flex"}, {"service_tier": "priority"}, {"batch": "true", "service_tier": "flex"}, None]
    costs = [[book.price("openai", "gpt-5", USAGE, when=now, context=context) for context in asked] for _ in range(2)]
    assert costs[0] == costs[1]
    assert costs[0][1].nano_usd < costs[0][4].nano_usd < costs[0][2].nano_usd
    turned = book.price("openai", "gpt-5", USAGE, when=now, context={"service_tier": "flex", "batch": "true"})
    assert turned == costs[0][3]


def test_a_price_of_the_past_is_not_that_of_today(book, now):
    assert book.price("openai", "o3", USAGE, when=1_746_000_000.0).nano_usd > book.price("openai", "o3", USAGE, when=now).nano_usd


def test_compiled_rates_do_not_pile_up(now, monkeypatch):
    monkeypatch.setattr(book_module, "_MOST_RATES", 10)
    book = PriceBook()
    for number in range(25):
        book.price("openai", f"nobody-{number}", USAGE, when=now)
    assert len(book._edition.rates) <= 10


def test_warming_from_many_threads_loads_once(monkeypatch):
    made = []
    real = book_module.catalogue.Catalogue
    monkeypatch.setattr(book_module.catalogue, "Catalogue", lambda: made.append(1) or real())
    book, barrier = PriceBook(), threading.Barrier(8)

    def warm():
        barrier.wait()
        book.warm()

    threads = [threading.Thread(target=warm) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [1]


def test_without_genai_prices_costs_are_unknown_and_status_says_why(now, monkeypatch):
    def absent():
        raise ImportError("No module named 'genai_prices'")  # noqa: EM101  # as Python words it

    monkeypatch.setattr(book_module.catalogue, "Catalogue", absent)
    book = PriceBook()
    book.warm()
    assert book.price("openai", "gpt-4o", USAGE, when=now) == Cost(None, CostStatus.UNPRICED)
    assert "No module named" in book.status()["version"]


def test_status(book):
    assert book.status() == {
        "source": "genai-prices",
        "version": book.status()["version"],
        "file": "none",
        "file hash": "none",
        "file loaded at": "never",
        "file problems": "none",
    }
    assert book.status()["version"].startswith("0.2.")


def test_a_book_imports_nothing_slow_until_it_is_used(tmp_path):
    (tmp_path / "p.yaml").write_text("aliases: {a: b}")
    program = (
        "import sys; from pathlib import Path; from spanledger.pricing.book import PriceBook; import spanledger.pricing.estimate;"
        f"PriceBook(Path({str(tmp_path / 'p.yaml')!r}));"
        "print(sorted({'genai_prices', 'pydantic', 'yaml', 'opentelemetry'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize("model", ["gpt-4o-search-preview", "gpt-4o-mini-search-preview-2025-03-11", "gpt-5-search-api"])
def test_searches_of_models_that_always_search_have_no_price(book, now, model):
    for state in State:
        cost = book.price("openai", model, Usage(1000, 10, state=state), when=now)
        assert cost.nano_usd > 0
        assert cost.status is CostStatus.PARTIAL
