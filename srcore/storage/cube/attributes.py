"""What a Zarr product says of itself: CF for xarray, GeoZarr for whoever knows it. Pure."""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from pyproj import CRS

CONVENTIONS = (
    ("proj:", "f17cb550-5864-4468-aeb7-f3180cfb622f", "geo-proj", "Coordinate reference system of geospatial data"),
    ("spatial:", "689b58e2-cf7b-45e0-9fff-9cfc0883d6b4", "spatial", "Where array indices lie in space"),
    ("multiscales", "d35379db-88df-4056-af3a-620245f8e347", "multiscales", "Levels of resolution"),
)
"""GeoZarr's parts: name, identity, repository, words."""
GRID_MAPPING, VALID = "spatial_ref", "valid"
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
NUMBERED = re.compile(r"(band|level)_[0-9]+")
"""Names of bands without one, and of the levels' groups."""


def variable_names(bands: Sequence[str]) -> list[str]:
    """A name a band that any program takes: its own, or band_1 where that is none, is taken, or may be another's."""
    taken = {GRID_MAPPING, "x", "y", VALID}
    names: list[str] = []
    for place, band in enumerate(bands, 1):
        own = NAME.fullmatch(band) and not NUMBERED.fullmatch(band) and band not in taken
        name = band if own else f"band_{place}"
        names.append(name)
        taken.add(name)
    return names


def has_valid(nodata: str) -> bool:
    """Whether a variable says which pixels are valid, as no number does."""
    return nodata in ("mask", "alpha")


def fill(value: float, dtype: str) -> int | str:
    """`_FillValue` as xarray writes it into Zarr 3: whole numbers as they are, floats by their bytes."""
    if np.dtype(dtype).kind != "f":
        return int(value)
    return base64.standard_b64encode(struct.pack("<d", value)).decode()


def grid_mapping(crs: str | None, affine: Sequence[float]) -> dict[str, Any]:
    """Attributes of `spatial_ref`: CF's words for the CRS, and GDAL's affine."""
    a, b, c, d, e, f = affine
    found: dict[str, Any] = {"GeoTransform": " ".join(repr(float(v)) for v in (c, a, b, f, d, e))}
    if crs is not None:
        known = CRS.from_user_input(crs)
        words = {key: value for key, value in known.to_cf().items() if isinstance(value, (str, int, float))}
        found |= {**words, "crs_wkt": known.to_wkt(), "spatial_ref": known.to_wkt()}
    return found


def geozarr(crs: str | None, affine: Sequence[float], shape: Sequence[int], box: Sequence[float]) -> dict[str, Any]:
    """Attributes of a group whose variables lie on a grid: `affine` a, b, c, d, e, f of x = a column + b row + c."""
    found: dict[str, Any] = {
        "zarr_conventions": [_convention(name) for name in ("proj:", "spatial:")],
        "spatial:dimensions": ["y", "x"],
        "spatial:shape": list(map(int, shape)),
        "spatial:transform": [float(v) for v in affine],
        "spatial:bbox": [float(v) for v in box],
        "spatial:registration": "pixel",
    }
    if crs is not None:
        known = CRS.from_user_input(crs)
        authority = known.to_authority(min_confidence=100)
        if authority is not None:
            found["proj:code"] = ":".join(authority)
        found["proj:wkt2"] = known.to_wkt()
    return found


def multiscales(factors: Sequence[tuple[str, float, float]]) -> dict[str, Any]:
    """What levels there are: the whole at the root, then (group, rows, columns) of the whole in one of the level's."""
    layout: list[dict[str, Any]] = [{"asset": "."}]
    for name, rows, columns in factors:
        moved = {"scale": [rows, columns], "translation": [(rows - 1) / 2, (columns - 1) / 2]}
        layout.append({"asset": name, "derived_from": layout[-1]["asset"], "transform": moved})
    return {"layout": layout, "resampling_method": "average"}


def _convention(name: str) -> dict[str, str]:
    [(own, uuid, repository, words)] = [one for one in CONVENTIONS if one[0] == name]
    return {
        "name": own,
        "uuid": uuid,
        "spec_url": f"https://github.com/zarr-conventions/{repository}",
        "description": words,
    }


def with_levels(attributes: dict[str, Any], factors: Sequence[tuple[str, float, float]]) -> dict[str, Any]:
    """The root's attributes with what levels there are."""
    told = [*attributes["zarr_conventions"], _convention("multiscales")]
    return {**attributes, "zarr_conventions": told, "multiscales": multiscales(factors)}
