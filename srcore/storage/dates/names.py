"""Names of files and folders that say when a scene was taken: those of known products, and a pattern of the user's.

Only names whose every part is known count. Eight digits somewhere may be a date of processing, or no date at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import PurePath

from srcore.layout import dates_by
from srcore.storage.dates.moment import Span, read_digits

FOLDERS = 6
"""Names looked at above a file: the jp2 of an old Sentinel-2 lies so deep below the folder that has the date."""

_PARTS = {
    "{date}": r"(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)",
    "{days}": r"(?P<year>\d{4})(?P<days>\d{3})",
    "{time}": r"(?P<hour>\d\d)(?P<minute>\d\d)(?P<second>\d\d)",
    "{hhmm}": r"(?P<hour>\d\d)(?P<minute>\d\d)",
    "{us}": r"(?P<month>\d\d)(?P<day>\d\d)(?P<year>\d{4})",
}


def _name(pattern: str) -> re.Pattern[str]:
    for word, digits in _PARTS.items():
        pattern = pattern.replace(word, digits)
    return re.compile(rf"(?<![A-Za-z0-9]){pattern}", re.IGNORECASE)


PRODUCTS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("Sentinel-2", _name(r"S2[A-D]_MSIL[12][A-C]_{date}T{time}_[NR]\d")),
    ("Sentinel-2", _name(r"S2[A-D]_\w{4}_PRD_MSI\w{3}_.{4}_\d{8}T\d{6}_R\d{3}_V{date}T{time}_")),
    ("Sentinel-2", _name(r"T\d\d[A-Z]{3}_{date}T{time}_(?:B\d|TCI|SCL|AOT|WVP|PVI|CLD|SNW)")),
    ("Sentinel-2", _name(r"S2[A-D]_T?\d{1,2}[A-Z]{3}_{date}(?:T{time})?_")),
    ("Sentinel-1", _name(r"S1[A-D][_-]\w\w[_-]\w{3,4}[_-](?:\w{4}|\w\w)[_-]{date}T{time}[_-]\d{8}T\d{6}")),
    ("Landsat", _name(r"L[COTEM]0[1-9]_L\w{3}_\d{6}_{date}_\d{8}_\d\d_(?:RT|T1|T2|A1|A2)")),
    ("Landsat", _name(r"L[COTEM]0[1-9]_(?:CU|AK|HI)_\d{6}_{date}_\d{8}_[CV0]")),
    ("Landsat", _name(r"L[COTEM]0[1-9]_?\d{6}_?{date}(?:\d\d(?:T1|T2|RT))?(?![A-Za-z0-9])")),
    ("Landsat", _name(r"L[COTEM][1-9]\d{6}{days}[A-Z]{3}\d\d")),
    ("HLS", _name(r"HLS\.[LS]\d\d\.T\d\d[A-Z]{3}\.{days}(?:T{time})?\.v\d")),
    ("Planet", _name(r"(?<![^/]){date}_{time}_(?:\d\d_)?(?:[0-9a-f]{4}|1_[0-9a-f]{4}|ssc?\w{2,8}|\d{7})_")),
    ("Planet", _name(r"s\d{1,3}_{date}T{time}Z_")),
    ("RapidEye", _name(r"\d{7}_(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)_RE[1-5]_")),
    ("MODIS or VIIRS", _name(r"(?:M[OYC]D|VNP|VJ[12])\w+\.A{days}\.{hhmm}\.\d{3}\.")),
    ("MODIS or VIIRS", _name(r"(?:M[OYC]D|VNP|VJ[12])\w+\.A{days}(?=[._])")),
    ("MODIS or VIIRS", _name(r"(?:M[OYC]D|VNP|VJ[12])\w+\.\d{3}_\w+_doy{days}(?:\d{6})?_aid")),
    ("NAIP", _name(r"m_\d{7}_(?:ne|nw|se|sw)_\d\d?_(?:\d{1,3}|h)_{date}(?![0-9])")),
    ("ASTER", _name(r"AST_\w{3,6}_00\d{us}{time}_")),
    ("EO-1", _name(r"EO1[AH]\d{6}{days}")),
    ("Gaofen", _name(r"GF\d\w*_\w+_[EW][\d.]+_[NS][\d.]+_{date}_L")),
    ("CBERS", _name(r"CBERS_4A?_[A-Z]\w{2,6}_{date}_")),
)
"""Product, and how its names hold the time of the start of sensing; the first that fits says it."""


def name_span(path: PurePath, now: datetime) -> tuple[Span, str] | None:
    """The time that the name of a file says, else that of a folder above it, and of which product the name is."""
    return next(_known(path, now), None)


def _known(path: PurePath, now: datetime) -> Iterator[tuple[Span, str]]:
    for name in (path.name, *(folder.name for folder in list(path.parents)[:FOLDERS])):
        for product, pattern in PRODUCTS:
            found = pattern.search(name)
            span = read_digits(found.groupdict(), now) if found else None
            if span is not None:
                yield span, product


def pattern_span(pattern: str, path: PurePath, now: datetime) -> Span | str:
    """The time that a pattern of the user's finds in a path, or why it finds none."""
    found = dates_by(pattern, str(path))
    if len(found) != 1:
        return "fits twice" if found else "does not fit"
    return read_digits(found[0], now) or "finds no possible date"
