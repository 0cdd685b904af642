"""How LR comes out of HR: antialiased bicubic, means, or what a sensor's optics do; on images and volumes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

REACH_LR = 2
"""LR pixels on each side of an LR pixel that a kernel may see: what `MARGIN_LR` of a patch pays for."""


def reduce(hr: Tensor, kernels: Sequence[Tensor]) -> Tensor:
    """LR of hr (N, B, ...): one kernel a sample and axis, each (N, taps), with a stride of its axis' scale.

    Every LR pixel is a weighted mean around its centre. REACH_LR LR pixels at each end are lost: HR of
    (core + 2 REACH_LR) * scale pixels gives core pixels.
    """
    count, bands = hr.shape[:2]
    x = hr.reshape(1, count * bands, *hr.shape[2:])
    for axis, kernel in enumerate(kernels, 2):
        x = _along(x, kernel.repeat_interleave(bands, 0), axis)
    return x.reshape(count, bands, *x.shape[2:])


def _along(x: Tensor, kernel: Tensor, axis: int) -> Tensor:
    """x (1, N, ...) along one axis under a kernel (N, taps) of its own for every channel."""
    count, taps = kernel.shape
    scale = scale_of(taps)
    moved = x[0].movedim(axis - 1, -1)  # (N, ..., length)
    lines = moved.reshape(count, -1, moved.shape[-1]).transpose(0, 1)  # (lines, N, length)
    out = functional.conv1d(lines, kernel[:, None].to(x.dtype), stride=scale, groups=count)
    shape = (*moved.shape[:-1], out.shape[-1])
    return out.transpose(0, 1).reshape(shape).movedim(-1, axis - 1)[None]


def scale_of(taps: int) -> int:
    """The scale whose kernels have this many taps: (2 REACH_LR + 1) * scale."""
    return taps // (2 * REACH_LR + 1)


def kernel_of(profile: Callable[[Tensor], Tensor], scale: int, shift: float = 0.0) -> Tensor:
    """Weights (taps,) of sum 1 of HR pixels by their distance from a centre in LR pixels; the LR pixel's own lies
    `shift` LR pixels before it."""
    taps = (2 * REACH_LR + 1) * scale
    distance = (torch.arange(taps, dtype=torch.float64) - (taps - 1) / 2) / scale - shift
    weight = profile(distance.abs())
    return (weight / weight.sum()).float()


def cubic(scale: int) -> Tensor:
    """Kernel of antialiased bicubic (Keys 1981, a = -1/2, stretched by the scale), as MATLAB's imresize inside."""

    def profile(d: Tensor) -> Tensor:
        near, far = 1.5 * d**3 - 2.5 * d**2 + 1, -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
        return torch.where(d <= 1, near, torch.where(d < 2, far, torch.zeros_like(d)))

    if scale == 1:
        return kernel_of(lambda d: (d == 0).double(), 1)
    return kernel_of(profile, scale)


def box(scale: int) -> Tensor:
    """Kernel of the mean over an LR pixel: a detector without optics, and what archives call averaging."""
    return kernel_of(lambda d: (d < 0.5).double(), scale)


def cos2(scale: int, width: float = 1.0) -> Tensor:
    """Kernel of what a scanner's slice weighs, cos^2 over twice its thickness, which is `width` distances between
    slices: `radiometry.slice_weights` at 1."""
    return kernel_of(lambda d: torch.where(d < width, torch.cos(math.pi / 2 * d / width).square(), 0.0), scale)


def optics(mtf: float, scale: int, shift: float = 0.0) -> Tensor:
    """Gaussian kernel whose contrast at the Nyquist frequency of the LR is `mtf`: optics and detector together.

    exp(-2 pi^2 sigma^2 f^2) = mtf at f = 1/2 cycle an LR pixel. Earth observation sensors have 0.1 to 0.4. It looks
    `shift` LR pixels beside the LR pixel's centre.
    """
    if scale == 1:
        return cubic(1)
    sigma = math.sqrt(-2 * math.log(mtf)) / math.pi  # LR pixels
    return kernel_of(lambda d: torch.exp(-d.square() / (2 * sigma**2)), scale, shift)
