"""A provider's product before a raster of it is opened: its bands, its quality layers, and what its metadata say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from srcore.errors import SourceError, printable
from srcore.storage.dates.moment import CLOCKS, EARLIEST
from srcore.storage.header import Taken

ITEM = "STAC item"
"""In place of a product: what is said of pixels is anybody's word."""
SHOWN = 6
"""Names that a message lists."""


@dataclass(frozen=True)
class BandFile:
    """A band, and the file that holds it."""

    name: str
    """As the provider calls it: B8A, B4, SR_B4."""
    common: str
    """As STAC calls it (eo:common_name): nir08, red; '' where it has no such name."""
    path: Path
    gsd_m: float
    """Of the file's pixels, by the metadata."""
    native_m: float
    """What the sensor sees of the band: a file may be coarser, or resampled to finer pixels."""
    scale: float = 1.0
    offset: float = 0.0
    unit: str | None = None

    def is_called(self, name: str) -> bool:
        """Upper and lower case do not count."""
        return name.casefold() in (self.name.casefold(), self.common.casefold())


@dataclass(frozen=True)
class Missing:
    """A band that the metadata name and that is not there in the resolution of its sensor."""

    name: str
    common: str
    native_m: float

    def __str__(self) -> str:
        return f"{self.name} ({self.native_m:g} m)"


@dataclass(frozen=True)
class Granule:
    """What a product's metadata say of it."""

    product: str
    """Sentinel-2 L2A, Landsat C2 L2SP."""
    id: str
    """The provider's name of it."""
    bands: tuple[BandFile, ...]
    """Those whose files are there, in the provider's order, a band once in each resolution."""
    missing: tuple[Missing, ...]
    layers: Mapping[str, tuple[Path, ...]]
    """Quality layer to its files, the finest first."""
    documents: tuple[Path, ...]
    """Metadata files that were read."""
    taken: Taken | None = None
    hidden: float | None = None
    """DN for 'nothing here' in all bands."""
    crs: str | None = None
    """As EPSG:NNNN, by the metadata."""
    corner: tuple[float, float] | None = None
    """x and y of the upper left corner, by the metadata."""
    sizes: Mapping[float, tuple[int, int]] = field(default_factory=dict)
    """Metres of a pixel to the rows and columns of its rasters, by the metadata."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """For the product's file."""
    properties: Mapping[str, Any] = field(default_factory=dict)
    """For its STAC item: cloud cover, sun, platform."""
    flags: tuple[str, ...] = ()
    whole: bool = True
    """The provider ships it as a whole: without a band it was not fetched to the end."""


def chosen(granule: Granule, wanted: Sequence[str] | None, folder: Path) -> tuple[BandFile, ...]:
    """The bands that are asked for, by name or common name, in their order; all of them where none is named.

    Of a band in several resolutions the sensor's own, else the finest that is there. SourceError MISSING_BAND for one
    whose file is not there, BAD_SETTING for one that no such product has.
    """
    names = list(dict.fromkeys(band.name for band in granule.bands))
    if wanted is None:
        if granule.missing and granule.whole:
            raise _missing(granule, folder, granule.missing, names)
        wanted = names
    if not wanted:
        raise _missing(granule, folder, granule.missing, names)
    found = tuple(_best(granule, name, folder, names) for name in wanted)
    if len({band.path for band in found}) < len(found):
        raise SourceError("bands are named more than once", ", ".join(wanted), "name each once", code="BAD_SETTING")
    return found


def _best(granule: Granule, name: str, folder: Path, names: Sequence[str]) -> BandFile:
    there = [band for band in granule.bands if band.is_called(name)]
    lost = [one for one in granule.missing if name.casefold() in (one.name.casefold(), one.common.casefold())]
    if lost and not there:
        raise _missing(granule, folder, lost, names)
    if not there:
        known = [f"{band.name} ({band.common})" if band.common else band.name for band in granule.bands]
        raise SourceError(
            f"{folder.name}: {granule.product} has no band {name!r}",
            ", ".join(dict.fromkeys(known)) or "no band",
            "name some of these",
            code="BAD_SETTING",
        )
    return min(there, key=lambda band: (band.gsd_m != band.native_m, band.gsd_m))


def _missing(granule: Granule, folder: Path, missing: Iterable[Missing], there: Sequence[str]) -> SourceError:
    lost = list(map(str, missing))
    more = f" and {len(lost) - SHOWN} more" if len(lost) > SHOWN else ""
    do = f", or name bands that are there: {','.join(there)}" if there else ""
    return SourceError(
        f"{folder.name}: the metadata name bands that are not there",
        ", ".join(lost[:SHOWN]) + more or "no band at all",
        f"fetch it again{do}",
        code="MISSING_BAND",
    )


def metadata_error(path: Path, found: str, do: str = "fetch it again") -> SourceError:
    """The error for metadata that cannot be used."""
    return SourceError(f"{path.name}: metadata that cannot be used", printable(found)[:300], do, code="BAD_METADATA")


def number(path: Path, name: str, text: str | None) -> float:
    """A finite number out of metadata; SourceError BAD_METADATA for anything else."""
    try:
        value = float(text or "")
    except ValueError:
        value = float("nan")
    if not abs(value) < float("inf"):
        raise metadata_error(path, f"{name} is {text!r}, no number")
    return value


def gain(path: Path, name: str, text: str | None) -> float:
    """What a number is multiplied with; SourceError BAD_METADATA where all would become one number, or turn round."""
    value = number(path, name, text)
    if value <= 0:
        raise metadata_error(path, f"{name} is {value:g}")
    return value


def between(least: float, most: float, path: Path, name: str, text: str | None) -> float:
    """A number from `least` to `most`: a share, an angle; SourceError BAD_METADATA for any other."""
    value = number(path, name, text)
    if not least <= value <= most:
        raise metadata_error(path, f"{name} is {value:g}, not from {least:g} to {most:g}")
    return value


def times(path: Path, names: str, first: str, last: str) -> Taken:
    """The time from `first` to `last`, of ISO 8601, in UTC where they have no zone; SourceError BAD_METADATA where no
    scene can be of it."""
    try:
        ends = [datetime.fromisoformat(text.replace("Z", "+00:00")) for text in (first, last)]
        ends = [(end if end.tzinfo else end.replace(tzinfo=UTC)).astimezone(UTC) for end in ends]
    except (ValueError, OverflowError):
        ends = []
    if not ends or not EARLIEST <= ends[0] <= ends[1] <= datetime.now(UTC) + CLOCKS:
        raise metadata_error(path, f"{names} {first!r}, {last!r}")
    texts = [end.isoformat(timespec="milliseconds").replace("+00:00", "Z") for end in ends]
    return Taken(texts[0], texts[1], path.name)
