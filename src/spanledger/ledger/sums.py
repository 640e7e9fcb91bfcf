"""Totals over entries held in memory, and the order in which every ledger returns totals."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from spanledger.model import CostStatus, Entry, State, Total

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_SUMS = tuple(name for name in Total.__slots__ if name != "group")


def day_of(time: float) -> str:
    """The UTC date as ISO text."""
    return dt.datetime.fromtimestamp(int(time), dt.UTC).date().isoformat()


_COLUMNS: dict[str, Callable[[Entry], str | None]] = {
    "model": lambda entry: entry.model,
    "provider": lambda entry: entry.provider,
    "activity": lambda entry: entry.activity.value,
    "operation": lambda entry: entry.operation,
    "workflow": lambda entry: entry.workflow,
    "execution": lambda entry: entry.execution,
    "step": lambda entry: entry.step,
    "plugin": lambda entry: entry.plugin,
    "service": lambda entry: entry.service,
    "day": lambda entry: day_of(entry.time),
}


def value_of(entry: Entry, group: str) -> str | None:
    """What an entry is grouped under: one of its columns or a scope key."""
    column = _COLUMNS.get(group)
    return column(entry) if column else entry.keys.get(group)


def add_entry(total: Total, entry: Entry) -> None:
    """Adds one entry to a row of totals."""
    usage, status, nano_usd = entry.usage, entry.cost.status, entry.cost.nano_usd or 0
    unpriced = status == CostStatus.UNPRICED
    total.calls += 1
    total.input_tokens += usage.input or 0
    total.output_tokens += usage.output or 0
    total.cache_read_tokens += usage.cache_read or 0
    total.cache_write_tokens += (usage.cache_write or 0) + (usage.cache_write_1h or 0)
    total.reasoning_tokens += usage.reasoning or 0
    total.nano_usd += nano_usd
    if not entry.superseded:
        total.billable_calls += 1
        total.billable_tokens += usage.total
        total.billable_nano_usd += nano_usd
        total.billable_unpriced += unpriced
    total.unpriced += unpriced
    total.unpriced_unknown += unpriced and usage.state == State.UNKNOWN and usage.input is usage.output is None
    total.cost_estimated += status == CostStatus.ESTIMATED and usage.state == State.EXACT
    total.cost_partial += status == CostStatus.PARTIAL
    total.estimated += usage.state == State.ESTIMATED
    total.unknown += usage.state == State.UNKNOWN
    total.errors += entry.error is not None
    total.seconds += entry.duration or 0.0


def add_total(total: Total, other: Total) -> None:
    """Adds one row of totals to another."""
    for name in _SUMS:
        setattr(total, name, getattr(total, name) + getattr(other, name))


def ordered(totals: Iterable[Total], group_by: Sequence[str]) -> list[Total]:
    """Most expensive first, then most calls, then by name; without groups always exactly one row."""
    rows = sorted(totals, key=lambda total: (-total.nano_usd, -total.calls, [value or "" for value in total.group.values()]))
    return rows or ([] if group_by else [Total({})])


def summed(entries: Iterable[Entry], older: Iterable[Total], group_by: Sequence[str]) -> list[Total]:
    """Totals of entries and of sums made earlier; what those were not kept by counts as not known."""
    found: dict[tuple[str | None, ...], Total] = {}

    def row(values: tuple[str | None, ...]) -> Total:
        return found.setdefault(values, Total(dict(zip(group_by, values, strict=True))))

    for entry in entries:
        add_entry(row(tuple(value_of(entry, name) for name in group_by)), entry)
    for total in older:
        add_total(row(tuple(total.group.get(name) for name in group_by)), total)
    return ordered(found.values(), group_by)
