"""A dataset of three tiny scenes, for tests of nights."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin

SIZES = {"a": (20, 30), "b": (40, 50), "c": (10, 10)}


def write(path: Path, shape: tuple[int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = (1000 + np.arange(shape[0] * shape[1]) % 97).astype("uint16").reshape(1, *shape)
    profile = {"driver": "GTiff", "count": 1, "height": shape[0], "width": shape[1], "dtype": "uint16"}
    with rasterio.open(path, "w", **profile, crs="EPSG:32632", transform=from_origin(6e5, 5e6, 10, 10)) as target:
        target.write(values)


def make(folder: Path, *keys: str) -> Path:
    """A catalog of three scenes; c is the newest file, a the oldest."""
    for age, name in enumerate(("c", "b", "a")):
        write(folder / f"in/{name}.tif", SIZES[name])
        os.utime(folder / f"in/{name}.tif", (1e9 - age, 1e9 - age))
    catalog = folder / "data_catalog.yaml"
    entry = ["kind: raster", "source: ./in/*.tif", "model: nearest-x2", "products: [cog]", *keys]
    catalog.write_text("version: 1\nstore: ./s\ndatasets:\n  d:\n" + "".join(f"    {key}\n" for key in entry))
    return catalog
