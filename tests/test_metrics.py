"""Metrics against numbers that can be worked out by hand, and against the field's published baseline."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import ndimage

from srcore.errors import GridError
from srcore.metrics import crop_border, ergas, luma, psnr, spectral_angle, ssim


def test_psnr_of_a_known_error() -> None:
    truth = np.full((8, 8), 100.0)
    assert psnr(truth, truth + 5, 255) == pytest.approx(20 * math.log10(255 / 5))
    assert psnr(truth, truth, 255) == math.inf


def test_psnr_of_integers_does_not_wrap() -> None:
    assert psnr(np.zeros((4, 4), np.uint8), np.full((4, 4), 255, np.uint8), 255) == pytest.approx(0)


def test_ssim_is_wangs() -> None:
    rng = np.random.default_rng(0)
    a = rng.uniform(0, 255, (40, 50))
    b = a + rng.normal(0, 20, a.shape)
    taps = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = np.outer(taps, taps) / np.outer(taps, taps).sum()

    def mean(x: np.ndarray) -> np.ndarray:
        return ndimage.correlate(x, window)[5:-5, 5:-5]

    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    ma, mb = mean(a), mean(b)
    va, vb, vab = mean(a * a) - ma**2, mean(b * b) - mb**2, mean(a * b) - ma * mb
    expected = ((2 * ma * mb + c1) * (2 * vab + c2)) / ((ma**2 + mb**2 + c1) * (va + vb + c2))
    assert ssim(a, b, 255) == pytest.approx(expected.mean(), abs=1e-9)
    assert ssim(a, a, 255) == pytest.approx(1)


def test_shapes_must_agree_and_hold_a_window() -> None:
    with pytest.raises(GridError, match="different shapes"):
        psnr(np.zeros((4, 4)), np.zeros((4, 5)), 1)
    with pytest.raises(GridError, match="11 x 11"):
        ssim(np.zeros((10, 30)), np.zeros((10, 30)), 1)


def test_luma_of_black_white_and_primaries() -> None:
    colours = np.array([[0, 255, 255, 0, 0], [0, 255, 0, 255, 0], [0, 255, 0, 0, 255]], np.uint8)[:, None]
    assert luma(colours)[0] == pytest.approx([16, 235, 81.481, 144.553, 40.966])


def test_crop_border_cuts_each_side_by_the_border() -> None:
    plane = np.arange(30).reshape(5, 6)
    assert crop_border(plane, 2).tolist() == [[14, 15]]
    assert crop_border(plane, 0).shape == (5, 6)


def test_the_spectral_angle_ignores_brightness_and_sees_mixing() -> None:
    rng = np.random.default_rng(0)
    image = 1 + rng.random((3, 20, 20))
    assert spectral_angle(image, 1.7 * image) == pytest.approx(0, abs=1e-5)
    assert spectral_angle(np.eye(3)[0][:, None, None], np.eye(3)[1][:, None, None]) == pytest.approx(90)
    assert spectral_angle(image, image[[2, 1, 0]]) > 5


def test_one_band_has_no_spectrum_whatever_its_signs() -> None:
    water = np.random.default_rng(0).normal(0, 5, (1, 4, 6, 7))
    assert spectral_angle(water, -water) == 0


def test_ergas_is_the_relative_error_of_the_bands_over_the_scale() -> None:
    truth = np.stack([np.full((8, 8), 10.0), np.full((8, 8), 20.0)])
    test = truth + np.array([1.0, 4.0])[:, None, None]
    assert ergas(truth, test, 2) == pytest.approx(50 * np.sqrt((0.1**2 + 0.2**2) / 2))
    assert ergas(truth, truth, 4) == 0
