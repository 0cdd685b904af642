"""Drawn pairs as files, and datasets of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine

from srcore.catalog.dataset import Dataset
from srcore.training.pairs.sample import Sample

CORNER = (400000.0, 5000000.0)
UTM = "EPSG:32632"


def write(
    path: Path,
    values: np.ndarray,
    gsd: float,
    *,
    corner: tuple[float, float] = CORNER,
    crs: str | None = UTM,
    nodata: float | None = None,
    names: tuple[str, ...] = (),
    **tags: str,
) -> None:
    """A GeoTIFF of (C, y, x)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = values.shape
    transform = Affine.translation(*corner) @ Affine.scale(gsd, -gsd)
    size = {"count": count, "height": height, "width": width, "dtype": values.dtype}
    with rasterio.open(path, "w", driver="GTiff", crs=crs, transform=transform, nodata=nodata, **size) as target:
        target.write(values)
        target.update_tags(**tags)
        for index, name in enumerate(names, 1):
            target.set_band_description(index, name)


def write_pair(folder: Path, name: str, one: Sample, *, east: float = 0.0, **hr: Any) -> None:
    """LR of 20 m and HR of 10 m (of scale 2), `east` metres from the corner; `hr`: what differs in the HR's file."""
    corner = (CORNER[0] + east, CORNER[1])
    write(folder / "lr" / f"{name}.tif", one.lr, 20.0, corner=corner)
    write(folder / "hr" / f"{name}.tif", **{"values": one.hr, "gsd": 20.0 / one.scale[0], "corner": corner, **hr})


def dataset(folder: Path, **keys: Any) -> Dataset:
    """Of what `write_pair` wrote."""
    told = {"kind": "raster", "model": "srcore-x2@champion", "hr": f"{folder}/hr", "retrain": {}, **keys}
    return Dataset.model_validate({"source": f"{folder}/lr/*.tif", **told})
