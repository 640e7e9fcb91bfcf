"""Lifetime sums of a ledger in memory; ``schema.py`` says the same in SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spanledger.model import BookSum, State

if TYPE_CHECKING:
    from spanledger.model import Entry


_MANY = 1000


class Tally:
    """See ``Ledger.sums``. Not safe for threads; the ledger locks. Entries are summed when somebody asks, not while a call waits."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, str, str], BookSum] = {}
        self._waiting: list[tuple[Entry, bool, bool]] = []

    def sums(self) -> list[BookSum]:
        """All sums, in the order of their names."""
        self._sum_up()
        return sorted(self._sums.values())

    def added(self, entry: Entry, *, replaces: bool = False) -> None:
        """An entry was written; one that replaces another is the same operation, and was superseded with it."""
        self._waiting.append((entry, replaces, entry.superseded))
        if len(self._waiting) >= _MANY:
            self._sum_up()

    def superseded(self, entry: Entry) -> None:
        """An entry written before was superseded."""
        self._add(entry, superseded_operations=1, superseded_tokens=_tokens(entry), superseded_nano_usd=entry.cost.nano_usd or 0)

    def _sum_up(self) -> None:
        for entry, replaces, superseded in self._waiting:
            operations, nano_usd = int(not replaces), entry.cost.nano_usd or 0
            self._add(entry, operations=operations, nano_usd=nano_usd, **entry.tokens_by_type())
            if superseded:
                self._add(entry, superseded_operations=operations, superseded_tokens=_tokens(entry), superseded_nano_usd=nano_usd)
        self._waiting.clear()

    def _add(self, entry: Entry, **amounts: int) -> None:
        key = (entry.service or "", entry.activity.value, entry.usage.state.value)
        known = self._sums.get(key) or BookSum(*key)
        self._sums[key] = known._replace(**{name: getattr(known, name) + amount for name, amount in amounts.items()})


def _tokens(entry: Entry) -> int:
    return 0 if entry.usage.state is State.UNKNOWN else entry.usage.total
