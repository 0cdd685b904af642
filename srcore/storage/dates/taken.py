"""When a scene was taken, by whatever says it best; and an honest stretch of time where nothing does.

    a date or pattern of the user's > tags of the field > names of known products > the time that the file was written

A volume never has one: a date of a patient is no business of an archive.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from srcore.errors import SourceError, printable
from srcore.layout import DATE
from srcore.storage.dates.moment import DAY, EARLIEST, SECOND, Span, read_words, written
from srcore.storage.dates.names import name_span, pattern_span
from srcore.storage.dates.tags import FILE_TIME, file_time, tag_times
from srcore.storage.header import Header, Taken

APART = timedelta(days=1)
"""By so much a tag and a name may differ: one says when a pass began, the other when the scene was seen."""
ASKED = "the key `date`"
SHOWN = 40
"""Characters of a value that a flag shows."""

Found = tuple[Span, str]
"""A time, and what says it."""


def dated(header: Header, wish: str | None, now: datetime | None = None) -> Header:
    """The header with the time that its scene was taken, and flags where that is not known for sure.

    `wish`: a date, or a pattern that finds one in the files' names (`srcore.layout.dates_by`). SourceError for a volume
    with one.
    """
    if header.taken is not None and (not wish or header.mosaic):
        return header  # a provider's metadata say it, or the files of a mosaic, each for itself
    today = datetime.now(UTC) if now is None else now
    flags: list[str] = []
    if header.kind == "volume" and wish:
        raise SourceError(
            "a volume has no date", repr(wish), "leave it out: it may tell of a patient", code="BAD_SETTING"
        )
    if header.kind == "volume":
        found, unknown = None, "date unknown: none is kept of a volume"
    else:
        found, unknown = _found(header, wish, today, flags), "date unknown: no tag or name says it; see `date`"
    if found is None:
        flags.append(unknown)
        end = datetime(today.year, today.month, today.day, tzinfo=UTC) + DAY - SECOND
        found = Span(EARLIEST, end), ""
    taken = Taken(written(found[0].first), written(found[0].last), found[1])
    return replace(header, taken=taken, flags=tuple(dict.fromkeys((*header.flags, *map(printable, flags)))))


def _found(header: Header, wish: str | None, now: datetime, flags: list[str]) -> Found | None:
    asked = _asked(header.rasters, wish, now, flags) if wish else None
    if asked is not None:
        return asked
    tags = all_tags(header)
    told, named = next(_told(tags, now, flags), None), _named(header.rasters, now, flags)
    if told is not None and named is not None and abs(told[0].first - named[0].first) > APART:
        flags.append(f"date {told[0]} by the tag {told[1]}; the name says {named[0]}")
    found = told or named
    if found is None and (wrote := file_time(tags, now)) is not None:
        flags.append(f"date {wrote} by {FILE_TIME}: when the file was written, maybe not when the scene was taken")
        found = wrote, FILE_TIME
    return found


def all_tags(header: Header) -> Mapping[str, str]:
    """Tags of a scene in all of its domains, those of the file itself first; those of a band where it has but one."""
    groups = [header.tags, *header.domains.values()]
    if len(header.bands) == 1:
        groups += [header.bands[0].tags, *header.bands[0].domains.values()]
    return {name: value for tags in reversed(groups) for name, value in tags.items()}


def _asked(paths: Sequence[Path], wish: str, now: datetime, flags: list[str]) -> Found | None:
    """The time by the user's date or pattern; None, flagged, where it does not fit all files alike."""
    if DATE.search(wish):
        spans = {pattern_span(wish, path, now) for path in paths}
    else:
        spans = {read_words(wish, "", now) or "is no possible date"}
    why = next((span for span in spans if isinstance(span, str)), "finds several dates")
    first = next(iter(spans))
    if len(spans) == 1 and isinstance(first, Span):
        return first, ASKED
    flags.append(f"date {wish!r} {why}: {paths[0].name[:SHOWN]}")
    return None


def _told(tags: Mapping[str, str], now: datetime, flags: list[str]) -> Iterator[Found]:
    for time in tag_times(tags, now):
        if time.span is None:
            flags.append(f"tag {time.tag} holds no date that can be: {time.text[:SHOWN]!r}")
        else:
            yield time.span, time.tag


def _named(paths: Sequence[Path], now: datetime, flags: list[str]) -> Found | None:
    """What the names of all files say; None, flagged, where they do not agree."""
    found = [name_span(path, now) for path in paths]
    spans = {span for one in found if one is not None for span in one[:1]}
    if len({span.first.date() for span in spans}) > 1:
        flags.append("the names of the files say different dates: none is used")
        return None
    return next(((one[0], f"the name of a {one[1]} product") for one in found if one is not None), None)
