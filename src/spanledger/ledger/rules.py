"""The decisions every ledger makes alike: what fits a budget, which settlement replaces which, which attempt of a step counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spanledger.model import Balance, Hold, Refusal, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

CLOSED_ACCOUNTS_KEPT = 86_400.0
"""Seconds for which an account outlives its window, so that late corrections still find it."""


@dataclass(slots=True)
class Account:
    """One budget account. ``hold`` is the newest one seen: name, limit and window may change while calls are under way."""

    hold: Hold
    spent: int = 0
    reserved: int = 0

    def fits(self, hold: Hold) -> bool:
        """Whether the hold may be taken. One of amount 0 asks only whether the budget is used up already."""
        if not hold.blocking:
            return True
        used = self.spent + self.reserved
        return used + hold.amount <= hold.limit and (hold.amount > 0 or used < hold.limit)

    def free(self, amount: int) -> None:
        """Gives back what was reserved."""
        self.reserved = max(0, self.reserved - amount)

    def refund(self, amount: int) -> None:
        """Takes back what was charged."""
        self.spent = max(0, self.spent - amount)

    def balance(self) -> Balance:
        """The account's state for people."""
        hold = self.hold
        return Balance(
            hold.account, hold.budget, hold.scope, hold.unit, hold.limit, self.spent, self.reserved, hold.ends, hold.blocking
        )  # fmt: skip


def take(find: Callable[[Hold], Account], holds: Sequence[Hold]) -> Refusal | None:
    """Reserves all holds, or none and says which did not fit. ``find`` gives the account of a hold, new or known."""
    taken: list[tuple[Account, int]] = []
    for hold in holds:
        account = find(hold)
        if not account.fits(hold):
            for earlier, amount in taken:
                earlier.reserved -= amount
            return Refusal(hold, account.spent, account.reserved)
        account.reserved += hold.amount
        taken.append((account, hold.amount))
    return None


def replaces(new: State, old: State, *, swept: bool) -> bool:
    """Whether a settlement replaces the entry that is there: a guess by the sweep always gives way, other guesses to exact numbers."""
    return swept or (old != State.EXACT and new == State.EXACT)


def winner(attempts: Iterable[tuple[int, bool]]) -> int:
    """Of a step's ended attempts (number, succeeded) the one that counts: the last successful, else the last."""
    return max(attempts, key=lambda attempt: (attempt[1], attempt[0]))[0]


def is_open(ends: float | None, now: float) -> bool:
    """Whether an account's window still runs."""
    return ends is None or ends > now
