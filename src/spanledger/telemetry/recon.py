"""The sums that are compared across sources: tokens by type, nano-USD and operations, by activity and usage state.

Each source adds up for itself. ``sdk`` is what the process counted call by call, ``execution`` what the workflow runs added up, ``ledger``
what the books hold; the collector derives ``span`` from the spans. docs/reconciliation.md says which pair sees what.
"""

from __future__ import annotations

import threading
import weakref
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from opentelemetry.metrics import Observation

from spanledger import fork
from spanledger.telemetry import semconv as s

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.metrics import CallbackOptions

    from spanledger.ledger.ledger import Ledger
    from spanledger.model import BookSum, Entry
    from spanledger.telemetry.observed import Observed

Labels = tuple[tuple[str, Any], ...]

Source = Callable[[], Mapping[tuple[str, Labels], int]]
"""(metric, labels) -> count, of one source."""

METRICS = {
    s.METRIC_RECON_TOKENS: ("{token}", "Tokens by type, as this source counts them."),
    s.METRIC_RECON_COST: ("{nano_usd}", "Cost in nano-USD (1e-9 USD), as this source counts it."),
    s.METRIC_RECON_OPERATIONS: ("{operation}", "Operations, as this source counts them."),
    s.METRIC_RECON_SUPERSEDED["tokens"]: ("{token}", "Tokens of attempts that a later one replaced: consumed, not billable."),
    s.METRIC_RECON_SUPERSEDED["nano_usd"]: ("{nano_usd}", "Cost in nano-USD of attempts that a later one replaced."),
    s.METRIC_RECON_SUPERSEDED["operations"]: ("{operation}", "Operations of attempts that a later one replaced."),
}


class Replaced(NamedTuple):
    """What attempts of one activity and usage state used that a later attempt replaced."""

    operations: int = 0
    tokens: int = 0
    nano_usd: int = 0

    def plus(self, other: Replaced) -> Replaced:
        """The sum of both."""
        return Replaced(self.operations + other.operations, self.tokens + other.tokens, self.nano_usd + other.nano_usd)


Group = tuple[str, str]
"""Activity and usage state."""


def group_of(entry: Entry) -> Group:
    """What an entry is summed under."""
    return entry.activity.value, entry.usage.state.value


def amounts_of(entry: Entry, *, operation: bool = True) -> Replaced:
    """An entry's own sums."""
    return Replaced(int(operation), sum(entry.tokens_by_type().values()), entry.cost.nano_usd or 0)


class Sums:
    """What one source has counted; thread-safe. A forked child starts from zero: its parent reports the rest."""

    def __init__(self) -> None:
        self._values: defaultdict[tuple[str, Labels], int] = defaultdict(int)
        self._lock = threading.Lock()
        _all.add(self)

    def count(self, entry: Entry, *, operation: bool, superseded: bool) -> None:
        """Adds an entry; without ``operation`` one that completes the numbers of an operation counted before."""
        self._add(entry, operation)
        if superseded:
            self.add_replaced({group_of(entry): amounts_of(entry, operation=operation)})

    def _add(self, entry: Entry, operation: bool) -> None:
        labels = _labels(group_of(entry))
        with self._lock:
            if operation:
                self._values[s.METRIC_RECON_OPERATIONS, labels] += 1
            if entry.cost.nano_usd is not None:
                self._values[s.METRIC_RECON_COST, labels] += entry.cost.nano_usd
            for kind, count in entry.tokens_by_type().items():
                if count:
                    self._values[s.METRIC_RECON_TOKENS, (*labels, (s.RECON_TOKEN_TYPE, kind))] += count

    def add_replaced(self, replaced: Mapping[Group, Replaced]) -> None:
        """Adds what attempts used that were replaced."""
        with self._lock:
            for group, amounts in replaced.items():
                for field, count in amounts._asdict().items():
                    self._values[s.METRIC_RECON_SUPERSEDED[field], _labels(group)] += count

    def absorb(self, other: Sums) -> None:
        """Adds all that another one counted."""
        values = other.values()
        with self._lock:
            for key, count in values.items():
                self._values[key] += count

    def values(self) -> dict[tuple[str, Labels], int]:
        """A copy: (metric, labels) -> count."""
        with self._lock:
            return dict(self._values)

    def restart(self) -> None:
        """In a forked child; its lock may be held by a thread that does not exist here."""
        self._values, self._lock = defaultdict(int), threading.Lock()


class Counts(Protocol):
    """What keeps sums of its own: a workflow run."""

    def count(self, entry: Entry, *, operation: bool, superseded: bool) -> None:
        """As ``Sums.count``."""


_all: weakref.WeakSet[Sums] = weakref.WeakSet()


def _restart_all() -> None:
    for sums in list(_all):
        sums.restart()


fork.in_child(_restart_all)


def _labels(group: Group) -> Labels:
    return ((s.ACTIVITY, group[0]), (s.USAGE_STATE, group[1]))


class LedgerSums:
    """The ledger's lifetime sums, as of the last ``refresh``."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._identity = ""
        self._sums: list[BookSum] = []

    def refresh(self) -> None:
        """Reads the sums. Raises LedgerError; the last ones known stand then."""
        self._identity, self._sums = self._ledger.identity(), self._ledger.sums()

    def values(self) -> dict[tuple[str, Labels], int]:
        """As ``Sums.values``."""
        found: dict[tuple[str, Labels], int] = {}
        for one in self._sums:
            labels = (*_labels((one.activity, one.usage_state)), (s.RECON_SERVICE, one.service), (s.RECON_LEDGER, self._identity))
            found[s.METRIC_RECON_OPERATIONS, labels] = one.operations
            found[s.METRIC_RECON_COST, labels] = one.nano_usd
            for kind in ("input", "cache_read", "cache_write", "output", "reasoning", "plugin"):
                if count := getattr(one, kind):
                    found[s.METRIC_RECON_TOKENS, (*labels, (s.RECON_TOKEN_TYPE, kind))] = count
            for field, name in s.METRIC_RECON_SUPERSEDED.items():
                found[name, labels] = getattr(one, f"superseded_{field}")
        return found


def observe(observed: Observed, sources: Mapping[str, Source]) -> None:
    """Makes the instruments; every source is read in every collection."""
    for name, (unit, description) in METRICS.items():
        callbacks = [_callback(name, source, values) for source, values in sources.items()]
        observed.counter(name, callbacks, unit, description)


def _callback(name: str, source: str, values: Source) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def callback(_options: CallbackOptions) -> Iterable[Observation]:
        told = ((labels, count) for (metric, labels), count in values().items() if metric == name)
        return [Observation(count, {s.RECON_SOURCE: source, **dict(labels)}) for labels, count in told]

    return callback
