"""The ledger in this process's memory: for tests, and where no file can be written."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from spanledger import fork, interrupts
from spanledger.errors import LedgerBusy
from spanledger.ledger import sums
from spanledger.ledger.chain import Audit
from spanledger.ledger.history import History, Kept
from spanledger.ledger.rules import Account, book, is_open, is_over, replaces, take
from spanledger.model import Charge, Entry, State, Unsettled

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from spanledger.ledger.ledger import Standing
    from spanledger.model import AuditRecord, Balance, BookSum, Execution, Refusal, Total

MOST_ENTRIES = 100_000

_Lease = tuple[Entry, Sequence[Charge], float]
"""A draft, what it took, and when the lease expires; a plain tuple, because every call makes one."""


def _new_identity() -> str:
    return os.urandom(8).hex()


def _busy() -> LedgerBusy:
    return LedgerBusy("the ledger in memory is being used by another thread, or by what was interrupted to come here")


_EXACT = State.EXACT  # see docs/decisions/0010-straight-lines-on-the-hot-path.md


class MemoryLedger:
    """See ``Ledger`` for what the methods promise. What is handed over belongs to the ledger: do not change it afterwards.

    Memory is bounded: ``entries`` reaches back ``most_entries`` entries. Older ones stay in ``totals`` as sums by day, which can be grouped
    by the columns of ``GROUPS`` except execution and step; a ``since`` within a day leaves out that day's older ones. A settlement
    repeated after so many others counts again.

    A forked child starts with the budgets' spent amounts and empty books, since the parent goes on keeping its own.
    """

    shared = False

    def __init__(self, most_entries: int = MOST_ENTRIES) -> None:
        self._most = most_entries
        self._lock = threading.Lock()
        self._accounts: dict[str, Account] = {}
        self._leases: dict[str, _Lease] = {}
        self._history = History(most_entries)
        self._executions: OrderedDict[str, Execution] = OrderedDict()
        self._identity, self._audit = _new_identity(), Audit(most_entries)
        fork.watch(self)

    def reserve(self, draft: Entry, charges: Sequence[Charge], expires: float, *, wait: bool = True) -> Refusal | None:
        """See ``Ledger.reserve``. A second reservation for the same entry changes nothing."""
        if not self._lock.acquire(False):  # as a keyword it would cost every call
            self._wait(wait=wait)
        try:
            if draft.id in self._leases:
                return None
            refusal = take(self._accounts, charges)
            if refusal is None:
                self._leases[draft.id] = (draft, charges, expires)
            return refusal
        except BaseException:
            self._leases.pop(draft.id, None)  # nobody learns of it
            self._recount()
            raise
        finally:
            self._lock.release()

    def settle(self, entry: Entry, charges: Sequence[Charge], *, wait: bool = True) -> list[Standing]:
        """See ``Ledger.settle``. What ``sweep`` wrote is replaced by any settlement."""
        if not self._lock.acquire(False):
            self._wait(wait=wait)
        lease: _Lease | None = None
        standings: list[Standing] = []
        try:
            lease = self._leases.pop(entry.id, None)
            taken = () if lease is None else lease[1]
            there = self._history.kept.get(entry.id)
            if there is not None and not self._gives_way(there, entry):
                return book(self._accounts, taken, ())
            book(self._accounts, taken, charges, standings)
            self._history.put(entry, () if entry.usage.state is _EXACT else charges, there)
            return standings
        except BaseException:
            self._undo(entry, lease, charges[: len(standings)])
            raise
        finally:
            self._lock.release()

    def release(self, entry_id: str, *, wait: bool = True) -> None:
        """See ``Ledger.release``."""
        with self._alone(wait=wait):
            if lease := self._leases.pop(entry_id, None):
                book(self._accounts, lease[1], ())

    def renew(self, entry_ids: Iterable[str], expires: float) -> None:
        """See ``Ledger.renew``. A lease is never shortened."""
        with self._alone():
            for entry_id in entry_ids:
                if lease := self._leases.get(entry_id):
                    draft, charges, before = lease
                    self._leases[entry_id] = (draft, charges, max(before, expires))

    def sweep(self, now: float) -> list[Entry]:
        """See ``Ledger.sweep``. Also forgets accounts whose window ended long ago, or that were used last long ago and have none."""
        with self._alone():
            expired = [(draft, charges) for draft, charges, expires in self._leases.values() if expires < now]
            written = [replace(entry) for draft, charges in expired if (entry := self._sweep_one(draft, charges))]
            self._forget_accounts(now)
            return written

    def end_step(self, execution: str, step: str, attempt: int, *, ok: bool, wait: bool = True) -> None:
        """See ``Ledger.end_step``."""
        with self._alone(wait=wait):
            self._history.end_step(execution, step, attempt, ok=ok)

    def end_execution(self, execution: Execution, *, wait: bool = True) -> None:
        """See ``Ledger.end_execution``."""
        with self._alone(wait=wait):
            there = self._executions.get(execution.id, execution)
            self._executions[execution.id] = execution if execution.ended >= there.ended else there
            if len(self._executions) > self._most:
                self._executions.popitem(last=False)

    def find_response(self, response_id: str, *, wait: bool = True) -> Entry | None:
        """See ``Ledger.find_response``."""
        with self._alone(wait=wait):
            found = self._history.find_response(response_id)
            return replace(found) if found else None

    def balances(self, now: float) -> list[Balance]:
        """See ``Ledger.balances``."""
        with self._alone():
            found = [account.balance() for account in self._accounts.values() if is_open(account.hold.ends, now)]
        return sorted(found, key=lambda balance: (balance.budget, balance.scope, balance.account))

    def totals(
        self,
        group_by: Sequence[str] = (),
        *,
        since: float | None = None,
        until: float | None = None,
        execution: str | None = None,
        trace_id: str | None = None,
    ) -> list[Total]:
        """See ``Ledger.totals``."""
        with self._alone():
            chosen = self._history.entries(since, until, execution, trace_id)
            older = self._history.older(since, until) if execution is None and trace_id is None else []
            return sums.summed(chosen, older, group_by)

    def entries(
        self,
        *,
        since: float | None = None,
        until: float | None = None,
        execution: str | None = None,
        trace_id: str | None = None,
    ) -> Iterator[Entry]:
        """See ``Ledger.entries``."""
        with self._alone():
            return iter(self._history.entries(since, until, execution, trace_id))

    def executions(self, *, since: float | None = None, until: float | None = None) -> Iterator[Execution]:
        """See ``Ledger.executions``. ``since`` and ``until`` bound their start."""
        with self._alone():
            known = sorted(self._executions.values(), key=lambda execution: execution.started)
        return (
            replace(one) for one in known if (since is None or one.started >= since) and (until is None or one.started < until)
        )  # fmt: skip

    def identity(self) -> str:
        """See ``Ledger.identity``."""
        return self._identity

    def sums(self) -> list[BookSum]:
        """See ``Ledger.sums``."""
        with self._alone():
            return self._history.sums()

    def append_audit(self, time: float, key: str, text: str) -> AuditRecord | None:
        """See ``Ledger.append_audit``."""
        with self._alone():
            return self._audit.append(time, key, text)

    def audit(self, after: int = 0) -> Iterator[AuditRecord]:
        """See ``Ledger.audit``. Reaches back as far as ``entries``."""
        with self._alone():
            return iter(self._audit.after(after))

    def open_leases(self) -> int:
        """See ``Ledger.open_leases``."""
        return len(self._leases)

    def unsettled(self, now: float) -> Unsettled:
        """See ``Ledger.unsettled``."""
        with self._alone():
            costs = [draft.cost.nano_usd or 0 for draft, _, expires in self._leases.values() if expires < now]
        return Unsettled(len(costs), sum(costs))

    def close(self) -> None:
        """Nothing to release."""

    def before_fork(self) -> bool:
        """Waits until nobody is in the middle of a change; not for ever, since a signal handler may fork in the middle of one."""
        return self._lock.acquire(timeout=1.0)

    def after_fork_in_parent(self) -> None:
        """Lets others in again."""
        self._lock.release()

    def after_fork_in_child(self, *, rested: bool) -> None:
        """Leaves the calls under way and the books to the parent."""
        del rested
        self._lock = threading.Lock()
        self._leases.clear()
        self._history = History(self._most)
        self._executions.clear()
        self._identity, self._audit = _new_identity(), Audit(self._most)
        for account in self._accounts.values():
            account.reserved = 0

    @contextmanager
    def _alone(self, *, wait: bool = True) -> Iterator[None]:
        """Holds the lock; for what is not done in every call."""
        if not self._lock.acquire(blocking=False):
            self._wait(wait=wait)
        try:
            yield
        except BaseException:
            self._recount()
            raise
        finally:
            self._lock.release()

    def _wait(self, *, wait: bool) -> None:
        """Takes the lock when those who hold it are done: not if they cannot be before this thread goes on."""
        if not wait or interrupts.is_interrupted(self):
            raise _busy()
        self._lock.acquire()

    # What the exception of a signal handler interrupts is undone: a handler may raise between any two steps.

    def _undo(self, entry: Entry, lease: _Lease | None, charged: Sequence[Charge]) -> None:
        """A settlement was interrupted: what has not reached the books by then was not settled."""
        there = self._history.kept.get(entry.id)
        if there is None or there[0] is not entry:
            if lease is not None:
                self._leases[entry.id] = lease
            for hold, amount in charged:
                self._accounts[hold.account].refund(amount)
        self._recount()

    def _recount(self) -> None:
        """What is reserved follows from the leases."""
        for account in self._accounts.values():
            account.reserved = 0
        for _, charges, _ in self._leases.values():
            for hold, amount in charges:
                if hold.account in self._accounts:
                    self._accounts[hold.account].reserved += amount

    def _gives_way(self, there: Kept, entry: Entry) -> bool:
        """Whether the entry that is there is no better than this one; it takes its charges with it."""
        known, charges, swept = there
        if not replaces(entry.usage.state, known.usage.state, swept=swept):
            return False
        for hold, amount in charges:
            if account := self._accounts.get(hold.account):
                account.refund(amount)
        return True

    def _forget_accounts(self, now: float) -> None:
        """Of those without a window at most as many stay as entries, the ones used last."""
        unused = [account for account in self._accounts.values() if not account.reserved]
        idle = sorted((account for account in unused if (account.hold.ends or 0) < 0), key=lambda account: account.hold.ends or 0)
        for account in (*idle[self._most :], *(account for account in unused if is_over(account.hold.ends, now))):
            self._accounts.pop(account.hold.account, None)

    def _sweep_one(self, draft: Entry, charges: Sequence[Charge]) -> Entry | None:
        """The entry written, or None if it was settled already (whoever did so had lost track of its lease)."""
        del self._leases[draft.id]
        book(self._accounts, charges, ())
        if draft.id in self._history.kept:
            return None
        entry = replace(draft, usage=replace(draft.usage, state=State.UNKNOWN))
        for hold, amount in charges:
            if account := self._accounts.get(hold.account):
                account.spent += amount
        self._history.put(entry, charges, None, swept=True)
        return entry
