"""A stretch of time, and which words and digits are one: nothing that cannot be a date is taken for one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

EARLIEST = datetime(1858, 1, 1, tzinfo=UTC)
"""The first photograph from the air is of that year."""
CLOCKS = timedelta(days=1)
"""By how much a date may be ahead of this machine's clock."""
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)

_TIME = r"(?P<hour>\d\d):?(?P<minute>\d\d)(?::?(?P<second>\d\d)(?:\.(?P<part>\d{1,9}))?)?"
_ZONE = r"(?P<zone>Z|UTC|GMT|[+-]\d\d:?\d\d)?"
_DATE = r"(?P<year>\d{4})(?:(?P<sep>[-:/.]?)(?P<month>\d\d)(?P=sep)(?P<day>\d\d)|[-:/.]?(?P<days>\d{3}))"
_WORDS = re.compile(rf"{_DATE}(?:[T_ ] ?{_TIME} ?{_ZONE})?", re.IGNORECASE)
_RUN = re.compile(r"(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)(?P<hour>\d\d)(?P<minute>\d\d)(?P<second>\d\d)")
_CLOCK = re.compile(rf"T?{_TIME} ?{_ZONE}", re.IGNORECASE)
_SEVERAL = re.compile(r"\s*[;,]\s*|\s+\+\s+")


@dataclass(frozen=True)
class Span:
    """From the first to the last second, both included, in UTC."""

    first: datetime
    last: datetime

    @property
    def is_day(self) -> bool:
        """True where no time of day is known."""
        return self.last - self.first == DAY - SECOND

    def __str__(self) -> str:
        """The date, and the time where one is known."""
        return f"{self.first:%Y-%m-%d}" if self.is_day else written(self.first)


def written(when: datetime) -> str:
    """A moment in UTC as STAC writes it."""
    return when.isoformat(timespec="seconds" if not when.microsecond else "microseconds").replace("+00:00", "Z")


def read_words(text: str, clock: str, now: datetime) -> Span | None:
    """The time that the value of a tag says, with a time of day that another tag may have; None where it is none.

    Of several moments (a composite of two scenes) from the first to the last. Without a zone it is UTC.
    """
    spans = [_one(part, clock, now) for part in _SEVERAL.split(text.strip().strip("\"'")) if part]
    known = [span for span in spans if span is not None]
    if not known or len(known) < len(spans):
        return None
    return Span(min(span.first for span in known), max(span.last for span in known))


def _one(text: str, clock: str, now: datetime) -> Span | None:
    found = _WORDS.fullmatch(text) or _RUN.fullmatch(text)
    if found is None:
        return None
    digits = found.groupdict()
    if digits.get("hour") is None and (time := _CLOCK.fullmatch(clock.strip().strip("\"'"))):
        digits |= time.groupdict()
    return read_digits(digits, now)


def read_digits(found: Mapping[str, str | None], now: datetime) -> Span | None:
    """The time of named digits: year, month and day or days, maybe hour, minute, second, part and zone; None where
    they are no date, or one that no scene can have."""
    number = {name: int(digits) for name, digits in found.items() if digits and digits.isdecimal()}
    try:
        if "days" in number:
            first = datetime(number["year"], 1, 1, tzinfo=UTC) + timedelta(days=number["days"] - 1)
            if first.year != number["year"]:
                return None
        else:
            first = datetime(number["year"], number["month"], number["day"], tzinfo=UTC)
        length = DAY - SECOND
        if "hour" in number:
            clock = {name: number.get(name, 0) for name in ("hour", "minute", "second")}
            part = int(f"{found.get('part') or '0':0<6}"[:6])
            first = first.replace(**clock, microsecond=part, tzinfo=_zone(found.get("zone"))).astimezone(UTC)
            length = timedelta() if "second" in number else timedelta(seconds=59)
    except (ValueError, OverflowError):
        return None
    return Span(first, first + length) if EARLIEST <= first <= now + CLOCKS else None


def _zone(text: str | None) -> timezone:
    if text is None or text[0] not in "+-":
        return UTC
    ahead = timedelta(hours=int(text[1:3]), minutes=int(text[-2:]))
    return timezone(ahead if text[0] == "+" else -ahead)
