"""MATLAB's imresize on tensors: the degradation and the baseline of the super-resolution literature."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

MARGIN_LR = 2
"""LR pixels at a cut edge whose antialiased cubic kernel reaches outside the cut."""
_PAD_LR = 4


def shrink(hr: Tensor, scale: int) -> Tensor:
    """LR (N, 1, Y / scale, X / scale) of hr (N, 1, Y, X) by antialiased bicubic; Y and X are multiples of scale."""
    return _imresize(hr, 1 / scale, pad_px=_PAD_LR * scale, crop_px=_PAD_LR)


def enlarge(lr: Tensor, scale: int) -> Tensor:
    """lr (N, 1, Y, X) enlarged by bicubic (a = -1/2) to (N, 1, Y * scale, X * scale)."""
    return _imresize(lr, scale, pad_px=_PAD_LR, crop_px=_PAD_LR * scale)


def _imresize(x: Tensor, factor: float, pad_px: int, crop_px: int) -> Tensor:
    # antialias=True selects a = -1/2 as MATLAB does (torch has -3/4 otherwise). interpolate drops the weights
    # that fall outside the image where MATLAB mirrors it, edge pixel included: pad so, and cut the pad off.
    x = _mirror(_mirror(x, pad_px, -1), pad_px, -2)
    x = functional.interpolate(x, scale_factor=factor, mode="bicubic", antialias=True)
    return x[..., crop_px:-crop_px, crop_px:-crop_px]


def _mirror(x: Tensor, pad_px: int, axis: int) -> Tensor:
    """x with `pad_px` pixels more at both ends of `axis`, mirrored so that the edge pixel is repeated."""
    period = 2 * x.shape[axis]
    index = torch.arange(-pad_px, x.shape[axis] + pad_px, device=x.device) % period
    return x.index_select(axis, torch.minimum(index, period - 1 - index))
