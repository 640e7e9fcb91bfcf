from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanledger.model import CostStatus, State, Usage
from spanledger.pricing.rates import FREE, UNPRICED, Rates, charge, flatten, rate

DOLLAR = Fraction(1, 10**6)  # USD per million tokens

FULL = {
    "input": 3 * DOLLAR,
    "output": 15 * DOLLAR,
    "cache_read": Fraction(3, 10) * DOLLAR,
    "cache_write": Fraction(15, 4) * DOLLAR,
    "cache_write_1h": 6 * DOLLAR,
    "reasoning": 20 * DOLLAR,
    "input_audio": 40 * DOLLAR,
    "cache_read_audio": 2 * DOLLAR,
    "output_audio": 80 * DOLLAR,
    "input_image": 5 * DOLLAR,
    "output_image": 30 * DOLLAR,
}
RATES = Rates(rate(FULL), per_request={"web_searches": 10**13})
TEXT = Rates(rate({name: FULL[name] for name in ("input", "output")}))

tokens = st.integers(0, 10**7)
maybe = st.none() | tokens
usages = st.builds(
    Usage,
    input=maybe, output=maybe, cache_read=maybe, cache_write=maybe, cache_write_1h=maybe, reasoning=maybe, input_audio=maybe,
    output_audio=maybe, input_image=maybe, output_image=maybe, cache_read_audio=maybe, cache_read_image=maybe,
    tools=st.none() | st.dictionaries(st.sampled_from(["web_search", "nonsense", "web_fetch"]), st.integers(0, 100)),
)  # fmt: skip
wild = st.one_of(st.none(), st.integers(-(10**9), 10**9))
impossible = st.builds(
    Usage, input=wild, output=wild, cache_read=wild, cache_write=wild, cache_write_1h=wild, reasoning=wild, input_audio=wild,
    output_audio=wild, input_image=wild, output_image=wild, cache_read_audio=wild, cache_read_image=wild,
)  # fmt: skip


def test_every_part_at_its_price():
    usage = Usage(input=1000, output=500, cache_read=300, cache_write=200, cache_write_1h=100, reasoning=50, tools={"web_search": 2})
    dollars = Fraction(400 * 3 + 300 * Fraction(3, 10) + 200 * Fraction(15, 4) + 100 * 6 + 450 * 15 + 50 * 20, 10**6) + Fraction(2, 100)
    assert charge(RATES, usage) == (dollars * 10**9, CostStatus.EXACT)


@pytest.mark.parametrize(
    ("known", "nano", "status"),
    [
        (("input", "output", "cache_write", "cache_write_1h"), 100 * 3000 + 100 * 6000, CostStatus.EXACT),
        (("input", "output", "cache_write"), 100 * 3000 + 100 * 3750, CostStatus.ESTIMATED),
        (("input", "output"), 200 * 3000, CostStatus.EXACT),
    ],
)
def test_writing_to_a_cache_for_longer_is_not_sure_to_cost_what_a_short_time_does(known, nano, status):
    rates = flatten(Rates(rate({name: FULL[name] for name in known})))
    assert charge(rates, Usage(input=200, output=0, cache_write=0, cache_write_1h=100)) == (nano, status)
    assert charge(rates, Usage(input=200, output=0, cache_write=0, cache_write_1h=0))[1] is CostStatus.EXACT


def test_modalities_at_their_price():
    usage = Usage(input=1000, output=500, cache_read=300, input_audio=200, cache_read_audio=100, output_audio=50)
    dollars = Fraction(600 * 3 + 100 * 40 + 200 * Fraction(3, 10) + 100 * 2 + 450 * 15 + 50 * 80, 10**6)
    assert charge(RATES, usage) == (dollars * 10**9, CostStatus.EXACT)


def test_an_unknown_split_of_cached_audio_is_charged_at_the_dearest_and_marked():
    usage = Usage(input=1000, output=0, cache_read=300, input_audio=200)
    nano, status = charge(RATES, usage)
    possible = [
        charge(RATES, Usage(input=1000, output=0, cache_read=300, input_audio=200, cache_read_audio=cached))[0] for cached in range(201)
    ]
    assert (nano, status) == (max(possible), CostStatus.ESTIMATED)


@pytest.mark.parametrize(
    ("femto", "nano"),
    [(499_999, 0), (500_000, 1), (1_499_999, 1), (1_500_000, 2), (2_500_000, 3)],
)
def test_rounds_half_up_once(femto, nano):
    assert charge(Rates(rate({"input": Fraction(femto, 10**15)})), Usage(input=1))[0] == nano
    assert charge(Rates(rate({"input": Fraction(400_000, 10**15)})), Usage(input=10))[0] == 4  # not ten times nothing


@pytest.mark.parametrize(
    ("usage", "status"),
    [
        (Usage(), CostStatus.UNPRICED),
        (Usage(tools={"nonsense": 1}), CostStatus.UNPRICED),
        (Usage(tools={"web_search": 1}), CostStatus.PARTIAL),
        (Usage(input=1), CostStatus.PARTIAL),
        (Usage(output=1), CostStatus.PARTIAL),
        (Usage(input=1, output=1), CostStatus.EXACT),
        (Usage(input=0, output=0), CostStatus.EXACT),
        (Usage(input=1, output=1, tools={"nonsense": 1}), CostStatus.PARTIAL),
        (Usage(input=1, output=1, tools={"nonsense": 0, "web_fetch": 3}), CostStatus.EXACT),
        (Usage(input=1, output=1, state=State.ESTIMATED), CostStatus.ESTIMATED),
        (Usage(input=1, output=1, state=State.UNKNOWN), CostStatus.ESTIMATED),
        (Usage(input=1, output=1, clamped=True), CostStatus.ESTIMATED),
        (Usage(input=1, output=1, cache_read=2), CostStatus.ESTIMATED),
        (Usage(input=1, state=State.ESTIMATED), CostStatus.PARTIAL),
    ],
)
def test_status(usage, status):
    nano, found = charge(RATES, usage)
    assert found == status
    assert (nano is None) == (status is CostStatus.UNPRICED)


def test_audio_without_a_price_of_its_own_is_not_the_whole_truth():
    assert charge(TEXT, Usage(input=10, output=10, input_audio=5)) == (10 * 3000 + 10 * 15000, CostStatus.PARTIAL)
    assert charge(TEXT, Usage(input=10, output=10, output_audio=5))[1] == CostStatus.PARTIAL
    assert charge(TEXT, Usage(input=10, output=10, output_image=5))[1] == CostStatus.PARTIAL
    assert charge(TEXT, Usage(input=10, output=10, input_image=5))[1] == CostStatus.EXACT


def test_a_model_that_only_has_input_is_whole_without_output():
    embedding = Rates(rate({"input": DOLLAR}))
    assert charge(embedding, Usage(input=7)) == (7000, CostStatus.EXACT)
    assert charge(embedding, Usage(input=7, output=3)) == (7000, CostStatus.PARTIAL)


def test_free_costs_nothing_and_unknown_is_not_nothing():
    assert charge(Rates(FREE), Usage(input=7, output=3)) == (0, CostStatus.EXACT)
    assert charge(UNPRICED, Usage(input=7, output=3)) == (None, CostStatus.UNPRICED)


def test_above_a_threshold_all_tokens_cost_the_tier():
    tiered = replace(
        RATES, tiers=((100, rate({"input": 6 * DOLLAR, "output": DOLLAR})), (200, rate({"input": 9 * DOLLAR, "output": DOLLAR})))
    )
    assert [charge(tiered, Usage(input=size, output=0))[0] for size in (100, 101, 200, 201)] == [300_000, 606_000, 1_200_000, 1_809_000]


@pytest.mark.parametrize(
    ("size", "searches", "state", "nano", "status"),
    [
        (100, 1, State.EXACT, 300_000, CostStatus.EXACT),
        (200, 1, State.EXACT, 600_000, CostStatus.ESTIMATED),
        (202, 1, State.EXACT, 1_212_000, CostStatus.EXACT),
        (202, 2, State.EXACT, 606_000, CostStatus.ESTIMATED),
        (200, 1, State.ESTIMATED, 1_200_000, CostStatus.ESTIMATED),  # before a call
    ],
)
def test_input_that_sums_the_prompts_between_searches_is_not_a_long_prompt(size, searches, state, nano, status):
    tiered = replace(RATES, tiers=((100, rate({"input": 6 * DOLLAR, "output": DOLLAR})),))
    usage = Usage(size, 0, tools={"web_search": searches}, state=state)
    assert charge(tiered, usage) == (nano + searches * 10_000_000, status)


def test_a_rate_that_is_no_whole_number_stays_exact():
    third = Rates(rate({}), per_request={"audio_seconds": Fraction(10**15, 3600)})
    assert charge(third, Usage(tools={"audio_seconds": 3600}))[0] == 10**9


@given(usages)
def test_money_is_a_whole_number_and_never_negative(usage):
    nano, status = charge(RATES, usage)
    assert nano is None or (type(nano) is int and nano >= 0)
    assert (nano is None) == (status is CostStatus.UNPRICED)


@given(impossible)
def test_impossible_usage_never_costs_less_than_nothing_nor_more_than_the_dearest_tokens(usage):
    nano, status = charge(RATES, usage)
    if nano is not None:
        ceiling = 40_000 * max(usage.input or 0, 0) + 80_000 * max(usage.output or 0, 0)
        assert 0 <= nano <= ceiling
        parts = [usage.cache_read, usage.cache_write, usage.cache_write_1h]
        if usage.input is not None and sum(part or 0 for part in parts) > usage.input:
            assert status is not CostStatus.EXACT


MANY_RATES = [
    RATES,
    TEXT,
    replace(RATES, exact=False),
    replace(RATES, tiers=((10**6, TEXT.rate),)),
    replace(RATES, per_call=7 * 10**12),
    Rates(rate({"input": DOLLAR})),
    Rates(rate({"output": DOLLAR})),
    Rates(rate({"input": DOLLAR / 3, "output": DOLLAR / 7, "cache_read": DOLLAR / 11})),
    Rates(FREE),
    UNPRICED,
]
ordinary = st.builds(Usage, input=maybe, output=maybe, cache_read=maybe, reasoning=maybe)


@given(st.sampled_from(MANY_RATES), ordinary | usages | impossible, st.sampled_from(State), st.booleans())
def test_the_short_way_charges_what_the_long_one_does(rates, usage, state, clamped):
    usage.state, usage.clamped = state, clamped
    assert charge(flatten(rates), usage) == charge(rates, usage)


def test_only_rates_of_tokens_that_do_not_depend_on_their_number_are_flat():
    assert [flatten(rates).flat is not None for rates in MANY_RATES] == [True, True, True, False, False, False, False, True, True, False]


def _sum(one, other):
    return Usage(
        **{
            name: (getattr(one, name) or 0) + (getattr(other, name) or 0)
            for name in ("input", "output", "cache_read", "cache_write", "reasoning")
        }
    )


coherent = st.tuples(tokens, tokens, tokens, tokens, tokens).map(
    lambda t: Usage(input=t[0] + t[1] + t[2], cache_read=t[1], cache_write=t[2], output=t[3] + t[4], reasoning=t[4])
)


@given(coherent, coherent)
def test_two_calls_cost_what_one_of_both_sizes_costs_but_for_rounding(one, other):
    together = charge(RATES, _sum(one, other))[0]
    assert abs(charge(RATES, one)[0] + charge(RATES, other)[0] - together) <= 1


@given(coherent, st.integers(0, 10**6), st.sampled_from(["input", "output"]))
def test_more_tokens_never_cost_less(usage, more, side):
    before = charge(RATES, usage)[0]
    setattr(usage, side, getattr(usage, side) + more)
    assert charge(RATES, usage)[0] >= before


def test_the_short_way_rounds_half_up():
    rates = flatten(Rates(rate({"input": Fraction("0.0125") / 10**6, "output": Fraction(0)})))
    assert charge(rates, Usage(1, 0)) == (13, CostStatus.EXACT)


small_prices = st.fractions(0, Fraction(1, 10**9), max_denominator=10**16)


@given(small_prices, small_prices, small_prices, st.builds(Usage, st.integers(0, 99), st.integers(0, 99), st.none() | st.integers(0, 99)))
def test_prices_below_a_nano_are_rounded_the_same_in_both_ways(price_in, price_out, price_read, usage):
    rates = Rates(rate({"input": price_in, "output": price_out, "cache_read": price_read}))
    assert charge(flatten(rates), usage) == charge(rates, usage)


@pytest.mark.parametrize("cached_audio", ["0.01", "0.5", "2", "3"])
def test_whatever_cached_audio_costs_the_dearest_possible_split_is_charged(cached_audio):
    prices = {"input": DOLLAR, "output": DOLLAR, "cache_read": DOLLAR / 10, "input_audio": 2 * DOLLAR}
    rates = Rates(rate({**prices, "cache_read_audio": Fraction(cached_audio) * DOLLAR}))
    splits = [charge(rates, Usage(1000, 0, cache_read=300, input_audio=200, cache_read_audio=cached))[0] for cached in range(201)]
    assert charge(rates, Usage(1000, 0, cache_read=300, input_audio=200)) == (max(splits), CostStatus.ESTIMATED)


def test_less_than_no_use_of_a_tool_takes_nothing_off():
    assert charge(RATES, Usage(10, 10, tools={"web_search": -5}))[0] == charge(RATES, Usage(10, 10))[0]
