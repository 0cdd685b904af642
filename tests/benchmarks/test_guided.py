"""The classical ways and the figures of the guided benchmark, on drawn places."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from benchmarks.guided import (
    Place,
    bicubic,
    figures,
    gram_schmidt,
    model,
    mtf_glp,
    on_ms_grid,
    q2n,
    shrunk,
    without_network,
)
from srcore.shift import beside


def ground(seed: int, side: int = 96) -> np.ndarray:
    return np.asarray(3000 + 2500 * ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(side, side)), 1.0))


def place(noise: float = 0.0) -> Place:
    """Three bands that are mixtures of two guides, and of what no guide shows."""
    guides, own = np.stack([ground(0), ground(1)]), np.stack([ground(k) for k in (2, 3, 4)])
    truth = np.einsum("bg,gyx->byx", [[0.7, 0.2], [-0.4, 0.9], [0.5, 0.5]], guides) + noise * (own - 3000) + 2000
    return Place("drawn", np.stack([shrunk(band, 0.3) for band in truth]), guides, truth, (0.3,) * 3)


def test_every_way_with_guides_finds_mixtures_of_them_again() -> None:
    drawn = place()
    plain = figures(drawn, bicubic(drawn))
    for way in (gram_schmidt, mtf_glp, lambda one: model(one, without_network())):
        found = figures(drawn, way(drawn))
        assert found["ERGAS"] < 0.35 * plain["ERGAS"]
        assert found["Q2n"] > plain["Q2n"]
        assert found["PSNR"] > plain["PSNR"] + 8
    assert figures(drawn, drawn.truth) | {"PSNR": 0} == {"ERGAS": 0, "SAM": 0, "Q2n": pytest.approx(1), "PSNR": 0}


def test_what_no_guide_shows_no_way_finds() -> None:
    drawn = place(noise=1.0)
    assert figures(drawn, mtf_glp(drawn))["ERGAS"] > 2 * figures(place(), mtf_glp(place()))["ERGAS"]


def test_q2n_of_one_band_is_the_quality_index_of_wang_and_bovik() -> None:
    truth = ground(5, 32)
    test = truth + np.random.default_rng(6).normal(size=truth.shape) * 300
    mean, deviation = truth.mean(), truth.std(ddof=1)
    a, b = (truth - mean) / deviation + 1, (test - mean) / deviation + 1
    covariance = np.cov(a.ravel(), b.ravel())
    wanted = 4 * covariance[0, 1] * a.mean() * b.mean()
    wanted /= (covariance[0, 0] + covariance[1, 1]) * (a.mean() ** 2 + b.mean() ** 2)
    assert q2n(truth[None], test[None]) == pytest.approx(wanted, rel=1e-9)
    cube = np.stack([ground(k, 64) for k in range(6)])
    worse = [q2n(cube, cube + np.random.default_rng(7).normal(size=cube.shape) * size) for size in (0, 50, 500, 5000)]
    assert worse == sorted(worse, reverse=True)
    assert worse[0] == pytest.approx(1)


def test_a_band_half_a_pixel_inside_is_brought_to_the_others_grid() -> None:
    fine = ground(8, 256)
    wanted = fine.reshape(64, 4, 64, 4).mean(axis=(1, 3))
    pan = ndimage.uniform_filter(fine, 2)[2::2, 2::2]
    seen = on_ms_grid(pan)
    assert pan.shape == (127, 127)
    assert seen.shape == (64, 64)
    size = np.abs(wanted - wanted.mean()).max()
    shift = beside((seen - seen.mean()) / size, (wanted - wanted.mean()) / size)
    assert shift is not None
    assert np.hypot(*shift) <= 0.02
