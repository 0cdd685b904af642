"""Random changes of a training pair that leave its degradation true."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, eye, from_numpy
from torch.nn import functional


@dataclass(frozen=True)
class Turn:
    """One of the eight flips and right-angle turns of a square (B, Y, X), or of the slices of a volume."""

    quarters: int
    mirror: bool
    upside_down: bool = False
    """Slices in the other order."""

    def __call__(self, patch: NDArray[Any]) -> NDArray[Any]:
        patch = np.rot90(patch, self.quarters, (-2, -1))
        patch = patch[..., ::-1] if self.mirror else patch
        return patch[:, ::-1] if self.upside_down else patch


def draw_turn(shape: tuple[int, ...], rng: np.random.Generator) -> Turn:
    """A turn for patches of shape (B, ..., Y, X): quarters only where a slice is square; of volumes the order, too."""
    quarters = int(rng.integers(4))
    mirror = bool(rng.integers(2))
    if shape[-1] != shape[-2]:
        quarters -= quarters % 2
    return Turn(quarters, mirror, len(shape) == 4 and bool(rng.integers(2)))


def magnified(patch: NDArray[Any], factor: float) -> NDArray[np.float32]:
    """The middle of a patch (B, Z, Y, X), as many times larger in the plane and of the same size, linear."""
    part = from_numpy(np.ascontiguousarray(patch, np.float32)).flatten(0, 1)[:, None]  # (slices, 1, Y, X)
    turn = functional.affine_grid(eye(2, 3)[None] / factor, list(part[:1].shape), align_corners=False)
    grid = turn.expand(len(part), -1, -1, -1)
    found = functional.grid_sample(part, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return np.asarray(found.reshape(patch.shape).numpy(), np.float32)


def radiometric(
    lr: Tensor, hr: Tensor, gain: tuple[float, float], offset: tuple[float, float], rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Both images (N, B, ...) under one random gain and offset a sample, in network values.

    A window of a scene has a contrast and a level of its own; this makes the generator meet more of them.
    The gain is log-uniform in its range, the offset uniform.
    """
    count = len(lr)
    gains = np.exp(rng.uniform(math.log(gain[0]), math.log(gain[1]), count)).astype(np.float32)
    offsets = rng.uniform(*offset, count).astype(np.float32)
    a, b = (from_numpy(x).reshape(count, *(1,) * (lr.ndim - 1)).to(lr.device) for x in (gains, offsets))
    return lr * a + b, hr * a + b
