"""Budget accounts kept in a SQLite table."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from spanledger.errors import LedgerDamaged
from spanledger.ledger.rows import from_file
from spanledger.ledger.rules import Account
from spanledger.model import Hold, Unit

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Sequence

    from spanledger.ledger.rows import Row

log = logging.getLogger("spanledger")

COLUMNS = 'id, budget, scope, unit, "limit", ends, blocking, spent, reserved'
_MOST = 2**63 - 1
"""The largest SQLite integer; larger amounts are cut. A budget that full refuses everything, which is right."""
_UNITS = {str(unit): unit for unit in Unit}
_told: set[str] = set()
"""Damaged accounts that were spoken of in this process."""
_READ = f"SELECT {COLUMNS} FROM account WHERE id = ?"  # noqa: S608  # constants
_WRITE = f"INSERT OR REPLACE INTO account ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608  # constants


class StoredAccounts:
    """The accounts that one transaction touches: each read once, changed in memory and written back once.

    Sums are made of Python's integers, which do not overflow; SQLite's would turn into inexact floats.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._stored: dict[str, Row | None] = {}
        self._accounts: dict[str, Account] = {}

    def __setitem__(self, account_id: str, account: Account) -> None:
        """Adds an account that ``get`` did not find."""
        self._accounts[account_id] = account

    def get(self, account_id: str) -> Account | None:
        """The account of this id, if there is one. Raises LedgerDamaged."""
        account = self._accounts.get(account_id)
        if account is None and account_id not in self._stored:
            row = self._db.execute(_READ, (account_id,)).fetchone()
            if row:
                account = self._accounts[account_id] = to_account(row)
            self._stored[account_id] = row
        return account

    def is_sound(self, account_id: str) -> bool:
        """Whether the account can be read, or does not exist. A damaged one is logged once, since the caller goes on without it."""
        try:
            self.get(account_id)
        except LedgerDamaged as error:
            _tell(account_id, error)
            return False
        return True

    def save(self) -> None:
        """Writes back what has changed."""
        for account_id, account in self._accounts.items():
            row = _from_account(account)
            if row != self._stored[account_id]:
                self._db.execute(_WRITE, row)
                self._stored[account_id] = row


def readable(found: Iterable[Row]) -> Iterator[Account]:
    """The accounts of these rows, without the damaged ones, of which the log tells."""
    for row in found:
        try:
            yield to_account(row)
        except LedgerDamaged as error:
            _tell(str(row[0]), error)


def _tell(account_id: str, error: LedgerDamaged) -> None:
    if account_id not in _told:
        _told.add(account_id)
        log.error("the budget account %r is left as it is: %s", account_id, error)  # all is said


@from_file
def to_account(row: Sequence[Any]) -> Account:
    """The account whose row this is."""
    account_id, budget, scope, unit, limit, ends, blocking, spent, reserved = row
    for amount in (limit, spent, reserved):
        if type(amount) is not int:
            msg = f"{amount!r} in account {account_id!r} is no amount"
            raise TypeError(msg)
    return Account(Hold(account_id, budget, scope, _UNITS[unit], limit, ends, bool(blocking)), spent, reserved)


def _from_account(account: Account) -> Row:
    hold = account.hold
    return (
        hold.account, hold.budget, hold.scope, str(hold.unit), min(hold.limit, _MOST), hold.ends, int(hold.blocking),
        min(account.spent, _MOST), min(account.reserved, _MOST),
    )  # fmt: skip
