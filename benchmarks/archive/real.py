"""Real files: every model that ships, on every file of the shared imagery that is of its kind.

What is larger than asked for is cut out of its middle, so that the whole ends in a bearable time; each result is kept
as a line of a file, and a later call goes on from there.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from math import ceil, sqrt
from pathlib import Path
from typing import Any, Literal

import nibabel
import numpy as np
import rasterio
from rasterio.windows import Window

from benchmarks import out
from benchmarks.archive.run import outcome_of
from srcore.checkpoints import BUILTIN, builtin_names, read_spec
from srcore.storage.scene import read_header

RASTERS = (
    "satellite/**/*.tif*",
    "providers/**/*.tif",
    "providers/**/*.TIF",
    "providers/**/*.jp2",
    "sr_benchmarks/**/*.png",
)
VOLUMES = ("medical/**/*.nii.gz",)
LEAST_SLICES = 8


def run(data: Path, keep: Path, max_pixels: int, models: tuple[str, ...]) -> list[dict[str, Any]]:
    """One row a file and model; what `keep` has of an earlier call with the same size is not done again."""
    done = {(row["file"], row["model"], row["max_pixels"]): row for row in _kept(keep)}
    rows = []
    for path, kind, model in pairs(data, models):
        key = (str(path.relative_to(data)), model, max_pixels)
        if key not in done:
            done[key] = {
                "file": key[0],
                "model": model,
                "max_pixels": max_pixels,
                **_one(path, kind, model, max_pixels),
            }
            with keep.open("a") as file:
                file.write(json.dumps(done[key]) + "\n")
            out.print(f"{key[0]}, {model}: {done[key]['result']}")
        rows.append(done[key])
    return rows


def pairs(data: Path, models: tuple[str, ...]) -> Iterator[tuple[Path, Literal["raster", "volume"], str]]:
    """Every file with every model for its kind, or with those of `models`; a 2-D model takes volumes, too."""
    single = tuple(name for name in builtin_names() if read_spec(BUILTIN / name).zoom == 1)  # none of these has guides
    for name in models or single:
        kinds: tuple[Literal["raster", "volume"], ...] = (
            ("volume",) if read_spec(BUILTIN / name).kind == "volume" else ("raster", "volume")
        )
        for kind in kinds:
            patterns = RASTERS if kind == "raster" else VOLUMES
            for path in sorted({path for pattern in patterns for path in data.glob(pattern)}):
                yield path, kind, name


def _kept(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _one(path: Path, kind: Literal["raster", "volume"], model: str, max_pixels: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        source = smaller(path, kind, Path(folder), max_pixels)
        output = Path(folder) / "out" / ("sr.nii.gz" if kind == "volume" else "sr.tif")
        told = outcome_of((source,), output, model=model)
        row = {"result": told.result, "code": told.code, "message": told.message, "cut": source != path}
        if not told.published:
            return row
        lr, sr = read_header([source], kind), read_header([output], kind)
        expected = lr.grid.scaled(read_spec(BUILTIN / model).scale_for(len(lr.grid.shape)))
        off = float(np.abs(np.subtract(expected.bounds(), sr.grid.bounds())).max()) / max(expected.spacing())
        if sr.grid.shape != expected.shape or sr.dtype != lr.dtype or off > 1e-3:
            row["result"], row["message"] = "wrong", f"{sr.grid.shape} {sr.dtype}, off by {off:g} px"
        return row


def smaller(path: Path, kind: Literal["raster", "volume"], folder: Path, max_pixels: int) -> Path:
    """A cut of so many pixels a band at most, out of the middle of a file; the file where it is small, or damaged."""
    try:
        return (_cut_volume if kind == "volume" else _cut_raster)(path, folder, max_pixels)
    except (OSError, ValueError, rasterio.errors.RasterioError):
        return path  # srcore says what is wrong with it


def _cut_raster(path: Path, folder: Path, max_pixels: int) -> Path:
    with rasterio.open(path) as source:
        share = sqrt(max_pixels / (source.width * source.height))
        if share >= 1:
            return path
        height, width = max(1, int(source.height * share)), max(1, int(source.width * share))
        window = Window((source.width - width) // 2, (source.height - height) // 2, width, height)
        profile = {
            **{key: source.profile[key] for key in ("count", "dtype", "nodata", "crs")},
            **{"driver": "GTiff", "height": height, "width": width, "transform": source.window_transform(window)},
        }
        target = folder / f"{path.stem}.tif"
        with rasterio.open(target, "w", **profile) as cut:
            cut.write(source.read(window=window))
            cut.colorinterp, cut.descriptions = source.colorinterp, source.descriptions
            cut.scales, cut.offsets = source.scales, source.offsets
    return target


def _cut_volume(path: Path, folder: Path, max_pixels: int) -> Path:
    image: Any = nibabel.load(path)
    share = (max_pixels / np.prod(image.shape[:3])) ** (1 / 3)
    if share >= 1:
        return path
    spans = []
    for size in image.shape[:3]:
        length = min(size, max(LEAST_SLICES, ceil(size * share)))
        spans.append(slice((size - length) // 2, (size - length) // 2 + length))
    target = folder / path.name
    nibabel.save(image.slicer[tuple(spans)], target)
    return target
