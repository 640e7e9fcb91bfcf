"""Which budgets a call belongs to, and the account of each that it is booked to.

Only the entry is read: a settlement that is corrected later, elsewhere, must find the accounts that the call was booked to.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fnmatch import translate
from functools import lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING

from spanledger.budgets import windows
from spanledger.budgets.rule import Action, Rule, Window
from spanledger.ledger.rules import idle_after
from spanledger.model import Hold
from spanledger.outside import plain

if TYPE_CHECKING:
    from collections.abc import Callable
    from zoneinfo import ZoneInfo

    from spanledger.model import Entry

_FIELDS: dict[str, Callable[[Entry], str | None]] = {
    **{name: attrgetter(name) for name in ("workflow", "step", "execution", "service", "model", "provider", "plugin", "operation")},
    "activity": attrgetter("activity.value"),
}
_IN_ANY_CASE = ("model", "provider", "activity", "operation")
_REMEMBERED = 4096
_QUOTED = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
"""The repr of a text."""


@dataclass(frozen=True, slots=True)
class _Accounts:
    """The accounts seen in one window, by their keys' values."""

    start: float
    end: float
    known: dict[tuple[str | None, ...], Hold]


class Matcher:
    """One rule, prepared for matching. Thread-safe without locks: what it remembers is replaced whole."""

    def __init__(self, rule: Rule, zone: ZoneInfo) -> None:
        self.rule = rule
        self._zone = zone
        self._filters = [(_reader(attribute), _fits(attribute, globs)) for attribute, globs in rule.filters]
        per_run = rule.window is Window.RUN
        self._labels = _labels(rule)
        self._readers = [_reader(key) for key in ((*rule.keys, "execution") if per_run else rule.keys)]
        self._window = Window.HOUR if per_run else rule.window
        """The calendar window; None if the accounts have no end. A run's account is marked as used once an hour."""
        self._per_run = per_run
        self._current = _Accounts(0.0, 0.0, {})

    def find(self, entry: Entry) -> Hold | None:
        """The entry's account, in the window in which the call started; None if the rule is not about this call.

        A call without one of the rule's keys, or with an empty one, is outside the budget.
        """
        for read, fits in self._filters:
            filtered = read(entry)
            if not filtered or fits(filtered) is None:
                return None
        values: tuple[str | None, ...] = ()
        if self._readers:
            values = tuple([read(entry) for read in self._readers])
            if not all(values):
                return None
        accounts = self._current
        if not accounts.start <= entry.time < accounts.end:
            accounts = self._current = self._open_window(entry.time)
        hold = accounts.known.get(values)
        return hold if hold is not None else self._open(values, accounts)

    def _open_window(self, when: float) -> _Accounts:
        start, end = (-math.inf, math.inf) if self._window is None else windows.bounds(self._window, when, self._zone)
        return _Accounts(start, end, {})

    def _open(self, values: tuple[str | None, ...], accounts: _Accounts) -> Hold:
        rule = self.rule
        since, ends = self._life(accounts)
        labelled = dict(zip(self._labels, values, strict=True))
        # The dict's repr keeps values apart whatever they contain. Unit, window, filters and keys are in the id because a budget's text
        # may change while its name stays, or be another in another program: what was spent in tokens must not be compared with a limit
        # in USD, nor what one service spent with the limit of another.
        account = f"{_form(rule)}{since} {labelled}"
        # Told in logs and on terminals, it may have come with a request: a line of its own could look like one of ours.
        scope = plain(", ".join(f"{label}={value}" for label, value in labelled.items()))
        tells_from = -(-rule.limit * min((100, *rule.warn_at)) // 100)
        hold = Hold(account, rule.name, scope, rule.unit, rule.limit, ends, rule.action is Action.BLOCK, tells_from)
        if len(accounts.known) >= _REMEMBERED:
            accounts.known.clear()
        accounts.known[values] = hold
        return hold

    def _life(self, accounts: _Accounts) -> tuple[str, float | None]:
        """Since when accounts are kept, and what their holds say of their end."""
        if self._per_run:
            return "ever", idle_after(accounts.end)
        return ("ever", None) if self._window is None else (f"{accounts.start:.0f}", accounts.end)


def is_of(rule: Rule, account: str) -> bool:
    """Whether an account is kept for this rule, and not for one of this name in another unit, or with another window, filter or key."""
    values = ", ".join(f"{re.escape(repr(label))}: {_QUOTED}" for label in _labels(rule))
    return re.fullmatch(rf"{re.escape(_form(rule))}\S+ \{{{values}\}}", account) is not None


def _form(rule: Rule) -> str:
    """What an account's id begins with. Without filters it says nothing of them: ledgers are full of such ids."""
    filters = sorted((attribute, sorted(globs)) for attribute, globs in rule.filters)
    return f"{rule.name} {rule.unit} {rule.window or 'in all'} {f'for {filters} ' if filters else ''}"


def _labels(rule: Rule) -> tuple[str, ...]:
    return (*rule.keys, "run") if rule.window is Window.RUN else rule.keys


def _reader(key: str) -> Callable[[Entry], str | None]:
    return _FIELDS.get(key) or (lambda entry: entry.keys.get(key))


def _fits(attribute: str, globs: tuple[str, ...]) -> Callable[[str], re.Match[str] | None]:
    """``fnmatch.fnmatchcase`` against each glob, in one expression; of our own few names in any case.

    Their answers are remembered: that is faster than to ask again, and comparing in any case takes half as long again.
    """
    expression = "|".join(translate(glob) for glob in globs)
    if attribute not in _IN_ANY_CASE:
        return re.compile(expression).match
    return lru_cache(_REMEMBERED)(re.compile(expression, re.IGNORECASE).match)
