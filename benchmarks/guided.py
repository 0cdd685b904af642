"""Guided super-resolution beside the classical ways, by Wald's protocol: everything one scale down.

    python -m benchmarks.guided [--model NAME_OR_FOLDER ...] [--json guided.json]

The finer bands of a place (10 m) become its guides at 20 m, its 20 m bands become LR at 40 m, each under a Gaussian of
its sensor's own contrast at the Nyquist frequency of the coarser grid; what is made of LR and guides is judged against
the true 20 m bands (Wald et al. 1997). Likewise Landsat: 15 m panchromatic to 30 m, 30 m bands to 60 m, judged at 30 m.
No place of it was trained on: `satellite/s2_native/val` (three places), tile T33UUB, and Landsat over Elkton.

- bicubic: the LR enlarged; no guide.
- GS: Gram-Schmidt (Laben and Brower 2000) with the intensity of GSA (Aiazzi et al. 2007): the mean of the bands that
  comes nearest to the guide seen at LR; band += cov(band, intensity) / var(intensity) (guide - intensity).
- windows: the model without its network, which is MTF-GLP with weights found in windows of 5 LR pixels.
- MTF-GLP: detail of the guide beyond the sensor's MTF, times cov / var (Aiazzi et al. 2006, Vivone et al. 2015).

Where there are several guides, the guide of a band is the combination of them that comes nearest to it at LR, as in
hypersharpening (Selva et al. 2015): the stronger choice for both. Both know each sensor's MTF; the model does not.

ERGAS (Wald 2000), SAM in degrees, Q2n (Garzelli and Nencini 2009) in blocks of 32 pixels, and PSNR with the peak at
each band's 99.9th percentile; BORDER_PX pixels along the edges are not judged. --pictures draws three bands of each
place, way by way, the truth at the right.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean

import numpy as np
import rasterio
import torch
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning
from rich.console import Console
from rich.table import Table

from benchmarks.sensors import ELKTON, T33UUB, TRUE_FOLDER, _band, _matlab
from srcore.checkpoints import Architecture, locate
from srcore.engine import Engine
from srcore.memory.whole import open_whole
from srcore.metrics import crop_border, ergas, psnr, spectral_angle
from srcore.models.guided import Guided
from srcore.radiometry import percentile_normalisation
from srcore.training.config import data_folder
from srcore.training.data.degrade import REACH_LR, optics, reduce
from srcore.training.data.resize import enlarge
from srcore.weights import build, describe, load_generator

ZOOM = 2
BORDER_PX = 4
BLOCK_PX = 32
"""Side of the blocks of Q2n."""
MTF = {
    "B01": 0.32,
    "B02": 0.26,
    "B03": 0.28,
    "B04": 0.24,
    "B05": 0.38,
    "B06": 0.34,
    "B07": 0.34,
    "B08": 0.26,
    "B8A": 0.33,
    "B09": 0.26,
    "B11": 0.22,
    "B12": 0.23,
}
"""Contrast of Sentinel-2's bands at Nyquist, as published for its calibration and used by Lanaras et al. 2017."""
LANDSAT_MTF, PAN_MTF = 0.3, 0.2

Cube = NDArray[np.float64]
"""(bands, Y, X)"""


@dataclass(frozen=True)
class Place:
    """One place, one scale down."""

    name: str
    lr: Cube
    guides: Cube
    """On the grid of the truth."""
    truth: Cube
    mtf: tuple[float, ...]
    """Of each LR band."""
    zoom: int = ZOOM
    """Pixels of the truth along one of the LR."""


def places() -> Iterator[Place]:
    """Sentinel-2 and Landsat, none of it trained on."""
    for path in sorted(data_folder(TRUE_FOLDER).glob("*_20m.tif")):
        coarse, fine = _named(path), _named(path.with_name(path.name.replace("_20m", "_10m")))
        yield wald(path.stem.removesuffix("_20m"), coarse, fine)
    tile, names = data_folder(T33UUB.parent) / T33UUB.name, ("B05", "B06", "B07", "B8A", "B11", "B12")
    coarse = dict(zip(names, _matlab(tile, "im20"), strict=False))
    yield wald("t33uub", coarse, dict(zip(("B04", "B03", "B02", "B08"), _matlab(tile, "im10"), strict=False)))


def wald(name: str, coarse: Mapping[str, Cube], fine: Mapping[str, Cube]) -> Place:
    """A place whose coarse bands are the truth and whose fine bands are guides, each with its sensor's MTF."""
    truth = np.stack(list(coarse.values()))
    height, width = (n // ZOOM * ZOOM for n in truth.shape[1:])
    truth = truth[:, :height, :width]
    guides = np.stack([shrunk(band, MTF[key])[:height, :width] for key, band in fine.items()])
    lr = np.stack([shrunk(band, MTF[key]) for key, band in zip(coarse, truth, strict=True)])
    return Place(name, lr, guides, truth, tuple(MTF[key] for key in coarse))


def landsat() -> Iterator[Place]:
    """Bands 2 to 7 at 30 m as truth, the panchromatic one brought to their grid as guide."""
    folder = data_folder(ELKTON)
    truth = np.stack([_band(folder / f"L8-B{number}-Elkton-VA.tiff") for number in range(2, 8)])
    pan = _band(folder / "L8-B8-Elkton-VA.tiff")
    height, width = (n // ZOOM * ZOOM for n in truth.shape[1:])
    truth = truth[:, :height, :width]
    guide = on_ms_grid(pan)[:height, :width]
    lr = np.stack([shrunk(band, LANDSAT_MTF) for band in truth])
    yield Place("elkton", lr, guide[None], truth, (LANDSAT_MTF,) * len(lr))


def on_ms_grid(pan: Cube) -> Cube:
    """Landsat's 15 m band as a 30 m sensor sees it: pan[2 i, 2 j] has the centre of the 30 m pixel (i, j)."""
    sigma = np.sqrt(-2 * np.log(PAN_MTF)) / np.pi * ZOOM
    taps = np.exp(-(np.arange(-4, 5) ** 2) / (2 * sigma**2))
    taps /= taps.sum()
    wide = np.pad(pan, 4, mode="reflect")
    for axis in (0, 1):
        wide = np.apply_along_axis(np.convolve, axis, wide, taps, "valid")
    return wide[::ZOOM, ::ZOOM]


def shrunk(band: Cube, mtf: float, zoom: int = ZOOM) -> Cube:
    """A band (Y, X) as a sensor of `zoom` times as large pixels sees it."""
    margin = zoom * REACH_LR
    wide = torch.from_numpy(np.pad(band, margin, mode="symmetric"))[None, None]
    return np.asarray(reduce(wide, [optics(mtf, zoom)[None].double()] * 2)[0, 0].numpy())


def bicubic(place: Place) -> Cube:
    """Every band enlarged."""
    return _up(place.lr, place.zoom)


def gram_schmidt(place: Place) -> Cube:
    """GS, with GSA's intensity."""
    up, out = _up(place.lr, place.zoom), []
    for band, mtf in zip(up, place.mtf, strict=True):
        guide, seen = _guide(place, band, mtf)
        terms = np.stack([*(one.ravel() for one in up), np.ones(band.size)], axis=1)
        intensity = (terms @ np.linalg.lstsq(terms, seen.ravel(), rcond=None)[0]).reshape(band.shape)
        out.append(band + _gain(band, intensity) * (guide - intensity))
    return np.stack(out)


def mtf_glp(place: Place) -> Cube:
    """MTF-GLP with the gain of a regression."""
    out = []
    for band, mtf in zip(_up(place.lr, place.zoom), place.mtf, strict=True):
        guide, seen = _guide(place, band, mtf)
        out.append(band + _gain(band, seen) * (guide - seen))
    return np.stack(out)


def _guide(place: Place, band: Cube, mtf: float) -> tuple[Cube, Cube]:
    """The combination of the guides that comes nearest to a band at LR; and what the band's sensor sees of it."""
    seen = _up(np.stack([shrunk(guide, mtf, place.zoom) for guide in place.guides]), place.zoom)
    terms = np.stack([*(one.ravel() for one in seen), np.ones(band.size)], axis=1)
    weights = np.linalg.lstsq(terms, band.ravel(), rcond=None)[0]
    return (
        np.tensordot(weights[:-1], place.guides, 1) + weights[-1],
        np.tensordot(weights[:-1], seen, 1) + weights[-1],
    )


def _gain(band: Cube, low: Cube) -> float:
    return float(np.cov(band.ravel(), low.ravel())[0, 1] / np.var(low, ddof=1))


def _up(lr: Cube, zoom: int) -> Cube:
    return np.asarray(enlarge(torch.from_numpy(np.ascontiguousarray(lr))[:, None], zoom)[:, 0].numpy())


def _named(path: Path) -> dict[str, Cube]:
    with rasterio.open(path) as file:
        return dict(zip(map(str, file.descriptions), file.read().astype(np.float64), strict=True))


def q2n(truth: Cube, test: Cube) -> float:
    """Mean over blocks of the hypercomplex quality index of two cubes; 1 when they are equal.

    Of a block: |cov| x |means' product| over the mean variance and the mean square of the means, all of numbers of
    2^n parts, a part a band. Bands are brought to mean 1 and deviation 1 of the truth's block, as in the paper's code.
    """
    parts = 1 << max(0, (len(truth) - 1).bit_length())
    pad = np.zeros((parts - len(truth), *truth.shape[1:]))
    a, b = np.concatenate([truth, pad]), np.concatenate([test, pad])
    height, width = (n // BLOCK_PX * BLOCK_PX for n in truth.shape[1:])
    if not height or not width:
        return _q(a, b)
    starts = [(y, x) for y in range(0, height, BLOCK_PX) for x in range(0, width, BLOCK_PX)]
    each = [(slice(None), slice(y, y + BLOCK_PX), slice(x, x + BLOCK_PX)) for y, x in starts]
    return fmean(_q(a[window], b[window]) for window in each)


def _q(truth: Cube, test: Cube) -> float:
    a, b = (values.reshape(len(values), -1) for values in (truth, test))
    mean, deviation = a.mean(axis=1, keepdims=True), a.std(axis=1, ddof=1, keepdims=True)
    deviation = np.where(deviation > 0, deviation, 1)
    used = np.any(a, axis=1, keepdims=True)
    a, b = ((values - mean) / deviation + used for values in (a, b))
    size = a.shape[1]
    means = a.mean(axis=1), b.mean(axis=1)
    squares = [float((m**2).sum()) for m in means]
    product = float(np.sqrt((_times(means[0], _conjugate(means[1])) ** 2).sum()))
    together = _times(a, _conjugate(b)).mean(axis=1) - _times(means[0], _conjugate(means[1]))
    covariance = size / (size - 1) * float(np.sqrt((together**2).sum()))
    variances = size / (size - 1) * (float((a**2).sum(0).mean() + (b**2).sum(0).mean()) - sum(squares))
    if variances == 0:
        return 2 * product / sum(squares)
    return float(covariance / (variances / 2) * product / (sum(squares) / 2))


def _conjugate(x: Cube) -> Cube:
    return np.concatenate([x[:1], -x[1:]])


def _times(a: Cube, b: Cube) -> Cube:
    """Product of numbers of 2^n parts (parts, ...) by Cayley and Dickson."""
    if len(a) == 1:
        return a * b
    half = len(a) // 2
    (a1, a2), (b1, b2) = (a[:half], a[half:]), (b[:half], b[half:])
    return np.concatenate([_times(a1, b1) - _times(_conjugate(b2), a2), _times(b2, a1) + _times(a2, _conjugate(b1))])


def figures(place: Place, sr: Cube) -> dict[str, float]:
    """All figures of one place."""
    truth, test = crop_border(place.truth, BORDER_PX), crop_border(sr, BORDER_PX)
    peaks = [float(np.percentile(band, 99.9)) for band in truth]
    return {
        "ERGAS": ergas(truth, test, place.zoom),
        "SAM": spectral_angle(truth, test),
        "Q2n": q2n(truth, test),
        "PSNR": fmean(psnr(a, b, peak) for a, b, peak in zip(truth, test, peaks, strict=True)),
    }


def model(place: Place, engine: Engine) -> Cube:
    """What a guided generator makes of it: each band with all guides, normalised by their percentiles as a scene is."""
    own, others = (percentile_normalisation(list(cube)) for cube in (place.lr, place.guides))
    halo = [(0, 0), *[(engine.spec.halo[-1],) * 2] * 2]
    guides = np.pad(others.apply(place.guides), halo, mode="symmetric")
    bands = np.pad(own.apply(place.lr).repeat(place.zoom, 1).repeat(place.zoom, 2), halo, mode="symmetric")
    found = np.concatenate([engine.run(np.concatenate([band[None], guides])) for band in bands])
    return np.asarray(own.undo(found))


def without_network() -> Engine:
    """The generator with nothing learned and nothing added."""
    spec = describe("windows", Architecture(name="guided"))
    generator = build(spec)
    assert isinstance(generator, Guided)
    with torch.no_grad():
        generator.tail.weight.zero_()
    return open_whole(spec, generator, "float32")


def main() -> None:
    """Print the table; with --json write the same figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.guided", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", nargs="*", default=["srcore-guided-x2"])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--pictures", type=Path, help="folder for one picture a place")
    arguments = parser.parse_args()
    ways: dict[str, Callable[[Place], Cube]] = {"bicubic": bicubic, "GS": gram_schmidt, "MTF-GLP": mtf_glp}
    ways["windows"] = partial(model, engine=without_network())
    for name in arguments.model:
        engine = open_whole(*load_generator(locate(name)), "float32")
        ways[name] = partial(model, engine=engine)
    found: dict[str, dict[str, dict[str, float]]] = {}
    for place in (*places(), *landsat()):
        made = {name: way(place) for name, way in ways.items()}
        found[place.name] = {name: figures(place, sr) for name, sr in made.items()}
        if arguments.pictures:
            draw(arguments.pictures / f"{place.name}.png", place, made)
    Console().print(table_of(found))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")


def table_of(found: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Table:
    """A row a place and way."""
    table = Table("place", "way", "ERGAS", "SAM, degrees", "Q2n", "PSNR, dB", title="Wald's protocol, x2")
    for place, ways in found.items():
        for name, row in ways.items():
            told = (f"{row['ERGAS']:.3f}", f"{row['SAM']:.3f}", f"{row['Q2n']:.4f}", f"{row['PSNR']:.2f}")
            table.add_row(place, name, *told)
    return table


def draw(path: Path, place: Place, made: Mapping[str, Cube]) -> None:
    """Three bands as red, green and blue: each way beside the truth, in the truth's own contrast."""
    bands = (sorted({0, len(place.truth) // 2, len(place.truth) - 1}, reverse=True) * 3)[:3]  # of two, one twice
    shown = [cube[bands] for cube in (*made.values(), place.truth)]
    low, high = (np.percentile(place.truth[bands], q, axis=(1, 2))[:, None, None] for q in (1, 99))
    row = np.concatenate([np.clip((cube - low) / (high - low), 0, 1) for cube in shown], axis=2)
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {"driver": "PNG", "count": 3, "height": row.shape[1], "width": row.shape[2], "dtype": "uint8"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "w", **profile) as file:
            file.write((255 * row).astype(np.uint8))


if __name__ == "__main__":
    main()
