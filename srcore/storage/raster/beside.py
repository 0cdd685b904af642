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
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path

from srcore.errors import SourceError
from srcore.storage.disk.real_file import real_file


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


def find_beside(path: Path) -> Beside:
    """The files beside `path`, and where that is a link also those beside the file; none of them opened."""
    places = tuple(dict.fromkeys((path.absolute(), Path(os.path.realpath(path)))))
    return Beside(*(next(_there(places, kind), None) for kind in range(len(fields(Beside)))))


def with_its_neighbours(path: Path) -> Path:
    """The file that `path` leads to; the link itself where files lie beside it that do not lie beside the file."""
    real = Path(os.path.realpath(path))
    return path if path != real and set(neighbours([path])) - set(neighbours([real])) else real


def neighbours(paths: Iterable[Path]) -> tuple[Path, ...]:
    """All files beside some rasters, links followed: what may come, go or change, and with it the scene.

    None for a folder that cannot be listed: reading the scene says so.
    """
    found: dict[Path, None] = {}
    for path in paths:
        with suppress(SourceError):
            found |= dict.fromkeys(Path(os.path.realpath(near)) for near in find_beside(path).paths)
    return tuple(found)


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


def _there(places: Sequence[Path], kind: int) -> Iterator[Path]:
    """Files of a kind that are there, the first choice first."""
    for place in places:
        listing = _listing(place.parent, _changed(place.parent))
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


def _changed(folder: Path) -> int:
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return -1  # the listing fails, too


@lru_cache(maxsize=4)
def _listing(folder: Path, _changed: int) -> dict[str, tuple[str, ...]]:
    """Names in a folder by their lower case; remembered until the folder changes: an archive has one for thousands."""
    names: dict[str, tuple[str, ...]] = {}
    try:
        for path in folder.iterdir():
            names[path.name.casefold()] = (*names.get(path.name.casefold(), ()), path.name)
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
