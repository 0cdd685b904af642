"""The sample archive: scenes with a rotated nodata collar, at 10 m, and their true HR at 5 m; a drawn body in slices of
5 mm, and its true ones of 1 mm."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from srcore.progress import Progress
from srcore.samples.landscape import BANDS, render
from srcore.samples.phantom import THICK, draw, thick
from srcore.storage.disk.files import write_atomic
from srcore.storage.nifti.write_sample import write_sample_volume
from srcore.storage.raster.write_sample import BLOCK, NODATA, SampleFile, write_sample

CATALOG = Path(__file__).parent / "data_catalog.yaml"
"""The catalog of the project, to which this is a link: an installed package brings its text along."""
PHANTOM = "drawn-body.nii.gz"
SCALE = 2
LR_GSD_M = 10.0


@dataclass(frozen=True)
class Sample:
    """One scene of the archive."""

    name: str
    shape: tuple[int, int]
    """LR rows and columns; odd, so that nothing divides by a tile."""
    seed: int
    west: float
    north: float
    acquired: str
    turn_deg: float
    """The footprint of valid pixels is turned by this."""


SAMPLES = (
    Sample("valley-20240514", (1001, 997), 1, 612_340.0, 5_317_820.0, "2024:05:14 10:20:00", 11.0),
    Sample("plain-20240611", (401, 523), 7, 655_180.0, 5_342_360.0, "2024:06:11 10:10:00", -8.0),
)


def make_archive(folder: Path, progress: Progress | None = None) -> list[Path]:
    """Write the scenes to `folder`/lr and their true HR to `folder`/hr, by the same names; the LR paths.

    Making it again gives the same bytes. `progress` is called with rows drawn and rows in all.
    """
    total, done, paths = sum(SCALE * sample.shape[0] for sample in SAMPLES), 0, []
    for sample in SAMPLES:
        shape = (SCALE * sample.shape[0], SCALE * sample.shape[1])
        truth = render(shape, sample.seed, progress and partial(_shifted, progress, done, total))
        done += shape[0]
        inside = footprint(shape, sample.turn_deg)
        coarse = halve(truth)
        coarse[:, ~all_below(inside)] = NODATA
        truth[:, ~inside] = NODATA
        path = folder / "lr" / f"{sample.name}.tif"
        _write(path, sample, LR_GSD_M, coarse)
        _write(folder / "hr" / path.name, sample, LR_GSD_M / SCALE, truth)
        paths.append(path)
    return paths


def make_phantom(folder: Path) -> Path:
    """Write the drawn body to `folder`/lr, in slices of 5 mm, and its true ones of 1 mm to `folder`/hr; the LR path.

    Making it again gives the same bytes.
    """
    truth, path = draw(), folder / "lr" / PHANTOM
    write_sample_volume(path, thick(truth), float(THICK))
    write_sample_volume(folder / "hr" / PHANTOM, truth, 1.0)
    return path


def write_catalog(folder: Path) -> Path:
    """`folder`/data_catalog.yaml, as it ships; one that is there stays as it is. Gives its path."""
    path = folder / CATALOG.name
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(path, CATALOG.read_bytes())
    return path


def _shifted(progress: Progress, before: int, total: int, rows: int, _: int) -> None:
    progress(before + rows, total)


def _write(path: Path, sample: Sample, gsd_m: float, values: NDArray[np.uint16]) -> None:
    shape = (values.shape[1], values.shape[2])
    write_sample(path, SampleFile(shape, sample.west, sample.north, gsd_m, BANDS, sample.acquired), [values])


def make_large(path: Path, side: int, bands: int = 2, seed: int = 0) -> None:
    """Write a uint16 scene of `side` x `side` pixels with a collar, for benchmarks, in memory that does not grow.

    One landscape of 1,024 x 1,024 is repeated by reflection, each copy a little lighter or darker.
    """
    small = render((1024, 1024), seed)[np.arange(bands) % len(BANDS)]
    names = tuple(BANDS[i % len(BANDS)] if bands <= len(BANDS) else f"band {i + 1}" for i in range(bands))
    file = SampleFile((side, side), 500_000.0, 5_400_000.0, LR_GSD_M, names, SAMPLES[0].acquired)
    write_sample(path, file, _mosaic(small, side, seed))


def _mosaic(small: NDArray[np.uint16], side: int, seed: int) -> Iterator[NDArray[np.uint16]]:
    cols = np.arange(side)
    for top in range(0, side, BLOCK):
        rows = np.arange(top, min(top + BLOCK, side))
        part = small[:, _reflected(rows, small.shape[1])][:, :, _reflected(cols, small.shape[2])].astype(np.float32)
        copies = -(-side // 1024)
        light = np.random.default_rng([seed, 2]).uniform(0.9, 1.1, (copies, copies)).astype(np.float32)
        part *= light[rows // 1024][:, cols // 1024]
        part[:, ~footprint((side, side), 5.0, rows)] = NODATA
        yield np.rint(part).astype(np.uint16)


def _reflected(index: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    turned = index % (2 * size)
    return np.where(turned < size, turned, 2 * size - 1 - turned)


def footprint(shape: tuple[int, int], turn_deg: float, rows: NDArray[np.int64] | None = None) -> NDArray[np.bool_]:
    """Pixels (of `rows`, or all) inside a rectangle turned by `turn_deg` that cuts the corners of the scene."""
    turn = np.deg2rad(turn_deg)
    y = (np.arange(shape[0]) if rows is None else rows)[:, None] + 0.5 - shape[0] / 2
    x = np.arange(shape[1])[None, :] + 0.5 - shape[1] / 2
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    half = 0.5 * np.cos(turn)
    return np.asarray((np.abs(along) < half * shape[1]) & (np.abs(across) < half * shape[0]))


def halve(values: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """`values` (C, 2Y, 2X) at half the sampling: antialiased bicubic, outer edges kept, rounded.

    Keys' kernel (a = -1/2) stretched by 2, eight samples an axis, with edges mirrored: MATLAB's imresize.
    """
    distance = (np.arange(8) - 3.5) / 2
    near, far = np.abs(distance) <= 1, np.abs(distance)
    weights = np.where(near, 1.5 * far**3 - 2.5 * far**2 + 1, -0.5 * far**3 + 2.5 * far**2 - 4 * far + 2)
    weights = (weights / weights.sum()).astype(np.float32)
    out = values.astype(np.float32)
    for axis in (1, 2):
        size = out.shape[axis] // 2
        padded = np.pad(out, [(3, 3) if i == axis else (0, 0) for i in range(3)], mode="symmetric")
        out = np.zeros([size if i == axis else n for i, n in enumerate(out.shape)], np.float32)
        for k, weight in enumerate(weights):
            out += weight * np.take(padded, np.arange(k, k + 2 * size, 2), axis=axis)
    return np.clip(np.rint(out), 1, 65535).astype(np.uint16)


def all_below(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """LR pixels (Y, X) whose four HR pixels (2Y, 2X) are all inside."""
    return np.asarray(inside.reshape(inside.shape[0] // 2, 2, -1, 2).all(axis=(1, 3)))
