"""What a reconciliation found, for people and programs, and whether it is agreement."""

from __future__ import annotations

import csv
import hashlib
import json
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from spanledger.ledger.facts import Fact
from spanledger.outside import no_formula
from spanledger.reconcile import execution as runs
from spanledger.reconcile.difference import difference_json
from spanledger.reconcile.sums import Line, lines

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from spanledger.reconcile.compare import Comparison, Selection
    from spanledger.reconcile.difference import Difference
    from spanledger.reconcile.reading import Reading

_COMPARED = Fact._fields[Fact._fields.index("activity") : Fact._fields.index("plugin") + 1]
_COLUMNS = (
    "entry_id", "kinds", "disagrees", "reason", "time", "service", "execution", "trace_id", "span_ids", "deliveries",
    *(f"{side}_{name}" for name in _COMPARED for side in ("ledger", "span")),
)  # fmt: skip


@dataclass(frozen=True)
class Result:
    """Ledger against spans. Differences stay on disk until the reconciliation is closed."""

    selection: Selection
    ledger: str
    """Where entries were looked for."""
    spans: Sequence[str]
    """Where spans were looked for."""
    comparison: Comparison
    reading: Reading
    run: runs.ExecutionResult | None
    """The run's own totals; None if no run was asked for, or there is no record of it."""

    @property
    def lines(self) -> list[Line]:
        """Sums of both sides, repeated spans counted once."""
        return lines(self.comparison.ledger, self.comparison.spans)

    @property
    def repeated(self) -> list[Line]:
        """Spans once against spans as they were delivered; empty if none came twice."""
        delivered = lines(self.comparison.spans, self.comparison.spans)
        again = self.comparison.repeated
        return [
            line._replace(other=line.ledger + extra)
            for line in delivered
            if (extra := again.amount(line.activity, line.quantity))
        ]  # fmt: skip

    def agrees(self, tolerance: float = 0.0) -> bool:
        """Whether there is no disagreement; with a tolerance, whether no sum differs by more than that share of the ledger's."""
        own = self.run is None or self.run.agrees
        if not tolerance:
            return own and self.comparison.differences.disagreeing == 0
        return all(line.relative <= tolerance for line in (*self.lines, *(self.run.lines if self.run else ())))

    @property
    def fingerprint(self) -> str:
        """The same for the same disagreements, in whatever window they are found."""
        run = self.run and [self.run.execution.id, *(line for line in self.run.lines if line.difference)]
        return hashlib.sha256(json.dumps([self.comparison.differences.fingerprint, run]).encode()).hexdigest()

    @property
    def reasons(self) -> list[dict[str, Any]]:
        """Each reason with the number of entries it explains."""
        found = self.comparison.differences.reasons()
        return [{"kind": str(kind), "reason": text, "entries": count} for kind, text, count in found]


def summary_json(result: Result, tolerance: float) -> dict[str, Any]:
    """All but the differences one by one."""
    reading, selection, differences = result.reading, result.selection, result.comparison.differences
    return {
        "agrees": result.agrees(tolerance),
        "tolerance": tolerance,
        "selection": selection._asdict(),
        "pending": result.comparison.pending,
        "elsewhere": dict(sorted(result.comparison.elsewhere.items())),
        "sources": {
            "ledger": {"where": result.ledger, "entries": result.comparison.entries},
            "spans": {
                "where": list(result.spans),
                "spans": result.comparison.counted,
                "lines": reading.lines,
                "torn": reading.torn,
                "unreadable": reading.unreadable,
                "problems": [problem._asdict() for problem in reading.problems],
            },
        },
        "sums": [_line_json(line, "ledger", "spans") for line in result.lines],
        "delivered": [_line_json(line, "spans", "delivered") for line in result.repeated],
        "execution": runs.result_json(result.run) if result.run else None,
        "kinds": {str(kind): count for kind, count in sorted(differences.by_kind.items())},
        "disagreements": differences.disagreeing,
        "reasons": result.reasons,
    }


def _line_json(line: Line, one: str, other: str) -> dict[str, Any]:
    return {
        "activity": line.activity,
        "quantity": line.quantity,
        one: line.ledger,
        other: line.other,
        "difference": line.difference,
        "relative": line.relative if line.ledger else None,
    }


def write_json(result: Result, tolerance: float, write: Callable[[str], Any]) -> None:
    """Everything as one JSON object in ASCII, difference by difference: there may be a million."""
    write(json.dumps(summary_json(result, tolerance), indent=2).removesuffix("\n}"))
    write(',\n  "differences": [')
    for number, one in enumerate(result.comparison.differences.by_time()):
        write(("," if number else "") + "\n    " + json.dumps(difference_json(one)))
    write("\n  ]\n}\n")


def write_csv(result: Result, file: IO[str]) -> None:
    """One line for each difference; of several spans the numbers of the first."""
    writer = csv.writer(file)
    writer.writerow(_COLUMNS)
    for one in result.comparison.differences.by_time():
        writer.writerow(_csv_row(one))


def _csv_row(one: Difference) -> list[Any]:
    fact, span = one.either, one.spans[0] if one.spans else None
    both = [getattr(side, name) if side else None for name in _COMPARED for side in (one.ledger, span)]
    span_ids = " ".join(span.span_id or "" for span in one.spans)
    values = [
        one.id, " ".join(one.kinds), one.disagrees, one.reason, fact.time, fact.service, fact.execution, fact.trace_id, span_ids,
        one.deliveries, *both,
    ]  # fmt: skip
    return [no_formula(value) if isinstance(value, str) else value for value in values]
