"""The audit record of a reconciliation that found a difference."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from spanledger.audit import records

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spanledger.ledger.ledger import Ledger
    from spanledger.model import AuditRecord
    from spanledger.reconcile.result import Result
    from spanledger.reconcile.sums import Line

_MOST = 20


def write(ledger: Ledger, result: Result) -> AuditRecord | None:
    """Appends one CRITICAL record to the ledger's audit; None if these same differences are recorded already. Raises LedgerError."""
    differences, selection = result.comparison.differences, result.selection
    found = records.discrepancy(
        execution=selection.execution,
        since=selection.since,
        until=selection.until,
        services=selection.services,
        differences=_by_activity([*result.lines, *(result.run.lines if result.run and not result.run.agrees else ())]),
        counts={str(kind): count for kind, count in differences.by_kind.items()},
        reasons=[f"{line['entries']}: {line['reason']}" for line in result.reasons[:_MOST]],
        entries=[one.id for one in differences.by_time(_MOST)],
    )
    # A window that moves with the clock would make the same differences a new finding every time.
    return records.write(ledger, found._replace(key=f"discrepancy/{result.fingerprint}"))


def _by_activity(lines: Iterable[Line]) -> dict[str, dict[str, int]]:
    found: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for line in lines:
        if line.difference:
            found[line.activity or "(none)"][line.quantity] = line.difference
    return dict(found)
