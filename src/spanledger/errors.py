"""Every exception Spanledger defines.

SpanledgerError
├── BudgetExceeded        the only one that reaches the application: a call was refused before it was sent
├── ConfigurationError    a setting, budget, price or file that cannot be understood; says where and what was expected
├── StackError            a program of the stack (collector, Jaeger, Prometheus, Alertmanager) could not be built or does not run
└── LedgerError           the ledger could not be read or written
    ├── LedgerBusy        somebody else holds it, and the caller asked not to wait or is a signal handler that interrupted the holder
    ├── LedgerDamaged     one account or entry in it cannot be read; everything else can be used
    ├── LedgerTooNew      the ledger was written by a newer version of Spanledger
    └── LedgerTooOld      its tables are those of an older version, and it was opened only to be read
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from spanledger.figures import amount

if TYPE_CHECKING:
    from spanledger.model import Hold, Refusal


class SpanledgerError(Exception):
    """Base of all Spanledger exceptions."""


class ConfigurationError(SpanledgerError):
    """Input from a person that cannot be understood.

    Args:
        where: the variable, or ``file:line``.
        problem: what was found there.
        expected: what would have been right, ideally with an example.
    """

    def __init__(self, where: str, problem: str, expected: str) -> None:
        super().__init__(f"{where}: {problem}; expected {expected}")
        self.where, self.problem, self.expected = where, problem, expected


class StackError(SpanledgerError):
    """A program of the stack could not be built, started or stopped. ``log``: the last lines that it wrote itself, if it wrote any."""

    def __init__(self, message: str, log: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.log = log


class LedgerError(SpanledgerError):
    """The ledger could not be read or written."""


class LedgerBusy(LedgerError):  # noqa: N818  # a state of the ledger, not a failure
    """Somebody else holds the ledger and the caller asked not to wait, or is a signal handler that interrupted the holder."""


class LedgerDamaged(LedgerError):  # noqa: N818  # a state of the ledger
    """One account or entry of the ledger cannot be read; everything else in it can be used."""


class LedgerTooNew(LedgerError):  # noqa: N818  # a state of the ledger
    """The ledger was written by a newer version of Spanledger."""


class LedgerTooOld(LedgerError):  # noqa: N818  # a state of the ledger
    """The ledger has the tables of an older version of Spanledger, and was opened only to be read, which changes no tables."""


class BudgetExceeded(SpanledgerError):  # noqa: N818  # the name applications catch; it is no error of theirs
    """A call was refused before it was sent, because a budget would not cover it.

    Amounts are in ``unit``: nano-USD (1e-9 USD) for ``usd``, tokens, or calls.

    Attributes:
        budget: the budget's name (``TEAM`` for ``SPANLEDGER_BUDGET_TEAM``).
        scope: who it is for, as ``"customer=acme"``; empty for everybody.
        unit: ``usd``, ``tokens`` or ``calls``.
        limit, spent, reserved, asked: the limit, what is settled, what calls under way hold, and what this call needs.
        window_end: when the budget starts anew (UTC), ``None`` if it never does.
        reason: empty if the amount did not fit, else why the call was refused: a model without a price, a ledger that cannot be reached.
            Then the amounts mean nothing, and ``budget`` is empty if no budget decided.
    """

    def __init__(self, refusal: Refusal) -> None:
        hold: Hold = refusal.hold
        self.budget, self.scope, self.unit = hold.budget, hold.scope, hold.unit
        self.limit, self.spent, self.reserved, self.asked = hold.limit, refusal.spent, refusal.reserved, refusal.asked
        self.reason = refusal.reason
        self.window_end = dt.datetime.fromtimestamp(hold.ends, dt.UTC) if hold.ends is not None else None
        super().__init__(self._sentence())

    def __reduce__(self) -> tuple[object, ...]:  # so that it survives multiprocessing
        from spanledger.model import Hold, Refusal  # noqa: PLC0415  # errors is below model; only needed when pickling

        ends = self.window_end.timestamp() if self.window_end else None
        hold = Hold("", self.budget, self.scope, self.unit, self.limit, ends)
        return (BudgetExceeded, (Refusal(hold, self.asked, self.spent, self.reserved, self.reason),))

    def _sentence(self) -> str:
        whom = f" for {self.scope}" if self.scope else ""
        refused = f"budget {self.budget}{whom} refused this call" if self.budget else "this call was refused"
        if self.reason:
            return f"{refused}: {self.reason}"
        until = f"; it starts anew at {self.window_end:%Y-%m-%d %H:%M:%S} UTC" if self.window_end else ""
        return (
            f"{refused}: limit {amount(self.limit, self.unit)}, "
            f"spent {amount(self.spent, self.unit)}, reserved {amount(self.reserved, self.unit)}, "
            f"asked {amount(self.asked, self.unit)}{until}"
        )
