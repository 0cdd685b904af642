"""Small upscaled scenes of every form, for the tests of products."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from rasterio.crs import CRS

from srcore.grid import Grid
from srcore.storage.band import Band
from srcore.storage.header import GroundControlPoint, Header

UTM32 = CRS.from_epsg(32632).to_wkt()
NORTH_UP = ((0.0, 10.0, 5e5), (-10.0, 0.0, 5e6))
POINTS = tuple(
    GroundControlPoint(row, col, 10 + col / 1000, 50 - row / 1000, 7.5, str(i))
    for i, (row, col) in enumerate([(0, 0), (40, 0), (0, 50), (40.5, 50.25)], 1)
)


@dataclass(frozen=True)
class Scene:
    """What is upscaled: `sr` final values on the SR grid, `valid` and `alpha` on the LR grid."""

    header: Header
    scale: tuple[int, int]
    sr: np.ndarray
    valid: np.ndarray
    alpha: np.ndarray | None


def upsampled(array: np.ndarray, scale: tuple[int, int]) -> np.ndarray:
    return array.repeat(scale[0], axis=-2).repeat(scale[1], axis=-1)


def make_scene(
    shape: tuple[int, int] = (40, 50),
    bands: int = 1,
    dtype: str = "uint16",
    nodata: Any = "none",
    number: float | None = None,
    scale: tuple[int, int] = (2, 2),
    affine: Any = NORTH_UP,
    crs: str | None = UTM32,
    colours: tuple[str, ...] = (),
    smooth: bool = False,
    with_alpha: bool = False,
    apart: bool = False,
    **header: Any,
) -> Scene:
    rng = np.random.default_rng(5)
    sr_shape = (bands, shape[0] * scale[0], shape[1] * scale[1])
    low, high = (1, 100) if np.dtype(dtype).itemsize == 1 else (1, 1000)
    if np.dtype(dtype).kind in "if":
        low = -low * 90
    values = (
        np.linspace(low, high, int(np.prod(sr_shape))).reshape(sr_shape)
        if smooth
        else (rng.uniform(low, high, sr_shape))
    )
    sr = values.astype(dtype)
    valid = np.ones((bands, *shape), bool)
    if nodata != "none":
        valid[:] = rng.random(valid.shape if apart else shape) > 0.3
        valid[:, : shape[0] // 3, : shape[1] // 2] = False
    if nodata in ("tag", "nan"):
        fill = np.nan if nodata == "nan" else number
        sr[sr == np.asarray(fill).astype(dtype)] += 1
        sr[~upsampled(valid, scale)] = fill
    opaque = np.roll(valid[0], 3, axis=1) if nodata == "tag" else valid[0]
    alpha = np.where(opaque, 100, 0).astype(dtype) if nodata == "alpha" or with_alpha else None
    described = Header(
        format="raster",
        grid=Grid(shape, affine, crs),
        dtype=dtype,
        bands=tuple(
            Band("lr.tif", i, f"B{i:02}", number, 0.5, -1.25, "W/m²", colour, {"WAVELENGTH": "0.49"})
            for i, colour in enumerate((*colours, *["undefined"] * bands)[:bands], 1)
        ),
        nodata=nodata,
        alpha=Band("lr.tif", bands + 1, "alpha") if alpha is not None else None,
        **header,
    )
    return Scene(described, scale, sr, valid, alpha)
