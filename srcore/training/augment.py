"""Random changes of a training pair that leave its degradation true."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, from_numpy


def turn(patch: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
    """One of the eight flips and right-angle turns of a square patch (Y, X)."""
    patch = np.rot90(patch, int(rng.integers(4)))
    return patch[:, ::-1] if rng.integers(2) else patch


def radiometric(
    lr: Tensor, hr: Tensor, gain: tuple[float, float], offset: tuple[float, float], rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Both images (N, 1, Y, X) under one random gain and offset a sample, in network values.

    A window of a scene has a contrast and a level of its own; this makes the generator meet more of them.
    The gain is log-uniform in its range, the offset uniform.
    """
    count = len(lr)
    gains = np.exp(rng.uniform(math.log(gain[0]), math.log(gain[1]), count)).astype(np.float32)
    offsets = rng.uniform(*offset, count).astype(np.float32)
    a, b = (from_numpy(x).reshape(count, 1, 1, 1) for x in (gains, offsets))
    return lr * a + b, hr * a + b
