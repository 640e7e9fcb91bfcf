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
- ``for``: globs (``fnmatch``) on the keys above, ``operation`` or any scope key. Several globs of one attribute: any of them; several
  attributes: all of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches
from enum import StrEnum
from typing import TYPE_CHECKING, NoReturn

from spanledger.errors import ConfigurationError
from spanledger.model import Unit
from spanledger.settings import BUDGET_PREFIX

if TYPE_CHECKING:
    from collections.abc import Mapping


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
_WORD = re.compile(r"""(?:'[^']*'|"[^"]*"|[^\s,'"])+|['"]""")
_QUOTED = re.compile(r"""'([^']*)'|"([^"]*)\"""")
_AMOUNT = re.compile(r"(\$?)(\d[\d_]*(?:\.\d+)?|\.\d+)([kmb]?)([a-z]*)", re.IGNORECASE | re.ASCII)
_NAME = re.compile(r"[A-Za-z_][\w.-]*", re.ASCII)
_FILTER = re.compile(r"([A-Za-z_][\w.-]*)=(.+)", re.ASCII | re.DOTALL)
_PERCENT = re.compile(r"(\d{1,3})%", re.ASCII)
_PLAIN = re.compile(r"""[^\s,'"]+""")
_TIMES = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9}
_UNITS = {"usd": Unit.USD, "token": Unit.TOKENS, "tokens": Unit.TOKENS, "call": Unit.CALLS, "calls": Unit.CALLS}
_WINDOWS = {**{window.value: window for window in Window}, "execution": Window.RUN}
_CLAUSES = ("per", "for", "warn", "then")
_RESERVED = {*_CLAUSES, "and", "at", "block", "cap", *_UNITS}
_NO_WINDOWS = {"second", "quarter", "year", "daily", "hourly", "weekly", "monthly", "yearly", "annum", "24h", "ever", "total"}
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


def parse(name: str, text: str) -> Rule:
    """Reads one budget.

    Raises:
        ConfigurationError: names the variable, shows the text and the word that cannot be read, and what was expected.
    """
    reader = _Reader(name, text)
    if not name:
        reader.fail_on(text, f"a name after {BUDGET_PREFIX}, as in {BUDGET_PREFIX}TEAM")
    return reader.rule()


def describe(rule: Rule) -> str:
    """The rule in its own grammar: ``parse(rule.name, describe(rule)) == rule``."""
    amount = f"{Decimal(rule.limit).scaleb(-9).normalize():f} USD" if rule.unit is Unit.USD else f"{rule.limit} {rule.unit}"
    per = " and ".join(rule.keys)
    parts = [amount, f"per {per}" if per else "", f"per {rule.window}" if rule.window else ""]
    if rule.filters:
        parts.append("for " + " ".join(f"{attribute}={_quote(glob)}" for attribute, globs in rule.filters for glob in globs))
    text = " ".join(part for part in parts if part)
    if rule.warn_at:
        text += ", warn at " + " ".join(f"{percent}%" for percent in rule.warn_at)
    return text + (", then warn" if rule.action is Action.WARN else "")


def _quote(glob: str) -> str:
    return glob if _PLAIN.fullmatch(glob) else "'" + glob.replace("'", "'\"'\"'") + "'"


class _Reader:
    """Reads the words of one budget from left to right; each method takes the words it understands."""

    def __init__(self, name: str, text: str) -> None:
        self._name, self._text = name, text
        self._words: list[str] = _WORD.findall(text)
        self._at = 0
        self._keys: dict[str, None] = {}
        self._window: Window | None = None
        self._filters: dict[str, dict[str, None]] = {}
        self._warn_at: set[int] = set()
        self._action: Action | None = None

    def rule(self) -> Rule:
        limit, unit = self._amount()
        if self._peek() != "per":
            self.fail(f"'per' and {_KEY_EXPECTED}, {_EXAMPLE}")
        clauses = {"per": self._per, "for": self._for, "warn": self._warn, "then": self._then}
        while (word := self._peek()) is not None:
            if word not in clauses:
                self.fail(f"one of {', '.join(_CLAUSES)} or the end, {_EXAMPLE}")
            self._at += 1
            clauses[word]()
        window = self._window
        if window is None and ("workflow" in self._keys or "step" in self._keys):
            window = Window.RUN
        filters = tuple((attribute, tuple(globs)) for attribute, globs in self._filters.items())
        warn_at = tuple(sorted(self._warn_at))
        return Rule(self._name, unit, limit, tuple(self._keys), window, filters, warn_at, self._action or Action.BLOCK)

    def _peek(self) -> str | None:
        """The next word in lower case; None at the end."""
        return self._words[self._at].lower() if self._at < len(self._words) else None

    def _take(self, expected: str) -> str:
        """The next word as written."""
        if self._at >= len(self._words):
            self.fail(expected)
        self._at += 1
        return self._words[self._at - 1]

    def _amount(self) -> tuple[int, Unit]:
        expected = f"an amount such as 200, 0.5, 1_000, 50k or 2M, {_EXAMPLE}"
        match = _AMOUNT.fullmatch(self._take(expected))
        if match is None:
            self.fail_back(expected)
        dollar, digits, times, word = match.groups()
        unit = self._unit(dollar, word)
        exact = Decimal(digits.replace("_", "")) * _TIMES[times.lower()] * (10**9 if unit is Unit.USD else 1)
        if exact != int(exact):
            self.fail_on(match.group(), "at most nine decimals of a USD" if unit is Unit.USD else f"a whole number of {unit}")
        if exact > MAX_LIMIT:
            self.fail_on(match.group(), "at most a billion USD" if unit is Unit.USD else f"at most {MAX_LIMIT} {unit}")
        return int(exact), unit

    def _unit(self, dollar: str, word: str) -> Unit:
        """The unit, written as a word of its own (``5 USD``), against the number (``5USD``) or as ``$``."""
        if not word and self._peek() in _UNITS:
            word = self._take("")
        unit = _UNITS.get(word.lower())
        if dollar and (unit is Unit.USD or not word):
            return Unit.USD
        if unit is None or dollar:
            attached = self._words[self._at - 1] if word else None
            self._refuse_unit(attached)
        return unit

    def _refuse_unit(self, attached: str | None) -> NoReturn:
        expected = f"the unit USD, tokens or calls, {_EXAMPLE}; write thousands as 1_000"
        if attached is not None:
            self.fail_on(attached, expected)
        self.fail(expected)

    def _per(self) -> None:
        self._key_or_window(self._take(_KEY_EXPECTED))
        while self._peek() == "and":
            self._at += 1
            self._key_or_window(self._take(_KEY_EXPECTED))

    def _key_or_window(self, word: str) -> None:
        lower = word.lower()
        window = _WINDOWS.get(lower)
        if window is None:
            self._keys[self._key(word)] = None
        elif self._window is None:
            self._window = window
        else:
            self.fail_back(f"one window; it already has '{self._window}'")

    def _key(self, word: str) -> str:
        """A key of ours in any case, or another name as it is written.

        A word that nearly is one of ours is refused: taken as a key that no call has, the budget would silently never apply.
        """
        lower = word.lower()
        if lower in KEYS:
            return lower
        if not _NAME.fullmatch(word) or lower in _RESERVED or lower.rstrip("s") in _NO_WINDOWS:
            self.fail_back(f"{_KEY_EXPECTED}, {_EXAMPLE}")
        close = get_close_matches(lower, (*KEYS, *_WINDOWS), n=1, cutoff=0.85)
        if close:
            self.fail_back(f"'{close[0]}', or a name of your own that differs more from it")
        return word

    def _for(self) -> None:
        expected = (
            f"<attribute>=<glob>, as in 'for model=claude-opus-*'; an attribute is one of {', '.join(KEYS)}, operation or a scope key"
        )
        self._filter(self._take(expected), expected)
        while (word := self._peek()) is not None and word not in _CLAUSES:
            self._at += 1
            if word != "and":
                self._filter(self._words[self._at - 1], expected)

    def _filter(self, word: str, expected: str) -> None:
        match = _FILTER.fullmatch(word)
        glob = _QUOTED.sub(lambda quoted: quoted.group(1) or quoted.group(2) or "", match.group(2)) if match else ""
        if match is None or not glob:
            self.fail_back(expected)
        lower = match.group(1).lower()
        attribute = lower if lower in KEYS or lower == "operation" else match.group(1)
        self._filters.setdefault(attribute, {})[glob] = None

    def _warn(self) -> None:
        expected = "'at' and percentages from 1% to 100%, as in 'warn at 50% 80%'"
        if self._take(expected).lower() != "at":
            self.fail_back(expected)
        self._warn_at.add(self._percent(self._take(expected), expected))
        while (word := self._peek()) is not None and word not in _CLAUSES:
            self._at += 1
            if word != "and":
                self._warn_at.add(self._percent(word, expected))

    def _percent(self, word: str, expected: str) -> int:
        match = _PERCENT.fullmatch(word)
        if match is None or not 1 <= int(match.group(1)) <= 100:  # noqa: PLR2004  # per cent
            self.fail_back(expected)
        return int(match.group(1))

    def _then(self) -> None:
        word = self._take("'block' or 'warn'").lower()
        if word == "cap":
            self.fail_back("'then block' or 'then warn': cap is not available in this version")
        if word not in set(Action) or self._action is not None:
            self.fail_back("'then block' or 'then warn', once")
        self._action = Action(word)

    def fail(self, expected: str) -> NoReturn:
        """The next word, or the end, is not what was expected."""
        problem = f"cannot read '{self._words[self._at]}'" if self._at < len(self._words) else "something is missing at the end"
        self._raise(f"{problem} of" if problem.endswith("end") else f"{problem} (word {self._at + 1}) in", expected)

    def fail_back(self, expected: str) -> NoReturn:
        """The word just taken is not what was expected."""
        self._at -= 1
        self.fail(expected)

    def fail_on(self, word: str, expected: str) -> NoReturn:
        self._raise(f"cannot read '{word}' in", expected)

    def _raise(self, problem: str, expected: str) -> NoReturn:
        raise ConfigurationError(BUDGET_PREFIX + self._name, f"{problem} '{self._text}'", expected)
