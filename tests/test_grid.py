from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from srcore.errors import GridError
from srcore.grid import Grid

NORTH_UP = Grid((3, 5), ((0.0, 10.0, 100.0), (-10.0, 0.0, 900.0)), "EPSG:32632")
numbers = st.floats(-1e6, 1e6, allow_nan=False)


def test_corners_and_centres() -> None:
    assert NORTH_UP.to_world((0, 0)) == (100.0, 900.0)
    assert NORTH_UP.to_world((0.5, 0.5)) == (105.0, 895.0)
    assert NORTH_UP.bounds() == (100.0, 870.0, 150.0, 900.0)
    assert NORTH_UP.spacing() == (10.0, 10.0)


def test_a_rotated_grid_has_the_bounds_of_all_its_corners() -> None:
    turned = Grid((2, 2), ((-1.0, 1.0, 0.0), (1.0, 1.0, 0.0)))
    assert turned.bounds() == (-2.0, 0.0, 2.0, 4.0)


@given(
    st.tuples(st.integers(1, 999), st.integers(1, 999)),
    st.lists(numbers, min_size=6, max_size=6),
    st.tuples(st.integers(1, 5), st.integers(1, 5)),
)
def test_scaling_keeps_every_corner(shape: tuple[int, int], six: list[float], scale: tuple[int, int]) -> None:
    grid = Grid(shape, (tuple(six[:3]), tuple(six[3:])))
    finer = grid.scaled(scale)
    assert finer.shape == (shape[0] * scale[0], shape[1] * scale[1])
    size = np.abs(six).max() * 1000 + 1
    np.testing.assert_allclose(finer.bounds(), grid.bounds(), rtol=0, atol=1e-12 * size)


def test_a_volume_keeps_its_slices() -> None:
    volume = Grid((4, 3, 2), ((0, 0, 1, 0), (0, 1, 0, 0), (5, 0, 0, -7)))
    finer = volume.scaled((1, 2, 2))
    assert finer.shape == (4, 6, 4)
    assert finer.bounds() == volume.bounds()
    assert finer.spacing() == (5.0, 0.5, 0.5)


def test_json_round_trip() -> None:
    assert Grid.from_json(NORTH_UP.to_json()) == NORTH_UP


@pytest.mark.parametrize("shape", [(0, 3), (3,), (1, 2, 3, 4)])
def test_an_unusable_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(GridError, match="shape"):
        Grid(shape, ((1, 0, 0), (0, 1, 0)))
