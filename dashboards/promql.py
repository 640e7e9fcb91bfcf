"""The few forms of PromQL that the panels are made of."""

from __future__ import annotations

from dashboards import names as n

SERVICE = f'{n.SERVICE}=~"$service"'
ACTIVITY = f'{n.ACTIVITY}=~"$activity"'
RECON = (SERVICE, 'activity_type=~"$activity"')
"""The gateway gives the reconciliation's series labels of their own."""
SDK = 'source="sdk"'


def of(metric: str | tuple[str, ...], *matchers: str, suffix: str = "") -> str:
    """A selector; several names are read as one metric."""
    if isinstance(metric, str):
        return f"{metric}{suffix}{{{', '.join(matchers)}}}"
    if len(metric) == 1:
        return of(metric[0], *matchers, suffix=suffix)
    either = "|".join(f"{name}{suffix}" for name in metric)
    return of("", f'__name__=~"{either}"', *matchers)


def gained(selector: str, window: str = "$__range") -> str:
    """What each counter of ``selector`` gained in the window, exactly.

    ``increase()`` extrapolates, and misses the first value of a series: all that a short process ever said. Our counters carry the instance
    that counted, so they never fall, and the difference of two maxima is exact. A series without a value in the day before the window is
    taken for a new one.
    """
    now, before = _highest(selector, window), _highest(selector, "1d", f" offset {window}")
    return f"({now} - {before} or {now})"


def _highest(selector: str, window: str, offset: str = "") -> str:
    """The newest five minutes value by value, the rest in steps of five minutes: a step sees what is up to five minutes old."""
    return f"(max_over_time({selector}[5m]{offset}) or max_over_time({selector}[{window}:5m]{offset}))"


def total(selector: str, *by: str, window: str = "$__range") -> str:
    """The sum of what was gained, by labels."""
    return f"sum by ({', '.join(by)}) ({gained(selector, window)})" if by else f"sum({gained(selector, window)})"


def usd(nano: str) -> str:
    """Nano-USD as USD. Integers are added up first: the division comes last."""
    return f"{nano} / 1e9"


def per_second(selector: str, *by: str) -> str:
    """A rate, for trends; books are kept by ``total``."""
    return f"sum by ({', '.join(by)}) (rate({selector}[$__rate_interval]))" if by else f"sum(rate({selector}[$__rate_interval]))"


def quantile(share: float, metric: tuple[str, ...], *matchers: str, by: tuple[str, ...] = ()) -> str:
    """A quantile of a histogram."""
    return f"histogram_quantile({share}, {per_second(of(metric, *matchers, suffix='_bucket'), 'le', *by)})"


def share(part: str, whole: str) -> str:
    """A share of something; a part that nobody ever counted is none of it, but a share of nothing is no number."""
    return f"({part} or vector(0)) / {whole}"


def none_or(part: str, whole: str) -> str:
    """The part; 0 where there is none of it although there is a whole; nothing where there is neither."""
    return f"{part} or 0 * {whole}"


def budget(field: str) -> str:
    """``limit``, ``spent`` or ``reserved`` of each budget, in nano-USD, tokens or calls.

    Every process that shares a ledger tells the same balances: they are not added up.
    """
    return f"max by ({n.BUDGET_NAME}, {n.BUDGET_UNIT}) ({n.BUDGET[field]})"


def budget_shown(field: str) -> str:
    """The same in the unit that people think in: USD, tokens or calls."""
    return f'({budget(field)} / 1e9 and on ({n.BUDGET_UNIT}) label_replace(vector(1), "{n.BUDGET_UNIT}", "usd", "", "")) or {budget(field)}'


def budget_used() -> str:
    """Share of each budget that is spent or reserved."""
    return f"({budget('spent')} + {budget('reserved')}) / {budget('limit')}"
