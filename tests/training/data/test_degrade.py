"""Degradation: MATLAB's bicubic inside, and a sensor that has the contrast that it was asked for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from srcore.models.blocks import centre_crop
from srcore.training.data.degrade import REACH_LR, box, cos2, cubic, optics, reduce
from srcore.training.data.resize import shrink


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_cubic_kernel_is_imresize(scale: int) -> None:
    hr = torch.rand(2, 3, 12 * scale, 15 * scale, generator=torch.Generator().manual_seed(0))
    kernel = cubic(scale).expand(2, -1)
    expected = centre_crop(shrink(hr, scale), REACH_LR)
    torch.testing.assert_close(reduce(hr, [kernel, kernel]), expected, rtol=0, atol=1e-6)


def test_a_volume_is_reduced_axis_by_axis_each_by_its_scale() -> None:
    z, y, x = torch.meshgrid(*(torch.arange(n, dtype=torch.float32) for n in (30, 12, 16)), indexing="ij")
    hr = (z + 100 * y + 1000 * x)[None, None]
    lr = reduce(hr, [cubic(scale).expand(1, -1) for scale in (5, 1, 2)])
    assert lr.shape == (1, 1, 2, 8, 4)
    assert float(lr[0, 0, 0, 0, 0]) == pytest.approx(12 + 200 + 4500, rel=1e-5)  # the centre of voxel (2, 2, 2)
    assert float(lr[0, 0, 1, 3, 2] - lr[0, 0, 0, 0, 0]) == pytest.approx(5 + 300 + 4000, rel=1e-5)


@pytest.mark.parametrize("mtf", [0.1, 0.25, 0.4])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_sensor_has_its_contrast_at_nyquist(mtf: float, scale: int) -> None:
    kernel = optics(mtf, scale).numpy().astype(np.float64)
    place = np.arange(len(kernel)) - (len(kernel) - 1) / 2
    assert kernel.sum() == pytest.approx(1)
    assert abs((kernel * np.exp(1j * np.pi * place / scale)).sum()) == pytest.approx(mtf, abs=0.01)


@pytest.mark.parametrize("width", [0.6, 1.0, 1.3, 2.0])
def test_a_slice_is_as_thick_as_it_is_said_to_be(width: float) -> None:
    kernel = cos2(5, width).numpy().astype(np.float64)
    place = (np.arange(len(kernel)) - (len(kernel) - 1) / 2) / 5
    assert kernel.sum() == pytest.approx(1)
    assert np.abs(place[kernel > 1e-6]).max() <= width
    half = np.interp(0.5, (kernel / kernel.max())[place >= 0][::-1], place[place >= 0][::-1])
    assert 2 * half == pytest.approx(width, abs=0.06)  # full width at half maximum


def test_every_sample_has_a_kernel_of_its_own() -> None:
    hr = torch.rand(2, 1, 20, 20, generator=torch.Generator().manual_seed(0))
    kernels = torch.stack([optics(0.1, 2), optics(0.4, 2)])
    together = reduce(hr, [kernels, kernels])
    for sample in range(2):
        one = kernels[sample : sample + 1]
        torch.testing.assert_close(together[sample : sample + 1], reduce(hr[sample : sample + 1], [one, one]))
    assert float(together[0].std()) < float(together[1].std())


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_box_is_the_mean_over_an_lr_pixel(scale: int) -> None:
    hr = torch.rand(1, 2, 12 * scale, 15 * scale, generator=torch.Generator().manual_seed(0))
    kernel = box(scale)[None]
    expected = centre_crop(torch.nn.functional.avg_pool2d(hr, scale), REACH_LR)
    torch.testing.assert_close(reduce(hr, [kernel, kernel]), expected, rtol=0, atol=1e-6)


def test_a_sensor_that_is_off_looks_beside() -> None:
    place = torch.arange(10, dtype=torch.float64) - 4.5
    for shift in (-0.25, 0.0, 0.25):
        kernel = optics(0.3, 2, shift).double()
        assert float((kernel * place).sum() / 2) == pytest.approx(shift, abs=0.01)  # LR pixels
