"""Prices as genai-prices ships them: finding a model's row and turning it into ``Rates``.

https://github.com/pydantic/genai-prices has dated rows, tiers and variants for some 2,300 models. Importing it and its data takes half
a second, and its own calculation 60-140 us a call, so its data is compiled once per model, context and date. Its global snapshot is
not touched: other libraries in the process share it.
"""

from __future__ import annotations

import datetime as dt
import logging
import math
import re
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NamedTuple

from spanledger.pricing import context as contexts
from spanledger.pricing import names
from spanledger.pricing.rates import FEMTO, FREE, UNPRICED, Rate, Rates, rate, whole
from spanledger.pricing.surcharges import surcharges

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from decimal import Decimal

    from genai_prices.types import ModelInfo, ModelPrice, PriceVariant, Provider, TieredPrices

SOURCE = "genai-prices"

_logger = logging.getLogger(__name__)

_FIELDS = {
    "input_mtok": "input",
    "output_mtok": "output",
    "cache_read_mtok": "cache_read",
    "cache_write_mtok": "cache_write",
    "cache_write_1h_mtok": "cache_write_1h",
    "output_reasoning_mtok": "reasoning",
    "input_audio_mtok": "input_audio",
    "output_audio_mtok": "output_audio",
    "cache_audio_read_mtok": "cache_read_audio",
    "input_image_mtok": "input_image",
    "output_image_mtok": "output_image",
    "cache_image_read_mtok": "cache_read_image",
}
"""genai-prices' price keys (USD per million tokens) -> fields of ``Usage``."""

_SEARCHES = re.compile(r"gpt-.*-search-(preview|api)")
"""Models that search the web before each answer, which is billed per call and told nowhere in their usage:
https://platform.openai.com/docs/guides/tools-web-search, https://platform.openai.com/docs/pricing."""


_PREVIEW = FEMTO // 40
_NO_REASONING = re.compile(r"gpt-4")
"""Of OpenAI's models, those that do not reason pay 25 USD for 1,000 calls of the search tool's preview version; what it finds is free:
https://platform.openai.com/docs/pricing."""

_OPEN_WEIGHTS = re.compile(r"gpt-oss-")
"""OpenAI gives these models away and does not run them; each host that does has a price of its own. What genai-prices lists under OpenAI is
what they cost at OpenRouter: https://developers.openai.com/api/docs/models/gpt-oss-120b, https://openrouter.ai/openai/gpt-oss-120b."""


def import_package() -> None:
    """Imports genai-prices without its data: 20 ms beside an LLM client that is loaded already. Never raises: ``Catalogue`` will.

    To be called while a client library is being imported, before any of its clients is made, and not in a thread beside: the package loads
    httpx2, and openai, which looks into ``sys.modules`` for httpx2 whenever a client is made, fails if another thread has imported half
    of it by then (``openai/_httpx2.py``).
    """
    with suppress(Exception):
        import genai_prices  # noqa: F401, PLC0415  # slow; see above


class Found(NamedTuple):
    """A model of genai-prices and the provider whose price list it is on."""

    provider: str
    model: ModelInfo
    exact: bool
    """The name was matched without guessing."""
    own: bool
    """The price list is that of the provider asked, not of the model's maker whose prices it takes over (Azure: OpenAI's)."""


class Catalogue:
    """The models genai-prices knows. Creating one imports the package and its data: half a second, ten megabytes."""

    def __init__(self) -> None:
        from genai_prices.data import providers  # noqa: PLC0415  # slow; see above
        from genai_prices.data_units import unit_data  # noqa: PLC0415

        self.version = version(SOURCE)
        self._by_id = {provider.id: provider for provider in providers}
        self._by_key = {names.provider_key(provider.id): provider for provider in providers}
        self._units: dict[str, tuple[str, int]] = {unit["price_key"]: (name, unit["per"]) for name, unit in unit_data.items()}

    def rates(self, candidates: Iterable[names.Candidate], context: Mapping[str, str], when: float) -> Rates | None:
        """The rates of the first candidate that is a known model, or None."""
        for candidate in candidates:
            found = self._find(candidate)
            if found:
                rates = self._compile(found, context, when)
                searches = rates.per_call is None and _SEARCHES.search(candidate.model) is not None
                return replace(rates, partial=searches)
            if names.is_free(candidate.model):
                return Rates(FREE, SOURCE, self.version, f"{candidate.provider}/{candidate.model}")
        return None

    def _find(self, candidate: names.Candidate) -> Found | None:
        provider = self._by_key.get(candidate.provider)
        if provider is None or not candidate.model:
            return None
        for owner in self._price_lists(provider):
            model = owner.find_model(candidate.model)
            if model is not None and _sells(owner, model):
                return Found(owner.id, model, candidate.exact, owner is provider)
        return None

    def _price_lists(self, provider: Provider) -> Iterator[Provider]:
        yield provider
        yield from (self._by_id[name] for name in provider.fallback_model_providers or () if name in self._by_id)

    def _compile(self, found: Found, context: Mapping[str, str], when: float) -> Rates:
        moment = dt.datetime.fromtimestamp(when, dt.UTC)
        asked = contexts.asked(context)
        row, start = _row(found.model, moment)
        prices = {key: price for key, price in row.__dict__.items() if price is not None}
        variants = list(_variants(found.model, asked, moment))
        for variant in reversed(variants):  # the first variant that has a price for a key decides
            prices.update({key: price for key, price in variant.prices.__dict__.items() if price is not None})
        met = {key for variant in variants for key in variant.when} if found.own else set()
        special = {key: value for key, value in contexts.special(asked).items() if key not in met}
        charged = surcharges(found.provider, found.model.id, special) if found.own else {}
        factor = math.prod((surcharge.factor for surcharge in charged.values()), start=Fraction(1))
        unmet = [f"{key}={value}" for key, value in special.items() if key not in charged or not charged[key].sure]
        if unmet:
            _logger.warning("%s/%s has no price for %s: the nearest one is used, as an estimate", found.provider, found.model.id, unmet)
        since, until = _validity(found.model, moment)
        rates = self._rates(found, prices, factor)
        return replace(rates, exact=found.exact and not unmet, effective_from=start, since=since, until=until)

    def _rates(self, found: Found, prices: Mapping[str, Decimal | TieredPrices], factor: Fraction) -> Rates:
        name = f"{found.provider}/{found.model.id}"
        if not prices and not names.is_free(found.model.id):
            return UNPRICED
        if not prices:
            return Rates(FREE, SOURCE, self.version, name)
        tokens = {_FIELDS[key]: price for key, price in prices.items() if key in _FIELDS}
        starts = sorted({tier.start for price in tokens.values() for tier in getattr(price, "tiers", ())})
        others = {self._units[key]: price for key, price in prices.items() if key not in _FIELDS and key in self._units}
        per_request = {unit: _amount(price, per) for (unit, per), price in others.items()}
        if "web_searches" in per_request and _NO_REASONING.match(found.model.id):
            per_request["web_search_preview"] = _PREVIEW
        return Rates(
            rate=_rate_at(found, tokens, 0, factor),
            source=SOURCE,
            version=self.version,
            model=name,
            tiers=tuple((start, _rate_at(found, tokens, start + 1, factor)) for start in starts),
            per_request=per_request,
            per_call=per_request.get("requests"),
        )


def _sells(owner: Provider, model: ModelInfo) -> bool:
    return owner.id != "openai" or _OPEN_WEIGHTS.match(model.id) is None


def _row(model: ModelInfo, moment: dt.datetime) -> tuple[ModelPrice, str | None]:
    """The row in force, and the date it begins; the last active one wins, and the first one is the fallback."""
    if not isinstance(model.prices, list):
        return model.prices, None
    rows = [row for row in model.prices if row.constraint is None or row.constraint.active(moment)]
    row = rows[-1] if rows else model.prices[0]
    start = getattr(row.constraint, "start_date", None)
    return row.prices, start.isoformat() if start else None


def _variants(model: ModelInfo, asked: Mapping[str, str], moment: dt.datetime) -> Iterator[PriceVariant]:
    for variant in model.price_variants or ():
        if variant.constraint is not None and not variant.constraint.active(moment):
            continue
        if all(asked.get(key) == value for key, value in variant.when.items()):
            yield variant


def _validity(model: ModelInfo, moment: dt.datetime) -> tuple[float, float]:
    """The time around ``moment`` in which no row or variant begins or ends."""
    rows: list[Any] = model.prices if isinstance(model.prices, list) else []
    times = sorted(time for row in (*rows, *(model.price_variants or ())) for time in _changes(row.constraint, moment))
    before = [time for time in times if time <= moment.timestamp()]
    after = [time for time in times if time > moment.timestamp()]
    return max(before, default=float("-inf")), min(after, default=float("inf"))


def _changes(constraint: Any, moment: dt.datetime) -> Iterator[float]:
    """When a constraint begins or ends to hold, near ``moment``: a date (UTC midnight) or two times of every day."""
    if hasattr(constraint, "start_date"):
        yield dt.datetime.combine(constraint.start_date, dt.time(), dt.UTC).timestamp()
    elif constraint is not None:
        for days in (-1, 0, 1):
            day = moment.date() + dt.timedelta(days)
            for time in (constraint.start_time, constraint.end_time):
                yield dt.datetime.combine(day, time if time.tzinfo else time.replace(tzinfo=dt.UTC)).timestamp()


def _rate_at(found: Found, tokens: Mapping[str, Decimal | TieredPrices], size: int, factor: Fraction) -> Rate:
    own = {name: Fraction(_price(price, size)) * factor / 10**6 for name, price in tokens.items()}
    if found.provider == "google" and "input" in own and "input_audio" not in own:
        # https://ai.google.dev/gemini-api/docs/pricing lists an audio price only where it differs from that of text.
        own |= {"input_audio": own["input"], "cache_read_audio": own.get("cache_read", own["input"])}
    if "output" in own and "output_image" not in own and "gpt-image" in found.model.id:
        own["output_image"] = own["output"]  # all that they write, where no other price is listed
    return rate(own)


def _price(price: Decimal | TieredPrices, size: int) -> Any:
    """The price for a call with ``size`` input tokens: above a threshold all tokens cost the tier's price."""
    tiers: list[Any] = getattr(price, "tiers", [])
    reached = [tier.price for tier in tiers if size > tier.start]
    plain: Any = getattr(price, "base", price)
    return reached[-1] if reached else plain


def _amount(price: Decimal | TieredPrices, per: int) -> int | Fraction:
    return whole(Fraction(_price(price, 0)) * FEMTO / per)
