"""Generators against each other and against interpolation, on scenes that none of them was trained on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats

from srcore.checkpoints import Spec
from srcore.checks.opensr import BORDER_PX, compare
from srcore.engine import choose_precision
from srcore.engine.backends import Precision, installed
from srcore.engine.choice import Case, Trial, measure
from srcore.errors import CheckpointError, SourceError
from srcore.models import Generator
from srcore.progress import Progress, silent
from srcore.report.evaluation import NAMES, Estimate, Evaluation, Figures, Method, SceneFigures, Speed
from srcore.storage.whole_images import read_bands
from srcore.training.data.pairs import measured_lr
from srcore.training.judge.evaluate import (
    filled,
    groups_of,
    images_in,
    interpolated,
    quality,
    reduced,
    restore,
    whole_pixels,
)
from srcore.weights import load_generator

CONFIDENCE = 0.95
RESAMPLES = 9999
SPEED_CORE_PX = {2: 256, 3: 32}
"""Sides of the timed tiles, by the axes of the generator."""


@dataclass(frozen=True)
class Candidate:
    """A generator under the name that the tables give it."""

    name: str
    spec: Spec
    generator: Generator


def load_candidates(folders: Mapping[str, Path]) -> list[Candidate]:
    """The checkpoints by their references; CheckpointError unless all have the same axes, scale and bands."""
    found = [Candidate(name, *load_generator(folder)) for name, folder in folders.items()]
    for other in found[1:]:
        for what in ("scale", "bands"):
            ours, theirs = getattr(found[0].spec, what), getattr(other.spec, what)
            if ours != theirs:
                raise CheckpointError(
                    f"{found[0].name} and {other.name} cannot be compared: another {what}",
                    f"{ours} and {theirs}",
                    "compare models of one kind",
                )
    return found


def evaluate_candidates(
    candidates: Sequence[Candidate],
    data: Path,
    lr: Path | None = None,
    *,
    timed: bool = True,
    progress: Progress = silent,
) -> Evaluation:
    """Every candidate on all HR images below `data`; LR is made by antialiased bicubic, or lies in `lr` by name.

    SourceError when there is no image, or when an LR does not belong to its HR.
    """
    plain = "trilinear" if candidates[0].generator.axes == 3 else "bicubic"
    paths = images_in(data, candidates[0].generator.axes)
    scenes = []
    for index, path in enumerate(paths):
        scenes.append(_scene(path, candidates, lr, plain))
        progress(index + 1, len(paths))
    methods = [Method(plain), *(_method(one, timed) for one in candidates)]
    told = "LR as measured." if lr else f"LR = HR shrunk by antialiased {'cubic' if plain == 'trilinear' else plain}."
    return summarised(str(data), told, methods, scenes)


def summarised(data: str, lr: str, methods: Sequence[Method], scenes: Sequence[SceneFigures]) -> Evaluation:
    """Means, gains and their intervals over the scenes: of all methods over the first, of the last over all."""
    names = [method.name for method in methods]
    means = {name: {figure: mean for figure in NAMES if (mean := _mean(scenes, name, figure))} for name in names}
    pairs = {
        f"{better} over {worse}": (better, worse)
        for worse, better in combinations(names, 2)
        if worse == names[0] or better == names[-1]
    }
    gains = {pair: estimate(_differences(scenes, *both)) for pair, both in pairs.items()}
    sensors = {
        sensor: {
            pair: fmean(_differences([one for one in scenes if one.sensor == sensor], *both))
            for pair, both in pairs.items()
        }
        for sensor in sorted({one.sensor for one in scenes})
    }
    return Evaluation(data, lr, tuple(methods), tuple(scenes), means, gains, sensors)


def estimate(values: Sequence[float]) -> Estimate:
    """The mean of one value a scene, with its confidence interval by bootstrap; always the same for the same values."""
    mean = fmean(values)
    if len(values) < 2:
        return Estimate(mean, mean, mean, len(values))
    found = stats.bootstrap(
        (np.asarray(values),),
        np.mean,
        confidence_level=CONFIDENCE,
        n_resamples=RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return Estimate(mean, float(found.low), float(found.high), len(values))


def _mean(scenes: Iterable[SceneFigures], method: str, figure: str) -> Estimate | None:
    values = [value for one in scenes if (value := getattr(one.by[method], figure)) is not None]
    return estimate(values) if values else None


def _differences(scenes: Sequence[SceneFigures], better: str, worse: str) -> list[float]:
    return [one.by[better].psnr - one.by[worse].psnr for one in scenes]


def _scene(path: Path, candidates: Sequence[Candidate], lr_folder: Path | None, plain: str) -> SceneFigures:
    bands, first = read_bands(path), candidates[0].generator
    together, scales = first.bands, first.scales
    if together > 1 and len(bands) != together:
        raise SourceError(
            f"{path.name} does not have the model's bands",
            f"{len(bands)}, the model has {together}",
            "give images with these bands",
        )
    if lr_folder is None:
        hr = groups_of(whole_pixels(filled(bands), scales), together)
        lr = [reduced(group, scales) for group in hr]
    else:
        hr = groups_of(filled(bands), together)
        lr = groups_of(filled(measured_lr(path, lr_folder, bands, scales)), together)
    ways = {plain: [interpolated(group, scales) for group in lr]}
    ways |= {one.name: [restore(group, one.generator) for group in lr] for one in candidates}
    slices = bands.ndim == 4
    by = {name: _figures(hr, lr, sr, scales, slices) for name, sr in ways.items()}
    return SceneFigures(path.name, path.name.split("_")[0], by)


def _figures(
    hr: Sequence[NDArray[Any]],
    lr: Sequence[NDArray[Any]],
    sr: Sequence[NDArray[Any]],
    scales: Sequence[int],
    slices: bool,
) -> Figures:
    """Means over the groups of bands; the opensr-test figures of all bands together, where they are no slices."""
    pairs = [quality(a, b, scales) for a, b in zip(hr, sr, strict=True)]
    means = [fmean(column) for column in zip(*pairs, strict=True)]
    if slices or min(hr[0].shape[-2:]) <= 3 * BORDER_PX:
        return Figures(*means)
    detail = compare(*(np.concatenate(groups) for groups in (lr, sr, hr)))
    return Figures(*means, **asdict(detail))


def _method(candidate: Candidate, timed: bool) -> Method:
    count = sum(parameter.numel() for parameter in candidate.generator.parameters())
    return Method(candidate.name, candidate.spec.digest, count, speed(candidate) if timed else None)


def speed(candidate: Candidate) -> Speed:
    """Of one thread on tiles with a core of SPEED_CORE_PX, by the backend that would be taken for a small scene."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        trial, precision = _timed(candidate, choose_precision("auto", candidate.spec, torch.device("cpu")))
        if trial.lr_mpx_s is None:  # not exact enough in bfloat16
            trial, precision = _timed(candidate, "float32")
    finally:
        torch.set_num_threads(threads)
    return Speed(trial.lr_mpx_s or 0.0, trial.backend, precision)


def _timed(candidate: Candidate, precision: Precision) -> tuple[Trial, Precision]:
    generator, device = candidate.generator, torch.device("cpu")
    tile = (SPEED_CORE_PX[generator.axes] + 2 * generator.halo,) * generator.axes
    case = Case(candidate.spec, generator, device, precision, tile)
    [trial] = measure(case, installed(generator, device, precision)[:1])
    return trial, precision
