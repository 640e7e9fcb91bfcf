"""The short way of reading usage answers only what the careful way answers, too."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spanledger.adapters._openai_usage import plain_usage, usage_of
from spanledger.model import Usage

COUNT = st.one_of(st.none(), st.integers(0, 12), st.sampled_from([-1, True, 3.0, "7", []]))
DETAILS = st.none() | st.dictionaries(
    st.sampled_from(["cached_tokens", "cache_write_tokens", "audio_tokens", "image_tokens", "reasoning_tokens", "rejected_prediction_tokens"]),
    COUNT,
)  # fmt: skip
OTHERS = st.dictionaries(
    st.sampled_from(["cached_tokens", "citation_tokens", "cost", "num_cached_tokens", "service_tier"]), COUNT, max_size=1
)


@st.composite
def usages(draw: st.DrawFn) -> dict[str, Any]:
    (asked, written), (inside, out) = draw(
        st.sampled_from(
            [
                (("prompt_tokens", "completion_tokens"), ("prompt_tokens_details", "completion_tokens_details")),
                (("input_tokens", "output_tokens"), ("input_tokens_details", "output_tokens_details")),
            ]
        )
    )
    told = {asked: draw(COUNT), written: draw(COUNT), inside: draw(DETAILS), out: draw(DETAILS), **draw(OTHERS)}
    sums = [told[asked] + told[written]] if type(told[asked]) is int and type(told[written]) is int else []
    return {**told, "total_tokens": draw(st.sampled_from(sums) | COUNT if sums else COUNT)}


@settings(max_examples=1000)
@given(usages())
def test_the_short_way_agrees_with_the_careful_one(told: dict[str, Any]) -> None:
    short = plain_usage(told)
    assert short is None or short == usage_of(told)


@pytest.mark.parametrize("kind", ["chat", "responses"])
def test_what_openai_tells_goes_the_short_way(kind: str) -> None:
    asked, written = ("prompt", "completion") if kind == "chat" else ("input", "output")
    told = {f"{asked}_tokens": 9, f"{written}_tokens": 5, "total_tokens": 14}
    told |= {f"{asked}_tokens_details": {"cached_tokens": 4, "audio_tokens": 0}, f"{written}_tokens_details": {"reasoning_tokens": 2}}
    assert plain_usage(told) == Usage(input=9, output=5, cache_read=4, input_audio=0, reasoning=2)
