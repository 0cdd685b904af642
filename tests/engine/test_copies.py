"""Bands that no generator sees, and ranges that the SR keeps to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from srcore.checkpoints import BUILTIN
from srcore.engine import BlockFacts, open_engine, super_resolve
from srcore.radiometry import Normalisation, native_range, nearest
from srcore.treatment import Treatment

HALO = 7 + 1


def facts_of(dtype: str, **changes: object) -> BlockFacts:
    treatment = Treatment(back_projection=1)
    return replace(BlockFacts(Normalisation((0.0,) * 3, (4000.0,) * 3), dtype, (0.0,) * 3, treatment), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
@pytest.mark.parametrize("copied", [(False, True, False), (True, True, True)])
def test_copied_bands_are_repeated_and_the_others_are_as_ever(
    dtype: str, copied: tuple[bool, ...], landscape: Callable[..., np.ndarray]
) -> None:
    engine = open_engine(BUILTIN / "srcore-x2-fast", "cpu", "float32")
    tile = landscape(3, (30 + 2 * HALO, 40 + 2 * HALO), dtype)
    valid = np.ones((3, 30, 37), bool)  # the scene ends within the core
    valid[1, 3:6] = False
    around = np.ones((3, 32, 42), bool)
    around[1, 4:7] = False
    plain = super_resolve(engine, tile, valid, facts_of(dtype), around)
    found = super_resolve(engine, tile, valid, facts_of(dtype, copied=copied), around)
    core = np.where(valid, tile[:, HALO : HALO + 30, HALO : HALO + 37], 0)
    for band, is_copied in enumerate(copied):
        expected = nearest(core, (2, 2))[band] if is_copied else plain[band]
        np.testing.assert_array_equal(found[band], expected)
    assert found.dtype == np.dtype(dtype)


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_ranges_are_kept(dtype: str, landscape: Callable[..., np.ndarray]) -> None:
    engine = open_engine(BUILTIN / "srcore-x2-fast", "cpu", "float32")
    tile = landscape(3, (30 + 2 * HALO, 40 + 2 * HALO), dtype)
    valid = np.ones((3, 30, 40), bool)
    low, high = float(np.percentile(tile, 20)), float(np.percentile(tile, 80))
    kind = np.dtype(dtype)
    ranges = (native_range((low, high), kind, 0.0), None, native_range((low, None), kind, 0.0))
    plain = super_resolve(engine, tile, valid, facts_of(dtype))
    found = super_resolve(engine, tile, valid, facts_of(dtype, ranges=ranges))
    assert low <= found[0].min()
    assert found[0].max() <= high
    assert low <= found[2].min()
    np.testing.assert_array_equal(found[1], plain[1])
    inside = (plain[0] >= low) & (plain[0] <= high)
    np.testing.assert_array_equal(found[0][inside], plain[0][inside])
    assert not inside.all()


@pytest.mark.parametrize(
    ("valid_range", "dtype", "nodata", "expected"),
    [
        ((None, None), "uint8", None, None),
        ((0, 100), "uint8", None, (0, 100)),
        ((-0.5, 100.5), "int16", None, (0, 100)),
        ((0, 100), "uint8", 0, (1, 100)),
        ((0, 100), "uint8", 100, (0, 99)),
        ((0, 100), "uint8", 255, (0, 100)),
        ((0, None), "uint16", 65535, (0, 65534)),
        ((None, 300), "uint8", None, (0, 255)),
        ((5, 5.5), "uint8", 5, (6, 4)),
        ((300, 400), "uint8", None, (300, 255)),
        ((-1, 1), "float32", None, (-1, 1)),
        ((-1, 1), "float32", float("nan"), (-1, 1)),
        ((0, None), "float32", -9999, (0, np.inf)),
    ],
)
def test_ends_that_a_dtype_can_hold(valid_range, dtype, nodata, expected) -> None:
    assert native_range(valid_range, np.dtype(dtype), nodata) == expected


def test_ends_are_never_rounded_outwards() -> None:
    low, high = native_range((0.1, 0.3), np.dtype("float32"), None) or (0, 0)
    assert low >= 0.1
    assert high <= 0.3
    low, high = native_range((0.0, 1.0), np.dtype("float32"), 0.0) or (0, 0)
    assert 0 < low < 1e-30
