"""One workflow run: what it added up itself against what the ledger holds of it. A difference becomes an audit record."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from spanledger.audit import records

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from spanledger.ledger.ledger import Ledger
    from spanledger.model import ActivityTotal

log = logging.getLogger("spanledger")
_LOOKS = (0.0, 0.2, 1.0)
"""Seconds to wait before each look: a call that ends between two readings makes them differ for a moment."""


def differences(ledger: Ledger, execution: str, added_up: Mapping[str, ActivityTotal]) -> dict[str, dict[str, int]]:
    """Activity -> measure -> ledger minus run, for what differs. Raises LedgerError.

    Only complete for runs that took place in one process: the ledger has the calls of all.
    """
    in_ledger = {total.group["activity"] or "": total for total in ledger.totals(["activity"], execution=execution)}
    found: dict[str, dict[str, int]] = {}
    for activity in sorted({*in_ledger, *added_up}):
        by_measure = {
            measure: getattr(in_ledger.get(activity), measure, 0) - getattr(added_up.get(activity), measure, 0)
            for measure in ("calls", "input_tokens", "output_tokens", "nano_usd")
        }
        if any(by_measure.values()):
            found[activity] = {measure: number for measure, number in by_measure.items() if number}
    return found


def watch(ledger: Ledger, execution: str, added_up: Callable[[], Mapping[str, ActivityTotal]]) -> bool:
    """Compares a run that has ended; True if the sums agree. A difference is logged and written into the audit. Raises LedgerError."""
    found: dict[str, dict[str, int]] = {}
    for seconds in _LOOKS:
        time.sleep(seconds)
        found = differences(ledger, execution, added_up())
        if not found:
            return True
    shown = "; ".join(f"{activity}: {by_measure}" for activity, by_measure in found.items())
    log.warning("execution %s: the ledger differs from what the run added up (ledger minus run): %s", execution, shown)
    records.write(ledger, records.discrepancy(execution=execution, differences=found, counts={}))
    return False
