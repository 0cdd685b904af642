"""Losses between an SR and its HR, (N, B, Y, X) or (N, B, Z, Y, X) in network values; torch only, SSIM apart."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

LossName = Literal["l1", "mse", "charbonnier", "ssim", "gradient", "fft", "perceptual", "middle"]
MIDDLE = (0.4, 1.0)
"""Of the span of the 2nd to 98th percentile, from air to bone."""
Loss = Callable[[Tensor, Tensor], Tensor]


def charbonnier(sr: Tensor, hr: Tensor) -> Tensor:
    """A smooth L1: sqrt(d^2 + 1e-6) (Lai et al. 2017, arXiv:1704.03915)."""
    return torch.sqrt((sr - hr).square() + 1e-6).mean()


def ssim(sr: Tensor, hr: Tensor) -> Tensor:
    """1 - SSIM, data range 1: the span of the 2nd to 98th percentile. Of a volume, 3-D windows."""
    # Comes with Lightning; whoever trains without it has no use for a library of metrics.
    from torchmetrics.functional.image import structural_similarity_index_measure

    value = structural_similarity_index_measure(sr, hr, data_range=1.0)
    return 1 - value  # type: ignore[operator,return-value]


def middle(sr: Tensor, hr: Tensor) -> Tensor:
    """Squared error where the truth lies in MIDDLE: soft tissue of a CT, tissue of MR; 0 elsewhere, mean over all.

    An edge of bone or air is worth a hundred voxels of soft tissue in every other loss.
    """
    inside = (hr >= MIDDLE[0]) & (hr <= MIDDLE[1])
    return torch.where(inside, (sr - hr).square(), 0).mean()


def gradient(sr: Tensor, hr: Tensor) -> Tensor:
    """L1 of the differences between neighbours along every axis: edges where the HR has them."""
    parts = [functional.l1_loss(sr.diff(dim=axis), hr.diff(dim=axis)) for axis in range(2, sr.ndim)]
    return torch.stack(parts).mean()


def fft(sr: Tensor, hr: Tensor) -> Tensor:
    """L1 of the Fourier coefficients, orthonormal (Cho et al. 2021, arXiv:2108.05054): every frequency counts alike."""
    axes = tuple(range(2, sr.ndim))
    ours, theirs = (torch.fft.rfftn(x.float(), dim=axes, norm="ortho") for x in (sr, hr))
    return (torch.view_as_real(ours) - torch.view_as_real(theirs)).abs().mean()


def perceptual(sr: Tensor, hr: Tensor) -> Tensor:
    """L1 of what a fixed bank of Gabor filters sees at three scales: local energy at orientations and frequencies.

    In place of VGG features, whose weights are a download under terms of their own and were learned on RGB
    photographs. A quadrature pair gives an energy that does not change when a texture moves by a part of its
    wavelength, which is what makes a texture right without being the same pixel for pixel.
    """
    bank = gabor_bank().to(sr.device)
    total = sr.new_zeros(())
    for level in range(3):
        ours, theirs = (_energy(functional.avg_pool2d(x, 2**level) if level else x, bank) for x in (sr, hr))
        total = total + functional.l1_loss(ours, theirs)
    return total / 3


def _energy(x: Tensor, bank: Tensor) -> Tensor:
    """(N, B, Y, X) to the amplitudes (N * B, filters, y, x)."""
    even, odd = functional.conv2d(x.float().flatten(0, 1)[:, None], bank).chunk(2, dim=1)
    return torch.sqrt(even.square() + odd.square() + 1e-6)


@lru_cache(maxsize=1)
def gabor_bank(orientations: int = 6, wavelengths: tuple[float, ...] = (2.5, 4.0), side: int = 9) -> Tensor:
    """Kernels (2 * filters, 1, side, side), even ones first, of mean 0 and unit energy."""
    place = torch.arange(side, dtype=torch.float32) - side // 2
    y, x = torch.meshgrid(place, place, indexing="ij")
    kernels: dict[str, list[Tensor]] = {"even": [], "odd": []}
    for wavelength in wavelengths:
        window = torch.exp(-(x.square() + y.square()) / (2 * (0.5 * wavelength) ** 2))
        for index in range(orientations):
            angle = math.pi * index / orientations
            phase = 2 * math.pi / wavelength * (x * math.cos(angle) + y * math.sin(angle))
            for kind, wave in (("even", phase.cos()), ("odd", phase.sin())):
                kernel = window * wave
                kernel = kernel - window * kernel.sum() / window.sum()  # flat areas say nothing
                kernels[kind].append(kernel / kernel.norm())
    return torch.stack(kernels["even"] + kernels["odd"])[:, None]


LOSSES: dict[LossName, Loss] = {
    "l1": functional.l1_loss,
    "mse": functional.mse_loss,
    "charbonnier": charbonnier,
    "ssim": ssim,
    "gradient": gradient,
    "fft": fft,
    "perceptual": perceptual,
    "middle": middle,
}


def content_loss(weights: Mapping[LossName, float], sr: Tensor, hr: Tensor) -> Tensor:
    """The weighted sum of the named losses."""
    return torch.stack([weight * LOSSES[name](sr, hr) for name, weight in weights.items()]).sum()
