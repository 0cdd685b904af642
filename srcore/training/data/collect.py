"""COLLECT: pairs for a retraining out of a dataset of the catalog, split by scene into trained on and held out.

    pairs/train/hr/SCENE.tif   what the challenger learns      pairs/train/lr/SCENE.tif   its measured LR, if any
    pairs/held/hr/SCENE.tif    what both models are judged by  pairs/held/lr/SCENE.tif

A dataset with `hr` gives measured pairs; one without gives its own scenes as HR, which training shrinks. Of a large
scene one window is taken. Which scenes are held out is decided once and remembered: what a model is judged by was
never trained on, in this run or an earlier one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product
from math import ceil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from srcore.catalog import Dataset
from srcore.errors import GridError, SourceError, StoreError
from srcore.progress import Progress
from srcore.storage.archive.sources import Scene, find_hr, find_scenes
from srcore.storage.disk.records import read_sealed, write_sealed
from srcore.storage.disk.watch import Stamp, stamp
from srcore.storage.header import Header
from srcore.storage.product import archive_ending
from srcore.storage.scene import SceneReader, open_scene, read_header
from srcore.storage.whole_images import write_bands

LEAST = 2
"""Scenes to train on, and scenes to judge by."""
WINDOW_HR_PX = 2048
"""Of a scene, on each axis of a slice: what is trained on has to fit in memory."""
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
    held: bool

    @property
    def stamps(self) -> list[Stamp]:
        """Its files as they are now."""
        return [stamp(path) for path in (*self.paths, *((self.hr,) if self.hr else ()))]


def find_pairs(entry: Dataset, base: Path, split: Path) -> list[Pair]:
    """The newest pairs of a dataset, by scene; `split` remembers which are held out, and is written.

    SourceError TOO_FEW_PAIRS when there are not LEAST to train on and LEAST to judge by.
    """
    settings = entry.retrain
    if settings is None:
        raise SourceError("the dataset has no key 'retrain'", "", "add it to the catalog, perhaps empty: retrain: {}")
    scenes, hr = find_scenes(entry, base), find_hr(entry, base)
    usable = [one for one in scenes if entry.hr is None or one.id in hr]
    newest = sorted(usable, key=lambda one: -max(stamp(path).mtime_ns for path in one.paths))[: settings.scenes]
    if len(newest) < 2 * LEAST:
        with_hr = " with an HR of the same name" if entry.hr else ""
        raise SourceError(
            "too few pairs to retrain on",
            f"{len(newest)} scenes{with_hr}",
            f"{2 * LEAST} are the least: {LEAST} to train on, {LEAST} to judge by",
            code="TOO_FEW_PAIRS",
        )
    held = hold_out((one.id for one in newest), settings.hold_out, split)
    pairs = [_pair(one, hr.get(one.id), one.id in held) for one in newest]
    for wanted, what in ((True, "to judge by"), (False, "to train on")):
        if sum(pair.held is wanted for pair in pairs) < LEAST:
            raise SourceError(
                f"too few pairs {what}",
                f"{sum(pair.held is wanted for pair in pairs)} of {len(pairs)}",
                "add scenes, or change hold_out",
                code="TOO_FEW_PAIRS",
            )
    return sorted(pairs, key=lambda pair: pair.scene)


def _pair(scene: Scene, hr: Scene | None, held: bool) -> Pair:
    path, roots = (hr.paths[0], hr.roots) if hr else (None, ())
    return Pair(scene.id, scene.paths, path, roots, scene.bands, scene.roots, held)


def hold_out(scenes: Iterable[str], share: float, split: Path) -> set[str]:
    """Those of the scenes that are held out: for good, since what was trained on can judge nobody.

    New scenes come in the order of their names' digests, so that names and dates decide nothing.
    """
    known = _known(split)
    names = list(scenes)
    for scene in sorted((one for one in names if one not in known), key=_digest):
        wanted = max(LEAST, ceil(share * (len(known) + 1)))
        known[scene] = sum(known.values()) < wanted
    write_sealed(split, {"held": known})
    return {scene for scene in names if known[scene]}


def _known(split: Path) -> dict[str, bool]:
    """Scene to whether it is held out; empty before the first round."""
    if not split.exists():
        return {}
    try:
        found: dict[str, bool] = read_sealed(split)["held"]
    except (StoreError, KeyError) as error:
        raise StoreError(
            f"{split} is damaged",
            str(error),
            "restore it; without it, scenes are split anew, and some that were trained on would judge",
        ) from error
    return found


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def collect(entry: Dataset, pairs: Sequence[Pair], scale: Sequence[int], folder: Path, progress: Progress) -> None:
    """Write the pairs below `folder`. SourceError or GridError, naming the scene, where HR and LR do not fit."""
    for index, pair in enumerate(pairs):
        _collect(entry, pair, scale, folder / ("held" if pair.held else "train"))
        progress(index + 1, len(pairs))


def _collect(entry: Dataset, pair: Pair, scale: Sequence[int], folder: Path) -> None:
    lr = read_header(pair.paths, entry.kind, bands=pair.bands, roots=pair.roots, **entry.treatment.of_files)
    name = f"{pair.scene}{archive_ending(entry.kind)}"
    with ExitStack() as stack:
        reader = stack.enter_context(open_scene(lr))
        if pair.hr is None:
            values, valid = reader.read(clear_window(reader, lr.grid.shape, [WINDOW_HR_PX] * 2))
            write_bands(folder / "hr" / name, values, valid)
            return
        hr = stack.enter_context(open_scene(fitting_hr(pair, lr, scale)))
        own = (1,) * (len(lr.grid.shape) - len(scale)) + tuple(scale)
        window = clear_window(reader, lr.grid.shape, [WINDOW_HR_PX // factor for factor in own[-2:]])
        write_bands(folder / "lr" / name, *reader.read(window))
        fine = tuple(slice(one.start * factor, one.stop * factor) for one, factor in zip(window, own, strict=True))
        write_bands(folder / "hr" / name, *hr.read(fine))


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
