"""The price book: what a call costs, and why."""

from __future__ import annotations

import datetime as dt
import logging
import threading
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from spanledger import fork
from spanledger.model import Cost, CostStatus
from spanledger.pricing import catalogue, names
from spanledger.pricing.calls import charge_parts, charge_with_calls
from spanledger.pricing.context import place
from spanledger.pricing.overrides import OverrideFile, Overrides, scaled
from spanledger.pricing.rates import UNPRICED, Rates, charge, flatten

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from spanledger.errors import ConfigurationError
    from spanledger.model import Unit, Usage

_logger = logging.getLogger(__name__)

_MOST_RATES = 4096
"""Compiled rates kept. Model names can come from a program's users, so they must not pile up."""

_PARTIAL = CostStatus.PARTIAL  # see docs/decisions/0010-straight-lines-on-the-hot-path.md

_NEVER = replace(UNPRICED, until=float("-inf"))
"""In force at no time: what is not among the compiled rates has to be found."""

_Key = tuple[str, str | None, *tuple[tuple[str, str], ...]]


@dataclass(frozen=True, slots=True)
class _Edition:
    """One version of the price file and the rates compiled under it, replaced together."""

    overrides: Overrides
    rates: dict[_Key, Rates]


class PriceBook(fork.Loader):
    """Prices of models and plugins: the user's file first, then genai-prices.

    Args:
        overrides: the price file (see ``price_file``), if any. It is read on first use.
        ttl: how often, in seconds, it is looked at for changes.
    """

    def __init__(self, overrides: Path | None = None, ttl: float = 60.0) -> None:
        self._file = OverrideFile(overrides, ttl)
        self._has_file = overrides is not None
        self._edition = _Edition(Overrides(), {})
        self._catalogue: catalogue.Catalogue | None = None
        self._broken: Exception | None = None
        self._lock = threading.Lock()
        fork.watch(self)

    def price(self, provider: str, model: str | None, usage: Usage, *, when: float, context: Mapping[str, str] | None = None) -> Cost:
        """What ``usage`` of a provider's model costs, in nano-USD. Never raises; no price is ``unpriced`` with no amount.

        Args:
            provider: a ``gen_ai.provider.name``, or any common spelling of one.
            model: the name that was asked for or, better, answered.
            usage: the tokens and tools of one call.
            when: time of the call, seconds since the epoch; prices change.
            context: what else the price depends on: ``service_tier``, ``batch``, ``speed``, ``inference_geo``, ``data_residency``.
        """
        try:
            edition = self._current() if self._has_file else self._edition
            key: _Key = (provider, model, *context.items()) if context else (provider, model)
            rates = edition.rates.get(key, _NEVER)
            if not rates.since <= when < rates.until:
                rates = self._rates(edition, key, when, context or {})
            nano, status = charge(rates, usage)
            if usage.parts or (status is _PARTIAL and usage.delegated):
                others = charge_parts if usage.parts else charge_with_calls
                nano, status = others(rates, usage, partial(self.price, provider, when=when, context=place(context)))
        except Exception:
            _logger.debug("a call could not be priced", exc_info=True)
            nano = None
        if nano is None:
            return Cost(None, CostStatus.UNPRICED)
        return Cost(nano, status, rates.source, rates.version, rates.model, rates.effective_from)

    def plugin(self, name: str) -> tuple[Unit, int] | None:
        """The price of one call of a plugin, in nano-USD or tokens, if the price file has one."""
        return self._file.current().plugins.get(name)

    def warm(self) -> None:
        """Does the slow part of the first ``price`` now: half a second of imports. Safe to call from several threads; never raises."""
        self._file.current()
        self._load()

    @property
    def problems(self) -> tuple[ConfigurationError, ...]:
        """What is wrong with the price file now. While it is, the last good one stays in force."""
        self._file.current()
        return self._file.problems

    def status(self) -> dict[str, str]:
        """Where prices come from, for people."""
        overrides, book = self._file.current(), self._load()
        loaded = dt.datetime.fromtimestamp(overrides.loaded_at, dt.UTC) if overrides.loaded_at else None
        return {
            "source": catalogue.SOURCE,
            "version": book.version if book else f"not usable ({self._broken!r})",
            "file": str(self._file.path) if self._file.path else "none",
            "file hash": overrides.hash or "none",
            "file loaded at": f"{loaded:%Y-%m-%d %H:%M:%S} UTC" if loaded else "never",
            "file problems": "; ".join(map(str, self._file.problems)) or "none",
        }

    def _current(self) -> _Edition:
        edition, overrides = self._edition, self._file.current()
        if overrides is not edition.overrides:
            edition = self._edition = _Edition(overrides, {})
        return edition

    def _rates(self, edition: _Edition, key: _Key, when: float, context: Mapping[str, str]) -> Rates:
        rates = flatten(self._find(edition.overrides, key[0], key[1], when, context))
        if len(edition.rates) >= _MOST_RATES:
            edition.rates.clear()
        edition.rates[key] = rates
        return rates

    def _find(self, overrides: Overrides, provider: str, model: str | None, when: float, context: Mapping[str, str]) -> Rates:
        """The rates of a model; for one without, ``UNPRICED``, which is kept like any other.

        A price in the file is for what it names and for its dated snapshots. It is for a fine-tuned model or a variant of that name, too,
        but as a guess, and only where there is no built-in price for just that model.
        """
        since, until = overrides.validity(when)
        if model is None:
            return UNPRICED
        real = overrides.alias(model)
        meant = names.candidates(provider, real, prefixed=real is not model)
        written = meant if real is model else [*meant, *names.candidates(provider, model)]
        sure, guesses = names.split(written)
        rates = overrides.rates(sure, context, when)
        if rates is None:
            rates = self._built_in([found for found in meant if found.exact], context, when)
        if rates is None:
            sure = written
            rates = overrides.rates(guesses, context, when)
            rates = replace(rates, exact=False) if rates else self._built_in(meant, context, when)
        rates = scaled(rates or UNPRICED, overrides.factor(sure, when), overrides.hash)
        return replace(rates, since=max(since, rates.since), until=min(until, rates.until))

    def _built_in(self, candidates: Sequence[names.Candidate], context: Mapping[str, str], when: float) -> Rates | None:
        book = self._load()
        return book.rates(candidates, context, when) if book else None

    def _load(self) -> catalogue.Catalogue | None:
        if self._catalogue is None and self._broken is None:
            with self._lock:
                if self._catalogue is None and self._broken is None:
                    try:
                        self._catalogue = catalogue.Catalogue()
                    except Exception as error:  # noqa: BLE001  # whatever a missing or foreign version raises
                        self._broken = error
                        _logger.warning("no built-in prices: genai-prices cannot be used (%r)", error)
        return self._catalogue

    def _give_up_loading(self) -> None:
        self._broken = RuntimeError("the process was forked while another thread was loading them")
        _logger.warning("no built-in prices: %s", self._broken)
