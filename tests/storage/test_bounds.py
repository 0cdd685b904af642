"""What the SR of a volume keeps to: its LR's own ends; nothing of a raster, of classes, and where some are said."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from srcore.memory.arrays import array_header
from srcore.radiometry import Extent
from srcore.storage.bounds import REACH, bounds, flags
from srcore.storage.header import Header


def spread(low: float, high: float, lows: int = 1, highs: int = 1) -> np.ndarray[Any, Any]:
    """4,000 numbers from `low` to `high`, the ends so many times."""
    values = np.linspace(low, high, 4000)
    values[:lows], values[4000 - highs :] = low, high
    return values


def found(numbers: np.ndarray[Any, Any], dtype: str, parts: int = 1, **facts: Any) -> tuple[Any, list[str]]:
    """Bounds and flags of a volume with these numbers, in parts."""
    stored = (numbers if dtype[0] == "f" else np.rint(numbers)).astype(dtype).reshape(1, parts, -1, 1, 20)
    header = array_header((1, *stored.shape[2:]), dtype, None)
    header = replace(header, bands=(replace(header.bands[0], **facts),))
    extent = Extent(1)
    for part in range(parts):
        extent.add(stored[:, part], np.ones(stored[:, part].shape, bool))
    return bounds(header, extent)[0], list(flags(header, extent))


@pytest.mark.parametrize(
    ("numbers", "dtype", "expected", "flag"),
    [
        (spread(-900, 1100), "int16", (-900 - REACH * 2000, 1100 + REACH * 2000), ""),  # a CT with noise at its ends
        (
            spread(-1024, 976, lows=40),
            "int16",
            (-1024, 976 + REACH * 2000),
            "cut off at -1024, and none of the SR is less",
        ),
        (
            spread(-1024, 3071, lows=40, highs=40),
            "int16",
            (-1024, 3071),
            "cut off at 3071, and none of the SR is greater",
        ),
        (spread(-1024, 3070, lows=4), "int16", (-1024 - REACH * 4094, 3070 + REACH * 4094), ""),  # by chance
        (spread(3, 1003), "int16", (0, 1003 + REACH * 1000), "no number of the LR is negative"),
        (spread(0, 200, lows=2000), "uint8", (0, 255), ""),
        (spread(-2.5, 3.5), "float32", (-2.5 - REACH * 6, 3.5 + REACH * 6), ""),  # z-scores
        (spread(0.25, 0.25), "float32", (0.25, 0.25), ""),
        (spread(-3e38, 3e38), "float32", (-float(np.finfo("float32").max), float(np.finfo("float32").max)), ""),
    ],
)
@pytest.mark.parametrize("parts", [1, 5])
def test_ends_are_those_that_the_lr_shows(
    numbers: np.ndarray[Any, Any], dtype: str, expected: tuple[float, float], flag: str, parts: int
) -> None:
    kept, told = found(numbers, dtype, parts)
    assert kept == pytest.approx(expected)
    assert (flag in " ".join(told)) if flag else not told


def test_whoever_says_ends_or_classes_has_no_others() -> None:
    assert found(spread(0, 9), "int16", valid_range=(None, 5.0))[0] is None
    assert found(spread(0, 9), "int16", values="categorical")[0] is None


def test_a_raster_and_nothing_valid_have_none() -> None:
    header = array_header((1, 40, 100), "int16", None)
    extent = Extent(1)
    assert bounds(array_header((1, 4, 40, 25), "int16", None), extent) == (None,)
    extent.add(np.arange(4000, dtype="int16").reshape(1, 40, 100), np.ones((1, 40, 100), bool))
    assert bounds(header, extent) == (None,)


def test_hounsfield_units_of_a_series_have_no_least_number_of_0() -> None:
    header: Header = replace(array_header((1, 10, 20, 20), "int16", None), extra={"modality": "CT"})
    extent = Extent(1)
    extent.add(np.rint(spread(200, 1800)).astype("int16").reshape(1, 10, 20, 20), np.ones((1, 10, 20, 20), bool))
    assert bounds(header, extent)[0] == (200 - REACH * 1600, 1800 + REACH * 1600)
