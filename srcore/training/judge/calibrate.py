"""Calibration of the trust map: how wide it must be to hold on scenes that training never saw."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.ma as ma
from numpy.typing import NDArray

from srcore.checkpoints import Spec
from srcore.engine import Engine, numbers_of, open_engine, self_ensemble_spread
from srcore.errors import CheckpointError, SourceError
from srcore.memory.whole import PUBLISHED
from srcore.radiometry import Normalisation, fill_invalid, percentile_normalisation
from srcore.storage.whole_images import images_below, read_bands
from srcore.training.judge.evaluate import shrink_planes
from srcore.trust import Trust, conformal_factor

SIDE_PX = 384
"""HR pixels on each side of what is looked at of a plane: its middle."""
PLANES = 3
"""Of a scene, evenly spread over its bands and slices."""
FLOOR = 0.005
"""Network values: half a percent of a band's span, about the noise of an 8-bit sensor."""
LEAST_SENSORS = 2

Scores = dict[str, list[NDArray[np.float32]]]
"""|HR - SR| / (spread + floor) of every plane, by sensor."""


def calibrate(model: Path, data: Path, coverage: float = 0.9) -> Trust:
    """The calibration of a checkpoint on all HR scenes below `data`, LR made by antialiased bicubic.

    Sensors (what stands before the first underscore of a file's name) count alike. What each is covered by when
    the others alone decide is what a user may expect of a sensor that was not there. SourceError with fewer than
    two, CheckpointError for a model without normalisation, for volumes, for many bands or with a grid of its own.
    """
    engine = open_engine(model, "cpu")
    _refuse_unfit(engine.spec)
    scores: Scores = {}
    paths = images_below(data)
    for path in paths:
        scores.setdefault(path.name.split("_")[0], []).extend(scores_of(path, engine, [data]))
    groups = {sensor: np.concatenate([plane.ravel() for plane in planes]) for sensor, planes in scores.items()}
    if len(groups) < LEAST_SENSORS:
        raise SourceError(
            "a calibration needs scenes of two sensors",
            f"{len(groups)} below {data}",
            "add scenes; what stands before the first underscore names the sensor",
        )
    found = sorted(left_out(groups, coverage).values())
    return Trust(
        coverage=coverage,
        factor=round(conformal_factor(list(groups.values()), coverage), 3),
        floor=FLOOR,
        back_projection=PUBLISHED.treatment.steps,
        scenes=len(paths),
        found=(round(found[0], 4), round(float(np.mean(found)), 4), round(found[-1], 4)),
    )


def _refuse_unfit(spec: Spec) -> None:
    if spec.normalise == "none":
        raise CheckpointError(
            f"{spec.name} works on DN as they are", "normalise: none", "a trust map needs a model with normalised input"
        )
    if len(spec.scale) != 2 or spec.bands != "any" or spec.core_multiple != 1:
        raise CheckpointError(
            f"{spec.name} cannot be calibrated",
            f"{len(spec.scale)} axes, bands {spec.bands}, cores of multiples of {spec.core_multiple}",
            "a trust map needs a model that sees single bands of single slices, wherever they begin",
        )


def left_out(groups: Mapping[str, NDArray[np.float32]], coverage: float) -> dict[str, float]:
    """What each sensor's pixels are covered by under the factor of all the others."""
    shares = {}
    for sensor, own in groups.items():
        factor = conformal_factor([group for name, group in groups.items() if name != sensor], coverage)
        shares[sensor] = float((own <= factor).mean())
    return shares


def scores_of(path: Path, engine: Engine, roots: Sequence[Path] | None = None) -> Iterator[NDArray[np.float32]]:
    """|HR - SR| / (spread + floor) of a few planes of an HR scene, its LR made by antialiased bicubic."""
    bands = read_bands(path, roots)
    planes = bands.reshape(-1, *bands.shape[-2:])
    for index in np.unique(np.linspace(0, len(planes) - 1, PLANES + 2).round().astype(int)[1:-1]):
        plane = planes[index]
        hr = fill_invalid(ma.getdata(plane)[None], ~ma.getmaskarray(plane)[None])[0]
        yield _plane(_middle(hr, engine.spec.scale[-1]), engine)


def _middle(hr: NDArray[Any], scale: int) -> NDArray[Any]:
    """The middle of a plane, its sides whole numbers of LR pixels."""
    sides = [min(n, SIDE_PX) // scale * scale for n in hr.shape]
    starts = [(n - side) // 2 for n, side in zip(hr.shape, sides, strict=True)]
    return hr[tuple(slice(start, start + side) for start, side in zip(starts, sides, strict=True))]


def _plane(hr: NDArray[Any], engine: Engine) -> NDArray[np.float32]:
    normalisation, numbers, spread = published_numbers(shrink_planes(hr[None], engine.spec.scale[-1]), engine)
    scores: NDArray[np.float32] = np.abs(normalisation.apply(hr[None]) - numbers) / (spread + np.float32(FLOOR))
    return scores


def published_numbers(
    lr: NDArray[Any], engine: Engine
) -> tuple[Normalisation, NDArray[np.float32], NDArray[np.float32]]:
    """The SR of a plane lr (1, Y, X) as it is published, before it is rounded: normalisation, network values, spread.

    Rounding is left out: it is the dtype's, and a calibration serves all of them.
    """
    normalisation = percentile_normalisation(list(lr))
    around = engine.spec.halo[-1] + PUBLISHED.treatment.margin_px
    block = normalisation.apply(np.pad(lr, [(0, 0), (around, around), (around, around)], mode="reflect"))
    numbers = numbers_of(engine, block, None, PUBLISHED.treatment)
    return normalisation, numbers, self_ensemble_spread(engine, block, numbers, None, PUBLISHED.treatment)
