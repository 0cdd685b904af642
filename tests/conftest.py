"""Small real files, and where the shared imagery is."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real imagery; the test is skipped, and says why, where it is not there."""
    folder = Path(os.environ.get("SRCORE_DATA", ROOT / ".." / "shared")).resolve()
    if not (folder / "data").is_dir():
        pytest.skip(f"real imagery is not at {folder}; set SRCORE_DATA to run this test")
    return folder


@pytest.fixture
def landscape() -> Callable[..., np.ndarray]:
    """Smooth hills with edges: (C, Y, X) of a dtype, the same for the same arguments."""

    def make(bands: int = 2, shape: tuple[int, int] = (61, 83), dtype: str = "uint16", seed: int = 0) -> np.ndarray:
        rng = np.random.default_rng(seed)
        y, x = np.mgrid[: shape[0], : shape[1]]
        layers = []
        for band in range(bands):
            hills = np.sin(x / (5 + band)) + np.cos(y / 7) + ((x // 9 + y // 11) % 2) + 0.1 * rng.standard_normal(shape)
            layers.append(hills)
        values = np.stack(layers)
        low, high = (20, 230) if dtype == "uint8" else (300, 4200)
        values = low + (values - values.min()) / np.ptp(values) * (high - low)
        return values.astype(dtype)

    return make


@pytest.fixture
def write_raster(tmp_path: Path) -> Callable[..., Path]:
    """Write a GeoTIFF of (C, Y, X) values."""

    def write(values: np.ndarray, name: str = "scene.tif", mask: np.ndarray | None = None, **options: Any) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        profile: dict[str, Any] = {
            "driver": "GTiff", "count": values.shape[0], "height": values.shape[1], "width": values.shape[2],
            "dtype": values.dtype, "crs": "EPSG:32632", "transform": Affine(10, 0, 600000, 0, -10, 5200000),
        }  # fmt: skip
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "w", **{**profile, **options}) as target:
            target.write(values)
            if mask is not None:
                target.write_mask(mask)
        return path

    return write
