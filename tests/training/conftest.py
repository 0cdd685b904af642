"""Tiny real rasters and a recipe that trains on them in a second."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from scipy import ndimage

from srcore.training.config import TrainConfig, parse_config

Write = Callable[..., Path]


@pytest.fixture
def write_raster() -> Write:
    """Writes (C, Y, X) as GeoTIFF."""

    def write(path: Path, values: np.ndarray, nodata: float | None = None) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        count, height, width = values.shape
        with rasterio.open(
            path,
            "w",
            driver="GTiff",
            count=count,
            height=height,
            width=width,
            dtype=values.dtype,
            nodata=nodata,
            transform=rasterio.Affine(10, 0, 0, 0, -10, 0),
        ) as target:
            target.write(values)
        return path

    return write


@pytest.fixture
def texture() -> np.ndarray:
    """Two uint16 bands (2, 96, 96) of noise as fine as bicubic can just not follow."""
    fine = ndimage.gaussian_filter(np.random.default_rng(1).normal(size=(2, 96, 96)), (0, 1.0, 1.0))
    values: np.ndarray = (10000 + 8000 * fine).clip(0, 65535).astype(np.uint16)
    return values


@pytest.fixture
def recipe(tmp_path: Path, write_raster: Write, texture: np.ndarray) -> Callable[..., TrainConfig]:
    """A recipe on one small raster; keywords replace its entries."""
    write_raster(tmp_path / "data" / "scene_a.tif", texture)

    def make(**changes: Any) -> TrainConfig:
        document: dict[str, Any] = {
            "name": "tiny",
            "data": str(tmp_path / "data"),
            "output": str(tmp_path / "run"),
            "sources": [{"files": "*.tif", "share": 1}],
            "architecture": {"name": "edsr", "params": {"scale": 2, "width": 8, "blocks": 1, "bias": False}},
            "steps": 8,
            "batch": 4,
            "core_px": 12,
            "warmup_steps": 2,
            "save_every": 4,
            "log_every": 2,
            "seed": 3,
            "precision": "float32",
            "device": "cpu",
            "threads": 1,
        }
        return parse_config(document | changes, "test")

    return make
