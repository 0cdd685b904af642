"""Tags that say when a scene was taken, as data providers and programs of the field write them.

Times of processing (GENERATION_TIME, DATE_PROCESSED, FILE_DATE) are none of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from srcore.storage.dates.moment import Span, read_words

FILE_TIME = "TIFFTAG_DATETIME"
"""When a program wrote the file, says TIFF; some write there when the scene was taken."""


@dataclass(frozen=True)
class _Told:
    """A tag, and the others that go with it; names in capitals without any sign between."""

    name: str
    clock: str = ""
    """Holds the time of day, where the tag is a date."""
    end: str = ""
    end_clock: str = ""


TOLD: tuple[_Told, ...] = (
    _Told("SENSINGTIME"),  # HLS
    _Told("ACQUISITIONDATETIME"),  # GDAL's IMAGERY domain
    _Told("ACQUISITIONSTARTTIME", end="ACQUISITIONSTOPTIME"),  # Sentinel-1, RADARSAT-2
    _Told("PRODUCTSTARTTIME", end="PRODUCTSTOPTIME"),  # Sentinel-2
    _Told("DATATAKE1DATATAKESENSINGSTART"),
    _Told("SENSINGSTART", end="SENSINGSTOP"),
    _Told("DATEACQUIRED", clock="SCENECENTERTIME"),  # Landsat
    _Told("IMAGINGDATE", clock="IMAGINGTIME"),  # DIMAP
    _Told("RANGEBEGINNINGDATE", "RANGEBEGINNINGTIME", "RANGEENDINGDATE", "RANGEENDINGTIME"),  # MODIS, VIIRS
    _Told("CALENDARDATE", clock="TIMEOFDAY"),  # ASTER
    _Told("FIRSTLINETIME"),  # WorldView
    _Told("TIMECOVERAGESTART", end="TIMECOVERAGEEND"),  # ACDD
    _Told("NITFIDATIM"),
    _Told("EXIFDATETIMEORIGINAL"),
    _Told("DATETIMEORIGINAL"),
    _Told("ACQUISITIONDATE", clock="ACQUISITIONTIME"),
    _Told("ACQUISITIONTIME"),
    _Told("ACQUISITION"),
    _Told("ACQUIRED"),
    _Told("DATEACQUISITION"),
    _Told("STARTDATETIME", end="ENDDATETIME"),  # STAC
    _Told("DATETIME"),
)
"""The first that holds a time says it."""


@dataclass(frozen=True)
class TagTime:
    """What a tag says; `span` is None where that cannot be a date."""

    tag: str
    text: str
    span: Span | None


def tag_times(tags: Mapping[str, str], now: datetime) -> Iterator[TagTime]:
    """What the tags of the field say, in the order in which they count."""
    named = {_plain(name): (name, value) for name, value in tags.items() if name != FILE_TIME and value.strip()}
    for told in TOLD:
        if told.name in named:
            name, text = named[told.name]
            span = read_words(text, _value(named, told.clock), now)
            last = read_words(_value(named, told.end), _value(named, told.end_clock), now)
            if span is not None and last is not None and last.last > span.last:
                span = Span(span.first, last.last)
            yield TagTime(name, text, span)


def file_time(tags: Mapping[str, str], now: datetime) -> Span | None:
    """When a program wrote the file, where a tag says so."""
    return read_words(tags.get(FILE_TIME, ""), "", now)


def _value(named: Mapping[str, tuple[str, str]], name: str) -> str:
    return named.get(name, ("", ""))[1]


def _plain(name: str) -> str:
    """A tag's name without its group, in capitals and without signs."""
    return re.sub(r"[^A-Z0-9]", "", name.rpartition("#")[2].upper())
