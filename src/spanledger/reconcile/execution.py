"""What one workflow run added up itself, against the ledger's entries of that run.

A run adds up the calls that it saw end, in its own process, until it ended itself. Where all entries of the execution give the same sums,
two queries tell so. Where not, entries of which the run cannot tell are left out, and the rest has to be equal to the unit.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from spanledger.audit import records
from spanledger.ledger.sums import summed
from spanledger.model import ActivityTotal, Total
from spanledger.reconcile.sums import Line

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence

    from spanledger.ledger.ledger import Ledger
    from spanledger.model import Entry, Execution

    Processes = Callable[[set[str]], Mapping[str, str | None]]
    """Of entries with these ids, the process that made each call, as far as that is known."""

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


def _nobody_knows(_ids: set[str]) -> Mapping[str, str | None]:
    return {}


def check(ledger: Ledger, execution: Execution, processes: Processes = _nobody_knows) -> ExecutionResult:
    """Compares a run that has ended with the ledger's entries of it.

    Entries that began before the run did are left out: the same execution was worked on earlier, and each record replaces the one before.

    Args:
        processes: tells calls of several processes apart; without it only their traces do.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    found = _against(execution, ledger.totals(("activity",), execution=execution.id, since=execution.started))
    if found.agrees:
        return found
    return _closer(execution, list(ledger.entries(execution=execution.id, since=execution.started)), processes)


def _against(execution: Execution, totals: Iterable[Total]) -> ExecutionResult:
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
    return ExecutionResult(execution, lines, notes)


def _closer(execution: Execution, entries: Sequence[Entry], processes: Processes) -> ExecutionResult:
    """Compares with what the run can have seen. What differs then is a difference, whatever else was left out."""
    ended = [entry for entry in entries if entry.duration is not None]
    in_time = [entry for entry in ended if entry.time + (entry.duration or 0.0) <= execution.ended]
    left_out = _left_out(late=len(ended) - len(in_time), unsettled=len(entries) - len(ended))
    seen = _against_entries(execution, in_time)
    if seen.agrees:
        return replace(seen, notes=[*seen.notes, *left_out])
    for part in _parts(in_time, processes):
        own = _against_entries(execution, part)
        if own.agrees:
            return replace(own, notes=[*own.notes, *left_out, _others(len(in_time) - len(part))])
    return replace(seen, notes=[*seen.notes, *left_out, *_perhaps(seen)])


def _against_entries(execution: Execution, entries: Iterable[Entry]) -> ExecutionResult:
    return _against(execution, summed(entries, (), ("activity",)))


def _parts(entries: Sequence[Entry], processes: Processes) -> Iterator[Sequence[Entry]]:
    """The calls of each process that worked on the execution, then those of each trace in a process: a run is one of these.

    Nothing, if there is but one of each.
    """
    process = processes({entry.id for entry in entries})
    yield from _grouped(entries, lambda entry: process.get(entry.id))
    yield from _grouped(entries, lambda entry: (process.get(entry.id), entry.trace_id))


def _grouped(entries: Sequence[Entry], key: Callable[[Entry], Hashable]) -> Iterable[Sequence[Entry]]:
    groups: dict[Hashable, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(key(entry), []).append(entry)
    return groups.values() if len(groups) > 1 else ()


def watch(ledger: Ledger, execution: Execution, added_up: Callable[[], Mapping[str, ActivityTotal]]) -> bool:
    """Compares a run that has just ended, in its own process; True if the sums agree. A difference is logged and becomes an audit record.

    Args:
        added_up: the run's own totals as they are now: a stream that it left open may still add to them, so they are compared with the
            entries as they are now.

    Raises:
        LedgerError: the ledger cannot be read, or not be written.
    """
    for seconds in _LOOKS:
        time.sleep(seconds)
        found = check(ledger, replace(execution, totals=added_up(), ended=time.time()))
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


def _left_out(*, late: int, unsettled: int) -> list[str]:
    notes = []
    if late:
        notes.append(f"{late:,} calls ended after the run did (a stream left open): it could not add them up, and they are not compared")
    if unsettled:
        notes.append(f"{unsettled:,} calls were never settled (their process was killed, or lost them): they are not compared")
    return notes


def _others(calls: int) -> str:
    return (
        f"{calls:,} calls were made by others who work on the same execution: the record is that of the run that ended last, and only "
        "its own calls are compared"
    )


def _perhaps(found: ExecutionResult) -> list[str]:
    """Probable reasons, if the numbers of calls differ."""
    calls = sum(line.difference for line in found.lines if line.quantity == "calls")
    if calls < 0:
        return ["the ledger has calls that the run did not see, and none of those who made them has the run's sums"]
    if calls > 0:
        return ["the run has calls that the ledger does not: it could not be reached, and what was kept aside has not been replayed"]
    return []


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
