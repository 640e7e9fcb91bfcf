"""Numbers as people read them: money, tokens, durations, times. What is not known is said to be unknown, never shown as zero."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from spanledger.model import Unit

if TYPE_CHECKING:
    from spanledger.model import Total

UNKNOWN = "unknown"
_NANO = 1_000_000_000


def usd(nano: int | None) -> str:
    """Nano-USD as a decimal: six digits after the point, nine where six would show a cost as nothing."""
    if nano is None:
        return UNKNOWN
    digits = 9 if 0 < abs(nano) < 1_000 else 6  # 1,000 nano-USD are 0.000001 USD
    return f"{decimal(nano, digits)} USD"


def decimal(nano: int, digits: int = 9) -> str:
    """Nano-USD as an exact decimal, rounded half up to ``digits`` after the point; no float on the way."""
    step: int = 10 ** (9 - digits)
    units = (abs(nano) + step // 2) // step
    whole, part = divmod(units, 10**digits)
    return f"{'-' if nano < 0 else ''}{whole:,}.{part:0{digits}d}"


def count(number: int | None) -> str:
    """Tokens or calls with thousands separators."""
    return UNKNOWN if number is None else f"{number:,}"


def amount(value: int, unit: Unit) -> str:
    """An amount of a budget in its own unit."""
    return usd(value) if unit is Unit.USD else f"{count(value)} {unit.value}"


def seconds(value: float | None) -> str:
    """A duration in the unit that suits it."""
    if value is None:
        return UNKNOWN
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
    """Nano-USD of the calls that no later attempt replaced; None if there were calls and none has a price."""
    return None if total.billable_calls and total.unpriced >= total.calls else total.billable_nano_usd


def doubts(total: Total) -> str:
    """How many calls are not exact, and why; empty if all are."""
    counts = {"unpriced": total.unpriced, "estimated": total.estimated, "unknown": total.unknown, "failed": total.errors}
    return ", ".join(f"{number:,} {word}" for word, number in counts.items() if number)
