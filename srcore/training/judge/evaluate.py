"""Scores of a generator against bicubic: an HR image is shrunk, brought back and compared.

It is brought back by the way that products take (`srcore.memory.whole`), in the form that a dataset publishes where
nobody asks for the network alone.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import numpy.ma as ma
import torch
from numpy.typing import NDArray
from torch.nn import functional

from srcore.engine import Engine
from srcore.errors import SourceError
from srcore.memory.whole import PUBLISHED, Form, open_whole, super_resolved
from srcore.metrics import SSIM_WINDOW_PX, crop_border, psnr, ssim
from srcore.radiometry import HIGH, LOW, fill_invalid, nearest, quantise
from srcore.storage.whole_images import Image, Masked, images_below, read_image
from srcore.training.data.degrade import REACH_LR, cubic, reduce
from srcore.training.data.pairs import measured_lr
from srcore.training.data.resize import enlarge, shrink
from srcore.treatment import Treatment
from srcore.weights import load_generator

log = logging.getLogger(__name__)

MOST_DB = 150.0
"""Of two images that are equal, so that differences of scores are numbers; the best that is no such is below it."""


@dataclass(frozen=True)
class Score:
    """One scene under one generator and under plain interpolation; means over its bands."""

    scene: str
    sensor: str
    """What stands before the first underscore of the file's name."""
    bands: int
    psnr: float
    """dB; the data range is 255 for uint8, else the span of the band's 2nd to 98th percentile."""
    ssim: float
    psnr_bicubic: float
    """Of bicubic; of trilinear for a generator of volumes."""
    ssim_bicubic: float


@dataclass(frozen=True)
class ImagePair:
    """A true HR, and the LR that it is brought back from."""

    hr: NDArray[Any]
    """(C, ..., Y, X), nothing invalid in it."""
    lr: Image


def evaluate(model: Path, data: Path, form: Form = PUBLISHED, engine: Engine | None = None) -> list[Score]:
    """Scores of all images below `data`, in the order of their names.

    `engine` computes the checkpoint in another way than its spec asks for. SourceError when there is no image.
    Invalid pixels of the HR are filled from their neighbours before all else. Too small ones are left out, and told.
    """
    engine = engine or open_whole(*load_generator(model))
    return [*scores_of(dict.fromkeys(images_in(data, len(engine.spec.scale))), engine, form, data).values()]


def scores_of(
    paths: Mapping[Path, Path | None], engine: Engine, form: Form = PUBLISHED, root: Path | None = None
) -> dict[Path, Score]:
    """Scores of HR images, each with the folder of its LR or None where that is made; too small ones are left out.

    SourceError PAIR_TOO_SMALL when all of them are.
    """
    found: dict[Path, Score] = {}
    left_out: list[SourceError] = []
    for path, lr_folder in paths.items():
        try:
            found[path] = score(path, engine, lr_folder, form=form, root=root)
        except SourceError as error:
            if error.code != "PAIR_TOO_SMALL":
                raise
            left_out.append(error)
            log.warning("left out: %s", error)
    if left_out and not found:
        raise left_out[0]
    return found


def images_in(folder: Path, axes: int) -> list[Path]:
    """What a generator of so many axes can be scored on below `folder`, sorted; SourceError when there is nothing."""
    paths = images_below(folder, axes)
    if not paths:
        raise SourceError("no image to evaluate on", str(folder), "give a folder of GeoTIFF, PNG or NIfTI")
    return paths


def sensor_means(scores: Iterable[Score]) -> dict[str, dict[str, float]]:
    """Mean figures of every sensor, and of all scenes under `mean`; empty without scores."""
    groups: dict[str, list[Score]] = {}
    for score in scores:
        groups.setdefault(score.sensor, []).append(score)
    means = {sensor: _means(rows) for sensor, rows in sorted(groups.items())}
    return means | {"mean": _means([row for rows in groups.values() for row in rows])} if groups else {}


def score(
    path: Path, engine: Engine, lr_folder: Path | None = None, *, form: Form = PUBLISHED, root: Path | None = None
) -> Score:
    """Of one image below `root`; LR is made by antialiased bicubic, or lies in `lr_folder` by the same name."""
    scales = engine.spec.scale
    pair = image_pair(path, engine, form.treatment, lr_folder, root)
    figures = [
        *mean_quality(pair, restored(engine, pair.lr, form.treatment), scales),
        *mean_quality(pair, interpolated(pair.lr, scales), scales),
    ]
    return Score(path.name, path.name.split("_")[0], len(pair.hr), *figures)


def image_pair(
    path: Path, engine: Engine, treatment: Treatment, lr_folder: Path | None = None, root: Path | None = None
) -> ImagePair:
    """The HR in `path` with its LR, made or measured; SourceError when they, or model and bands, do not fit."""
    spec, image = engine.spec, read_image(path, None if root is None else [root], treatment)
    if spec.bands != "any" and len(image.values) != spec.bands:
        raise SourceError(
            f"{path.name} does not have the model's bands",
            f"{len(image.values)}, the model has {spec.bands}",
            "give images with these bands",
        )
    refuse_small(path.name, image.values.shape[1:], spec.scale)
    hr = fill_invalid(image.values, image.valid)
    if lr_folder is not None:
        return ImagePair(hr, measured_lr(path, lr_folder, hr.shape, spec.scale, treatment))
    hr = whole_pixels(hr, spec.scale)
    lr = np.stack([reduced(band, spec.scale) for band in hr])
    return ImagePair(hr, Image(lr, np.ones(lr.shape, np.bool_), image.nodata))


def restored(engine: Engine, lr: Image, treatment: Treatment) -> NDArray[Any]:
    """The SR (C, ..., Y, X) of an LR in its dtype; what is invalid is filled from its neighbours, as in the HR."""
    sr = super_resolved(engine, lr, treatment)
    return fill_invalid(sr, nearest(lr.valid, engine.spec.scale_for(lr.values.ndim - 1)))


def shrink_planes(hr: NDArray[Any], scale: int) -> NDArray[Any]:
    """LR (P, Y / scale, X / scale) of hr (P, Y, X) in its dtype, by antialiased bicubic."""
    return quantise(shrink(torch.from_numpy(hr.astype(np.float64))[:, None], scale)[:, 0].numpy(), hr.dtype)


def enlarge_planes(lr: NDArray[Any], scale: int) -> NDArray[Any]:
    """lr (P, Y, X) enlarged to (P, Y x scale, X x scale) in its dtype, by bicubic."""
    return quantise(enlarge(torch.from_numpy(lr.astype(np.float64))[:, None], scale)[:, 0].numpy(), lr.dtype)


def shrink_volume(hr: NDArray[Any], scales: Sequence[int]) -> NDArray[Any]:
    """LR of hr (Z, Y, X) in its dtype, by antialiased cubic on every axis, each by its scale."""
    margin = [(REACH_LR * scale, REACH_LR * scale) for scale in scales]
    padded = torch.from_numpy(np.pad(hr.astype(np.float32), margin, mode="symmetric"))[None, None]
    return quantise(reduce(padded, [cubic(scale)[None] for scale in scales])[0, 0].double().numpy(), hr.dtype)


def enlarge_volume(lr: NDArray[Any], scales: Sequence[int]) -> NDArray[Any]:
    """lr (Z, Y, X) enlarged in its dtype, linear on every axis: what a viewer does."""
    values = torch.from_numpy(lr.astype(np.float64))[None, None]
    sizes = [size * scale for size, scale in zip(lr.shape, scales, strict=True)]
    return quantise(functional.interpolate(values, sizes, mode="trilinear")[0, 0].numpy(), lr.dtype)


def filled(bands: Masked) -> NDArray[Any]:
    """The bands (C, ..., Y, X), invalid pixels taken from their neighbours."""
    return fill_invalid(ma.getdata(bands), ~ma.getmaskarray(bands))


def whole_pixels(hr: NDArray[Any], scales: Sequence[int]) -> NDArray[Any]:
    """hr (C, ..., Y, X) cut to whole LR pixels."""
    for axis, scale in zip(range(-len(scales), 0), scales, strict=True):
        hr = hr.take(range(hr.shape[axis] // scale * scale), axis)
    return hr


def reduced(hr: NDArray[Any], scales: Sequence[int]) -> NDArray[Any]:
    """LR of a band (..., Y, X), or of a volume where there are three scales, in its dtype."""
    if len(scales) == 3:
        return shrink_volume(hr, scales)
    lr = shrink_planes(_planes(hr), scales[-1])
    return lr.reshape(*hr.shape[:-2], *lr.shape[-2:])


def interpolated(lr: Image, scales: Sequence[int]) -> NDArray[Any]:
    """What a generator has to beat (C, ..., Y, X): bicubic, and trilinear for volumes."""
    values = fill_invalid(lr.values, lr.valid)
    if len(scales) == 3:
        return np.stack([enlarge_volume(band, scales) for band in values])
    sr = [enlarge_planes(_planes(band), scales[-1]) for band in values]
    return np.stack([band.reshape(*values.shape[1:-2], *band.shape[-2:]) for band in sr])


def _planes(band: NDArray[Any]) -> NDArray[Any]:
    """(P, Y, X) of a band (Y, X) or (Z, Y, X)."""
    return band.reshape(-1, *band.shape[-2:])


def refuse_flat(scene: str, pair: ImagePair) -> None:
    """SourceError NO_CONTENT where every band of the HR is one number: nothing tells a good SR of it from a bad one."""
    if not any(map(np.ptp, pair.hr)):
        what = f"{scene} has no PSNR: its HR is one number in every band"
        raise SourceError(what, "", "leave it out", code="NO_CONTENT")


def refuse_small(scene: str, shape: Sequence[int], scales: Sequence[int]) -> None:
    """SourceError PAIR_TOO_SMALL where an HR of this shape (..., Y, X) has too few pixels, or slices, within the border
    that no score counts."""
    ends, border = _border(scales)
    sides = [size // scale * scale for size, scale in zip(shape[-len(scales) :], scales, strict=True)]
    if (ends and sides[0] <= 2 * ends) or min(sides[-2:]) - 2 * border < SSIM_WINDOW_PX:
        border_of = f"{ends} slices and {border} px" if ends else f"{border} px"
        least = f"within a border of {border_of} a slice of {SSIM_WINDOW_PX} x {SSIM_WINDOW_PX} px is the least"
        what = f"{scene} is too small to be judged"
        raise SourceError(what, f"{' x '.join(map(str, shape))} px", least, code="PAIR_TOO_SMALL")


def _border(scales: Sequence[int]) -> tuple[int, int]:
    """What no score counts on each side: slices of a volume, and pixels of a plane."""
    return (scales[0] if len(scales) == 3 else 0), max(scales)


def mean_quality(pair: ImagePair, sr: NDArray[Any], scales: Sequence[int]) -> tuple[float, float]:
    """PSNR and SSIM, means over the bands that are not one number alone; all of them where none is."""
    both = list(zip(pair.hr, sr, strict=True))
    told = [bands for bands in both if np.ptp(bands[0])] or both
    pairs = [quality(_planes(truth), _planes(test), scales) for truth, test in told]
    return fmean(one[0] for one in pairs), fmean(one[1] for one in pairs)


def quality(hr: NDArray[Any], sr: NDArray[Any], scales: Sequence[int]) -> tuple[float, float]:
    """PSNR, at most MOST_DB, and SSIM of sr (P, Y, X) against hr, a border of the largest scale left out."""
    low, high = np.percentile(hr, (LOW, HIGH))
    span = 255.0 if hr.dtype == np.uint8 else float(high - low) or 1.0
    ends, border = _border(scales)
    truth, test = (crop_border(x[ends : len(x) - ends], border) for x in (hr, sr))
    decibels = float(np.minimum(psnr(truth, test, span), MOST_DB))  # NaN stays NaN
    return decibels, fmean(ssim(t, x, span) for t, x in zip(truth, test, strict=True))


def _means(scores: list[Score]) -> dict[str, float]:
    names = ("psnr", "psnr_bicubic", "ssim", "ssim_bicubic")
    return {"scenes": len(scores)} | {name: round(fmean(getattr(s, name) for s in scores), 4) for name in names}
