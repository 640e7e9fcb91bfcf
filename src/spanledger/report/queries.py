"""What the commands ask the ledger, as plain values and as JSON."""

from __future__ import annotations

import csv
import datetime as dt
import re
import time
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from spanledger import figures
from spanledger.errors import ConfigurationError
from spanledger.ledger import sums
from spanledger.ledger.ledger import GROUPS
from spanledger.model import Total, Unsettled
from spanledger.outside import no_formula
from spanledger.report import words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spanledger.ledger.ledger import Ledger

_AGO = re.compile(r"(\d+)\s*(m|h|d|w)")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@dataclass(frozen=True)
class Report:
    """Sums over the books: one row per group, most expensive first, and the sum of all."""

    by: tuple[str, ...]
    rows: list[Total]
    total: Total
    unsettled: Unsettled

    @property
    def empty(self) -> bool:
        """Whether no call is in the books, for the time asked about."""
        return self.total.calls == 0

    @property
    def strange(self) -> list[str]:
        """Groups that are neither ours nor a scope key of any call: most likely misspelt."""
        return [name for name in self.by if name not in GROUPS and all(row.group.get(name) is None for row in self.rows)]


def report(ledger: Ledger, by: Sequence[str], *, since: float | None, until: float | None, execution: str | None) -> Report:
    """Totals by the given groups, days in their order. Raises LedgerError if the ledger cannot be read."""
    rows = ledger.totals(by, since=since, until=until, execution=execution)
    if "day" in by:
        rows.sort(key=lambda row: row.group["day"] or "")
    (total,) = sums.summed((), rows, ())  # asked for anew it would have calls that were booked since
    return Report(tuple(by), rows, total, ledger.unsettled(time.time()))


def report_json(found: Report) -> dict[str, Any]:
    """A report for programs: money as integer nano-USD and as an exact decimal, ``null`` where it is not known."""
    left = {"calls": found.unsettled.calls, **money_json(found.unsettled.nano_usd)}
    return {"by": list(found.by), "rows": [total_json(row) for row in found.rows], "total": total_json(found.total), "unsettled": left}


def total_json(total: Total) -> dict[str, Any]:
    """One row of sums; "consumed" is all that providers did, "billable" leaves out superseded attempts."""
    return {
        "group": dict(total.group),
        "consumed": {
            "calls": total.calls,
            "input_tokens": total.input_tokens,
            "output_tokens": total.output_tokens,
            "cache_read_tokens": total.cache_read_tokens,
            "cache_write_tokens": total.cache_write_tokens,
            "reasoning_tokens": total.reasoning_tokens,
            **money_json(words.consumed(total)),
            "without_cost": total.unpriced,
        },
        "billable": {
            "calls": total.billable_calls,
            "tokens": total.billable_tokens,
            **money_json(words.billable(total)),
            "without_cost": total.billable_unpriced,
        },
        "unpriced": words.lacking_price(total),
        "cost_partial": total.cost_partial,
        "cost_estimated": total.cost_estimated,
        "estimated": total.estimated,
        "unknown": total.unknown,
        "errors": total.errors,
        "seconds": total.seconds,
    }


def write_csv(found: Report, file: IO[str]) -> None:
    """One line for each group, without a line for all of them, which would be added to the others; empty where nothing is known."""
    writer = csv.writer(file)
    writer.writerow([*found.by, *_columns(Total({}))])
    for row in found.rows:
        writer.writerow([*(no_formula(row.group.get(name)) for name in found.by), *_columns(row).values()])


def _columns(total: Total) -> dict[str, Any]:
    """The numbers of ``total_json`` in one line, ``consumed_`` and ``billable_`` before those that there are two of."""
    nested = total_json(total)
    both = {f"{kind}_{name}": value for kind in ("consumed", "billable") for name, value in nested[kind].items()}
    return {**both, **{name: value for name, value in nested.items() if name not in {"group", "consumed", "billable"}}}


def money_json(nano: int | None) -> dict[str, Any]:
    """An amount of money, exact in both forms."""
    return {"nano_usd": nano, "usd": None if nano is None else figures.decimal(nano).replace(",", "")}


def span_of_time(since: str | None, until: str | None, zone: dt.tzinfo) -> tuple[float | None, float | None]:
    """What ``--since`` and ``--until`` say, in seconds since the epoch. Raises ConfigurationError."""
    now = dt.datetime.now(dt.UTC)
    start = moment("--since", since, zone, now) if since else None
    end = moment("--until", until, zone, now) if until else None
    if start is not None and end is not None and start >= end:
        option = "--until"
        raise ConfigurationError(option, f"{until!r} is not after --since {since!r}", "a later point in time")
    return start, end


def moment(option: str, text: str, zone: dt.tzinfo, now: dt.datetime) -> float:
    """Reads a point in time: ``now``, ``today``, ``yesterday``, ``7d`` (also m, h, w: that long ago), or an ISO date or time in ``zone``.

    Returns seconds since the epoch. Raises ConfigurationError, naming ``option``.
    """
    midnight = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    word = text.strip().lower()
    if word == "now":
        return now.timestamp()
    if word in ("today", "yesterday"):
        return (midnight - dt.timedelta(days=word == "yesterday")).timestamp()
    try:
        if ago := _AGO.fullmatch(word):
            return (now - dt.timedelta(**{_UNITS[ago[2]]: int(ago[1])})).timestamp()
        point = dt.datetime.fromisoformat(text.strip())
    except (ValueError, OverflowError):
        expected = "now, today, yesterday, a time span such as 24h or 7d, or a date such as 2026-01-31 or 2026-01-31T12:00"
        raise ConfigurationError(option, f"cannot read {text!r}", expected) from None
    return (point if point.tzinfo else point.replace(tzinfo=zone)).timestamp()
