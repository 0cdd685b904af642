"""When a night has to end, and what it would not finish by then. Pure: clocks and numbers.

`until: "06:00"` is the next time that the clock of the dataset's zone shows 06:00 after the night began, be it behind
midnight or a change of the clock: a time that the clock skips is meant an hour later, of one that it shows twice the
first is meant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from math import log
from statistics import median
from zoneinfo import ZoneInfo

NEAREST = 5
"""Scenes, those nearest in size, that a forecast is made of."""

Scene = tuple[int, float]
"""(pixels, seconds) of one that is done."""


def next_time(clock: str, timezone: str, now: datetime) -> datetime:
    """The first time after `now` at which clocks of the zone show `clock`, HH:MM; in UTC."""
    zone, at = ZoneInfo(timezone), time.fromisoformat(clock)
    today = now.astimezone(zone).date()
    days = (datetime.combine(today + timedelta(days=n), at, zone).astimezone(UTC) for n in range(3))
    return next(one for one in days if one > now)


def forecast(done: Sequence[Scene], pixels: int) -> float | None:
    """Seconds that a scene of so many pixels will take: the median of the nearest in size, scaled up to its own.

    Never down: a smaller scene is not known to be faster. None where nothing is known of the scenes, or of this one.
    """
    if not pixels:
        return None
    near = sorted((one for one in done if one[0]), key=lambda one: abs(log(one[0] / pixels)))[:NEAREST]
    return median(seconds * max(1.0, pixels / of) for of, seconds in near) if near else None


@dataclass
class Deadline:
    """What may still be started. Grows by what was done; whoever shares it between threads holds a lock."""

    end: datetime | None
    """None: there is none."""
    done: list[Scene] = field(default_factory=list)
    """Of earlier nights, then of this one."""

    def allows(self, pixels: int, now: datetime) -> bool:
        """False for a scene that would not be finished in time; one of which nothing is known may begin before."""
        return self.end is None or now + timedelta(seconds=forecast(self.done, pixels) or 0.0) < self.end
