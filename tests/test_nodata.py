"""Nodata numbers: hidden is what GDAL hides, and no valid pixel stays on what it hides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from hypothesis import given
from hypothesis import strategies as st

from srcore.engine.stream import _kept_off
from srcore.nodata import beside, is_nodata, keep_off

LOWEST = float(np.finfo(np.float32).min)
NUMBERS = (0.0, 1.0, -1.0, 0.1, 255.0, -9999.0, -32768.0, 1e20, -3.4e38, LOWEST, -LOWEST, 9.96921e36)


def around(number: float, dtype: str) -> np.ndarray:
    """The number, its neighbours by ulps and by parts, and numbers far away."""
    kind = np.dtype(dtype)
    with np.errstate(all="ignore"):
        near = [kind.type(number)]
        for _ in range(12):
            near.append(np.nextafter(near[-1], kind.type(-np.inf)))
        up = [np.nextafter(near[0], kind.type(np.inf))]
        for _ in range(12):
            up.append(np.nextafter(up[-1], kind.type(np.inf)))
        parts = [kind.type(number) * kind.type(1 + part) for part in (1e-7, -1e-7, 1e-3, -0.5, -0.9999999)]
    found = np.array([*near, *up, *parts, 0, 1, -1, 2800, LOWEST], kind)
    return found[np.isfinite(found)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("number", NUMBERS)
def test_hidden_is_what_gdal_hides(tmp_path: Path, number: float, dtype: str) -> None:
    values = around(number, dtype)
    with rasterio.open(
        tmp_path / "a.tif", "w", driver="GTiff", count=1, height=1, width=len(values), dtype=dtype, nodata=number
    ) as out:
        out.write(values[None, None])
    with rasterio.open(tmp_path / "a.tif") as file:
        expected = file.read_masks(1)[0] == 0
        np.testing.assert_array_equal(is_nodata(file.read(1)[0], file.nodata), expected)
    assert expected.any()
    assert not expected.all()


def test_a_tag_that_lost_digits_finds_its_pixels() -> None:
    values = np.array([LOWEST, 0, 2899.7], np.float32)
    assert is_nodata(values, -3.4e38).tolist() == [True, False, False]


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
@given(number=st.sampled_from(NUMBERS))
def test_no_valid_pixel_stays_on_the_number(dtype: str, number: float) -> None:
    kind = np.dtype(dtype)
    if kind.kind in "iu" and not (number.is_integer() and np.iinfo(kind).min <= number <= np.iinfo(kind).max):
        return
    values = np.concatenate([around(number, dtype), [7]]) if kind.kind == "f" else np.array([number, 7], kind)
    kept = keep_off(values.astype(kind), number)
    assert kept.dtype == kind
    assert not is_nodata(kept, number).any()
    assert kept[-1] == 7
    if kind.kind in "iu":
        assert abs(float(kept[0]) - number) == 1
    assert abs(beside(number, kind) - number) <= max(1, 2e-6 * abs(number)) or abs(number) > 1e35


@pytest.mark.parametrize("number", NUMBERS)
def test_the_device_keeps_off_to_the_same_bit(number: float) -> None:
    for dtype in ("float32", "float64"):
        values = around(number, dtype)
        found = _kept_off(torch.from_numpy(values), number, np.dtype(dtype)).numpy()
        np.testing.assert_array_equal(found, keep_off(values, number))


def test_nan_hides_nan_alone() -> None:
    values = np.array([np.nan, np.inf, 0], np.float32)
    assert is_nodata(values, np.nan).tolist() == [True, False, False]
    assert keep_off(values, np.nan) is values
    assert not is_nodata(np.array([0, 7], np.uint8), np.nan).any()
