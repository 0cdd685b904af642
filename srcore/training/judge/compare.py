"""Generators against each other and against interpolation, on scenes that none of them was trained on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats

from srcore.checkpoints import Spec
from srcore.checks.blocks import average_down
from srcore.checks.opensr import BORDER_PX, compare
from srcore.engine import Engine, choose_precision, gate
from srcore.engine.backends import Precision, installed
from srcore.engine.choice import Case, Trial, measure
from srcore.errors import CheckpointError, SourceError, TrainingError
from srcore.memory.whole import PUBLISHED, Form, open_whole
from srcore.metrics import spectral_angle
from srcore.models import Generator
from srcore.progress import Progress, silent
from srcore.radiometry import HIGH, LOW, fill_invalid
from srcore.report.evaluation import NAMES, Estimate, Evaluation, Figures, Method, SceneFigures, Speed
from srcore.training.judge.evaluate import (
    ImagePair,
    image_pair,
    images_in,
    interpolated,
    mean_quality,
    refuse_flat,
    restored,
)
from srcore.weights import load_generator

CONFIDENCE = 0.95
RESAMPLES = 9999
NO_BASIS = ("NO_CONTENT", "PAIR_TOO_SMALL")
"""Of scenes that have no PSNR: they are left out, and the others are judged."""
MOST_SPANS = 10.0
"""Numbers of an SR, in spans of its LR: a generator that has learned anything stays near 0 to 1."""
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


def refuse_diverged(candidate: Candidate) -> None:
    """TrainingError DIVERGED for a generator that makes NaN, or numbers far beyond its input, of a natural texture."""
    found = gate.largest(candidate.generator)
    if not found <= MOST_SPANS:
        raise TrainingError(
            f"the {candidate.name} diverged",
            f"numbers up to {found:g} spans of its input",
            "lower learning_rate in the recipe, or look at the pairs",
            code="DIVERGED",
        )


def evaluate_candidates(
    candidates: Sequence[Candidate],
    data: Path,
    lr: Path | None = None,
    form: Form = PUBLISHED,
    progress: Progress = silent,
    *,
    timed: bool = True,
) -> Evaluation:
    """Every candidate on all HR images below `data`; LR is made by antialiased bicubic, or lies in `lr` by name.

    What is judged is what a run publishes in that `form`. Scenes without a basis for PSNR are left out, and told.
    SourceError when there is no other image, or when an LR does not belong to its HR.
    """
    plain = "trilinear" if candidates[0].generator.axes == 3 else "bicubic"
    engines = {one.name: open_whole(one.spec, one.generator, form.precision) for one in candidates}
    paths = images_in(data, candidates[0].generator.axes)
    scenes: list[SceneFigures] = []
    left_out: dict[str, str] = {}
    for index, path in enumerate(paths):
        try:
            pair = image_pair(path, engines[candidates[0].name], form.treatment, lr, data)
            refuse_flat(path.name, pair)
            scenes.append(_scene(path, pair, engines, form, plain))
        except SourceError as error:
            if error.code not in NO_BASIS:
                raise
            left_out[path.name] = str(error)
            if len(left_out) == len(paths):
                raise
        progress(index + 1, len(paths))
    methods = [Method(plain), *(_method(one, engines[one.name].precision, timed) for one in candidates)]
    told = "LR as measured." if lr else f"LR = HR shrunk by antialiased {'cubic' if plain == 'trilinear' else plain}."
    judged = " / ".join(dict.fromkeys(str(form.of(one.spec)) for one in candidates))
    return replace(summarised((str(data), told, judged), methods, scenes), left_out=left_out)


def summarised(told: tuple[str, str, str], methods: Sequence[Method], scenes: Sequence[SceneFigures]) -> Evaluation:
    """Means, gains and their intervals over the scenes: of all methods over the first, of the last over all.

    `told`: which scenes, how their LR came about, what was made of it.
    """
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
    return Evaluation(*told, tuple(methods), tuple(scenes), means, gains, sensors)


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


def _scene(path: Path, pair: ImagePair, engines: Mapping[str, Engine], form: Form, plain: str) -> SceneFigures:
    scales = next(iter(engines.values())).spec.scale
    ways = {plain: interpolated(pair.lr, scales)}
    ways |= {name: restored(engine, pair.lr, form.treatment) for name, engine in engines.items()}
    by = {name: _figures(pair, sr, scales) for name, sr in ways.items()}
    return SceneFigures(path.name, path.name.split("_")[0], by)


def _figures(pair: ImagePair, sr: NDArray[Any], scales: Sequence[int]) -> Figures:
    """Means over the bands; the opensr-test figures of all bands together, where they are no slices."""
    means = (*mean_quality(pair, sr, scales), *averaged_off(pair.hr, sr, pair.lr.values.shape))
    if sr.ndim == 4 or min(sr.shape[-2:]) <= 3 * BORDER_PX:
        return Figures(*means)
    lr = fill_invalid(pair.lr.values, pair.lr.valid)
    return Figures(*means, **asdict(compare(lr, sr, pair.hr)))


def averaged_off(hr: NDArray[Any], sr: NDArray[Any], shape: Sequence[int]) -> tuple[float, float]:
    """How far sr is from hr (C, ..., Y, X) where both are averaged down to the LR's `shape`.

    Mean difference in spans of the bands, and mean angle between their spectra in degrees. Not against the LR: the true
    HR differs from that as well, by the blur of the sensor, and a generator that takes the blur away must not be told
    to be worse by it.
    """
    scale = tuple(fine // coarse for fine, coarse in zip(hr.shape[1:], shape[1:], strict=True))
    truth, found = (average_down(values, scale) for values in (hr, sr))
    axes = tuple(range(1, hr.ndim))
    low, high = np.percentile(hr, (LOW, HIGH), axis=axes)
    span = np.where(high > low, high - low, 1.0)
    off = np.abs(found - truth).mean(axis=axes) / span
    return float(off.mean()), spectral_angle(truth, found)


def _method(candidate: Candidate, precision: str, timed: bool) -> Method:
    count = sum(parameter.numel() for parameter in candidate.generator.parameters())
    return Method(candidate.name, candidate.spec.digest, count, precision, speed(candidate) if timed else None)


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
