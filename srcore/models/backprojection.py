"""Back-projection: correct an SR until its mean over each LR pixel is that pixel (Irani and Peleg 1991).

    SR += up(LR - down(SR))        down: mean of the SR pixels in an LR pixel, as VALIDATE looks at it
                                   up:   bilinear on pixel centres, so that no blocks show

Of a volume `down` may weigh slices by a profile that reaches into the next ones: a scanner's slices overlap.

Written as sums of slices: every number is added up in the same order wherever its tile lies, so a tile gets
the same bits as the whole scene.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from srcore.models.blocks import centre_crop

MARGIN_PX = 1
"""LR pixels on each side that one step needs."""


def back_project(sr: Tensor, lr: Tensor, valid: Tensor | None, steps: int, profile: Sequence[float] = ()) -> Tensor:
    """The SR (N, B, Y * s, X * s) of a core after `steps` corrections; of volumes likewise, with Z before Y.

    `sr` (N, B, (Y + 2 m) * s, (X + 2 m) * s), `lr` and `valid` (N, B, Y + 2 m, X + 2 m) have a margin of
    m = steps * MARGIN_PX LR pixels; the scale may differ between axes. Invalid pixels correct nothing; None is
    valid everywhere. `profile` weighs the SR's slices along Z (`radiometry.slice_weights`); then m is twice as much.
    """
    axes = lr.ndim - 2
    scales = [fine // coarse for fine, coarse in zip(sr.shape[2:], lr.shape[2:], strict=True)]
    for _ in range(steps):
        if profile:
            averaged = profile_down(sr, scales, profile)
            sr, lr, valid = _inside(sr, lr, valid, scales)
        else:
            averaged = mean_down(sr, scales)
        residual = lr - averaged
        if valid is not None:
            residual = torch.where(valid, residual, 0)
            valid = centre_crop(valid, MARGIN_PX, axes)
        sr, lr, _ = _inside(sr, lr, None, scales)
        sr = linear_up(residual, scales).add_(sr)
    return sr


def _inside(
    sr: Tensor, lr: Tensor, valid: Tensor | None, scales: Sequence[int]
) -> tuple[Tensor, Tensor, Tensor | None]:
    """The same without MARGIN_PX on each side."""
    for axis, scale in enumerate(scales, 2):
        sr = sr.narrow(axis, MARGIN_PX * scale, sr.shape[axis] - 2 * MARGIN_PX * scale)
    axes = lr.ndim - 2
    return sr, centre_crop(lr, MARGIN_PX, axes), None if valid is None else centre_crop(valid, MARGIN_PX, axes)


def profile_down(x: Tensor, scales: Sequence[int], profile: Sequence[float]) -> Tensor:
    """x (..., (Z + 2) * s, (Y + 2) * t, (X + 2) * u) to (..., Z, Y, X): means in the plane, a profile across slices."""
    planar, step = centre_crop(mean_down(x, scales[1:]), MARGIN_PX, 2), scales[0]
    length = (planar.shape[-3] // step - 3) * step + 1
    first = step - step // 2
    taps = [planar.narrow(-3, first + place, length)[..., ::step, :, :] for place in range(len(profile))]
    found = profile[0] * taps[0]
    for weight, tap in zip(profile[1:], taps[1:], strict=True):
        found = found + weight * tap
    return found


def mean_down(x: Tensor, scales: Sequence[int]) -> Tensor:
    """x (..., Y * s, X * s) to its means over s x s pixels (..., Y, X); a scale for each of the last axes."""
    for axis, scale in enumerate(scales, x.ndim - len(scales)):
        phases = x.reshape(*x.shape[:axis], -1, scale, *x.shape[axis + 1 :])
        x = phases.select(axis + 1, 0)
        for k in range(1, scale):
            x = x + phases.select(axis + 1, k)
    return x / prod(scales)


def linear_up(x: Tensor, scales: Sequence[int]) -> Tensor:
    """x (..., Y + 2, X + 2) to (..., Y * s, X * s): linear between pixel centres, the margin eaten."""
    for axis, scale in enumerate(scales, x.ndim - len(scales)):
        size = x.shape[axis] - 2
        here, rise = x.narrow(axis, 1, size), x.diff(dim=axis)
        behind, ahead = rise.narrow(axis, 0, size), rise.narrow(axis, 1, size)
        places = [(k + 0.5) / scale - 0.5 for k in range(scale)]  # from the centre of `here`, -1/2 to 1/2
        x = _interleaved([here + place * (ahead if place > 0 else behind) for place in places], axis)
    return x


def _interleaved(phases: Sequence[Tensor], axis: int) -> Tensor:
    """The first number of every phase along `axis`, then the second of every phase, and so on."""
    if len(phases) == 2 and axis == phases[0].ndim - 1:  # real and imaginary parts alternate: 7 times as fast as stack
        return torch.view_as_real(torch.complex(*phases)).flatten(axis)
    return torch.stack(list(phases), dim=axis + 1).flatten(axis, axis + 1)
