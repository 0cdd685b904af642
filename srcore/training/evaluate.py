"""Scores of a generator against bicubic: an HR image is shrunk, brought back and compared."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import numpy.ma as ma
import torch
from numpy.typing import NDArray

from srcore.errors import SourceError
from srcore.metrics import crop_border, psnr, ssim
from srcore.models import Generator
from srcore.radiometry import HIGH, LOW, fill_invalid, percentile_normalisation, quantise
from srcore.storage.patches import is_image, read_bands
from srcore.training.resize import enlarge, shrink
from srcore.weights import load_generator

STRIP_PX = 256


@dataclass(frozen=True)
class Score:
    """One scene under one generator and under bicubic; means over its bands."""

    scene: str
    sensor: str
    """What stands before the first underscore of the file's name."""
    bands: int
    psnr: float
    """dB; the data range is 255 for uint8, else the span of the band's 2nd to 98th percentile."""
    ssim: float
    psnr_bicubic: float
    ssim_bicubic: float


def evaluate(model_folder: Path, data_folder: Path, generator: Generator | None = None) -> list[Score]:
    """Scores of all images below `data_folder`, in the order of their names.

    `generator` is the checkpoint's in the form that a backend computes; None takes it as it is.
    SourceError when there is none. Invalid pixels are filled from their neighbours before all else.
    """
    generator = generator or load_generator(model_folder)[1]
    paths = sorted(path for path in data_folder.rglob("*") if is_image(path))
    if not paths:
        raise SourceError("no image to evaluate on", str(data_folder), "give a folder of GeoTIFF, PNG or NIfTI")
    return [_score(path, generator) for path in paths]


def sensor_means(scores: Iterable[Score]) -> dict[str, dict[str, float]]:
    """Mean figures of every sensor, and of all scenes under `mean`; empty without scores."""
    groups: dict[str, list[Score]] = {}
    for score in scores:
        groups.setdefault(score.sensor, []).append(score)
    means = {sensor: _means(rows) for sensor, rows in sorted(groups.items())}
    return means | {"mean": _means([row for rows in groups.values() for row in rows])} if groups else {}


def restore(lr: NDArray[Any], generator: Generator) -> NDArray[Any]:
    """SR (P, Y x scale, X x scale) of the planes lr (P, Y, X) of one band, in its dtype.

    The planes share one normalisation, as in production: a raster's band has one plane, a volume one a slice.
    """
    normalisation = percentile_normalisation([lr])
    planes = normalisation.apply(lr[None])[0]
    sr = np.stack([upscale_plane(plane, generator) for plane in planes])
    return quantise(normalisation.undo(sr[None])[0], lr.dtype)


def upscale_plane(lr: NDArray[np.float32], generator: Generator) -> NDArray[np.float32]:
    """SR (Y x scale, X x scale) of lr (Y, X) in network values, edges mirrored, in strips of bounded memory."""
    halo = generator.halo
    padded = torch.from_numpy(np.pad(lr, halo, mode="reflect"))[None, None]
    starts = range(0, lr.shape[0], STRIP_PX)
    with torch.inference_mode():
        strips = [generator(padded[:, :, start : start + STRIP_PX + 2 * halo])[0, 0] for start in starts]
    return torch.cat(strips).numpy()


def shrink_planes(hr: NDArray[Any], scale: int) -> NDArray[Any]:
    """LR (P, Y / scale, X / scale) of hr (P, Y, X) in its dtype, by antialiased bicubic."""
    return quantise(shrink(torch.from_numpy(hr.astype(np.float64))[:, None], scale)[:, 0].numpy(), hr.dtype)


def enlarge_planes(lr: NDArray[Any], scale: int) -> NDArray[Any]:
    """lr (P, Y, X) enlarged to (P, Y x scale, X x scale) in its dtype, by bicubic."""
    return quantise(enlarge(torch.from_numpy(lr.astype(np.float64))[:, None], scale)[:, 0].numpy(), lr.dtype)


def _score(path: Path, generator: Generator) -> Score:
    bands = read_bands(path)
    filled = fill_invalid(ma.getdata(bands), ~ma.getmaskarray(bands))
    height, width = (length - length % generator.scale for length in bands.shape[-2:])
    figures = [_figures(band.reshape(-1, *band.shape[-2:])[:, :height, :width], generator) for band in filled]
    means = [fmean(column) for column in zip(*figures, strict=True)]
    return Score(path.name, path.name.split("_")[0], len(bands), *means)


def _figures(hr: NDArray[Any], generator: Generator) -> tuple[float, float, float, float]:
    """PSNR and SSIM of the generator, then of bicubic, for the planes hr (P, Y, X) of one band."""
    scale = generator.scale
    lr = shrink_planes(hr, scale)
    low, high = np.percentile(hr, (LOW, HIGH))
    span = 255.0 if hr.dtype == np.uint8 else float(high - low) or 1.0
    truth = crop_border(hr, scale)
    figures = []
    for sr in (restore(lr, generator), enlarge_planes(lr, scale)):
        test = crop_border(sr, scale)
        figures += [psnr(truth, test, span), fmean(ssim(t, x, span) for t, x in zip(truth, test, strict=True))]
    return figures[0], figures[1], figures[2], figures[3]


def _means(scores: list[Score]) -> dict[str, float]:
    names = ("psnr", "psnr_bicubic", "ssim", "ssim_bicubic")
    return {"scenes": len(scores)} | {name: round(fmean(getattr(s, name) for s in scores), 4) for name in names}
