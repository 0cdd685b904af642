"""Losses: nothing for a perfect image, more for a worse one, a slope everywhere."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from srcore.training.losses import LOSSES, LossName, content_loss, gabor_bank


def image(side: int = 48) -> torch.Tensor:
    noise = torch.randn(2, 1, side, side, generator=torch.Generator().manual_seed(0))
    return functional.avg_pool2d(noise, 3, stride=1, padding=1) + 0.5


@pytest.mark.parametrize("name", LOSSES)
def test_zero_for_the_truth_and_growing_with_the_error(name: LossName) -> None:
    hr = image()
    error = torch.randn(hr.shape, generator=torch.Generator().manual_seed(1))
    values = [float(LOSSES[name](hr + strength * error, hr)) for strength in (0.0, 0.05, 0.2)]
    assert values[0] == pytest.approx(0, abs=2e-3)
    assert values[0] < values[1] < values[2]


@pytest.mark.parametrize("name", [name for name in LOSSES if name != "mse"])
def test_the_slope_is_finite_even_at_the_truth(name: LossName) -> None:
    sr = image().requires_grad_()
    LOSSES[name](sr, image()).backward()
    assert sr.grad is not None
    assert torch.isfinite(sr.grad).all()


def test_the_weighted_sum() -> None:
    hr, sr = image(), image() + 0.5
    assert float(content_loss({"l1": 2.0, "mse": 4.0}, sr, hr)) == pytest.approx(2 * 0.5 + 4 * 0.25)


@pytest.mark.parametrize("name", ["l1", "mse", "charbonnier", "ssim", "gradient", "fft"])
def test_volumes_have_losses_too(name: LossName) -> None:
    hr = torch.rand(1, 1, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    assert float(LOSSES[name](hr, hr)) == pytest.approx(0, abs=2e-3)
    assert float(LOSSES[name](hr.flip(2), hr)) > 0.05


def test_blur_costs_the_perceptual_loss_more_than_half_a_pixel_of_shift() -> None:
    """L1 has it the other way round: to it, the right texture in a slightly wrong place is the worse image."""
    fine = image(96)
    hr, shifted = functional.avg_pool2d(fine, 2), functional.avg_pool2d(fine.roll(1, -1), 2)
    blurred = functional.avg_pool2d(hr, 5, stride=1, padding=2, count_include_pad=False)
    ratio = {name: float(LOSSES[name](blurred, hr) / LOSSES[name](shifted, hr)) for name in ("l1", "perceptual")}
    assert ratio["perceptual"] > 1.5 * ratio["l1"]


def test_the_filters_do_not_see_flat_areas() -> None:
    bank = gabor_bank()
    assert bank.shape == (24, 1, 9, 9)
    assert float(bank.sum((-1, -2)).abs().max()) < 1e-4


def test_the_middle_counts_where_the_truth_is_soft_tissue_alone() -> None:
    hr = torch.tensor([-0.2, 0.1, 0.5, 0.9, 1.4]).reshape(1, 1, 1, 1, 5)
    assert float(LOSSES["middle"](hr + torch.tensor([9.0, 9, 1, 0, 9]), hr)) == pytest.approx(1 / 5)
