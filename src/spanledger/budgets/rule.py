"""The grammar of one budget.

    <amount> <USD|tokens|calls> per <key and/or window> [for <attribute>=<glob> ...] [, warn at <n>% ...] [, then block|warn]

    200 USD per month
    50k tokens per workflow
    5 USD per customer per day, warn at 50% 80%
    10 USD per user and campaign per day for model=claude-opus-* model=gpt-5-pro activity=llm, then warn

Words are read in any case; commas separate and mean nothing else; a glob with spaces, commas or quotes is quoted.

- Amounts: ``200``, ``0.5``, ``1_000``, ``50k``, ``2M``, ``1B``; ``$5`` is ``5 USD``. ``0`` refuses whatever would cost anything.
- Keys: workflow, step, customer, user, agent, campaign, session, service, model, provider, plugin, activity, or any other name
  (a scope key or baggage entry; its case matters). A call without that key is outside the budget.
- Windows: run (one execution of a workflow), minute, hour, day, week, month. With ``workflow`` or ``step`` and no window, run is meant;
  with any other key and no window the budget never starts anew.
- ``for``: globs (``fnmatch``) on the keys above, ``operation`` or any scope key; of model, provider, activity and operation in any case.
  Several globs of one attribute: any of them; several attributes: all of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from spanledger.budgets.words import Words, quote, unquote
from spanledger.errors import ConfigurationError
from spanledger.model import Activity, Unit
from spanledger.settings import BUDGET_PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


class Window(StrEnum):
    """After what a budget starts anew: the end of the execution, or of the calendar unit."""

    RUN = "run"
    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class Action(StrEnum):
    """What happens to a call that the budget does not cover."""

    BLOCK = "block"
    WARN = "warn"


@dataclass(frozen=True, slots=True)
class Rule:
    """One budget. ``limit`` is in nano-USD, tokens or calls; ``window`` None never starts anew; no ``keys``: one account for everybody."""

    name: str
    unit: Unit
    limit: int
    keys: tuple[str, ...] = ()
    window: Window | None = None
    filters: tuple[tuple[str, tuple[str, ...]], ...] = ()
    warn_at: tuple[int, ...] = ()
    action: Action = Action.BLOCK


KEYS = ("workflow", "step", "customer", "user", "agent", "campaign", "session", "service", "model", "provider", "plugin", "activity")
MAX_LIMIT = 10**18
"""A billion USD in nano-USD. Ledgers keep sums in 64 bits; spent and reserved together stay far below."""

_EXAMPLE = "as in '5 USD per customer per day, warn at 80%'"
# Compiled by their first use: a program without budgets need not wait for them.
_AMOUNT = r"(?ai)(\$?)(\d[\d_]*(?:\.\d+)?|\.\d+)([kmb]?)([a-z]*)"
_NAME = r"(?a)[A-Za-z_][\w.-]*"
_FILTER = r"(?as)([A-Za-z_][\w.-]*)=(.+)"
_PERCENT = r"(?a)(\d{1,3})%"
_TIMES = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9}
_UNITS = {"usd": Unit.USD, "token": Unit.TOKENS, "tokens": Unit.TOKENS, "call": Unit.CALLS, "calls": Unit.CALLS}
_WINDOWS = {**{window.value: window for window in Window}, "execution": Window.RUN}
_CLAUSES = ("per", "for", "warn", "then")
_RESERVED = {*_CLAUSES, "and", "at", "block", "cap", *_UNITS}
_MEANT = {
    **dict.fromkeys(("min", "mins", "minutely"), "minute"),
    **dict.fromkeys(("h", "hr", "hrs", "hourly"), "hour"),
    **dict.fromkeys(("d", "daily"), "day"),
    **dict.fromkeys(("w", "wk", "wks", "weekly"), "week"),
    **dict.fromkeys(("mo", "mon", "mos", "mth", "mths", "mnth", "monthly"), "month"),
    "m": "minute' or 'month",
}
"""Windows as they are not written here: as names of keys they would make budgets that never apply."""
_NO_WINDOWS = {
    "s", "sec", "second", "fortnight", "biweekly", "q", "quarter", "quarterly", "y", "yr", "year", "yearly", "annum", "ever", "total",
    "lifetime",
}  # fmt: skip
_NEAR = 0.81
"""Share of letters that a misspelt name has in common with the right one; 'cluster' and 'customer' have less."""
_EVERYBODY = {"everyone", "everybody", "everything", "anyone", "anybody", "all", "any", "each"}
_ATTRIBUTES = (*KEYS, "operation")
_KEY_EXPECTED = f"a key ({', '.join(KEYS)} or a name of your own) or a window ({', '.join(Window)})"


def parse_all(texts: Mapping[str, str]) -> tuple[list[Rule], list[ConfigurationError]]:
    """Reads ``{name: text}``: the budgets that can be understood, and one error for each that cannot."""
    rules: list[Rule] = []
    problems: list[ConfigurationError] = []
    for name, text in texts.items():
        try:
            rules.append(parse(name, text))
        except ConfigurationError as problem:
            problems.append(problem)
    return rules, problems


def without(*, strict: bool) -> str:
    """What follows from a budget that cannot be read."""
    return "all calls are refused until it can be read" if strict else "this budget is not enforced"


def parse(name: str, text: str) -> Rule:
    """Reads one budget.

    Raises:
        ConfigurationError: names the variable, shows the text and the word that cannot be read, and what was expected.
    """
    if not name:
        raise ConfigurationError(BUDGET_PREFIX, f"there is no name for '{text}'", f"one after the prefix, as in {BUDGET_PREFIX}TEAM")
    return _Reader(name, Words(BUDGET_PREFIX + name, text)).rule()


def describe(rule: Rule) -> str:
    """The rule in its own grammar: ``parse(rule.name, describe(rule)) == rule``."""
    amount = f"{Decimal(rule.limit).scaleb(-9).normalize():f} USD" if rule.unit is Unit.USD else f"{rule.limit} {rule.unit}"
    per = " and ".join(rule.keys)
    parts = [amount, f"per {per}" if per else "", f"per {rule.window}" if rule.window else ""]
    if rule.filters:
        parts.append("for " + " ".join(f"{attribute}={quote(glob)}" for attribute, globs in rule.filters for glob in globs))
    text = " ".join(part for part in parts if part)
    if rule.warn_at:
        text += ", warn at " + " ".join(f"{percent}%" for percent in rule.warn_at)
    return text + (", then warn" if rule.action is Action.WARN else "")


class _Reader:
    """Reads one budget; each method takes the words it understands."""

    def __init__(self, name: str, words: Words) -> None:
        self._name, self._words = name, words
        self._keys: dict[str, None] = {}
        self._window: Window | None = None
        self._filters: dict[str, dict[str, None]] = {}
        self._warn_at: set[int] = set()
        self._action: Action | None = None

    def rule(self) -> Rule:
        words = self._words
        limit, unit = self._amount()
        if words.peek() != "per":
            words.fail(f"'per' and {_KEY_EXPECTED}, {_EXAMPLE}")
        clauses = {"per": self._per, "for": self._for, "warn": self._warn, "then": self._then}
        while (word := words.peek()) is not None:
            if word not in clauses:
                words.fail(f"one of {', '.join(_CLAUSES)} or the end, {_EXAMPLE}")
            words.at += 1
            clauses[word]()
        window = self._window
        if window is None and ("workflow" in self._keys or "step" in self._keys):
            window = Window.RUN
        filters = tuple((attribute, tuple(globs)) for attribute, globs in self._filters.items())
        warn_at = tuple(sorted(self._warn_at))
        return Rule(self._name, unit, limit, tuple(self._keys), window, filters, warn_at, self._action or Action.BLOCK)

    def _amount(self) -> tuple[int, Unit]:
        expected = f"an amount such as 200, 0.5, 1_000, 50k or 2M, {_EXAMPLE}"
        match = re.fullmatch(_AMOUNT, self._words.take(expected))
        if match is None:
            self._words.fail_taken(expected)
        dollar, digits, times, word = match.groups()
        unit = self._unit(dollar, word)
        exact = Decimal(digits.replace("_", "")) * _TIMES[times.lower()] * (10**9 if unit is Unit.USD else 1)
        if exact != int(exact):
            self._words.fail("at most nine decimals of a USD" if unit is Unit.USD else f"a whole number of {unit}", at=0)
        if exact > MAX_LIMIT:
            self._words.fail("at most a billion USD" if unit is Unit.USD else f"at most {MAX_LIMIT} {unit}", at=0)
        return int(exact), unit

    def _unit(self, dollar: str, attached: str) -> Unit:
        """The unit, written as a word of its own (``5 USD``), against the number (``5USD``) or as ``$``."""
        words = self._words
        unit = _UNITS.get(attached.lower() or words.peek() or "")
        if not attached and unit is not None:
            words.at += 1
        if dollar and not attached and unit in (None, Unit.USD):
            return Unit.USD
        if unit is None or (dollar and unit is not Unit.USD):
            at = words.at if unit is None and not attached else words.at - 1
            words.fail(f"the unit USD, tokens or calls, {_EXAMPLE}; write thousands as 1_000", at)
        return unit

    def _per(self) -> None:
        self._key_or_window()
        while self._words.take_if("and"):
            self._key_or_window()

    def _key_or_window(self) -> None:
        word = self._words.take(_KEY_EXPECTED)
        window = _WINDOWS.get(word.lower())
        if window is None:
            self._keys[self._key(word)] = None
        elif self._window is None:
            self._window = window
        else:
            self._words.fail_taken(f"one window; it already has '{self._window}'")

    def _key(self, word: str) -> str:
        lower = word.lower()
        if meant := _MEANT.get(lower):
            self._words.fail_taken(f"'{meant}'")
        if lower in _EVERYBODY:
            self._words.fail_taken("a window, as in '5 USD per day': without a key a budget is for everybody together")
        if not re.fullmatch(_NAME, word) or lower in _RESERVED or not _NO_WINDOWS.isdisjoint((lower, lower.removesuffix("s"))):
            self._words.fail_taken(f"{_KEY_EXPECTED}, {_EXAMPLE}")
        return self._name_of(word, KEYS, _WINDOWS)

    def _name_of(self, word: str, ours: tuple[str, ...], also: Iterable[str] = ()) -> str:
        """One of our names in any case, or another name as it is written.

        A word that nearly is one of ours is refused: taken as a name that no call has, the budget would silently never apply. One of
        several parts, such as ``session_id``, is meant as it is.
        """
        lower = word.lower()
        if lower in ours:
            return lower
        if lower.isalnum() and (close := _closest(lower, (*ours, *also))):
            self._words.fail_taken(f"'{close}', or a name of your own that differs more from it")
        return word

    def _for(self) -> None:
        expected = f"<attribute>=<glob>, as in 'for model=claude-opus-*'; an attribute is one of {', '.join(_ATTRIBUTES)} or a scope key"
        for word in self._list(expected):
            match = re.fullmatch(_FILTER, word)
            glob = unquote(match.group(2)) if match else ""
            if match is None or not glob:
                self._words.fail_taken(expected)
            attribute = self._name_of(match.group(1), _ATTRIBUTES)
            if attribute == "activity":
                self._check_activity(glob)
            self._filters.setdefault(attribute, {})[glob] = None

    def _check_activity(self, glob: str) -> None:
        if not any(fnmatchcase(activity, glob.lower()) for activity in Activity):
            known = " or ".join(Activity)
            self._words.fail_taken(f"activity={known}; what is asked of a model is its operation, as in 'for operation=chat'")

    def _warn(self) -> None:
        expected = "'at' and percentages from 1% to 100%, as in 'warn at 50% 80%'"
        if not self._words.take_if("at"):
            self._words.fail(expected)
        for word in self._list(expected):
            match = re.fullmatch(_PERCENT, word)
            if match is None or not 1 <= int(match.group(1)) <= 100:
                self._words.fail_taken(expected)
            self._warn_at.add(int(match.group(1)))

    def _list(self, expected: str) -> Iterator[str]:
        """The words up to the next clause, at least one; ``and`` between them means nothing."""
        yield self._words.take(expected)
        while (word := self._words.peek()) is not None and word not in _CLAUSES:
            if not self._words.take_if("and"):
                yield self._words.take(expected)

    def _then(self) -> None:
        word = self._words.take("'block' or 'warn'").lower()
        if word == "cap":
            self._words.fail_taken("'then block' or 'then warn': cap is not available in this version")
        if word not in set(Action) or self._action is not None:
            self._words.fail_taken("'then block' or 'then warn', once")
        self._action = Action(word)


def _closest(word: str, names: tuple[str, ...]) -> str | None:
    """The name of which a word has all letters in another order, or nearly all."""
    from difflib import get_close_matches  # noqa: PLC0415  # takes a millisecond to import, and is needed only here

    close = [name for name in names if sorted(name) == sorted(word)] or get_close_matches(word, names, n=1, cutoff=_NEAR)
    return close[0] if close else None
