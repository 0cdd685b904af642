"""Scores of a generator against bicubic: an HR image is shrunk, brought back and compared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import numpy.ma as ma
import torch
from numpy.typing import NDArray
from torch.nn import functional

from srcore.errors import SourceError
from srcore.metrics import crop_border, psnr, ssim
from srcore.models import Generator
from srcore.radiometry import HIGH, LOW, fill_invalid, percentile_normalisation, quantise
from srcore.storage.whole_images import Masked, is_image, is_volume, read_bands
from srcore.training.data.degrade import REACH_LR, cubic, reduce
from srcore.training.data.pairs import measured_lr
from srcore.training.data.resize import enlarge, shrink
from srcore.weights import load_generator

STRIP_PX = 256
STRIP_SLICES = 16


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


def evaluate(model_folder: Path, data_folder: Path, generator: Generator | None = None) -> list[Score]:
    """Scores of all images below `data_folder`, in the order of their names.

    `generator` is the checkpoint's in the form that a backend computes; None takes it as it is.
    SourceError when there is none. Invalid pixels are filled from their neighbours before all else.
    """
    generator = generator or load_generator(model_folder)[1]
    return [score(path, generator) for path in images_in(data_folder, generator.axes)]


def images_in(folder: Path, axes: int) -> list[Path]:
    """What a generator of so many axes can be scored on below `folder`, sorted; SourceError when there is nothing."""
    fits = is_image if axes == 2 else is_volume
    paths = sorted(path for path in folder.rglob("*") if fits(path))
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


def restore(lr: NDArray[Any], generator: Generator) -> NDArray[Any]:
    """SR of lr (P, Y, X) in its dtype: planes of one band, the bands that are seen together, or a volume's slices.

    All share one normalisation, as in production: a raster's band has one plane, a volume one a slice. Bands that
    are seen together have one each.
    """
    if generator.bands > 1:
        normalisation = percentile_normalisation(list(lr))
        return quantise(normalisation.undo(upscale(normalisation.apply(lr), generator)), lr.dtype)
    normalisation = percentile_normalisation([lr])
    blocks = normalisation.apply(lr[None])
    sr = (
        upscale(blocks, generator)
        if generator.axes == 3
        else np.stack([upscale(plane[None], generator)[0] for plane in blocks[0]])[None]
    )
    return quantise(normalisation.undo(sr)[0], lr.dtype)


def upscale(lr: NDArray[np.float32], generator: Generator) -> NDArray[np.float32]:
    """SR (B, Y x scale, ...) of lr (B, Y, ...) in network values, edges mirrored, in strips of bounded memory."""
    halo, multiple = generator.halo, generator.core_multiple
    own = lr.shape[1:]
    beyond = [(halo, halo + -size % multiple) for size in own]
    padded = torch.from_numpy(np.pad(lr, [(0, 0), *beyond], mode="reflect"))[None]
    strip = STRIP_PX if generator.axes == 2 else STRIP_SLICES
    with torch.inference_mode():
        strips = [
            generator(padded[:, :, start : start + -(-strip // multiple) * multiple + 2 * halo])[0]
            for start in range(0, own[0], -(-strip // multiple) * multiple)
        ]
    sr = torch.cat(strips, dim=1).numpy()
    return sr[(slice(None), *(slice(size * scale) for size, scale in zip(own, generator.scales, strict=True)))]


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


def score(path: Path, generator: Generator, lr_folder: Path | None = None) -> Score:
    """Of one image; LR is made by antialiased bicubic, or lies in `lr_folder` by the same name."""
    bands, scales = read_bands(path), generator.scales
    if lr_folder is None:
        hr = whole_pixels(filled(bands), scales)
        groups = groups_of(hr, generator.bands)
        measured = [reduced(group, scales) for group in groups]
    else:
        hr = filled(bands)
        groups = groups_of(hr, generator.bands)
        measured = groups_of(filled(measured_lr(path, lr_folder, bands, scales)), generator.bands)
    figures = [_figures(group, lr, generator) for group, lr in zip(groups, measured, strict=True)]
    means = [fmean(column) for column in zip(*figures, strict=True)]
    return Score(path.name, path.name.split("_")[0], len(hr), *means)


def filled(bands: Masked) -> NDArray[Any]:
    """The bands (C, ..., Y, X), invalid pixels taken from their neighbours."""
    return fill_invalid(ma.getdata(bands), ~ma.getmaskarray(bands))


def whole_pixels(hr: NDArray[Any], scales: Sequence[int]) -> NDArray[Any]:
    """hr (C, ..., Y, X) cut to whole LR pixels."""
    for axis, scale in zip(range(-len(scales), 0), scales, strict=True):
        hr = hr.take(range(hr.shape[axis] // scale * scale), axis)
    return hr


def groups_of(bands: NDArray[Any], together: int) -> list[NDArray[Any]]:
    """What `restore` takes at a time (P, Y, X): all bands that are seen together, or each band with its slices."""
    return [bands] if together > 1 else [band.reshape(-1, *band.shape[-2:]) for band in bands]


def _figures(hr: NDArray[Any], lr: NDArray[Any], generator: Generator) -> tuple[float, float, float, float]:
    """PSNR and SSIM of the generator, then of bicubic or trilinear, for the planes hr (P, Y, X) and their LR."""
    found, plain = (
        quality(hr, sr, generator.scales) for sr in (restore(lr, generator), interpolated(lr, generator.scales))
    )
    return (*found, *plain)


def reduced(hr: NDArray[Any], scales: Sequence[int]) -> NDArray[Any]:
    """LR of the planes hr (P, Y, X), or of a volume where there are three scales, in its dtype."""
    return shrink_volume(hr, scales) if len(scales) == 3 else shrink_planes(hr, scales[-1])


def interpolated(lr: NDArray[Any], scales: Sequence[int]) -> NDArray[Any]:
    """What a generator has to beat: bicubic, and trilinear for volumes."""
    return enlarge_volume(lr, scales) if len(scales) == 3 else enlarge_planes(lr, scales[-1])


def quality(hr: NDArray[Any], sr: NDArray[Any], scales: Sequence[int]) -> tuple[float, float]:
    """PSNR and SSIM of sr (P, Y, X) against hr, a border of the largest scale left out."""
    low, high = np.percentile(hr, (LOW, HIGH))
    span = 255.0 if hr.dtype == np.uint8 else float(high - low) or 1.0
    ends = scales[0] if len(scales) == 3 else 0  # slices at both ends are border, too
    truth, test = (crop_border(x[ends : len(x) - ends], max(scales)) for x in (hr, sr))
    return psnr(truth, test, span), fmean(ssim(t, x, span) for t, x in zip(truth, test, strict=True))


def _means(scores: list[Score]) -> dict[str, float]:
    names = ("psnr", "psnr_bicubic", "ssim", "ssim_bicubic")
    return {"scenes": len(scores)} | {name: round(fmean(getattr(s, name) for s in scores), 4) for name in names}
