"""The decisions every ledger makes alike: what fits a budget, which settlement replaces which, which attempt of a step counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from spanledger.model import Balance, Hold, Refusal, State

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from spanledger.ledger.ledger import Standing
    from spanledger.model import Charge

CLOSED_ACCOUNTS_KEPT = 86_400.0
"""Seconds for which an account outlives its window, so that late corrections still find it."""
IDLE_ACCOUNTS_KEPT = 7 * 86_400.0
"""Seconds for which an account without a window outlives its last use: a run that pauses longer starts its budget anew."""
IDLE_ACCOUNTS_SHOWN = 3_600.0
"""Seconds since its last use in which such an account is among the balances: there may be one for every run of a busy server."""


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
            hold.account, hold.budget, hold.scope, hold.unit, hold.limit, self.spent, self.reserved, window_end(hold.ends), hold.blocking
        )  # fmt: skip


class Accounts(Protocol):
    """The accounts of a ledger by their ids, as a dict has them."""

    def get(self, account_id: str, /) -> Account | None:
        """The account of this id, if there is one."""

    def __setitem__(self, account_id: str, account: Account, /) -> None:
        """Adds an account."""


# Every call passes ``take`` and ``book``: they do all that is to be done to an account in one frame.


def take(accounts: Accounts, charges: Sequence[Charge]) -> Refusal | None:
    """Reserves all charges, or none and says which did not fit. One of amount 0 asks only whether anything is left."""
    taken = 0
    for hold, amount in charges:
        account = accounts.get(hold.account)
        if account is None:
            account = accounts[hold.account] = Account(hold)
        account.hold = hold
        if hold.blocking and account.spent + account.reserved + (amount or 1) > hold.limit:
            book(accounts, charges[:taken], ())
            return Refusal(hold, amount, account.spent, account.reserved)
        account.reserved += amount
        taken += 1  # noqa: SIM113  # see docs/decisions/0010-straight-lines-on-the-hot-path.md
    return None


def book(
    accounts: Accounts, taken: Sequence[Charge], charges: Sequence[Charge], standings: list[Standing] | None = None
) -> list[Standing]:  # fmt: skip
    """Gives back what ``take`` took and adds to what is spent; the charged accounts as they are then, added to ``standings`` one by one."""
    for hold, amount in taken:
        account = accounts.get(hold.account)
        if account is not None:
            account.reserved -= amount
    standings = [] if standings is None else standings
    for hold, amount in charges:
        account = accounts.get(hold.account)
        if account is None:
            account = accounts[hold.account] = Account(hold)
        account.hold = hold
        account.spent += amount
        standings.append((hold, account.spent, account.reserved))
    return standings


def replaces(new: State, old: State, *, swept: bool) -> bool:
    """Whether a settlement replaces the entry that is there: a guess by the sweep always gives way, other guesses to exact numbers."""
    return swept or (old != State.EXACT and new == State.EXACT)


def winner(attempts: Iterable[tuple[int, bool]]) -> int:
    """Of a step's ended attempts (number, succeeded) the one that counts: the last successful, else the last."""
    return max(attempts, key=lambda attempt: (attempt[1], attempt[0]))[0]


def idle_after(used: float) -> float:
    """``Hold.ends`` of an account that has no window and is forgotten when it was not used for ``used`` seconds: that time, negative.

    ``window_end`` is None for it, because each use postpones its end.
    """
    return -used


def window_end(ends: float | None) -> float | None:
    """When an account starts anew, None if there is no such time."""
    return ends if ends is None or ends >= 0 else None


def is_open(ends: float | None, now: float) -> bool:
    """Whether an account's window still runs, or the account without one was used lately."""
    return ends is None or ends > now or (ends < 0 and -ends > now - IDLE_ACCOUNTS_SHOWN)


def is_over(ends: float | None, now: float) -> bool:
    """Whether nobody will ask for the account again."""
    if ends is None:
        return False
    return ends < now - CLOSED_ACCOUNTS_KEPT if ends >= 0 else -ends < now - IDLE_ACCOUNTS_KEPT
