"""What the SR of a volume keeps to: its LR's own ends; nothing of a raster, of classes, and where some are said."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from srcore.memory.arrays import array_header
from srcore.storage.bounds import REACH, bounds, flags
from srcore.storage.header import Header

Ends = tuple[float, float]
MOST = float(np.finfo("float32").max)


def volume(dtype: str, shape: tuple[int, ...] = (1, 4, 9, 9), **facts: Any) -> Header:
    header = array_header(shape, dtype, None)
    return replace(header, bands=(replace(header.bands[0], **facts),))


@pytest.mark.parametrize(
    ("own", "dtype", "expected", "floored"),
    [
        ((-900, 1100), "int16", (-900 - REACH * 2000, 1100 + REACH * 2000), False),  # a CT
        ((-1024, 30000), "int16", (-1024 - REACH * 31024, 32767), False),
        ((3, 1003), "int16", (0, 1003 + REACH * 1000), True),
        ((0, 200), "uint8", (0, 255), False),
        ((-2.5, 3.5), "float32", (-2.5 - REACH * 6, 3.5 + REACH * 6), False),  # z-scores
        ((0.25, 0.25), "float32", (0.25, 0.25), True),
        ((-7, -7), "int16", (-7, -7), False),
        ((-3e38, 3e38), "float32", (-MOST, MOST), False),
    ],
)
def test_ends_are_those_that_the_lr_shows(own: Ends, dtype: str, expected: Ends, floored: bool) -> None:
    assert bounds(volume(dtype), (own,)) == (pytest.approx(expected),)
    assert bool(list(flags(volume(dtype), (own,)))) == floored


def test_what_somebody_said_classes_rasters_and_nothing_valid_have_none() -> None:
    for header in (
        volume("int16", valid_range=(None, 5.0)),
        volume("int16", values="categorical"),
        volume("int16", (1, 9, 9)),
    ):
        assert bounds(header, ((0.0, 9.0),)) == (None,)
        assert list(flags(header, ((0.0, 9.0),))) == []
    assert bounds(volume("int16"), (None,)) == (None,)


def test_hounsfield_units_of_a_series_have_no_least_number_of_0() -> None:
    header = replace(volume("int16"), extra={"modality": "CT"})
    assert bounds(header, ((200.0, 1800.0),)) == ((200 - REACH * 1600, 1800 + REACH * 1600),)
    assert list(flags(header, ((200.0, 1800.0),))) == []
