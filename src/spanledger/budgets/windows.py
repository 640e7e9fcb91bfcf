"""When a budget's window starts and ends.

Days, weeks (Monday first, as in ISO 8601) and months are those of the calendar in the configured time zone, so a day may have 23, 24 or 25
hours. Minutes and hours are those of UTC: they are the same length everywhere and never cut by a clock change.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from spanledger.budgets.rule import Window

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

_SECONDS = {Window.MINUTE: 60, Window.HOUR: 3600}


def bounds(window: Window, when: float, zone: ZoneInfo) -> tuple[float, float]:
    """Start and end (seconds since the epoch, ``start <= when < end``) of the calendar window that contains ``when``.

    Windows of one kind leave no gap and do not overlap: each ends where the next starts. ``Window.RUN`` has no bounds.
    """
    if window in _SECONDS:
        length = _SECONDS[window]
        start = when // length * length
        return start, start + length
    first = _first_day(window, dt.datetime.fromtimestamp(when, zone).date())
    # Where clocks go back over midnight (America/St_Johns until 2011: 00:01 to 23:01) a date comes twice; its second coming
    # belongs to the next day. Where they go forward from before midnight the new date starts early and belongs to the day before.
    if when >= _midnight(_next(window, first), zone):
        first = _next(window, first)
    elif when < _midnight(first, zone):
        first = _first_day(window, first - dt.timedelta(days=1))
    return _midnight(first, zone), _midnight(_next(window, first), zone)


def _first_day(window: Window, day: dt.date) -> dt.date:
    if window is Window.WEEK:
        return day - dt.timedelta(days=day.weekday())
    return day.replace(day=1) if window is Window.MONTH else day


def _next(window: Window, first: dt.date) -> dt.date:
    if window is Window.MONTH:
        return (first + dt.timedelta(days=31)).replace(day=1)
    return first + dt.timedelta(days=7 if window is Window.WEEK else 1)


def _midnight(day: dt.date, zone: ZoneInfo) -> float:
    """The first instant called midnight; where the clock skips it, the instant of the change (fold=0, PEP 495)."""
    return dt.datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()
