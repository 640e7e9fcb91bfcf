"""Money, tokens and calls as people read them, in messages and in reports. What is not known is said to be unknown, never shown as zero."""

from __future__ import annotations

UNKNOWN = "unknown"


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


def amount(value: int, unit: str) -> str:
    """An amount of a budget in its own ``Unit``."""
    return usd(value) if unit == "usd" else f"{count(value)} {unit}"
