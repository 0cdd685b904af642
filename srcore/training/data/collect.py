"""COLLECT: pairs for a retraining out of a dataset of the catalog, split by place into trained on and held out.

    pairs/train/new/hr/SCENE.tif    what the challenger learns     pairs/train/new/lr/SCENE.tif    its measured LR
    pairs/train/known/hr/SCENE.tif  what the champion has learned  pairs/train/known/lr/SCENE.tif
    pairs/held/hr/SCENE.tif         what both are judged by         pairs/held/lr/SCENE.tif

A dataset with `hr`, or with another dataset in `pairs`, gives measured pairs, which are checked (`training.pairs`); one
without gives its own scenes as HR, which training shrinks. Of a large
scene one window is taken. Which places are held out is decided once and remembered (`data.split`): what a model is
judged by was never trained on, in this run or an earlier one. A scene that cannot be used is left out, with the
reason: it stops no round.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srcore.catalog.dataset import Dataset
from srcore.catalog.learning import Retrain
from srcore.errors import GridError, SourceError, SRError
from srcore.progress import Progress
from srcore.storage.archive.pairs import require_arrays
from srcore.storage.disk.veil import nameless
from srcore.storage.product import archive_ending
from srcore.storage.scene import open_scene
from srcore.storage.whole_images import write_bands
from srcore.training.data.places import named_place
from srcore.training.data.sealed import read_split, write_split
from srcore.training.data.split import Member, Place, assign, ground_of
from srcore.training.pairs.facts import facts_of
from srcore.training.pairs.find import Facts, Pair, Sources, find_sources, header_of, hr_header_of
from srcore.training.pairs.measure import Pixels, clear_window, measure, same_scene, thumbnail

log = logging.getLogger(__name__)

TRAIN, KNOWN, NEW = "train", "train/known", "train/new"
LEAST = 2
"""Scenes to train on, and scenes to judge by."""
WINDOW_HR_PX = 2048
"""Of a scene, on each axis of a slice: what is trained on has to fit in memory."""


@dataclass(frozen=True)
class Collected:
    """What became of the pairs of a round."""

    left_out: Mapping[str, str]
    """Scene to the reason why it takes no part."""
    corrected: Mapping[str, str]
    """Scene to what was moved, fitted, cropped or assumed of its HR."""


@dataclass(frozen=True)
class Found:
    """What a dataset has for a round."""

    pairs: tuple[Pair, ...]
    left_out: Mapping[str, str]
    """Scene to the reason why it takes no part."""


def find_pairs(
    entry: Dataset, base: Path, split: Path, other: Dataset | None = None, stored: Sources | None = None
) -> Found:
    """The held-out pairs of a dataset and its newest others, by scene; `split` remembers the sides, and is written.

    `other` is the dataset that its key `pairs` names; `stored`: pairs that were collected, in place of its files.
    SourceError RESTRICTED for private ones, TOO_FEW_PAIRS when there
    are not LEAST to train on and LEAST to judge by: then nothing is remembered; HELD_CHANGED or LEAKED for what would
    make the judges unfair.
    """
    settings = entry.retrain
    if settings is None:
        raise SourceError("the dataset has no key 'retrain'", "", "add it to the catalog, perhaps empty: retrain: {}")
    sources = stored or find_sources(entry, base, other)
    known, digests = read_split(split, hidden=entry.hides_names)
    pairs = _chosen(sources.pairs, {scene for scene, one in known.items() if one.held}, settings.scenes)
    _refuse_fewer(entry, len(pairs))
    members, seasons, left_out = _members(entry, settings, pairs, digests.of)
    found = assign(members, known, settings.hold_out)
    left_out |= {**found.left_out, **sources.left_out}
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


def _refuse_fewer(entry: Dataset, count: int) -> None:
    """SourceError TOO_FEW_PAIRS where even all together are too few."""
    if count < 2 * LEAST:
        with_hr = " with an HR" if entry.measured else ""
        raise SourceError(
            "too few pairs to retrain on",
            f"{count} scenes{with_hr}",
            f"{2 * LEAST} are the least: {LEAST} to train on, {LEAST} to judge by",
            code="TOO_FEW_PAIRS",
        )


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


def _chosen(usable: Sequence[Pair], held: set[str], most: int) -> list[Pair]:
    """The newest, and those that judge: what models are judged by does not change by what arrives."""
    newest = sorted(usable, key=lambda one: -one.mtime_ns)
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
            if pair.kept:
                facts, files = pair.kept.facts, pair.kept.files
            else:
                facts, files = nameless(pair.telling, partial(_looked_at, entry, pair, digests))
            seasons[pair.scene] = facts.season
            members[pair.scene] = Member(_place(facts, settings.place), files)
        except SRError as error:
            left_out[pair.scene] = f"{error.code}: {error}"
    return members, seasons, left_out


def _looked_at(
    entry: Dataset, pair: Pair, digests: Callable[[Sequence[Path]], tuple[str, ...]]
) -> tuple[Facts, tuple[str, ...]]:
    header = header_of(entry, pair)
    if pair.measured:
        hr_header_of(entry, pair, header)
    return facts_of(header, pair, entry), digests(pair.files)


def _place(facts: Facts, pattern: str | None) -> Place | None:
    """Where the scene lies; else what its path says of it; None: nowhere that is known."""
    if facts.box is not None:
        return ground_of(facts.box)
    if facts.place or not facts.below:
        return facts.place or None
    return None if pattern is None else named_place(Path(facts.below), Path(), pattern)


def collect(
    entry: Dataset,
    pairs: Sequence[Pair],
    scale: Sequence[int],
    folder: Path,
    progress: Progress,
    *,
    learnable: Callable[[Path], None] = lambda hr: None,
    judgeable: Callable[[str, Sequence[int]], None] = lambda scene, shape: None,
    known: Collection[str] = (),
) -> Collected:
    """Write the pairs below `folder`; gives those that were left out, with the reason, and what was corrected.

    `known`: scenes that earlier rounds have learned from; they lie apart, so that a training can mix them in.

    Left out are measured pairs that `pairs.check` refuses, those that hold nothing to learn or to judge by, scenes that
    show what another one shows (who judges comes first), those to train on for whose written HR `learnable` raises
    SourceError, and those to judge by for whose name and shape of the HR `judgeable` does.
    """
    left_out: dict[str, str] = {}
    corrected: dict[str, str] = {}
    seen: dict[str, NDArray[np.float64]] = {}
    for index, pair in enumerate(sorted(pairs, key=lambda one: not one.held)):
        side = folder / ("held" if pair.held else KNOWN if pair.scene in known else NEW)
        name = f"{pair.scene}{archive_ending('cog' if entry.kind == 'raster' else 'nifti')}"
        try:
            parts, notes = nameless(pair.telling, partial(_read, entry, pair, scale))
            for part, (values, valid) in parts.items():
                refuse_empty(pair.scene, part, values, valid)
                write_bands(side / part / name, values, valid)
            seen[pair.scene] = _refuse_seen(pair.scene, seen, values, valid)
            if pair.held:
                judgeable(pair.scene, values.shape[1:])
            else:
                learnable(side / "hr" / name)
            corrected |= {pair.scene: "; ".join(notes)} if notes else {}
        except (SourceError, GridError) as error:
            left_out[pair.scene] = f"{error.code}: {error}"
            log.warning("%s is left out: %s", pair.scene, error)
            seen.pop(pair.scene, None)
            for part in ("lr", "hr"):
                (side / part / name).unlink(missing_ok=True)
        progress(index + 1, len(pairs))
    return Collected(left_out, corrected)


def _read(entry: Dataset, pair: Pair, scale: Sequence[int]) -> tuple[dict[str, Pixels], tuple[str, ...]]:
    """Values and validity of the window of its LR, where that is measured, and of its HR, as corrected; and how."""
    if pair.kept:
        return _parts(require_arrays(pair.kept.folder, pair.kept.digest)), pair.kept.notes
    if not pair.measured:
        lr = header_of(entry, pair)
        with open_scene(lr) as reader:
            whole = tuple(slice(0, size) for size in lr.grid.shape)
            return {"hr": reader.read(clear_window(reader, whole, [WINDOW_HR_PX] * 2))}, ()
    found = measure(entry, pair, scale, WINDOW_HR_PX)
    if found.refusal is not None:
        raise GridError(f"{pair.scene} is no pair", found.refusal.what, "leave it out", code=found.refusal.code)
    one = found.sample
    return {"lr": (one.lr, one.lr_valid), "hr": (one.hr, one.hr_valid)}, found.notes


def _parts(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Pixels]:
    """LR, where it was measured, and HR of a collected pair."""
    return {part: (arrays[part], arrays[f"{part}_valid"]) for part in ("lr", "hr") if part in arrays}


def _refuse_seen(
    scene: str, seen: Mapping[str, NDArray[np.float64]], values: NDArray[np.generic], valid: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """The thumbnail of an HR; GridError DUPLICATE when another scene has the same."""
    own = thumbnail(values, valid)
    other = next((name for name, one in seen.items() if same_scene(own, one)), None)
    if other is not None:
        raise GridError(f"{scene} shows what {other} shows", "", "leave one of them out", code="DUPLICATE")
    return own


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
