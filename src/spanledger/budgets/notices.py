"""What people are told about budgets: thresholds reached and calls refused."""

from __future__ import annotations

import logging
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from spanledger import interrupts
from spanledger.ledger.rules import window_end
from spanledger.model import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from spanledger.ledger.ledger import Standing
    from spanledger.model import Entry, Unit

log = logging.getLogger("spanledger")
_REMEMBERED = 10_000
_Kind = Literal["budget_threshold", "budget_refused"]


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to tell people about a budget. Amounts are in ``unit``: nano-USD, tokens or calls."""

    kind: _Kind
    budget: str
    scope: str
    unit: Unit
    limit: int
    spent: int
    reserved: int
    asked: int | None
    """What the refused call needs; None for a threshold."""
    percent: int | None
    """The threshold reached; for a refusal, how much of the limit is spent and reserved, None if the limit is 0."""
    window_end: float | None
    execution: str | None
    entry_id: str
    reason: str = ""
    """See ``Refusal``."""


class Teller:
    """Tells each threshold of an account once in this process, and every refusal.

    Args:
        warn_at: percentages by budget name; 100 is always told.
        notify: called in the thread of the call, so it must not block; an exception in it is logged.
    """

    def __init__(self, warn_at: Mapping[str, Sequence[int]], notify: Callable[[Notice], None] | None) -> None:
        self._percents = {budget: sorted({*percents, 100}) for budget, percents in warn_at.items()}
        self._notify = notify
        self._told: OrderedDict[tuple[str, int], object] = OrderedDict()

    def settled(self, entry: Entry, standings: Sequence[Standing]) -> None:
        """Tells the thresholds that the accounts' spent amounts have reached, lowest first."""
        for hold, spent, reserved in standings:
            for percent in self._percents.get(hold.budget, ()):
                if spent * 100 < percent * hold.limit:
                    break
                if spent and self._is_first(hold.account, percent):
                    self._tell(_notice("budget_threshold", Refusal(hold, 0, spent, reserved), None, percent, entry))

    def refused(self, refusal: Refusal, draft: Entry) -> None:
        """Tells a refusal."""
        hold, asked, spent, reserved, _ = refusal
        percent = (spent + reserved) * 100 // hold.limit if hold.limit else None
        self._tell(_notice("budget_refused", refusal, asked, percent, draft))

    def _is_first(self, account: str, percent: int) -> bool:
        """Whether this threshold of this account (its id names the window) was not told before. Each step is atomic."""
        mine = object()
        first = self._told.setdefault((account, percent), mine) is mine
        if len(self._told) > _REMEMBERED:
            self._told.popitem(last=False)
        return first

    def _tell(self, notice: Notice) -> None:
        if self._notify is not None:
            try:
                self._notify(notice)
            except Exception as error:
                if interrupts.raised_by_handler(error):
                    raise
                log.exception("a budget notice could not be delivered")


def _notice(kind: _Kind, why: Refusal, asked: int | None, percent: int | None, entry: Entry) -> Notice:
    hold, _, spent, reserved, reason = why
    ends, run = window_end(hold.ends), entry.execution
    return Notice(kind, hold.budget, hold.scope, hold.unit, hold.limit, spent, reserved, asked, percent, ends, run, entry.id, reason)
