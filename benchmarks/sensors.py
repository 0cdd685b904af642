"""Quality on what sensors see, beside bicubic: true pairs of one shot, and LR blurred and noised as optics do.

    python -m benchmarks.sensors [--model NAME_OR_FOLDER ...] [--json sensors.json]

No scene of it was trained on. Network alone and as published (one step of back-projection); means over scenes. True
pairs are twice finer; models of another scale have the lines below them alone.

- s2 true: Sentinel-2's B8A at 20 m against B08 at 10 m of one shot (`satellite/s2_native/val`, tile T33UUB). They see
  slightly other wavelengths, so gain and offset are fitted: B08 averaged 2 x 2 = gain x B8A + offset, least squares.
- l8 true: Landsat's 30 m bands against its 15 m band (Elkton), fitted likewise by B2, B3, B4 together. The 15 m grid is
  half a pixel of its own off: it is moved onto the SR's by cubic interpolation, which softens the truth a little.
- mtf 0.2, 0.3, 0.4: the validation scenes under a Gaussian of that contrast at the LR's Nyquist frequency, with white
  noise of 0.5 % of the 2nd to 98th percentile, seeded.
- bicubic: the same scenes under antialiased bicubic, as `benchmarks.quality` has them.

The peak of PSNR is the HR's 99.9th percentile for true pairs, the span of the 2nd to 98th percentile else.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from scipy import ndimage

from srcore.checkpoints import locate
from srcore.engine import Engine
from srcore.memory.whole import NETWORK_ALONE, PUBLISHED, Form, open_whole, super_resolved
from srcore.metrics import crop_border
from srcore.radiometry import percentile_normalisation
from srcore.storage.whole_images import Image, images_below, read_bands
from srcore.training.config import data_folder
from srcore.training.data.degrade import REACH_LR, cubic, optics, reduce
from srcore.training.data.resize import enlarge
from srcore.weights import load_generator

MODELS = [
    "srcore-x2",
    "srcore-x2-fast",
    "srcore-x2-sensor",
    "srcore-x2-sensor-fast",
    "srcore-x4",
    "srcore-x4-sensor",
]
BORDER_PX = 8
"""HR pixels along the edges that are not judged."""
NOISE = 0.005
MTFS = (0.2, 0.3, 0.4)
TRUE_SCALE = 2
"""Of the pairs that were measured."""
TRUE_FOLDER = Path("trainset/satellite/s2_native/val")
VALIDATION = Path("trainset/val/optical")
T33UUB = Path("data/satellite/S2A_MSIL1C_20170527_T33UUB.mat")
ELKTON = Path("data/satellite/landsat8_elkton")

Plane = NDArray[np.float64]


@dataclass(frozen=True)
class Pair:
    """One band: LR (Y, X) in the numbers of HR (Y * s, X * s), both float32, and the peak of its PSNR."""

    name: str
    lr: NDArray[np.float32]
    hr: NDArray[np.float32]
    peak: float

    @property
    def scale(self) -> int:
        return int(self.hr.shape[0] // self.lr.shape[0])


def main() -> None:
    """Print the table; with --json write the same figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sensors", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", nargs="+", default=MODELS)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    engines: dict[int, dict[str, Engine]] = {}
    for name in arguments.model:
        engine = open_whole(*load_generator(locate(name)), "float32")
        engines.setdefault(engine.spec.scale[-1], {})[name] = engine
    told = {}
    for scale, ours in engines.items():
        found = {group: score(list(pairs()), ours) for group, pairs in groups(scale).items()}
        Console().print(table_of(scale, found))
        told[f"x{scale}"] = found
    if arguments.json:
        arguments.json.write_text(json.dumps(told, indent=2) + "\n")


def groups(scale: int) -> dict[str, Callable[[], Iterator[Pair]]]:
    """The pairs of every line of the table."""
    true = {"s2 true": sentinel_pairs, "l8 true": landsat_pairs} if scale == TRUE_SCALE else {}
    return {
        **true,
        **{f"mtf {mtf}": partial(degraded_pairs, scale, mtf) for mtf in MTFS},
        "bicubic": partial(degraded_pairs, scale, None),
    }


def sentinel_pairs() -> Iterator[Pair]:
    """B8A at 20 m and B08 at 10 m of one shot."""
    for path in sorted(data_folder(TRUE_FOLDER).glob("*_10m.tif")):
        coarse = path.with_name(path.name.replace("_10m", "_20m"))
        if "B8A" in _names(coarse):
            yield fitted(path.stem.removesuffix("_10m"), [_band(coarse, "B8A")], _band(path, "B08"))
    tile = data_folder(T33UUB.parent) / T33UUB.name
    yield fitted(
        "t33uub", [_matlab(tile, "im20")[3]], _matlab(tile, "im10")[3]
    )  # of B05 B06 B07 B8A B11 B12, and of B04 B03 B02 B08


def landsat_pairs() -> Iterator[Pair]:
    """Elkton's visible bands at 30 m and its 15 m band, moved by half a pixel onto the SR's grid."""
    folder = data_folder(ELKTON)
    bands = [_band(folder / f"L8-B{number}-Elkton-VA.tiff") for number in (2, 3, 4)]
    pan = _band(folder / "L8-B8-Elkton-VA.tiff")
    # pan[2 i, 2 j] has the centre of the 30 m pixel (i, j); SR pixels 2 i and 2 i + 1 lie a half before and behind it
    moved = ndimage.shift(pan, (0.5, 0.5), order=3, mode="nearest")
    rows, cols = (min(n, -(-m // 2)) - 1 for n, m in zip(bands[0].shape, pan.shape, strict=True))
    hr = moved[: 2 * rows, : 2 * cols]
    yield fitted("elkton", [band[:rows, :cols] for band in bands], hr)


def degraded_pairs(scale: int, mtf: float | None) -> Iterator[Pair]:
    """Every band of the validation scenes under a sensor's optics and noise; None: antialiased bicubic, no noise."""
    kernel = cubic(scale) if mtf is None else optics(mtf, scale)
    for path in images_below(data_folder(VALIDATION)):
        masked = read_bands(path)
        for index, band in enumerate(np.asarray(masked.filled(0), np.float64)):
            span = percentile_normalisation([masked[index].compressed()]).scale[0]
            height, width = (n // scale * scale for n in band.shape)
            margin = scale * REACH_LR
            hr = band[:height, :width]
            wide = torch.from_numpy(np.pad(hr, margin, mode="reflect"))[None, None]
            lr = reduce(wide, [kernel[None]] * 2)[0, 0].numpy()
            if mtf is not None:
                lr = lr + NOISE * span * np.random.default_rng(index).standard_normal(lr.shape)
            yield Pair(f"{path.stem} {index + 1}", lr.astype(np.float32), hr.astype(np.float32), span)


def fitted(name: str, bands: Sequence[Plane], hr: Plane) -> Pair:
    """A true pair; the LR as the combination of `bands` that comes nearest to the HR averaged 2 x 2."""
    height, width = (min(n, m // 2) for n, m in zip(bands[0].shape, hr.shape, strict=True))
    hr = hr[: 2 * height, : 2 * width]
    averaged = hr.reshape(height, 2, width, 2).mean(axis=(1, 3))
    terms = np.stack([*(band[:height, :width].ravel() for band in bands), np.ones(height * width)], axis=1)
    weights = np.linalg.lstsq(terms, averaged.ravel(), rcond=None)[0]
    lr = (terms @ weights).reshape(height, width)
    return Pair(name, lr.astype(np.float32), hr.astype(np.float32), float(np.percentile(hr, 99.9)))


def _names(path: Path) -> tuple[str | None, ...]:
    with rasterio.open(path) as file:
        return tuple(file.descriptions)


def _matlab(path: Path, name: str) -> Plane:
    """(bands, x, y) of an array of a MATLAB file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(f"HDF5:{path}://{name}") as file:
            return np.asarray(file.read(), np.float64)


def _band(path: Path, name: str | None = None) -> Plane:
    with rasterio.open(path) as file:
        index = 1 if name is None else file.descriptions.index(name) + 1
        return np.asarray(file.read(index), np.float64)


def score(pairs: Sequence[Pair], engines: Mapping[str, Engine]) -> dict[str, object]:
    """Mean PSNR of bicubic, and the gain over it of every model, alone and as published."""
    plain = [psnr(pair, bicubic(pair)) for pair in pairs]
    found: dict[str, object] = {"bands": len(pairs), "bicubic": round(fmean(plain), 3)}
    for name, engine in engines.items():
        for told, form in (("alone", NETWORK_ALONE), ("published", PUBLISHED)):
            gains = [psnr(pair, brought_back(pair, engine, form)) - low for pair, low in zip(pairs, plain, strict=True)]
            found[f"{name} {told}"] = round(fmean(gains), 3)
    return found


def brought_back(pair: Pair, engine: Engine, form: Form) -> NDArray[np.float32]:
    """The SR (Y * s, X * s)."""
    image = Image(pair.lr[None], np.ones((1, *pair.lr.shape), bool), (None,))
    return np.asarray(super_resolved(engine, image, form.treatment)[0], np.float32)


def bicubic(pair: Pair) -> NDArray[np.float32]:
    """The LR enlarged."""
    return enlarge(torch.from_numpy(pair.lr)[None, None].double(), pair.scale)[0, 0].float().numpy()


def psnr(pair: Pair, sr: NDArray[np.float32]) -> float:
    """dB, but for the edges."""
    difference = crop_border((sr.astype(np.float64) - pair.hr)[None], BORDER_PX)
    return float(10 * np.log10(pair.peak**2 / np.mean(difference**2)))


def table_of(scale: int, found: Mapping[str, Mapping[str, object]]) -> Table:
    """One line a group: bicubic's PSNR, and gains over it."""
    names = [name for name in next(iter(found.values())) if name not in ("bands", "bicubic")]
    table = Table("LR", "bands", "bicubic, dB", *names, title=f"x{scale}: gain over bicubic, dB")
    for group, row in found.items():
        gains = [f"{row[name]:+.2f}" for name in names]
        table.add_row(group, str(row["bands"]), f"{row['bicubic']:.2f}", *gains)
    return table


if __name__ == "__main__":
    main()
