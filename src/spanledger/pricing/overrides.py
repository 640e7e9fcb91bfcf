"""The price file in use: its prices looked up, its changes noticed, its mistakes reported while the last good one stays in force."""

from __future__ import annotations

import datetime as dt
import hashlib
import logging
import stat
import threading
import time
from dataclasses import replace
from fnmatch import fnmatchcase
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

from spanledger import fork
from spanledger.errors import ConfigurationError
from spanledger.pricing import context as contexts
from spanledger.pricing import names
from spanledger.pricing.rates import FEMTO, Rates, rate, tool_unit, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from spanledger.model import Unit
    from spanledger.pricing.names import Candidate
    from spanledger.pricing.price_file import ModelEntry, Multiplier, PriceFile

_logger = logging.getLogger(__name__)

SOURCE = "file"
_LARGEST = 4_000_000


class Overrides(NamedTuple):
    """One version of the file. Immutable; a changed file makes a new one."""

    hash: str = ""
    models: tuple[ModelEntry, ...] = ()
    aliases: Mapping[str, str] = {}
    multipliers: tuple[Multiplier, ...] = ()
    plugins: Mapping[str, tuple[Unit, int]] = {}
    loaded_at: float | None = None

    def alias(self, model: str) -> str:
        """The model that a user's own name stands for; other names as they are."""
        return self.aliases.get(model.casefold(), model)

    def rates(self, candidates: Iterable[Candidate], context: Mapping[str, str], when: float) -> Rates | None:
        """The rates of the first entry that applies to any of these names, or None. They are exact if the call asks for nothing that
        the entry does not mention; whether the name was guessed is for the caller to say."""
        day, known, asked = _day(when), list(candidates), contexts.asked(context)
        for entry in self.models:
            match = _match(entry, known, day)
            mentioned = contexts.asked(entry.context)
            if match and all(_same(key, value, asked.get(key)) for key, value in mentioned.items()):
                name = f"{match.provider}/{match.model}"
                return _compile(entry, name, self.hash, exact=contexts.special(asked).keys() <= mentioned.keys())
        return None

    def factor(self, candidates: Iterable[Candidate], when: float) -> Fraction:
        """The product of all multipliers that apply."""
        product, day, known = Fraction(1), _day(when), list(candidates)
        for entry in self.multipliers:
            if _match(entry, known, day):
                product *= Fraction(entry.factor)
        return product

    def validity(self, when: float) -> tuple[float, float]:
        """The time around ``when`` in which no entry begins or ends."""
        entries: tuple[ModelEntry | Multiplier, ...] = (*self.models, *self.multipliers)
        times = [time for entry in entries for time in _changes(entry)]
        return (
            max((time for time in times if time <= when), default=float("-inf")),
            min((time for time in times if time > when), default=float("inf")),
        )


def scaled(rates: Rates, factor: Fraction, version: str) -> Rates:
    """These rates times a factor; the version then names the price file, too."""
    if factor == 1:
        return rates

    def times(value: Any) -> Any:
        return value if value is None or isinstance(value, bool) else whole(value * factor)

    return replace(
        rates,
        rate=type(rates.rate)(*map(times, rates.rate)),
        tiers=tuple((start, type(tier)(*map(times, tier))) for start, tier in rates.tiers),
        per_request={unit: times(price) for unit, price in rates.per_request.items()},
        per_call=times(rates.per_call),
        version=f"{rates.version}+{version}" if rates.source != SOURCE else rates.version,
    )


def _match(entry: ModelEntry | Multiplier, candidates: Iterable[Candidate], day: dt.date) -> Candidate | None:
    """The first of these names that an entry in force on ``day`` is for."""
    if not (entry.effective_from or day) <= day <= (entry.effective_to or day):
        return None
    provider, pattern = entry.provider and names.provider_key(entry.provider), entry.model.casefold()
    for candidate in candidates:
        if provider in {None, candidate.provider} and fnmatchcase(candidate.model.casefold(), pattern):
            return candidate
    return None


def _same(key: str, wanted: str, asked: str | None) -> bool:
    """Whether a call asks for what an entry wants; what is standard need not be asked for."""
    return asked == wanted or not (contexts.special({key: wanted}) or (asked and contexts.special({key: asked})))


def _day(when: float) -> dt.date:
    return dt.datetime.fromtimestamp(when, dt.UTC).date()


def _changes(entry: ModelEntry | Multiplier) -> Iterator[float]:
    if entry.effective_from:
        yield dt.datetime.combine(entry.effective_from, dt.time(), dt.UTC).timestamp()
    if entry.effective_to and entry.effective_to < dt.date.max:
        yield dt.datetime.combine(entry.effective_to + dt.timedelta(1), dt.time(), dt.UTC).timestamp()


def _compile(entry: ModelEntry, name: str, version: str, *, exact: bool) -> Rates:
    from spanledger.pricing.price_file import TOKEN_PRICES  # noqa: PLC0415  # imported already when there are entries

    own = {field: Fraction(price) / 10**6 for field in TOKEN_PRICES if (price := getattr(entry, field)) is not None}
    return Rates(
        rate=rate(own),
        source=SOURCE,
        version=version,
        model=name,
        effective_from=entry.effective_from.isoformat() if entry.effective_from else None,
        exact=exact,
        per_request={tool_unit(tool): whole(Fraction(price) * FEMTO) for tool, price in entry.per_request.items()},
        per_call=whole(Fraction(entry.per_call) * FEMTO) if entry.per_call is not None else None,
    )


class OverrideFile(fork.Loader):
    """Watches a price file: looks at it at most once per ``ttl`` seconds, and only reads it if it changed.

    ``problems`` and ``current`` are replaced, never changed, so that readers need no lock.
    """

    def __init__(self, path: Path | None, ttl: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.path, self.problems = path and path.absolute(), ()  # the application may change its working directory
        self._ttl, self._clock = ttl, clock
        self._next_look = float("-inf")
        self._overrides = Overrides()
        self._seen: tuple[int, ...] | None = None
        self._lock = threading.Lock()
        fork.watch(self)

    problems: tuple[ConfigurationError, ...]

    def current(self) -> Overrides:
        """The overrides in force. One caller in ``ttl`` seconds looks at the file; others use what is there meanwhile."""
        if self.path is None or self._clock() < self._next_look:
            return self._overrides
        lock = self._lock
        if not lock.acquire(blocking=self._next_look == float("-inf")):
            return self._overrides
        try:
            if self._clock() >= self._next_look:
                known = None if self._next_look == float("-inf") else [str(problem) for problem in self.problems]
                self._look(self.path)
                self._next_look = self._clock() + self._ttl
                self._tell_changes(known)
        finally:
            lock.release()
        return self._overrides

    def _tell_changes(self, known: list[str] | None) -> None:
        """Logs what is wrong since the last look; what is wrong at the start (``known`` is None) is told by who made this object."""
        problems = [str(problem) for problem in self.problems]
        if known is None or problems == known:
            return
        for problem in problems:
            _logger.warning("%s; the last good version of this file stays in force", problem)
        if not problems:
            _logger.warning("%s is in force again", self.path)

    def _look(self, path: Path) -> None:
        try:
            status = path.stat()
            seen = (status.st_mtime_ns, status.st_size, status.st_ino)
            if seen == self._seen:
                return
            self._seen = seen
            if not stat.S_ISREG(status.st_mode) or status.st_size > _LARGEST:
                self._refuse("not a regular file of at most 4 MB")
                return
            self._read(path.read_bytes())
        except OSError as error:
            self._seen = None
            self._refuse(f"cannot be read ({error.strerror or type(error).__name__})")
        except UnicodeDecodeError as error:
            self._refuse(f"not UTF-8 text (byte {error.start})")
        except Exception as error:  # noqa: BLE001  # a price file must never stop calls from being priced
            self._refuse(f"cannot be used ({type(error).__name__})")

    def _read(self, data: bytes) -> None:
        from spanledger.pricing.price_file import read  # noqa: PLC0415  # pydantic and yaml are slow to import

        result = read(data.decode(), str(self.path))
        if isinstance(result, list):
            self.problems = tuple(result)
        else:
            self._overrides, self.problems = _loaded(result, data), ()

    def _refuse(self, problem: str) -> None:
        self.problems = (ConfigurationError(str(self.path), problem, "a YAML file of models, aliases, multipliers and plugins"),)

    def _give_up_loading(self) -> None:
        self._next_look = float("inf")
        self._refuse("was being read by another thread when the process was forked; it is not read again")
        self._tell_changes([])


def _loaded(file: PriceFile, data: bytes) -> Overrides:
    return Overrides(
        hash=hashlib.sha256(data).hexdigest()[:12],
        models=file.models,
        aliases={name.casefold(): model for name, model in file.aliases.items()},
        multipliers=file.multipliers,
        plugins=file.plugins,
        loaded_at=time.time(),
    )
