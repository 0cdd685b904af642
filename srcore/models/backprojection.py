"""Back-projection: correct an SR until its mean over each LR pixel is that pixel (Irani and Peleg 1991).

    SR += up(LR - down(SR))        down: mean of the SR pixels in an LR pixel, as VALIDATE looks at it
                                   up:   bilinear on pixel centres, so that no blocks show

Written as sums of slices: every number is added up in the same order wherever its tile lies, so a tile gets
the same bits as the whole scene.
"""

from __future__ import annotations

import torch
from torch import Tensor

from srcore.models.blocks import centre_crop

MARGIN_PX = 1
"""LR pixels on each side that one step needs."""


def back_project(sr: Tensor, lr: Tensor, valid: Tensor | None, steps: int) -> Tensor:
    """The SR (N, 1, Y * s, X * s) of a core after `steps` corrections.

    `sr` (N, 1, (Y + 2 m) * s, (X + 2 m) * s), `lr` and `valid` (N, 1, Y + 2 m, X + 2 m) have a margin of
    m = steps * MARGIN_PX LR pixels. Invalid pixels correct nothing; None is valid everywhere.
    """
    for _ in range(steps):
        scale = sr.shape[-1] // lr.shape[-1]
        residual = lr - mean_down(sr, scale)
        if valid is not None:
            residual = torch.where(valid, residual, 0)
            valid = centre_crop(valid, MARGIN_PX)
        lr = centre_crop(lr, MARGIN_PX)
        sr = centre_crop(sr, MARGIN_PX * scale) + linear_up(residual, scale)
    return sr


def mean_down(x: Tensor, scale: int) -> Tensor:
    """x (..., Y * s, X * s) to its means over s x s pixels (..., Y, X)."""
    rows = x[..., ::scale, :]
    for k in range(1, scale):
        rows = rows + x[..., k::scale, :]
    total = rows[..., ::scale]
    for k in range(1, scale):
        total = total + rows[..., k::scale]
    return total / scale**2


def linear_up(x: Tensor, scale: int) -> Tensor:
    """x (..., Y + 2, X + 2) to (..., Y * s, X * s): linear between pixel centres, the margin eaten."""
    for axis in (-2, -1):
        size = x.shape[axis] - 2
        before, here, after = (x.narrow(axis, start, size) for start in (0, 1, 2))
        phases = [_between(before, here, after, (k + 0.5) / scale - 0.5) for k in range(scale)]
        shape = [*x.shape]
        shape[axis] = size * scale
        x = torch.stack(phases, dim=axis if axis == -1 else -2).reshape(shape)
    return x


def _between(before: Tensor, here: Tensor, after: Tensor, phase: float) -> Tensor:
    """The value `phase` (-1/2 to 1/2) pixels behind the centre of `here`."""
    return here + abs(phase) * ((after if phase > 0 else before) - here)
