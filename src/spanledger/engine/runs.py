"""What each workflow run adds up itself, apart from the ledger and from the process's counters."""

from __future__ import annotations

import operator
import threading
from collections import OrderedDict, defaultdict
from typing import TYPE_CHECKING

from spanledger import fork
from spanledger.ledger.rules import winner
from spanledger.model import ActivityTotal, CostStatus, State
from spanledger.telemetry.recon import Replaced, Sums, amounts_of, group_of

if TYPE_CHECKING:
    from spanledger.model import Entry
    from spanledger.telemetry.recon import Group, Labels


_NOTHING = ActivityTotal()


class Run:
    """The sums of one workflow run; thread-safe."""

    def __init__(self) -> None:
        self.sums = Sums()
        self._totals: dict[str, ActivityTotal] = {}
        self._attempts: dict[str, int] = {}
        self._ended: defaultdict[str, dict[int, bool]] = defaultdict(dict)
        self._used: defaultdict[tuple[str, int], dict[Group, Replaced]] = defaultdict(dict)
        self._lock = threading.Lock()

    def go_on(self, before: Run) -> None:
        """This run is another try of one that failed: what its steps try again are further attempts of the same steps."""
        self._attempts, self._ended, self._used, self._lock = before._attempts, before._ended, before._used, before._lock

    def renew_lock(self) -> None:
        """In a forked child, whose only thread does not hold it."""
        self._lock = threading.Lock()

    def add(self, entry: Entry) -> bool:
        """Adds one settled entry to the totals; True if its attempt had been replaced by then. ``count`` adds it to the sums."""
        with self._lock:
            self._add(entry, ActivityTotal(1, errors=int(entry.error is not None), seconds=entry.duration or 0.0))
            return self._note_attempt(entry)

    def count(self, entry: Entry, *, operation: bool, superseded: bool) -> None:
        """Adds an entry to the sums, where the call's metrics are written; see ``Sums.count``."""
        with _lock:  # or the run could end in between, and hand on its sums without this
            self.sums.count(entry, operation=operation, superseded=superseded)

    def complete(self, before: Entry, now: Entry) -> None:
        """The numbers of an entry added before are known now: adds the difference."""
        with self._lock:
            self._add(before, ActivityTotal(), -1)
            self._add(now, ActivityTotal(seconds=now.duration or 0.0))

    def _add(self, entry: Entry, total: ActivityTotal, sign: int = 1) -> None:
        usage, cost = entry.usage, entry.cost
        added = total._replace(
            input_tokens=sign * (usage.input or 0),
            output_tokens=sign * (usage.output or 0),
            nano_usd=sign * (cost.nano_usd or 0),
            unpriced=sign * (cost.status is CostStatus.UNPRICED),
            estimated=sign * (usage.state is not State.EXACT),
        )
        known = self._totals.get(entry.activity.value, _NOTHING)
        self._totals[entry.activity.value] = ActivityTotal(*map(operator.add, known, added))

    def _note_attempt(self, entry: Entry) -> bool:
        if entry.step is None or entry.attempt is None:
            return False
        used, group = self._used[entry.step, entry.attempt], group_of(entry)
        used[group] = used.get(group, Replaced()).plus(amounts_of(entry))
        ended = self._ended[entry.step]
        return entry.attempt in ended and entry.attempt != winner(ended.items())

    def totals(self) -> dict[str, ActivityTotal]:
        """Sums by activity so far: consumed, superseded attempts included."""
        with self._lock:
            return dict(self._totals)

    def next_attempt(self, step: str, given: int | None) -> int:
        """The number of this attempt of a step: the one given, else one more than the last."""
        with self._lock:
            attempt = given if given is not None else self._attempts.get(step, 0) + 1
            self._attempts[step] = max(attempt, self._attempts.get(step, 0))
            return attempt

    def end_attempt(self, step: str, attempt: int, *, ok: bool) -> dict[Group, Replaced]:
        """An attempt ended: what that replaces, which is the attempt that counted until now, or this one.

        One that is run again under the number it had ends again, as it does in the ledger.
        """
        with self._lock:
            ended = self._ended[step]
            replaced_before = _replaced(ended)
            ended[attempt] = ok
            replaced: dict[Group, Replaced] = {}
            for loser in _replaced(ended) - replaced_before:  # one at most
                replaced = dict(self._used[step, loser])
        with _lock:  # as in ``count``
            self.sums.add_replaced(replaced)
        return replaced


def _replaced(ended: dict[int, bool]) -> set[int]:
    return set(ended) - {winner(ended.items())} if ended else set()


outside = Run()
"""Calls made outside of any workflow."""

_open: set[Run] = set()
_closed = outside.sums
"""What ended runs added up, and calls outside of any."""
_lock = threading.Lock()


def restart(sums: Sums) -> None:
    """An installation begins: ``sums`` are those of runs that have ended, which it may have from an earlier one."""
    global _closed  # noqa: PLW0603
    with _lock:
        _closed = outside.sums = sums


def opened(run: Run) -> None:
    """A workflow run began."""
    with _lock:
        _open.add(run)


def closed(run: Run) -> None:
    """A workflow run ended. A stream it left open may still add to it. A run that has ended before stays as it is."""
    with _lock:
        if run in _open:
            _open.remove(run)
            finished, run.sums = run.sums, _closed
            _closed.absorb(finished)


def failed(execution: str, run: Run) -> None:
    """A run whose id was given by the application failed; it may be tried again under that id."""
    with _lock:
        _failed[execution] = run
        if len(_failed) > _MOST_FAILED:
            _failed.popitem(last=False)


def failed_before(execution: str) -> Run | None:
    """The run of this id that failed in this process, once."""
    with _lock:
        return _failed.pop(execution, None)


_failed: OrderedDict[str, Run] = OrderedDict()
_MOST_FAILED = 1_000
"""Queues try again within minutes, as a rule."""


def values(ended: Sums) -> dict[tuple[str, Labels], int]:
    """``ended`` with the sums of runs under way, which belong to the installation that there is."""
    total = Sums()
    with _lock:
        for sums in (ended, *(run.sums for run in _open if ended is _closed)):
            total.absorb(sums)
    return total.values()


def _after_fork() -> None:
    """A child goes on with the run that it was forked in. Threads that do not exist here may hold the locks."""
    global _lock  # noqa: PLW0603
    _lock = threading.Lock()
    for run in (outside, *_open, *_failed.values()):
        run.renew_lock()


fork.in_child(_after_fork)
