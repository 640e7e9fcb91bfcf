"""Windows in calendars with clock changes."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from spanledger.budgets.rule import Window
from spanledger.budgets.windows import bounds

CALENDAR = [Window.MINUTE, Window.HOUR, Window.DAY, Window.WEEK, Window.MONTH]
# Berlin: one hour; Lord Howe: half an hour; Apia skipped 2011-12-30; St. John's changed at 00:01; Sao Paulo and Beirut at midnight;
# Toronto went from 23:30 to 00:30 in 1919; Kathmandu is 5:45 ahead.
ZONES = ["UTC", "Europe/Berlin", "Australia/Lord_Howe", "Pacific/Apia", "America/St_Johns", "America/Sao_Paulo", "Asia/Beirut", "America/Toronto", "America/Havana", "Asia/Kathmandu"]  # fmt: skip


def stamp(text: str, zone: str) -> float:
    return dt.datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


@pytest.mark.parametrize(
    ("window", "zone", "when", "start", "end", "hours"),
    [
        (Window.MINUTE, "UTC", "2026-11-21 12:34:56", "2026-11-21 12:34", "2026-11-21 12:35", 1 / 60),
        (Window.HOUR, "UTC", "2026-11-21 12:34:56", "2026-11-21 12:00", "2026-11-21 13:00", 1),
        (Window.DAY, "UTC", "2026-11-21 00:00:00", "2026-11-21", "2026-11-22", 24),
        (Window.DAY, "Europe/Berlin", "2026-03-29 12:00", "2026-03-29", "2026-03-30", 23),
        (Window.DAY, "Europe/Berlin", "2026-10-25 12:00", "2026-10-25", "2026-10-26", 25),
        (Window.DAY, "Australia/Lord_Howe", "2026-04-05 12:00", "2026-04-05", "2026-04-06", 24.5),
        (Window.DAY, "America/New_York", "2026-11-21 23:30", "2026-11-21", "2026-11-22", 24),
        (Window.WEEK, "UTC", "2027-01-01 10:00", "2026-12-28", "2027-01-04", 168),
        (Window.WEEK, "Europe/Berlin", "2026-10-25 23:59", "2026-10-19", "2026-10-26", 169),
        (Window.MONTH, "UTC", "2028-02-29 23:59:59", "2028-02-01", "2028-03-01", 29 * 24),
        (Window.MONTH, "UTC", "2026-12-31 23:59:59", "2026-12-01", "2027-01-01", 31 * 24),
        (Window.MONTH, "Europe/Berlin", "2026-03-31 00:00", "2026-03-01", "2026-04-01", 31 * 24 - 1),
        (Window.DAY, "Pacific/Apia", "2011-12-31 00:00", "2011-12-31", "2012-01-01", 24),
    ],
)
def test_known_windows(window: Window, zone: str, when: str, start: str, end: str, hours: float) -> None:
    found = bounds(window, stamp(when, zone), ZoneInfo(zone))
    assert found == (stamp(start, zone), stamp(end, zone))
    assert (found[1] - found[0]) / 3600 == pytest.approx(hours)


def test_a_day_starts_at_the_first_midnight_where_there_are_two() -> None:
    zone = ZoneInfo("America/Havana")  # 2026-11-01 01:00 goes back to 00:00
    start, end = bounds(Window.DAY, stamp("2026-11-01 12:00", "America/Havana"), zone)
    assert end - start == 25 * 3600


def test_a_day_starts_at_the_change_where_midnight_is_skipped() -> None:
    zone = ZoneInfo("America/Sao_Paulo")  # 2018-11-04 00:00 goes forward to 01:00
    start, end = bounds(Window.DAY, stamp("2018-11-04 12:00", "America/Sao_Paulo"), zone)
    assert dt.datetime.fromtimestamp(start, zone).hour == 1
    assert end - start == 23 * 3600


def test_hours_and_minutes_do_not_depend_on_the_zone() -> None:
    when = stamp("2026-11-21 12:34:56", "UTC")
    for window in (Window.MINUTE, Window.HOUR):
        assert len({bounds(window, when, ZoneInfo(zone)) for zone in ZONES}) == 1


@settings(max_examples=500, deadline=None)
@given(
    st.sampled_from(CALENDAR),
    st.sampled_from(ZONES),
    st.one_of(st.integers(-1_600_000_000, 4_000_000_000), st.floats(0, 4e9, allow_nan=False), st.integers(1162085000, 1162096000)),
)
@example(Window.DAY, "America/St_Johns", 1162089060 + 600)  # in the second 23:01-23:59 of 2006-10-28
@example(Window.DAY, "America/Toronto", -1601753400 + 60)  # between the change of 1919-03-30 23:30 and the midnight it skipped
def test_windows_contain_their_moment_and_tile(window: Window, zone: str, when: float) -> None:
    tz = ZoneInfo(zone)
    start, end = bounds(window, when, tz)
    assert start <= when < end
    assert bounds(window, start, tz) == (start, end)
    assert bounds(window, end, tz)[0] == end
    assert bounds(window, start - 1, tz)[1] == start
