"""What providers charge on top of the prices that genai-prices lists, for a place or a speed: factors on all token prices."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

from spanledger.pricing import names

if TYPE_CHECKING:
    from collections.abc import Mapping

_US_ONLY, _US_ONLY_FROM = Fraction(11, 10), (4, 6)
"""For Claude 4.6 and later on Anthropic's own API: https://platform.claude.com/docs/en/manage-claude/data-residency."""

_ULTRAFAST, _ULTRAFAST_LISTED = Fraction(6), frozenset({"gpt-6-astra", "gpt-6.1-sol"})
"""For the models that have a public price; a guess for those in preview:
https://developers.openai.com/api/docs/guides/ultrafast-mode, https://developers.openai.com/api/docs/pricing."""

_RESIDENT, _RESIDENT_FROM = Fraction(11, 10), (5, 4)
"""On OpenAI's data residency hosts, for eligible models released on or after 5 March 2026, the day of GPT-5.4; in every service tier:
https://developers.openai.com/api/docs/guides/data-residency, https://developers.openai.com/api/docs/pricing."""
_ELIGIBLE = re.compile(r"gpt-\d+(\.\d+)?(-(mini|nano|pro|sol|terra|luna|astra))?")
_OLD = re.compile(r"o\d|text-|whisper|tts-|davinci|babbage")
_PROCESSING = frozenset({"us", "eu"})
"""Regions that the models surely run in. Others only store, or run some models: whether that costs more is not said."""


_REGIONAL, _REGIONAL_FROM = Fraction(11, 10), (4, 5)
"""For Claude 4.5 and later on Vertex's endpoints of a region or of several: https://platform.claude.com/docs/en/build-with-claude/claude-on-vertex-ai."""


class Surcharge(NamedTuple):
    """What prices are multiplied by."""

    factor: Fraction
    sure: bool
    """False: it may not apply to this model."""


def surcharges(provider: str, model: str, asked: Mapping[str, str]) -> dict[str, Surcharge]:
    """What a provider charges on top for what was asked for, by its key; what it has no known surcharge for is left out."""
    found = {key: _FIND[provider, key](model, value) for key, value in asked.items() if (provider, key) in _FIND}
    return {key: surcharge for key, surcharge in found.items() if surcharge is not None}


def _us_only(model: str, place: str) -> Surcharge | None:
    return Surcharge(_US_ONLY, sure=True) if place == "us" and (names.claude_version(model) or (0, 0)) >= _US_ONLY_FROM else None


def _ultrafast(model: str, tier: str) -> Surcharge | None:
    return Surcharge(_ULTRAFAST, sure=model in _ULTRAFAST_LISTED) if tier == "ultrafast" else None


def _resident(model: str, region: str) -> Surcharge:
    version = names.gpt_version(model)
    if _OLD.match(model) or (version is not None and version < _RESIDENT_FROM):
        return Surcharge(Fraction(1), sure=True)
    return Surcharge(_RESIDENT, sure=region in _PROCESSING and _ELIGIBLE.fullmatch(model) is not None)


def _regional(model: str, _region: str) -> Surcharge:
    claude = (names.claude_version(model) or (0, 0)) >= _REGIONAL_FROM
    return Surcharge(_REGIONAL if claude else Fraction(1), sure=True)


_FIND = {
    ("google", "data_residency"): _regional,
    ("anthropic", "inference_geo"): _us_only,
    ("openai", "service_tier"): _ultrafast,
    ("openai", "data_residency"): _resident,
}
