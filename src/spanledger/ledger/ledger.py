"""What every ledger can do. One contract, one test-suite (``tests/ledger``) over all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from spanledger.model import Hold

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from spanledger.model import AuditRecord, Balance, BookSum, Charge, Entry, Execution, Refusal, Total, Unsettled

GROUPS = ("model", "provider", "activity", "operation", "workflow", "execution", "step", "plugin", "service", "day")
"""Columns by which totals can be grouped, besides any scope key (customer, user, ...)."""

Standing = tuple[Hold, int, int]
"""What was charged to an account, and what is spent and reserved there since; a plain tuple, because every call makes one."""


class Ledger(Protocol):
    """Budgets' accounts and the entries of the books, kept together so that they change in one step.

    Every method may be called from any thread, and from several processes where ``shared`` is true. All raise
    ``LedgerError`` when the store cannot be reached. With ``wait=False`` a method raises ``LedgerBusy`` rather than wait for
    another thread or process, and always rather than wait for what it interrupted, in a signal handler; it has then changed nothing.
    """

    shared: bool
    """Whether other processes see the same accounts."""

    def reserve(self, draft: Entry, charges: Sequence[Charge], expires: float, *, wait: bool = True) -> Refusal | None:
        """Takes all charges, or none: afterwards ``spent + reserved <= limit`` in every blocking account.

        A charge of nothing is refused when its account is used up.
        The draft is the entry as far as it is known, with the estimate as its usage and cost; if nobody settles it before
        ``expires``, ``sweep`` writes it as ``unknown``. A call without charges is reserved too, so that a killed one leaves a trace.
        """

    def settle(self, entry: Entry, charges: Sequence[Charge], *, wait: bool = True) -> list[Standing]:
        """Frees what ``reserve`` took for this entry id, adds ``charges`` to spent, writes the entry: in one step.

        Idempotent by ``entry.id``: a second settlement changes nothing, with one exception: an entry whose usage state is not
        exact is replaced by one that is, and the accounts are corrected by the difference. Returns the accounts it charged: none, if it
        changed nothing.
        """

    def release(self, entry_id: str, *, wait: bool = True) -> None:
        """Gives a reservation back: the call was never sent. Nothing is written."""

    def renew(self, entry_ids: Iterable[str], expires: float) -> None:
        """Prolongs the leases of calls still under way."""

    def sweep(self, now: float) -> list[Entry]:
        """Settles leases that expired before ``now`` by their estimate, state ``unknown``; returns the entries written."""

    def end_step(self, execution: str, step: str, attempt: int, *, ok: bool, wait: bool = True) -> None:
        """A step's attempt ended.

        The winner is the last successful attempt, else the last one; the entries of all other ended attempts become superseded, those
        settled late included.
        """

    def end_execution(self, execution: Execution, *, wait: bool = True) -> None:
        """Records a workflow run. Of two records with the same id the one that ended last stays, whichever arrives first."""

    def find_response(self, response_id: str, *, wait: bool = True) -> Entry | None:
        """The newest entry with this provider response id."""

    def balances(self, now: float) -> list[Balance]:
        """Accounts whose window has not ended; of those without a window that are forgotten when idle, the ones used lately."""

    def totals(
        self,
        group_by: Sequence[str] = (),
        *,
        since: float | None = None,
        until: float | None = None,
        execution: str | None = None,
        trace_id: str | None = None,
    ) -> list[Total]:
        """Sums over entries with ``since <= time < until``, most expensive group first. Group names: ``GROUPS`` or a scope key."""

    def entries(
        self,
        *,
        since: float | None = None,
        until: float | None = None,
        execution: str | None = None,
        trace_id: str | None = None,
    ) -> Iterator[Entry]:
        """Entries in the order of their start."""

    def executions(self, *, since: float | None = None, until: float | None = None) -> Iterator[Execution]:
        """Recorded workflow runs in the order of their start."""

    def identity(self) -> str:
        """A name of this store that no other has; it stays as long as the store."""

    def sums(self) -> list[BookSum]:
        """What was ever written, by service, activity and usage state, for metrics: no number ever falls.

        An entry that is replaced by exact numbers adds those to the sums of ``exact``; its operation stays counted once. Deleting old
        entries changes nothing.
        """

    def append_audit(self, time: float, key: str, text: str) -> AuditRecord | None:
        """Appends a record to the audit chain; None if there is one with this key. ``text`` is free of personal data."""

    def audit(self, after: int = 0) -> Iterator[AuditRecord]:
        """Audit records with a sequence number above ``after``, in their order."""

    def open_leases(self) -> int:
        """Reservations not yet settled, released or swept."""

    def unsettled(self, now: float) -> Unsettled:
        """Those of them that ``sweep`` would settle now."""

    def close(self) -> None:
        """Releases files and connections. A closed ledger can be used again; it reopens."""
