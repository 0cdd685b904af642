"""Shifts of many windows at once are those that scikit-image finds one by one."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from skimage.registration import phase_cross_correlation

from srcore.shift import LEAST_LIKENESS, SOFTER_PX, shifts


def moved(side: int, count: int = 12) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Windows of a texture that was moved, of the texture itself, and by how much."""
    rng = np.random.default_rng(side)
    still = 100 * ndimage.gaussian_filter(rng.standard_normal((160, 160)), 1.5)
    by = rng.uniform(-1.4, 1.4, (count, 2))
    pairs = []
    for shift in by:
        y, x = rng.integers(10, 150 - side, 2)
        pair = [one[y : y + side, x : x + side] for one in (ndimage.shift(still, shift, order=3), still)]
        pairs.append([one - one.mean() for one in pair])
    ours, theirs = np.moveaxis(np.array(pairs), 1, 0)
    return ours, theirs, by


def one_by_one(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> NDArray[np.float64]:
    """What scikit-image says of a pair: rows and columns."""
    if not (ours * theirs).sum() >= LEAST_LIKENESS * np.sqrt((ours**2).sum() * (theirs**2).sum()) > 0:
        return np.full(2, np.nan)
    rows, columns = (np.hanning(size + 2)[1:-1] for size in ours.shape)
    pair = [ndimage.gaussian_filter(one, SOFTER_PX, mode="nearest") * rows[:, None] * columns for one in (theirs, ours)]
    found = phase_cross_correlation(*pair, upsample_factor=100, normalization=None)[0]  # type: ignore[no-untyped-call]
    return np.asarray(-found)


@pytest.mark.parametrize("side", [16, 17, 40])
def test_they_are_those_of_scikit_image(side: int) -> None:
    ours, theirs, by = moved(side)
    found = shifts(ours, theirs)
    known = np.isfinite(found[:, 0])
    assert known.sum() >= 6
    assert np.allclose(found, [one_by_one(*pair) for pair in zip(ours, theirs, strict=True)], atol=1e-9, equal_nan=True)
    assert np.median(np.abs(found - by)[known]) < 0.2  # what is moved in leaves its mark on a small window


def test_what_holds_nothing_says_nothing() -> None:
    ours, theirs, _ = moved(16, 3)
    theirs[0], ours[1], theirs[2] = 0, np.nan, np.inf
    assert np.isnan(shifts(ours, theirs)).all()
    assert shifts(ours[:0], theirs[:0]).shape == (0, 2)


def test_what_is_not_moved_is_moved_by_nothing() -> None:
    ours, _, _ = moved(16, 3)
    assert shifts(ours, ours).tolist() == [[0.0, 0.0]] * 3
