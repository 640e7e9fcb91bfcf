"""Lifetime sums of a ledger in memory; ``schema.py`` says the same in SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spanledger.model import BookSum, State

if TYPE_CHECKING:
    from spanledger.model import Entry

_KEY = 3
"""So many leading fields of a ``BookSum`` say what it is the sum of."""


class Tally:
    """See ``Ledger.sums``. Not safe for threads; the ledger locks."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, str, str], dict[str, int]] = {}

    def sums(self) -> list[BookSum]:
        """All sums, in the order of their names."""
        return sorted(BookSum(*key, *amounts.values()) for key, amounts in self._sums.items())

    def added(self, entry: Entry, *, replaces: bool = False) -> None:
        """An entry was written; one that replaces another is the same operation, and was superseded with it."""
        operations, nano_usd = int(not replaces), entry.cost.nano_usd or 0
        self._add(entry, operations=operations, nano_usd=nano_usd, **entry.tokens_by_type())
        if entry.superseded:
            self._add(entry, superseded_operations=operations, superseded_tokens=_tokens(entry), superseded_nano_usd=nano_usd)

    def superseded(self, entry: Entry) -> None:
        """An entry written before was superseded."""
        self._add(entry, superseded_operations=1, superseded_tokens=_tokens(entry), superseded_nano_usd=entry.cost.nano_usd or 0)

    def _add(self, entry: Entry, **amounts: int) -> None:
        key = (entry.service or "", entry.activity.value, entry.usage.state.value)
        known = self._sums.get(key)
        if known is None:
            known = self._sums[key] = dict.fromkeys(BookSum._fields[_KEY:], 0)
        for name, amount in amounts.items():
            known[name] += amount


def _tokens(entry: Entry) -> int:
    return 0 if entry.usage.state is State.UNKNOWN else entry.usage.total
