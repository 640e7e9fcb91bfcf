"""Sums of one side of a comparison, by activity."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from spanledger.ledger.facts import Fact

if TYPE_CHECKING:
    from spanledger.ledger.facts import FactRow

TOKENS = ("input", "cache_read", "cache_write", "output", "reasoning", "plugin")
QUANTITIES = ("operations", "nano_usd", *TOKENS)
"""What is summed: calls, cost of calls whose usage is known, and tokens in types that do not overlap."""
_ACTIVITY, _NANO, _TOKENS = Fact._fields.index("activity"), Fact._fields.index("nano_usd"), Fact._fields.index("input")


class Sums:
    """Sums by activity; ``of`` gives them in the order of ``QUANTITIES``."""

    def __init__(self) -> None:
        self._sums: dict[str, list[int]] = {}

    def add(self, row: FactRow, operations: int = 1) -> None:
        """Adds one call. This runs for every fact; hence the enumeration."""
        total = self._sums.get(row[_ACTIVITY]) or self._of_new(row[_ACTIVITY])
        total[0] += operations
        total[1] += row[_NANO] or 0
        total[2] += row[_TOKENS]
        total[3] += row[_TOKENS + 1]
        total[4] += row[_TOKENS + 2]
        total[5] += row[_TOKENS + 3]
        total[6] += row[_TOKENS + 4]
        total[7] += row[_TOKENS + 5]

    def _of_new(self, activity: str) -> list[int]:
        return self._sums.setdefault(activity, [0] * len(QUANTITIES))

    def absorb(self, other: Sums) -> None:
        """Adds all of another's sums."""
        for activity, amounts in other._sums.items():
            mine = self._of_new(activity)
            mine[:] = [a + b for a, b in zip(mine, amounts, strict=True)]

    def of(self, activity: str) -> list[int]:
        """The sums of one activity."""
        return list(self._sums.get(activity) or [0] * len(QUANTITIES))

    def amount(self, activity: str, quantity: str) -> int:
        """One sum."""
        return self.of(activity)[QUANTITIES.index(quantity)]

    @property
    def activities(self) -> set[str]:
        """Activities that have sums."""
        return set(self._sums)


class Line(NamedTuple):
    """One quantity of one activity as two sides sum it up."""

    activity: str
    quantity: str
    ledger: int
    other: int

    @property
    def difference(self) -> int:
        """What the other side has more (less, if negative)."""
        return self.other - self.ledger

    @property
    def relative(self) -> float:
        """The difference as a share of what the ledger has; infinite if that is nothing."""
        return abs(self.difference) / self.ledger if self.ledger else float("inf") if self.difference else 0.0


def lines(ledger: Sums, other: Sums) -> list[Line]:
    """Both sides' sums beside each other: all quantities of which there are any."""
    return [
        Line(activity, quantity, mine, theirs)
        for activity in sorted(ledger.activities | other.activities)
        for quantity, mine, theirs in zip(QUANTITIES, ledger.of(activity), other.of(activity), strict=True)
        if mine or theirs or quantity == "operations"
    ]
