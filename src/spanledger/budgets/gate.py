"""The gate every call passes before it is sent: match budgets, estimate, reserve or refuse; and afterwards, settle.

A call is charged what its entry says: tokens its usage's total, USD its cost, where an unpriced cost is nothing and is counted as unpriced
by the books. What nobody knows is charged as estimated, unless the call failed: one that was turned away used nothing.
"""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

from spanledger import interrupts
from spanledger.budgets.match import Matcher
from spanledger.budgets.notices import Notice, Teller
from spanledger.budgets.spool import Spool
from spanledger.errors import BudgetExceeded, LedgerBusy, LedgerDamaged, LedgerError
from spanledger.ledger.rules import window_end
from spanledger.model import Hold, Refusal, State, Unit, Usage
from spanledger.pricing.estimate import estimate_usage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from zoneinfo import ZoneInfo

    from spanledger.budgets.rule import Rule
    from spanledger.ledger.ledger import Ledger, Standing
    from spanledger.model import Charge, Entry, Request
    from spanledger.pricing.book import PriceBook

__all__ = ["Admission", "Gate", "Notice"]

Admission = tuple["Sequence[Charge]", bool]
"""Leave to send a call: what it is to be charged by its estimate, and whether that is reserved: not if the ledger was away.
A plain tuple, because every call gets one."""

log = logging.getLogger("spanledger")

_GENERATING = frozenset({"chat", "generate_content", "text_completion", "invoke_agent"})
"""Operations whose output is bounded by an assumption where the request sets no bound itself."""
_MOST_OUTPUT = 10**9
"""More tokens than any model writes; keeps an absurd bound from overflowing the ledger's 64 bits."""
_USD, _TOKENS, _CALLS, _ESTIMATED, _UNKNOWN = Unit.USD, Unit.TOKENS, Unit.CALLS, State.ESTIMATED, State.UNKNOWN
"""By names of their own: see docs/decisions/0010-straight-lines-on-the-hot-path.md."""
_PAUSE = 1.0
"""Seconds between looks at a ledger that could not be reached. These do not wait: every call would be held up by its time-out."""


class Gate:
    """Admits and settles calls. Thread-safe without locks of its own.

    Args:
        rules: the budgets.
        ledger, book: where accounts are kept and where prices come from.
        timezone: of days, weeks and months.
        lease_seconds: how long a reservation outlives its process.
        assumed_output: output tokens reserved for a request without a bound.
        on_ledger_error: ``allow`` or ``block`` calls while the ledger cannot be reached.
        on_unpriced: ``allow`` or ``block`` calls of models without a price that have a blocking budget in USD.
        refuse_all: why every call is refused, if that is so: budgets that cannot be understood, a ledger that cannot be used.
        notify: told of thresholds and refusals; called in the thread of the call, must not block.
        spool: settles what cannot be settled at once; one without a spill folder by default.
        clock: seconds since the epoch.
    """

    def __init__(  # noqa: PLR0913  # collaborators and settings, each by its name
        self,
        rules: Sequence[Rule],
        ledger: Ledger,
        book: PriceBook,
        *,
        timezone: ZoneInfo,
        lease_seconds: float = 300.0,
        assumed_output: int = 1024,
        on_ledger_error: str = "allow",
        on_unpriced: str = "allow",
        refuse_all: str = "",
        notify: Callable[[Notice], None] | None = None,
        spool: Spool | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.rules = tuple(rules)
        self.spool = spool if spool is not None else Spool(ledger, lease_seconds=lease_seconds, clock=clock)
        self._teller = Teller({rule.name: rule.warn_at for rule in rules}, notify)
        self.spool.settled = self._settled_late
        self._ledger, self._book, self._clock = ledger, book, clock
        self._lease, self._assumed_output = lease_seconds, assumed_output
        self._block_without_ledger, self._block_unpriced = on_ledger_error == "block", on_unpriced == "block"
        self._refuse_all = refuse_all
        self._matchers = [Matcher(rule, timezone) for rule in rules]
        self._damaged: set[str] = set()
        """What was said of budgets that cannot be read."""
        self._look_again = 0.0
        """Monotonic time before which the ledger is not asked; 0 while it can be reached."""

    # --- before the call

    def admit(self, draft: Entry, request: Request, *, wait: bool = True) -> Admission:
        """Reserves what the call may cost in all its budgets, or refuses it.

        Writes the estimate into the draft's usage and cost. A draft that has numbers already (a plugin's price, a response that is only
        fetched again) keeps them.

        Raises:
            BudgetExceeded: a budget does not cover the call; nothing is reserved.
            LedgerBusy: only with ``wait=False``; nothing is reserved, and the call may be admitted again.
        """
        if self._refuse_all:
            self._refuse(_refusal(self._refuse_all), draft)
        charges: list[Charge] = []
        for matcher in self._matchers:
            hold = matcher.find(draft)
            if hold is not None:
                charges.append((hold, 0))
        self._estimate(draft, request, wait=wait)  # also without a budget: a call whose end is never seen is booked by its estimate
        if self._block_unpriced and _is_unpriced(draft):
            self._refuse_unpriced(draft, charges)
        return self._reserve(draft, _with_use(charges, draft), wait=wait)

    def _estimate(self, draft: Entry, request: Request, *, wait: bool) -> None:
        usage = draft.usage
        if usage.input is not None or usage.output is not None or draft.cost.nano_usd is not None or draft.plugin is not None:
            return
        content, output, choices = request.content, request.max_output, request.choices
        if output is None or output < 0:  # -1 is "no limit" in several APIs
            output = self._assumed_output if request.operation in _GENERATING else None
        if output is not None:
            if output > _MOST_OUTPUT:  # noqa: PLR1730  # two built-ins in every call
                output = _MOST_OUTPUT
            if choices > 1:
                output *= choices
        kept = 0 if request.continues is None else self._kept_tokens(request.continues, wait=wait)
        if content is None:
            usage = Usage(kept, output, state=_ESTIMATED)
        else:
            usage = estimate_usage(content, request.provider, request.model, output, kept)
        draft.usage = usage
        draft.cost = self._book.price(draft.provider, draft.model, usage, when=draft.time, context=request.context)

    def _kept_tokens(self, response_id: str, *, wait: bool) -> int:
        """Of a response and of all before it, as far as the books know it. The provider bills them as input once more:
        https://developers.openai.com/api/docs/guides/conversation-state."""
        if self._look_again:
            return 0
        try:
            before = self._ledger.find_response(response_id, wait=wait)
        except LedgerError as error:
            if isinstance(error, LedgerBusy) and not wait:
                raise
            return 0
        return (before.usage.input or 0) + (before.usage.output or 0) if before is not None else 0

    def _refuse_unpriced(self, draft: Entry, charges: Sequence[Charge]) -> None:
        for hold, _ in charges:
            if hold.unit is Unit.USD and hold.blocking:
                why = f"there is no price for {draft.provider}/{draft.model} and SPANLEDGER_ON_UNPRICED is block"
                self._refuse(Refusal(hold, 0, 0, 0, why), draft)

    def _reserve(self, draft: Entry, charges: list[Charge], *, wait: bool) -> Admission:
        away = self._look_again
        if away and time.monotonic() < away:
            return self._without_ledger(draft, charges)
        # What is known to cost nothing cannot break a budget, not even an overdrawn one: a free model passes. Where the cost is
        # not known, a charge of 0 asks the ledger whether the budget is used up already.
        needed = charges
        for _, amount in charges:
            if not amount and not _is_unpriced(draft):
                needed = [charge for charge in charges if charge[1]]
                break
        clock = self._clock
        try:
            refusal = self._ledger.reserve(draft, needed, clock() + self._lease, wait=wait and not away)
        except LedgerDamaged as error:  # of this call's budgets; others can be asked
            self._is_damaged(str(error))
            return self._without_ledger(draft, charges)
        except LedgerError as error:
            if isinstance(error, LedgerBusy) and not wait and not away:
                raise
            self._is_away(error)
            return self._without_ledger(draft, charges)
        self._look_again = 0.0
        if refusal is not None:
            self._refuse(refusal, draft)
        self.spool.track(draft.id)
        return charges, True

    def _is_damaged(self, why: str) -> None:
        if why not in self._damaged:
            self._damaged.add(why)
            log.warning("budgets cannot be read (%s); their calls are %s", why, "refused" if self._block_without_ledger else "let pass")

    def _is_away(self, error: LedgerError) -> None:
        if not self._look_again:
            log.warning("the ledger cannot be reached (%s); calls are %s", error, "refused" if self._block_without_ledger else "let pass")
        self._look_again = time.monotonic() + _PAUSE

    def _without_ledger(self, draft: Entry, charges: list[Charge]) -> Admission:
        if self._block_without_ledger:
            self._refuse(_refusal("the ledger cannot be reached and SPANLEDGER_ON_LEDGER_ERROR is block"), draft)
        self.spool.start()
        return charges, False

    def _refuse(self, refusal: Refusal, draft: Entry) -> NoReturn:
        refusal = refusal._replace(hold=replace(refusal.hold, ends=window_end(refusal.hold.ends)))
        self._teller.refused(refusal, draft)
        raise BudgetExceeded(refusal)

    # --- after the call

    def settle(self, entry: Entry, admission: Admission, *, wait: bool = True) -> None:
        """Charges what the call used, frees what was reserved and writes the entry. Never raises what is ours.

        With ``wait=False`` and a busy ledger, or whenever the ledger does not take it, the spool settles it later.
        """
        charges, reserved = admission
        if entry.usage.state is not _UNKNOWN or _has_numbers(entry):
            charges = _with_use(charges, entry)
        if not reserved or self._look_again:
            self._settle_later(entry, charges)
            return
        try:
            standings = self._ledger.settle(entry, charges, wait=wait)
        except LedgerBusy:
            self._settle_later(entry, charges)
        except LedgerError as error:
            self._is_away(error)
            self._settle_later(entry, charges)
        except BaseException as error:  # whatever the ledger's trouble is, the entry must not be lost
            self._settle_later(entry, charges)
            if not isinstance(error, Exception) or interrupts.raised_by_handler(error):
                raise
            log.exception("the ledger did not take an entry; it is tried again")
        else:
            self.spool.untrack(entry.id)
            for hold, spent, _ in standings:
                if spent >= hold.tells_from:
                    self._teller.settled(entry, standings)
                    break

    def _settle_later(self, entry: Entry, charges: Sequence[Charge]) -> None:
        self.spool.put(entry, charges)
        self.spool.start()  # for the call that outlived its installation

    def settle_unreserved(self, entry: Entry, *, wait: bool = True) -> None:
        """Settles a call that is seen only now: it is charged to its budgets as they match the entry. Never raises."""
        holds = [hold for matcher in self._matchers if (hold := matcher.find(entry)) is not None]
        charges = [(hold, int(hold.unit is _CALLS)) for hold in holds]  # what every call uses
        if wait:
            self.spool.start()
        self.settle(entry, (charges, True), wait=wait)

    def release(self, entry_id: str, admission: Admission, *, wait: bool = True) -> None:
        """Gives a reservation back: the call was never sent. If the ledger cannot be reached, the lease's end books the estimate.

        Raises:
            LedgerBusy: only with ``wait=False``; the reservation is still there.
        """
        self.spool.untrack(entry_id)
        _, reserved = admission
        if reserved:
            try:
                self._ledger.release(entry_id, wait=wait)
            except LedgerError as error:
                if isinstance(error, LedgerBusy) and not wait:
                    raise
                log.warning("cannot give a reservation back (%s); when its lease ends it is booked by its estimate", error)

    def _settled_late(self, entry: Entry, standings: Sequence[Standing]) -> None:
        """The spool settled something: the ledger can be reached."""
        self._look_again = 0.0
        self._teller.settled(entry, standings)


def _refusal(why: str) -> Refusal:
    """A refusal for a reason that is no budget's."""
    return Refusal(Hold("", "", "", Unit.CALLS, 0), 1, 0, 0, why)


def _is_unpriced(draft: Entry) -> bool:
    """Whether tokens are used that nobody knows the price of. A plugin priced in tokens has no price in USD to know."""
    return draft.cost.nano_usd is None and draft.usage.total > 0 and draft.plugin is None


def _has_numbers(entry: Entry) -> bool:
    """Whether an entry of unknown usage says what to charge: an estimate in numbers, or nothing, since the call failed."""
    return entry.usage.input is not None or entry.usage.output is not None or entry.error is not None


def _with_use(charges: Sequence[Charge], entry: Entry) -> list[Charge]:
    """The same accounts, and what an entry says that the call uses of their budgets."""
    used = []
    for hold, _ in charges:
        unit = hold.unit
        if unit is _USD:
            amount = entry.cost.nano_usd or 0
        elif unit is _TOKENS:
            amount = entry.usage.total
        else:
            amount = 1
        used.append((hold, amount))
    return used
