"""What lies beside a raster and says something of it, found by name; GDAL itself never sees the folder.

    scene.tif.msk       its mask
    scene.tif.aux.xml   GDAL's words on it: nodata, place, CRS, scale, offset, unit ...
    scene.tfw           its place: a world file (also .tifw, .wld)
    scene.prj           its CRS
    scene_RPC.TXT ...   its place in a form that is not read here
    scene.tif.ovr       overviews: never looked at

Upper and lower case do not count, as for GDAL. Where the scene is a link, both its folder and its file's are looked at.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path

from srcore.errors import SourceError
from srcore.storage.disk.real_file import real_file

_ENDINGS = (".msk", ".aux.xml", "w", ".wld", ".prj", "_rpc.txt", ".rpb", ".rpc", ".tab", ".aux")
"""Of all that `_names` gives: a world file ends in w, whatever it begins with."""


@dataclass(frozen=True)
class Beside:
    """The files beside a raster, by what they say."""

    mask: Path | None
    words: Path | None
    """The .aux.xml."""
    world: Path | None
    crs: Path | None
    rpc: Path | None
    other_place: Path | None
    """A MapInfo .tab or an Erdas .aux: place in a form that is not read here."""

    @property
    def paths(self) -> tuple[Path, ...]:
        """All of them."""
        found = (getattr(self, field.name) for field in fields(self))
        return tuple(path for path in found if path is not None)


_NOTHING = Beside(None, None, None, None, None, None)


def find_beside(path: Path) -> Beside:
    """The files beside `path`, and where that is a link also those beside the file; none of them opened."""
    return _beside(path, _real(path))


def _real(path: Path) -> Path:
    """Where a path leads; itself, not a copy, where it leads nowhere else."""
    real = os.path.realpath(path)
    return path if real == str(path) else Path(real)


def _beside(path: Path, real: Path) -> Beside:
    places = (path,) if real is path else dict.fromkeys((path.absolute(), real))
    listings = [(place, listing) for place in places if (listing := _near(place.parent))]
    if not listings:  # as in most folders: nothing there is beside anything
        return _NOTHING
    return Beside(*(next(_there(listings, kind), None) for kind in range(len(fields(Beside)))))


def with_its_neighbours(path: Path) -> Path:
    """The file that `path` leads to; the link itself where files lie beside it that do not lie beside the file."""
    real = _real(path)
    return path if path != real and set(neighbours([path])) - set(neighbours([real])) else real


def neighbours(paths: Iterable[Path]) -> tuple[Path, ...]:
    """All files beside some rasters, links followed: what may come, go or change, and with it the scene.

    None for a folder that cannot be listed: reading the scene says so.
    """
    return with_neighbours(paths)[1]


def with_neighbours(paths: Iterable[Path]) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """The files that some rasters' paths lead to, and `neighbours` of them."""
    real = [(path, _real(path)) for path in paths]
    found: dict[Path, None] = {}
    for path, leads_to in real:
        with suppress(SourceError):
            if (beside := _beside(path, leads_to)) is not _NOTHING:
                found |= dict.fromkeys(Path(os.path.realpath(near)) for near in beside.paths)
    return tuple(leads_to for _, leads_to in real), tuple(found)


def sidecar(path: Path, roots: Sequence[Path] | None) -> Path:
    """A file beside a raster as it may be read: regular, inside `roots`; SourceError otherwise.

    Code SIDECAR; OUTSIDE or NOT_READABLE where the fault lies in roots and rights, not in the file.
    """
    try:
        return real_file(path, roots)
    except SourceError as error:
        told = bad_sidecar(path, f"{error.what.removeprefix(f'{path}: ')}, {error.found}")
        told.code = error.code if error.code in ("OUTSIDE", "NOT_READABLE") else told.code
        raise told from error


def bad_sidecar(path: Path, found: str, do: str = "mend it, or take it away if it means nothing") -> SourceError:
    """The error for a file beside a raster that says what cannot be kept."""
    return SourceError(f"{path}: a file beside the raster that cannot be used", found, do, code="SIDECAR")


def _there(listings: Sequence[tuple[Path, Mapping[str, tuple[str, ...]]]], kind: int) -> Iterator[Path]:
    """Files of a kind that are there, the first choice first."""
    for place, listing in listings:
        for name in _names(place)[kind]:
            alike = sorted(listing.get(name.casefold(), ()))
            # Of two that differ in case alone, the one with the raster's own name.
            yield from (place.parent / one for one in sorted(alike, key=lambda one: not one.startswith(place.stem)))


def _names(path: Path) -> tuple[tuple[str, ...], ...]:
    """For each field of Beside, the names that it can have."""
    name, stem, suffix = path.name, path.stem, path.suffix.removeprefix(".")
    world = (f"{stem}.{suffix[0]}{suffix[-1]}w", f"{stem}.{suffix}w") if suffix else ()
    return (
        (f"{name}.msk",),
        (f"{name}.aux.xml",),
        (*world, f"{stem}.wld"),
        (f"{stem}.prj",),
        (f"{stem}_rpc.txt", f"{stem}.rpb", f"{stem}.rpc"),
        (f"{stem}.tab", f"{stem}.aux", f"{name}.aux"),
    )


def _near(folder: Path) -> Mapping[str, tuple[str, ...]]:
    try:
        changed_ns = folder.stat().st_mtime_ns
    except OSError:
        changed_ns = -1  # the listing fails, too
    return _listing(folder, changed_ns)


@lru_cache(maxsize=64)
def _listing(folder: Path, _changed_ns: int) -> Mapping[str, tuple[str, ...]]:
    """Names in a folder that can be beside a raster, by their lower case.

    Remembered until the folder changes: an archive has one for thousands.
    """
    names: dict[str, tuple[str, ...]] = {}
    try:
        for name in os.listdir(folder):
            if (low := name.casefold()).endswith(_ENDINGS):
                names[low] = (*names.get(low, ()), name)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise SourceError(
            f"{folder}: cannot be listed, and a mask or a place may lie beside the raster",
            (error.strerror or str(error)).lower(),
            "give the right to list it",
            code="NOT_READABLE",
        ) from error
    return names
