"""What reports say: durations, times, doubts. Money and tokens are in ``figures``."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from spanledger import figures

if TYPE_CHECKING:
    from spanledger.model import Total, Unsettled

PARTIAL, ESTIMATED = "cost partial", "cost estimated"
"""Of costs, where ``estimated`` alone is said of usage."""


def seconds(value: float | None) -> str:
    """A duration in the unit that suits it."""
    if value is None:
        return figures.UNKNOWN
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < 120:  # two minutes
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def moment(epoch: float, zone: dt.tzinfo = dt.UTC) -> str:
    """A point in time, with its zone."""
    return f"{dt.datetime.fromtimestamp(epoch, zone):%Y-%m-%d %H:%M:%S %Z}"


def consumed(total: Total) -> int | None:
    """Nano-USD of all calls that have a price; None if there were calls and none has one."""
    return None if total.calls and total.unpriced >= total.calls else total.nano_usd


def billable(total: Total) -> int | None:
    """Nano-USD of the calls that no later attempt replaced; None if there were such calls and none has a price."""
    return None if total.billable_calls and total.billable_unpriced >= total.billable_calls else total.billable_nano_usd


def doubts(total: Total) -> dict[str, int]:
    """How many calls are not exact, by what is wrong with them; empty if all are."""
    counts = {
        "unpriced": lacking_price(total),
        PARTIAL: total.cost_partial,
        ESTIMATED: total.cost_estimated,
        "estimated": total.estimated,
        "unknown": total.unknown,
        "failed": total.errors,
    }
    return {word: number for word, number in counts.items() if number}


def unsettled(left: Unsettled) -> str:
    """What of ended processes is in no sum; nothing if there is nothing."""
    return f"{left.calls:,} calls of ended processes are not settled yet: up to {figures.usd(left.nano_usd)}" if left.calls else ""


def lacking_price(total: Total) -> int:
    """Calls without a cost for want of a price: not those whose usage is unknown altogether."""
    return total.unpriced - total.unpriced_unknown
