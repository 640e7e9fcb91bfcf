"""What one workflow run added up itself, against the ledger's entries of that run. Cheap: two queries, no spans."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from spanledger.audit import records
from spanledger.model import ActivityTotal, Total
from spanledger.reconcile.sums import Line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from spanledger.ledger.ledger import Ledger
    from spanledger.model import Execution


log = logging.getLogger("spanledger")
_LOOKS = (0.0, 0.2, 1.0)
"""Seconds to wait before each look: a call that ends between two readings makes them differ for a moment."""


@dataclass(frozen=True)
class ExecutionResult:
    """Ledger and run beside each other, by activity: calls, input tokens, output tokens, nano-USD."""

    execution: Execution
    lines: Sequence[Line]
    notes: Sequence[str]
    """What is not compared and why, and what probably explains a difference."""

    @property
    def agrees(self) -> bool:
        """Whether all sums are equal."""
        return not any(line.difference for line in self.lines)


def check(ledger: Ledger, execution: Execution) -> ExecutionResult:
    """Compares a run that has ended with the ledger's entries of it.

    Entries that began before the run did are left out: the same execution was worked on earlier, and each record replaces the one before.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    totals = ledger.totals(("activity",), execution=execution.id, since=execution.started)
    booked = {total.group["activity"] or "": total for total in totals}
    lines: list[Line] = []
    notes: list[str] = []
    for activity in sorted({*booked, *execution.totals}):
        entries, run = booked.get(activity, Total({})), execution.totals.get(activity, ActivityTotal())
        lines.append(Line(activity, "calls", entries.calls, run.calls))
        completed = run.estimated - entries.estimated - entries.unknown
        if completed > 0:
            notes.append(_completed(activity, completed))
        else:
            lines += _amounts(activity, entries, run)
        if entries.unpriced:
            notes.append(f"{activity}: {entries.unpriced:,} of {entries.calls:,} calls have no cost, which is not a cost of 0")
    notes += _explained(ledger, execution, lines)
    return ExecutionResult(execution, lines, notes)


def watch(ledger: Ledger, execution: Execution, added_up: Callable[[], Mapping[str, ActivityTotal]]) -> bool:
    """Compares a run that has just ended, in its own process; True if the sums agree. A difference is logged and becomes an audit record.

    Args:
        added_up: the run's own totals as they are now: a stream that it left open may still add to them.

    Raises:
        LedgerError: the ledger cannot be read, or not be written.
    """
    for seconds in _LOOKS:
        time.sleep(seconds)
        found = check(ledger, replace(execution, totals=added_up()))
        if found.agrees:
            return True
    differences: dict[str, dict[str, int]] = {line.activity: {} for line in found.lines if line.difference}
    for line in found.lines:
        if line.difference:
            differences[line.activity][line.quantity] = line.difference
    log.warning("execution %s: the run's own sums differ from the ledger's (run minus ledger): %s", execution.id, differences)
    records.write(ledger, records.discrepancy(execution=execution.id, differences=differences, counts={}, reasons=found.notes))
    return False


def _amounts(activity: str, entries: Total, run: ActivityTotal) -> list[Line]:
    """No line for a cost that neither side knows."""
    tokens = [
        Line(activity, "input_tokens", entries.input_tokens, run.input_tokens),
        Line(activity, "output_tokens", entries.output_tokens, run.output_tokens),
    ]
    known = entries.unpriced < entries.calls or run.unpriced < run.calls
    return [*tokens, Line(activity, "nano_usd", entries.nano_usd, run.nano_usd)] if known else tokens


def _completed(activity: str, calls: int) -> str:
    return (
        f"{activity}: {calls:,} calls were estimates when the run added them up, and the ledger has learned their exact numbers since; "
        "tokens and cost are not compared"
    )


def _explained(ledger: Ledger, execution: Execution, lines: Sequence[Line]) -> list[str]:
    """Reasons, if the numbers of calls differ."""
    if not any(line.difference for line in lines):
        return []
    entries = list(ledger.entries(execution=execution.id, since=execution.started))
    late = sum(1 for entry in entries if entry.duration is not None and entry.time + entry.duration > execution.ended)
    swept = sum(1 for entry in entries if entry.duration is None)
    notes = []
    if late:
        notes.append(f"{late:,} calls ended after the run did (a stream left open): the run did not add them up")
    if swept:
        notes.append(f"{swept:,} calls were never settled: their process was killed, or lost them")
    if not notes and sum(line.difference for line in lines if line.quantity == "calls") < 0:
        notes.append("the ledger has calls that the run did not see: another process works on the same execution")
    if not notes and sum(line.difference for line in lines if line.quantity == "calls") > 0:
        notes.append("the run has calls that the ledger does not: it could not be reached, and what was kept aside has not been replayed")
    return notes


def result_json(found: ExecutionResult) -> dict[str, Any]:
    """For programs."""
    return {
        "id": found.execution.id,
        "workflow": found.execution.workflow,
        "status": found.execution.status,
        "agrees": found.agrees,
        "sums": [
            {
                "activity": line.activity,
                "quantity": line.quantity,
                "ledger": line.ledger,
                "execution": line.other,
                "difference": line.difference,
            }
            for line in found.lines
        ],
        "notes": list(found.notes),
    }
