"""What the tests of the spool and of its spill files share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from spanledger.budgets import spill
from spanledger.model import Charge, Entry, Hold, Unit

if TYPE_CHECKING:
    from pathlib import Path

NewEntry = Callable[..., Entry]
OpenDesk = Callable[..., Any]
Logged = Callable[[], list[spill.Settlement]]


def charge(amount: int = 10) -> list[Charge]:
    return [(Hold("A", "BUDGET", "", Unit.TOKENS, 1000), amount)]


def written(ledger: Any) -> list[str]:
    return [entry.id for entry in ledger.entries()]


def spill_files(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "state").glob("*"))
