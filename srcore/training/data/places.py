"""Which place, or patient, a training file is of: what is seen in training is never what it is judged by."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from glob import escape
from pathlib import Path

import numpy as np

from srcore.errors import SourceError
from srcore.storage.whole_images import ENDINGS
from srcore.training.config import Source, TrainConfig, data_folder
from srcore.training.data.pairs import images_of


def place_of(path: Path, folder: Path, pattern: str) -> str:
    """The first group of `pattern` (or all of it) in the path below `folder` without suffix; SourceError without it."""
    name = _bare(path, folder)
    place = named_place(path, folder, pattern)
    if not place:
        raise SourceError(f"{path.name} is of no place", f"`place` does not match {name}", "correct it in the recipe")
    return place


def named_place(path: Path, folder: Path, pattern: str) -> str | None:
    """As `place_of`; None where the pattern does not match."""
    found = re.search(pattern, _bare(path, folder))
    return (found and (found[1] if found.re.groups else found[0])) or None


def _bare(path: Path, folder: Path) -> str:
    """The path below the folder, without suffix."""
    name = path.relative_to(folder).as_posix()
    suffix = max((one for one in ENDINGS if name.lower().endswith(one)), key=len, default="")
    return name[: len(name) - len(suffix)]


def places_of(config: TrainConfig) -> dict[str, dict[Path, Source]]:
    """All training files of the recipe under their places, in the order of its sources."""
    folder = data_folder(config.data)
    places: dict[str, dict[Path, Source]] = {}
    for source in config.sources:
        for path in images_of(source, folder):
            places.setdefault(place_of(path, folder, config.place), {})[path] = source
    return places


def held_files(config: TrainConfig) -> dict[Path, Path | None]:
    """The files of the places that the recipe holds out, each with the folder of its measured LR (None: made).

    SourceError when it holds out a place that is not there.
    """
    if not config.held_out:
        return {}
    folder, places = data_folder(config.data), places_of(config)
    if absent := sorted({*config.held_out} - {*places}):
        raise SourceError(f"no file is of the place {absent[0]}", _some(places), "correct `held_out` or `place`")
    return {
        path: None if source.lr is None else folder / source.lr
        for place in config.held_out
        for path, source in places[place].items()
    }


def held_sources(config: TrainConfig) -> list[Source]:
    """Those files, each as a source of its own."""
    folder = data_folder(config.data)
    return [
        Source(
            files=escape(path.relative_to(folder).as_posix()),
            share=1,
            lr=None if lr is None else lr.relative_to(folder).as_posix(),
        )
        for path, lr in held_files(config).items()
    ]


def deal(sources: Sequence[Mapping[str, int]], folds: int, seed: int) -> list[tuple[str, ...]]:
    """Places dealt to `folds`, each whole and to one; `sources` give the number of files of their places.

    Source by source in random order to the fold that has the fewest places of that source, then the fewest files: so
    each fold has a bit of everything, and none is empty. SourceError with fewer places than folds.
    """
    files: dict[str, int] = {}
    for source in sources:
        for place, count in source.items():
            files[place] = files.get(place, 0) + count
    if len(files) < folds:
        raise SourceError(
            f"too few places for {folds} folds",
            f"{len(files)}: {_some(files)}",
            "ask for fewer, or correct `place` in the recipe",
            code="TOO_FEW_PLACES",
        )
    rng = np.random.default_rng(seed)
    dealt: list[list[str]] = [[] for _ in range(folds)]
    for source in sources:
        left = sorted({*source} - {place for fold in dealt for place in fold})
        for index in rng.permutation(len(left)):
            dealt[_neediest(dealt, source, files)].append(left[index])
    return [tuple(sorted(fold)) for fold in dealt]


def _neediest(dealt: Sequence[Sequence[str]], source: Mapping[str, int], files: Mapping[str, int]) -> int:
    loads = [(sum(place in source for place in fold), sum(files[place] for place in fold)) for fold in dealt]
    return loads.index(min(loads))


def _some(places: Mapping[str, object]) -> str:
    names = sorted(places)
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
