"""When a night ends, and what it would not finish by then: clocks, forecasts, and what is left."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from srcore.run.night.pace import Deadline, forecast, next_time


@pytest.mark.parametrize(
    ("clock", "zone", "now", "then"),
    [
        ("06:00", "UTC", "2026-03-01T02:00+00:00", "2026-03-01T06:00+00:00"),
        ("06:00", "UTC", "2026-03-01T22:00+00:00", "2026-03-02T06:00+00:00"),  # over midnight
        ("06:00", "UTC", "2026-03-01T06:00+00:00", "2026-03-02T06:00+00:00"),
        ("06:00", "Europe/Zurich", "2026-03-28T21:00+00:00", "2026-03-29T04:00+00:00"),  # the clock goes forward
        ("06:00", "Europe/Zurich", "2026-10-24T20:00+00:00", "2026-10-25T05:00+00:00"),  # and back
        ("02:30", "Europe/Zurich", "2026-03-28T23:00+00:00", "2026-03-29T01:30+00:00"),  # is skipped: 03:30
        ("02:30", "Europe/Zurich", "2026-10-24T23:00+00:00", "2026-10-25T00:30+00:00"),  # comes twice: the first
        ("23:30", "Asia/Kathmandu", "2026-12-31T18:00+00:00", "2027-01-01T17:45+00:00"),
    ],
)
def test_until_is_the_next_time_on_the_clock_of_the_zone(clock: str, zone: str, now: str, then: str) -> None:
    assert next_time(clock, zone, datetime.fromisoformat(now)) == datetime.fromisoformat(then)


@given(
    st.times(),
    st.sampled_from(["UTC", "Europe/Zurich", "America/St_Johns", "Australia/Lord_Howe"]),
    st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)),
)
def test_until_is_ahead_and_at_most_a_day_and_a_clock_change_away(clock: Any, zone: str, now: datetime) -> None:
    at, text = now.replace(tzinfo=UTC), f"{clock:%H:%M}"
    found = next_time(text, zone, at)
    assert timedelta(0) < found - at <= timedelta(hours=25)
    shown = found.astimezone(ZoneInfo(zone))
    assert f"{shown:%H:%M}" == text or shown.utcoffset() != (shown - timedelta(hours=3)).utcoffset()


def test_a_forecast_is_that_of_scenes_alike_and_never_shorter() -> None:
    done = [(100, 10.0), (110, 12.0), (120, 11.0), (10_000, 300.0)]
    assert forecast([], 100) is None
    assert forecast(done, 0) is None
    assert forecast(done[:3], 100) == 11.0
    assert forecast(done[:3], 1) == 11.0
    assert forecast([(100, 10.0)], 1000) == 100.0
    end = datetime(2026, 1, 1, 6, tzinfo=UTC)
    deadline = Deadline(end, [(100, 60.0)])
    assert deadline.allows(100, end - timedelta(seconds=61))
    assert not deadline.allows(100, end - timedelta(seconds=60))
    assert not deadline.allows(1000, end - timedelta(seconds=599))
    assert Deadline(end).allows(100, end - timedelta(seconds=1))
    assert not Deadline(end).allows(100, end)
    assert Deadline(None, [(1, 1e9)]).allows(100, end)
