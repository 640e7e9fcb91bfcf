from __future__ import annotations

import datetime as dt
from decimal import ROUND_FLOOR, Decimal
from fractions import Fraction

import pytest
from genai_prices.data import providers
from genai_prices.types import (
    ClauseEquals,
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    PriceVariant,
    Provider,
    StartDateConstraint,
    TimeOfDateConstraint,
)
from genai_prices.types import Usage as TheirUsage

from spanledger.model import CostStatus, Usage
from spanledger.pricing.catalogue import Catalogue, Found
from spanledger.pricing.names import Candidate
from spanledger.pricing.rates import charge

USAGES = (
    Usage(input=1000, output=500),
    Usage(input=1000, output=500, cache_read=300, reasoning=100),
    Usage(input=700_001, output=3000, cache_read=1000, cache_write=200, cache_write_1h=50, reasoning=10),
    Usage(input=0, output=0),
    Usage(input=272_001, output=1, cache_write=1234),
    Usage(input=200_000, output=1),
    Usage(input=5000, output=800, input_audio=1000, cache_read=2000, cache_read_audio=500, output_audio=100),
    Usage(input=5000, output=800, input_image=1000, cache_read=2000, cache_read_image=500, output_image=100),
    Usage(input=10, output=10, tools={"web_search": 3, "file_search": 2}),
    # 37 seconds, because Groq bills at least 10 and only genai-prices' own calculation knows that
    Usage(input=0, output=0, tools={"audio_seconds": 37, "input_characters": 1234, "input_document_pages": 7}),
)
TIMES = (dt.datetime(2025, 6, 1, 3, tzinfo=dt.UTC), dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC), dt.datetime(2027, 3, 1, 9, tzinfo=dt.UTC))
CONTEXTS = ({}, {"processing": "batch"}, {"service_tier": "flex"}, {"service_tier": "priority"}, {"speed": "fast"})


def theirs(usage: Usage) -> TheirUsage:
    tools = usage.tools or {}
    counts = {
        "input_tokens": usage.input,
        "output_tokens": usage.output,
        "cache_read_tokens": usage.cache_read,
        "cache_write_tokens": (usage.cache_write or 0) + (usage.cache_write_1h or 0),
        "cache_write_1h_tokens": usage.cache_write_1h,
        "output_reasoning_tokens": usage.reasoning,
        "input_audio_tokens": usage.input_audio,
        "output_audio_tokens": usage.output_audio,
        "input_image_tokens": usage.input_image,
        "output_image_tokens": usage.output_image,
        "cache_audio_read_tokens": usage.cache_read_audio,
        "cache_image_read_tokens": usage.cache_read_image,
        "web_searches": tools.get("web_search"),
        "storage_searches": tools.get("file_search"),
        "audio_seconds": tools.get("audio_seconds"),
        "input_audio_seconds": tools.get("audio_seconds"),
        "input_characters": tools.get("input_characters"),
        "input_document_pages": tools.get("input_document_pages"),
    }
    return TheirUsage(**{name: count or 0 for name, count in counts.items()})


@pytest.mark.parametrize("provider", providers, ids=lambda provider: provider.id)
def test_compiled_prices_are_genai_prices_own_for_all_models(catalogue, provider):
    """The one exception: where nothing of a usage has a price, genai-prices says 0 and we say unknown."""
    paired = [(usage, theirs(usage)) for usage in USAGES]
    compared = 0
    for model in provider.models:
        for moment in TIMES:
            for context in CONTEXTS if model.price_variants else CONTEXTS[:1]:
                rates = catalogue._compile(Found(provider.id, model, exact=True, own=True), context, moment.timestamp())
                for usage, their_usage in paired:
                    price = model.calc_price(their_usage, provider, genai_request_timestamp=moment, price_context=context).total_price
                    expected = int((price * 10**9 + Decimal("0.5")).to_integral_value(ROUND_FLOOR))
                    nano, status = charge(rates, usage)
                    assert (nano or 0) == expected, (model.id, moment, context, usage)
                    assert (nano is None) == (status is CostStatus.UNPRICED)
                    compared += 1
    assert compared >= len(provider.models) * len(TIMES) * len(USAGES)


def find(catalogue, provider, model, when=TIMES[1], **context):
    return catalogue.rates([Candidate(provider, model, exact=True)], context, when.timestamp())


def test_rates_hold_until_the_next_row_begins(catalogue):
    model = next(model for model in catalogue._by_id["openai"].models if isinstance(model.prices, list) and model.id == "o3")
    start = max(row.constraint.start_date for row in model.prices if row.constraint)
    begins = dt.datetime.combine(start, dt.time(), dt.UTC)
    before, after = (find(catalogue, "openai", "o3", begins + dt.timedelta(seconds=seconds)) for seconds in (-1, 0))
    assert before.until == after.since == begins.timestamp()
    assert before.rate.input != after.rate.input
    assert after.effective_from == start.isoformat()


@pytest.mark.parametrize("hour", range(24))
def test_rates_of_a_time_of_day_hold_exactly_as_long_as_they_are_right(catalogue, hour):
    model = next(model for model in catalogue._by_id["deepseek"].models if model.id == "deepseek-v4-pro")
    moment = dt.datetime(2026, 11, 20, hour, 30, tzinfo=dt.UTC)
    rates = find(catalogue, "deepseek", "deepseek-v4-pro", moment)
    assert rates.since <= moment.timestamp() < rates.until
    edges = [rates.since, rates.until - 1]
    assert len({model.get_prices(dt.datetime.fromtimestamp(edge, dt.UTC)).input_mtok for edge in edges}) == 1


def test_a_window_over_midnight_and_naive_times_are_utc():
    night = TimeOfDateConstraint(start_time=dt.time(22), end_time=dt.time(6))
    rows = [
        ConditionalPrice(prices=ModelPrice(input_mtok=Decimal(4))),
        ConditionalPrice(StartDateConstraint(dt.date(2026, 1, 1)), prices=ModelPrice(input_mtok=Decimal(2))),
        ConditionalPrice(night, prices=ModelPrice(input_mtok=Decimal(1))),
    ]
    catalogue = Catalogue()
    catalogue._by_key = {"p": Provider("p", "P", "", models=[ModelInfo("m", ClauseEquals("m"), prices=rows)])}
    for hour in (0, 5, 6, 21, 22, 23):
        rates = find(catalogue, "p", "m", dt.datetime(2026, 5, 5, hour, tzinfo=dt.UTC))
        assert rates.rate.input == (10**9 if hour >= 22 or hour < 6 else 2 * 10**9)
        assert rates.until - rates.since == (8 if hour >= 22 or hour < 6 else 16) * 3600


@pytest.mark.parametrize(
    ("provider", "model", "context", "exact", "times"),
    [
        ("anthropic", "claude-opus-5-5", {"inference_geo": "us"}, True, 1.1),
        ("anthropic", "claude-opus-5-5", {"inference_geo": "not_available"}, True, 1),
        ("anthropic", "claude-opus-4-1", {"inference_geo": "us"}, False, 1),
        ("anthropic", "claude-opus-5-5", {"batch": "true"}, True, 0.5),
        ("anthropic", "claude-opus-5-5", {"service_tier": "batch"}, True, 0.5),
        ("anthropic", "claude-opus-5-5", {"batch": "false", "service_tier": "standard", "speed": "standard"}, True, 1),
        ("anthropic", "claude-opus-5-5", {"batch": "true", "inference_geo": "us"}, True, 0.55),
        ("openai", "gpt-4o", {"service_tier": "default"}, True, 1),
        ("openai", "gpt-4o", {"service_tier": "auto"}, True, 1),
        ("openai", "gpt-6-astra", {"service_tier": "ultrafast"}, True, 6),
        ("openai", "gpt-6.1-sol", {"service_tier": "ultrafast"}, True, 6),
        ("openai", "gpt-5.6-sol", {"service_tier": "ultrafast"}, False, 6),
        ("openrouter", "openai/gpt-6-astra", {"service_tier": "ultrafast"}, False, 1),
        ("openai", "gpt-4o", {"colour": "red"}, False, 1),
        ("azure", "gpt-4o", {"service_tier": "default"}, True, 1),
        ("azure", "gpt-4.1", {"batch": "true"}, False, 0.5),
        ("openai", "gpt-5.4", {"data_residency": "eu"}, True, 1.1),
        ("openai", "gpt-5.4-nano", {"data_residency": "US"}, True, 1.1),
        ("openai", "gpt-6-astra", {"data_residency": "eu", "service_tier": "flex"}, True, 0.55),
        ("openai", "gpt-6.1-sol", {"data_residency": "us", "service_tier": "ultrafast"}, True, 6.6),
        ("openai", "gpt-5.6-sol", {"data_residency": "us", "service_tier": "ultrafast"}, False, 6.6),
        ("openai", "gpt-5.4", {"data_residency": "au"}, False, 1.1),
        ("openai", "gpt-5.5-cyber", {"data_residency": "eu"}, False, 1.1),
        ("openai", "gpt-realtime-2", {"data_residency": "eu"}, False, 1.1),
        ("openai", "gpt-5.2", {"data_residency": "eu"}, True, 1),
        ("openai", "gpt-4o", {"data_residency": "au"}, True, 1),
        ("openai", "o3", {"data_residency": "eu"}, True, 1),
        ("openai", "text-embedding-3-small", {"data_residency": "eu"}, True, 1),
        ("openai", "gpt-5.4", {"data_residency": "global"}, True, 1),
        ("azure", "gpt-5.4", {"data_residency": "eu"}, False, 1),
    ],
)
def test_context(catalogue, provider, model, context, exact, times):
    plain, asked = find(catalogue, provider, model), find(catalogue, provider, model, **context)
    assert asked.exact is exact
    assert asked.rate.input == plain.rate.input * Fraction(str(times))


def test_what_has_no_variant_is_said_once_in_the_log(catalogue, caplog):
    find(catalogue, "openai", "gpt-5.6-sol", service_tier="ultrafast")
    assert "gpt-5.6-sol has no price for ['service_tier=ultrafast']" in caplog.text


def test_the_us_factor_is_on_tokens_and_not_on_searches(catalogue):
    plain, us = find(catalogue, "anthropic", "claude-opus-5-5"), find(catalogue, "anthropic", "claude-opus-5-5", inference_geo="us")
    assert us.rate.cache_write_1h * 10 == plain.rate.cache_write_1h * 11
    assert us.per_request == plain.per_request


def test_a_row_without_any_price_is_unknown_unless_the_model_is_free(catalogue):
    assert charge(find(catalogue, "google", "gemma-4-31b-it"), USAGES[0]) == (None, CostStatus.UNPRICED)
    assert charge(find(catalogue, "openrouter", "deepseek/deepseek-chat:free"), USAGES[0]) == (0, CostStatus.EXACT)
    assert charge(find(catalogue, "openrouter", "somebody/new:free"), USAGES[0]) == (0, CostStatus.EXACT)


def test_googles_one_price_is_for_all_it_can_hear(catalogue):
    assert charge(find(catalogue, "google", "gemini-2.5-pro"), Usage(input=9, output=9, input_audio=3))[1] == CostStatus.EXACT
    assert charge(find(catalogue, "openai", "gpt-4o"), Usage(input=9, output=9, input_audio=3))[1] == CostStatus.PARTIAL


@pytest.mark.parametrize(
    ("model", "region", "nano"),
    [
        ("claude-opus-4-6", "global", 5_000),
        ("claude-opus-4-6", "us-east5", 5_500),
        ("claude-opus-4-6", "us", 5_500),
        ("claude-4-opus", "us", 15_000),
    ],
)
def test_claude_on_vertex_costs_more_in_a_region(book, now, model, region, nano):
    cost = book.price("gcp.vertex_ai", model, Usage(1, 0), when=now, context={"data_residency": region})
    assert (cost.nano_usd, cost.status) == (nano, CostStatus.EXACT)


def test_rates_end_where_a_variant_begins():
    begins = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
    fast = PriceVariant({"speed": "fast"}, ModelPrice(input_mtok=Decimal(6)), StartDateConstraint(begins.date()))
    model = ModelInfo("m", ClauseEquals("m"), prices=ModelPrice(input_mtok=Decimal(1)), price_variants=[fast])
    catalogue = Catalogue()
    catalogue._by_key = {"p": Provider("p", "P", "", models=[model])}
    before, after = (find(catalogue, "p", "m", begins + dt.timedelta(seconds=seconds), speed="fast") for seconds in (-1, 0))
    assert (before.rate.input, after.rate.input) == (10**9, 6 * 10**9)
    assert before.until == after.since == begins.timestamp()
