from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from srcore.radiometry import Normalisation, fill_invalid, nearest, percentile_normalisation, quantise


def test_normalisation_round_trip() -> None:
    values = np.array([[[0, 100], [4000, 65535]]], np.uint16)
    scheme = Normalisation((120.0,), (3500.0,))
    back = quantise(scheme.undo(scheme.apply(values)), values.dtype)
    np.testing.assert_array_equal(back, values)


def test_percentiles_of_valid_pixels_decide() -> None:
    band = np.arange(101.0)
    scheme = percentile_normalisation([band, np.array([7.0, 7.0]), np.array([])])
    assert scheme.offset == (2.0, 7.0, 0.0)
    assert scheme.scale == (96.0, 1.0, 1.0)


@given(
    hnp.arrays(np.int16, (2, 6, 7)),
    hnp.arrays(bool, (2, 6, 7)),
)
def test_filling_leaves_valid_pixels_and_invents_no_numbers(values: np.ndarray, valid: np.ndarray) -> None:
    filled = fill_invalid(values, valid)
    np.testing.assert_array_equal(filled[valid], values[valid])
    for band in range(2):
        allowed = set(values[band][valid[band]].tolist()) or {0}
        assert set(filled[band][~valid[band]].tolist()) <= allowed


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32"])
def test_quantise_rounds_and_clips(dtype: str) -> None:
    limits = np.iinfo(dtype)
    got = quantise(np.array([limits.min - 5.0, 1.4, 1.6, limits.max + 5.0]), np.dtype(dtype))
    assert got.tolist() == [limits.min, 1, 2, limits.max]


def test_nearest_repeats_pixels() -> None:
    np.testing.assert_array_equal(nearest(np.array([[[1, 2]]]), (1, 2)), [[[1, 1, 2, 2]]])


@given(st.integers(0, 2**32 - 1), st.floats(0.02, 0.98), st.lists(st.integers(1, 14), min_size=1, max_size=3))
def test_a_filled_pixel_has_the_value_of_its_nearest_valid_one(seed: int, share: float, shape: list[int]) -> None:
    valid = np.random.default_rng(seed).random(shape) < share
    assume(valid.any())
    values = np.arange(valid.size).reshape(shape)
    expected = values[tuple(ndimage.distance_transform_edt(~valid, return_distances=False, return_indices=True))]
    np.testing.assert_array_equal(fill_invalid(values[None], valid[None])[0], expected)
