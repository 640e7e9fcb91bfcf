"""The decisions every ledger makes alike: what fits a budget, which settlement replaces which, which attempt of a step counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from spanledger.model import Balance, Hold, Refusal, State

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from spanledger.ledger.ledger import Standing

CLOSED_ACCOUNTS_KEPT = 86_400.0
"""Seconds for which an account outlives its window, so that late corrections still find it."""


@dataclass(slots=True)
class Account:
    """One budget account. ``hold`` is the newest one seen: name, limit and window may change while calls are under way."""

    hold: Hold
    spent: int = 0
    reserved: int = 0

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


class Accounts(Protocol):
    """The accounts of a ledger by their ids, as a dict has them."""

    def get(self, account_id: str, /) -> Account | None:
        """The account of this id, if there is one."""

    def __setitem__(self, account_id: str, account: Account, /) -> None:
        """Adds an account."""


# Every call passes ``take`` and ``book``: they do all that is to be done to an account in one frame.


def take(accounts: Accounts, holds: Sequence[Hold]) -> Refusal | None:
    """Reserves all holds, or none and says which did not fit. One of amount 0 asks only whether anything is left."""
    for number, hold in enumerate(holds):
        account = accounts.get(hold.account)
        if account is None:
            account = accounts[hold.account] = Account(hold)
        account.hold = hold
        if hold.blocking and account.spent + account.reserved + (hold.amount or 1) > hold.limit:
            book(accounts, holds[:number], ())
            return Refusal(hold, account.spent, account.reserved)
        account.reserved += hold.amount
    return None


def book(accounts: Accounts, taken: Sequence[Hold], charges: Sequence[Hold]) -> list[Standing]:
    """Gives back what ``take`` took and adds to what is spent; the charged accounts as they are then."""
    for hold in taken:
        account = accounts.get(hold.account)
        if account is not None:
            account.reserved -= hold.amount
    standings = []
    for hold in charges:
        account = accounts.get(hold.account)
        if account is None:
            account = accounts[hold.account] = Account(hold)
        account.hold = hold
        account.spent += hold.amount
        standings.append((hold, account.spent, account.reserved))
    return standings


def replaces(new: State, old: State, *, swept: bool) -> bool:
    """Whether a settlement replaces the entry that is there: a guess by the sweep always gives way, other guesses to exact numbers."""
    return swept or (old != State.EXACT and new == State.EXACT)


def winner(attempts: Iterable[tuple[int, bool]]) -> int:
    """Of a step's ended attempts (number, succeeded) the one that counts: the last successful, else the last."""
    return max(attempts, key=lambda attempt: (attempt[1], attempt[0]))[0]


def is_open(ends: float | None, now: float) -> bool:
    """Whether an account's window still runs."""
    return ends is None or ends > now
