"""Where pairs come from: a folder of HR with the scenes' names, another dataset or a search of the same ground and
time, or the scenes themselves, which are shrunk then."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from srcore.catalog import Catalog
from srcore.catalog.dataset import Dataset
from srcore.catalog.elsewhere import Narrowed, Stac
from srcore.errors import SourceError, SRError
from srcore.storage.archive.sources import Scene, find_hr, find_scenes
from srcore.storage.dates.moment import written
from srcore.storage.dates.tags import FILE_TIME
from srcore.storage.dates.taken import dated
from srcore.storage.dicom.files import dicom_files, is_dicom
from srcore.storage.disk.veil import nameless, telling, veiled_path, without_names
from srcore.storage.disk.watch import Stamp, stamp
from srcore.storage.header import Header, Taken
from srcore.storage.providers.find import members
from srcore.storage.scene import read_header
from srcore.storage.stac.footprint import fitted, footprint

LEAST_OVERLAP = 0.25
"""Share of the smaller outline's box that two scenes of one ground have in common."""
DAY_SECONDS = 86400.0
CENTURY_DAYS = 36525
UNSAID = re.compile(r"band \d+")
"""Name of a band of which the file says none: the first of three is not the only one of another file."""
Box = Sequence[float]
"""West, south, east, north in degrees."""


@dataclass(frozen=True)
class Facts:
    """What a split asks of a scene; plain values, as a collected pair keeps them."""

    box: tuple[float, ...] | None
    """West, south, east, north of the whole scene in degrees; None where nothing places it."""
    below: str
    """Path of its first file below the source; '' of a private scene."""
    season: str
    """'' where nothing says it."""
    place: str = ""
    """Of a private scene: a keyed hash of what `place` of `retrain` finds in its path; '' where that finds nothing."""


@dataclass(frozen=True)
class Kept:
    """A pair that was collected: all that is needed of it lies in the store."""

    facts: Facts
    files: tuple[str, ...]
    """sha256 of the files that it was made of, LR first."""
    folder: Path
    digest: str
    """Of its arrays."""
    mtime_ns: int
    """Of the newest of its LR's files, when it was collected."""
    notes: tuple[str, ...] = ()
    """What was corrected."""


@dataclass(frozen=True)
class Pair:
    """A scene that can be learned from."""

    scene: str
    paths: tuple[Path, ...]
    """Of the measured LR; of the HR itself where there is no other."""
    hr: tuple[Path, ...]
    hr_roots: tuple[Path, ...]
    bands: tuple[str, ...] | None
    roots: tuple[Path, ...]
    held: bool = False
    place: str = ""
    """Of a held-out scene: its name is that of all scenes of the place."""
    season: str = ""
    """Months in which it was taken, as 'Jun to Aug'; '' where nothing says it."""
    hr_bands: tuple[str, ...] | None = None
    """Those that show what `bands` show; None: those of the same names, or all."""
    hr_entry: Dataset | None = None
    """The dataset that its HR is a scene of; None: a folder has it."""
    kept: Kept | None = None
    """Where it is taken from; None: from its files, which a kept one does not need any more."""
    private: bool = False
    """True where nothing may name its files: they may tell of a patient."""

    @property
    def files(self) -> tuple[Path, ...]:
        """LR, then HR."""
        return (*files_of(self.paths), *files_of(self.hr))

    @property
    def telling(self) -> tuple[Path, ...]:
        """Paths that no message of a private pair may hold."""
        own = (*self.paths, *self.hr, *self.files)
        return telling(own, (*self.roots, *self.hr_roots)) if self.private else ()

    @property
    def stamps(self) -> list[Stamp]:
        """Its files as they are now; of a private one hashes stand for their paths."""
        return self._stamps(self.files)

    @property
    def mtime_ns(self) -> int:
        """When the newest of its LR's files changed."""
        return self.kept.mtime_ns if self.kept else max(one.mtime_ns for one in self._stamps(files_of(self.paths)))

    def _stamps(self, files: Sequence[Path]) -> list[Stamp]:
        found = nameless(self.telling, lambda: [stamp(path) for path in files])
        return [replace(one, path=veiled_path(one.path)) for one in found] if self.private else found

    @property
    def state(self) -> list[Any]:
        """Plain values that are others when the pair is: its digest, or size and time of its files."""
        return [self.kept.digest] if self.kept else [list(astuple(one)) for one in self.stamps]

    @property
    def measured(self) -> bool:
        """False where the scene itself is the HR."""
        return bool(self.hr)


@dataclass(frozen=True)
class Sources:
    """What a dataset has."""

    pairs: tuple[Pair, ...]
    left_out: Mapping[str, str]
    """Scene to the reason why it has no HR."""


def files_of(paths: Sequence[Path]) -> tuple[Path, ...]:
    """The files of a scene: of a folder, a DICOM series or a provider's product, all in it."""
    found: list[Path] = []
    for path in paths:
        inside = () if not path.is_dir() else dicom_files([path]) if is_dicom(path) else members(path)
        found += inside or (path,)
    return tuple(found)


def refuse_restricted(entry: Dataset, name: str) -> None:
    """SourceError RESTRICTED for a dataset that nothing may be learned from."""
    if not entry.may_teach:
        found = (
            f"privacy: {entry.privacy}" if entry.says_privacy else "volumes, which are private where nothing is said"
        )
        do = "take pairs of a public dataset, which `privacy: public` says that it is; volumes: `release` with a reason"
        raise SourceError(f"nothing is learned from {name}", found, do, code="RESTRICTED")


def find_sources(entry: Dataset, base: Path, other: Dataset | None = None) -> Sources:
    """All pairs of a dataset by names, headers and dates; `other` is whose scenes its key `pairs` has for HR.

    SourceError RESTRICTED when one of the two is private and not released.
    """
    refuse_restricted(entry, "the dataset")
    scenes = find_scenes(entry, base)
    if other is not None:
        refuse_restricted(other, "the dataset of the HR")
        return _of_two(entry, scenes, other, base)
    hr = find_hr(entry, base)
    out = {one.id: "no HR has its name" for one in scenes if entry.hr is not None and one.name not in hr}
    return Sources(tuple(_pair(entry, one, hr.get(one.name)) for one in scenes if one.id not in out), out)


def of_catalog(catalog: Catalog, name: str) -> Sources:
    """All pairs of a dataset of the catalog."""
    return find_sources(catalog.dataset(name), catalog.base, catalog.hr_of(name))


def _pair(entry: Dataset, scene: Scene, hr: Scene | None, hr_entry: Dataset | None = None) -> Pair:
    paths, roots = (hr.paths, hr.roots) if hr else ((), ())
    told = entry.pairs.bands if entry.pairs and hr else None
    bands = (tuple(told), tuple(told.values())) if told else (scene.bands, hr.bands if hr else None)
    made = Pair(scene.id, scene.paths, paths, roots, bands[0], scene.roots, hr_bands=bands[1], hr_entry=hr_entry)
    return replace(made, private=scene.private or (hr is not None and hr.private))


def header_of(entry: Dataset, pair: Pair) -> Header:
    """The LR's (of a scene without a measured one: its own)."""
    return _teaching(
        read_header(pair.paths, entry.kind, bands=pair.bands, roots=pair.roots, **entry.treatment.of_files)
    )


def _teaching(header: Header) -> Header:
    """The same; SourceError RESTRICTED for pixels that say that they hold text, which a model might learn."""
    if header.extra.get("burnt_in"):
        do = "leave the scene out: `exclude`"
        raise SourceError("nothing is learned from it", "BurnedInAnnotation YES", do, code="RESTRICTED")
    return header


def hr_header_of(entry: Dataset, pair: Pair, lr: Header) -> Header:
    """The measured HR's, with the bands of its LR where it has them by name: one that the file itself says."""
    told = pair.hr_entry.treatment.of_files if pair.hr_entry else {}
    header = _teaching(read_header(pair.hr, entry.kind, bands=pair.hr_bands, roots=pair.hr_roots, **told))
    names, wanted = [band.name for band in header.bands], [band.name for band in lr.bands]
    said = not any(UNSAID.fullmatch(name) for name in wanted)
    if pair.hr_bands is not None or names == wanted or not (said and set(wanted) <= set(names)):
        return header
    return read_header(pair.hr, entry.kind, bands=wanted, roots=pair.hr_roots, **told)


def taken_of(header: Header, date: str | None) -> Taken | None:
    """When a scene was taken; None where nothing that was there says it."""
    taken = dated(header, date).taken if header.kind == "raster" else None
    return None if taken is None or taken.source in ("", FILE_TIME) else taken


def days_apart(one: Taken | None, other: Taken | None) -> float | None:
    """Days between the nearest moments of two; None where one is not known."""
    if one is None or other is None:
        return None
    ends = [[datetime.fromisoformat(end) for end in (each.first, each.last)] for each in (one, other)]
    (a, b), (c, d) = ends
    return max(0.0, (c - b).total_seconds(), (a - d).total_seconds()) / DAY_SECONDS


@dataclass(frozen=True)
class _Placed:
    scene: Scene
    box: Box | None
    taken: Taken | None
    why: str = ""
    """Of a scene that cannot be read."""


def _of_two(entry: Dataset, scenes: Sequence[Scene], other: Dataset, base: Path) -> Sources:
    within = entry.pairs.within_days if entry.pairs else 0.0
    placed = [_placed(scene, entry) for scene in scenes]
    narrow = _narrowed(other, other.source, placed, within) if isinstance(other.source, Stac) else other
    there = find_scenes(narrow, base) if any(one.box for one in placed) else []
    candidates = [_said(one) or _placed(one, other) for one in there]
    pairs, out = [], {}
    for own in placed:
        hr, why = (None, own.why) if own.why else _nearest(own, candidates, within)
        if hr is None:
            out[own.scene.id] = why
        else:
            pairs.append(_pair(entry, own.scene, hr, other))
    return Sources(tuple(pairs), out)


def _narrowed(other: Dataset, source: Stac, placed: Sequence[_Placed], within_days: float) -> Dataset:
    """The same, whose search asks for the ground and the time of the LR where its own words leave them open."""
    boxes = [one.box for one in placed if one.box is not None]
    times = [one.taken for one in placed if one.box is not None]
    more: dict[str, Any] = {}
    if source.bbox is None and boxes and all(box[0] < box[2] for box in boxes):
        west, south, east, north = zip(*boxes, strict=True)
        more["bbox"] = (min(west), min(south), max(east), max(north))
    if source.datetime is None and times and None not in times and within_days < CENTURY_DAYS:
        ends = [datetime.fromisoformat(end) for one in times if one for end in (one.first, one.last)]
        around = timedelta(days=within_days)
        more["datetime"] = f"{written(min(ends) - around)}/{written(max(ends) + around)}"
    narrow = Narrowed.model_construct(**{**dict(source), **more}, whole=source)
    return other.model_copy(update={"source": narrow})


def _said(scene: Scene) -> _Placed | None:
    """By what its item says, so that only what is paired is fetched; None where that says no place."""
    if scene.box is None:
        return None
    first, last = scene.taken
    return _Placed(scene, scene.box, Taken(first, last, "its item") if first else None)


def _placed(scene: Scene, entry: Dataset) -> _Placed:
    try:
        header = read_header(scene.paths, entry.kind, roots=scene.roots, bands=scene.bands, **entry.treatment.of_files)
        grid = fitted(header.grid, header.gcps, header.gcps_crs) if header.lies_by_points else header.grid
        outline = footprint(grid) if header.kind == "raster" else None
        return _Placed(scene, outline.bbox if outline else None, taken_of(header, entry.date))
    except SRError as error:
        hidden = telling((*scene.paths, *files_of(scene.paths)), scene.roots) if scene.private else ()
        return _Placed(scene, None, None, f"{error.code}: {without_names(error, hidden)}")


def _nearest(own: _Placed, candidates: Sequence[_Placed], within_days: float) -> tuple[Scene | None, str]:
    """The HR nearest in time, of those the one that covers most, or the only one; and why there is none."""
    if own.box is None:
        return None, "it has no CRS: no HR can be found by its ground"
    there = [(one, share) for one in candidates if one.box and (share := overlap(own.box, one.box)) >= LEAST_OVERLAP]
    if not there:
        return None, f"none of {len(candidates)} HR scenes lies on its ground"
    known = [(days, -share, one) for one, share in there if (days := days_apart(own.taken, one.taken)) is not None]
    if not known and len(there) == 1:
        return there[0][0].scene, ""
    if not known:
        return None, f"{len(there)} HR scenes lie on its ground, and no date says which of them belongs to it"
    days, _, best = min(known, key=lambda row: row[:2])
    if days > within_days:
        return None, f"the nearest HR on its ground is {days:.1f} days away, {within_days:g} are the most"
    return best.scene, ""


def overlap(one: Box, other: Box) -> float:
    """Common part of two boxes over the smaller of them; east of 180 where west is east of east."""
    a, b = ([box[0], box[1], box[2] + 360 * (box[2] < box[0]), box[3]] for box in (one, other))
    shares = []
    for turn in (-360.0, 0.0, 360.0):
        wide = min(a[2], b[2] + turn) - max(a[0], b[0] + turn)
        high = min(a[3], b[3]) - max(a[1], b[1])
        shares.append(max(0.0, wide) * max(0.0, high))
    least = min((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return max(shares) / least if least > 0 else 0.0
