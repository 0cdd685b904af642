"""COLLECT: pairs for a retraining out of a dataset of the catalog, split by place into trained on and held out.

    pairs/train/hr/SCENE.tif   what the challenger learns      pairs/train/lr/SCENE.tif   its measured LR, if any
    pairs/held/hr/SCENE.tif    what both models are judged by  pairs/held/lr/SCENE.tif

A dataset with `hr` gives measured pairs; one without gives its own scenes as HR, which training shrinks. Of a large
scene one window is taken. Which places are held out is decided once and remembered (`data.split`): what a model is
judged by was never trained on, in this run or an earlier one. A scene that cannot be used is left out, with the
reason: it stops no round.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from srcore.catalog import Dataset, Retrain
from srcore.errors import GridError, SourceError, SRError
from srcore.progress import Progress
from srcore.storage.archive.sources import Scene, find_hr, find_scenes
from srcore.storage.dates.taken import dated
from srcore.storage.disk.watch import Stamp, stamp
from srcore.storage.header import Header
from srcore.storage.product import archive_ending
from srcore.storage.scene import SceneReader, open_scene, read_header
from srcore.storage.stac.footprint import fitted, footprint
from srcore.storage.whole_images import write_bands
from srcore.training.data.places import named_place
from srcore.training.data.sealed import read_split, write_split
from srcore.training.data.split import Member, Place, assign, ground_of

log = logging.getLogger(__name__)

LEAST = 2
"""Scenes to train on, and scenes to judge by."""
WINDOW_HR_PX = 2048
"""Of a scene, on each axis of a slice: what is trained on has to fit in memory."""
SEASONS = ("Dec to Feb", "Mar to May", "Jun to Aug", "Sep to Nov")
CLEAR = 0.5
"""Share of valid pixels with which a window is taken at once."""


@dataclass(frozen=True)
class Pair:
    """A scene that can be learned from."""

    scene: str
    paths: tuple[Path, ...]
    """Of the measured LR; of the HR itself where there is no other."""
    hr: Path | None
    hr_roots: tuple[Path, ...]
    bands: tuple[str, ...] | None
    roots: tuple[Path, ...]
    held: bool = False
    place: str = ""
    """Of a held-out scene: its name is that of all scenes of the place."""
    season: str = ""
    """Months in which it was taken, as 'Jun to Aug'; '' where nothing says it."""

    @property
    def files(self) -> tuple[Path, ...]:
        """LR, then HR."""
        return (*self.paths, *((self.hr,) if self.hr else ()))

    @property
    def stamps(self) -> list[Stamp]:
        """Its files as they are now."""
        return [stamp(path) for path in self.files]


@dataclass(frozen=True)
class Found:
    """What a dataset has for a round."""

    pairs: tuple[Pair, ...]
    left_out: Mapping[str, str]
    """Scene to the reason why it takes no part."""


def find_pairs(entry: Dataset, base: Path, split: Path) -> Found:
    """The held-out pairs of a dataset and its newest others, by scene; `split` remembers the sides, and is written.

    SourceError TOO_FEW_PAIRS when there are not LEAST to train on and LEAST to judge by: then nothing is remembered.
    SourceError HELD_CHANGED or LEAKED for what would make the judges unfair.
    """
    settings = entry.retrain
    if settings is None:
        raise SourceError("the dataset has no key 'retrain'", "", "add it to the catalog, perhaps empty: retrain: {}")
    scenes, hr = find_scenes(entry, base), find_hr(entry, base)
    usable = [_pair(one, hr.get(one.id)) for one in scenes if entry.hr is None or one.id in hr]
    known, digests = read_split(split)
    pairs = _chosen(usable, {scene for scene, one in known.items() if one.held}, settings.scenes)
    if len(pairs) < 2 * LEAST:
        with_hr = " with an HR of the same name" if entry.hr else ""
        raise SourceError(
            "too few pairs to retrain on",
            f"{len(pairs)} scenes{with_hr}",
            f"{2 * LEAST} are the least: {LEAST} to train on, {LEAST} to judge by",
            code="TOO_FEW_PAIRS",
        )
    members, seasons, left_out = _members(entry, settings, pairs, digests.of)
    found = assign(members, known, settings.hold_out)
    left_out |= found.left_out
    sided = [
        replace(
            pair,
            held=found.scenes[pair.scene].held,
            place=found.places.get(pair.scene, ""),
            season=seasons[pair.scene],
        )
        for pair in pairs
        if pair.scene in found.scenes and pair.scene not in left_out
    ]
    refuse_few(sided, left_out, members)
    write_split(split, found, digests)
    for scene, why in sorted(left_out.items()):
        log.warning("%s is left out: %s", scene, why)
    return Found(tuple(sorted(sided, key=lambda pair: pair.scene)), left_out)


def refuse_few(pairs: Sequence[Pair], left_out: Mapping[str, str], members: Mapping[str, Member] | None = None) -> None:
    """SourceError TOO_FEW_PAIRS unless LEAST pairs train and LEAST judge."""
    placed = members is None or any(one.place is not None for one in members.values())
    for wanted, what in ((True, "to judge by"), (False, "to train on")):
        count = sum(pair.held is wanted for pair in pairs)
        if count < LEAST:
            first = [f"{scene}: {why}" for scene, why in sorted(left_out.items())[:1]]
            out = f"; left out: {len(left_out)}, first {first[0]}" if first else ""
            raise SourceError(
                f"too few pairs {what}",
                f"{count} of {len(pairs)}{out}",
                "add scenes, or change hold_out"
                if placed
                else "no scene has a CRS: say what of a file's path is its place, or patient, by `place` in retrain",
                code="TOO_FEW_PAIRS",
            )


def _pair(scene: Scene, hr: Scene | None) -> Pair:
    path, roots = (hr.paths[0], hr.roots) if hr else (None, ())
    return Pair(scene.id, scene.paths, path, roots, scene.bands, scene.roots)


def _chosen(usable: Sequence[Pair], held: set[str], most: int) -> list[Pair]:
    """The newest, and those that judge: what models are judged by does not change by what arrives."""
    newest = sorted(usable, key=lambda one: -max(stamp(path).mtime_ns for path in one.paths))
    return [pair for index, pair in enumerate(newest) if index < most or pair.scene in held]


def _members(
    entry: Dataset, settings: Retrain, pairs: Sequence[Pair], digests: Callable[[Sequence[Path]], tuple[str, ...]]
) -> tuple[dict[str, Member], dict[str, str], dict[str, str]]:
    """Places and digests of the scenes, and their seasons; and those whose files cannot be read, with the reason."""
    members: dict[str, Member] = {}
    seasons: dict[str, str] = {}
    left_out: dict[str, str] = {}
    for pair in pairs:
        try:
            header = _header(entry, pair)
            place, seasons[pair.scene] = _place(header, pair, settings.place), _season(header, entry.date)
            if pair.hr is not None:
                read_header([pair.hr], entry.kind, roots=pair.hr_roots)
            members[pair.scene] = Member(place, digests(pair.files))
        except SRError as error:
            left_out[pair.scene] = f"{error.code}: {error}"
    return members, seasons, left_out


def _season(header: Header, date: str | None) -> str:
    taken = dated(header, date).taken
    if taken is None or not taken.source:
        return ""
    return SEASONS[int(taken.first[5:7]) % 12 // 3]


def _header(entry: Dataset, pair: Pair) -> Header:
    return read_header(pair.paths, entry.kind, bands=pair.bands, roots=pair.roots, **entry.treatment.of_files)


def _place(header: Header, pair: Pair, pattern: str | None) -> Place | None:
    """Where the scene lies; else what its path says of it; None: nowhere that is known."""
    grid = fitted(header.grid, header.gcps, header.gcps_crs) if header.lies_by_points else header.grid
    outline = footprint(grid) if header.kind == "raster" else None
    if outline is not None:
        return ground_of(outline.bbox)
    path = pair.paths[0]
    folder = next((root for root in pair.roots if path.is_relative_to(root)), path.parent)
    return None if pattern is None else named_place(path, folder, pattern)


def collect(
    entry: Dataset,
    pairs: Sequence[Pair],
    scale: Sequence[int],
    folder: Path,
    progress: Progress,
    learnable: Callable[[Path], None] = lambda hr: None,
) -> dict[str, str]:
    """Write the pairs below `folder`; gives those that were left out, with the reason.

    Left out are those whose HR and LR do not fit, those that hold nothing to learn or to judge by, and those to train
    on for whose written HR `learnable` raises SourceError.
    """
    left_out: dict[str, str] = {}
    for index, pair in enumerate(pairs):
        side, name = folder / ("held" if pair.held else "train"), f"{pair.scene}{archive_ending(entry.kind)}"
        try:
            for part, (values, valid) in _read(entry, pair, scale).items():
                refuse_empty(pair.scene, part, values, valid)
                write_bands(side / part / name, values, valid)
            if not pair.held:
                learnable(side / "hr" / name)
        except (SourceError, GridError) as error:
            left_out[pair.scene] = f"{error.code}: {error}"
            log.warning("%s is left out: %s", pair.scene, error)
            for part in ("lr", "hr"):
                (side / part / name).unlink(missing_ok=True)
        progress(index + 1, len(pairs))
    return left_out


def _read(entry: Dataset, pair: Pair, scale: Sequence[int]) -> dict[str, tuple[NDArray[np.generic], NDArray[np.bool_]]]:
    """Values and validity of the window of its LR, where that is measured, and of its HR."""
    lr = _header(entry, pair)
    with ExitStack() as stack:
        reader = stack.enter_context(open_scene(lr))
        if pair.hr is None:
            return {"hr": reader.read(clear_window(reader, lr.grid.shape, [WINDOW_HR_PX] * 2))}
        hr = stack.enter_context(open_scene(fitting_hr(pair, lr, scale)))
        own = (1,) * (len(lr.grid.shape) - len(scale)) + tuple(scale)
        window = clear_window(reader, lr.grid.shape, [WINDOW_HR_PX // factor for factor in own[-2:]])
        fine = tuple(slice(one.start * factor, one.stop * factor) for one, factor in zip(window, own, strict=True))
        return {"lr": reader.read(window), "hr": hr.read(fine)}


def refuse_empty(scene: str, part: str, values: NDArray[np.generic], valid: NDArray[np.bool_]) -> None:
    """SourceError NO_CONTENT for pixels that are all nodata, or one number in every band."""
    if not valid.any():
        found = "nodata alone"
    elif all(not own.any() or np.ptp(band[own]) == 0 for band, own in zip(values, valid, strict=True)):
        found = "one number in every band"
    else:
        return
    what = f"the {part.upper()} of {scene} holds nothing to learn or to judge by"
    raise SourceError(what, found, "leave it out, by `exclude`", code="NO_CONTENT")


def fitting_hr(pair: Pair, lr: Header, scale: Sequence[int]) -> Header:
    """The header of the HR of a scene; GridError unless it has the LR's bands and `scale` times its pixels."""
    paths = [pair.hr] if pair.hr else []
    hr = read_header(paths, lr.kind, roots=pair.hr_roots)
    names = {band.name for band in hr.bands}
    if len(hr.bands) != len(lr.bands) and all(band.name in names for band in lr.bands):
        hr = read_header(paths, lr.kind, bands=[band.name for band in lr.bands], roots=pair.hr_roots)
    own = (1,) * (len(lr.grid.shape) - len(scale)) + tuple(scale)
    wanted = tuple(size * factor for size, factor in zip(lr.grid.shape, own, strict=True))
    if hr.grid.shape != wanted or len(hr.bands) != len(lr.bands):
        raise GridError(
            f"HR and LR of {pair.scene} do not belong together",
            f"HR {len(hr.bands)} bands of {_by(hr.grid.shape)}, LR {len(lr.bands)} of {_by(lr.grid.shape)}",
            f"the model's scale asks for an HR of {_by(wanted)}",
            code="BAD_PAIR",
        )
    return hr


def clear_window(reader: SceneReader, shape: Sequence[int], sides: Sequence[int]) -> tuple[slice, ...]:
    """A window of at most `sides` on the last two axes: the middle one where it is clear, else the clearest."""
    ends = [_starts(size, side) for size, side in zip(shape[-2:], sides, strict=True)]
    best: tuple[slice, ...] = ()
    most = -1.0
    for first in product(*ends):
        places = zip(first, shape[-2:], sides, strict=True)
        window = (*(slice(0, n) for n in shape[:-2]), *(slice(a, min(a + side, n)) for a, n, side in places))
        share = float(_valid(reader, window).mean())
        if share > most:
            best, most = window, share
        if share >= CLEAR:
            break
    return best


def _starts(size: int, side: int) -> list[int]:
    """Starts of windows along an axis, the middle one first."""
    if size <= side:
        return [0]
    return [(size - side) // 2, *range(0, size - side + 1, side)]


def _valid(reader: SceneReader, window: tuple[slice, ...]) -> NDArray[np.bool_]:
    return reader.read(window)[1]


def _by(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
