"""Noise and coordinates that the landscape is made of. Pure numpy and scipy; the same numbers for the same seed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]


def fractal(shape: tuple[int, int], beta: float, shortest_px: float, rng: np.random.Generator) -> Floats:
    """Noise (Y, X) of mean 0 and deviation 1 with amplitude falling as frequency ** -beta.

    Nothing shorter than `shortest_px` (a soft limit) is in it; 2 keeps everything.
    """
    rows, cols = (fft.next_fast_len(n, real=True) for n in shape)
    spectrum = fft.rfft2(rng.standard_normal((rows, cols), np.float32))
    radius = np.hypot(fft.fftfreq(rows)[:, None], fft.rfftfreq(cols)[None, :])
    radius[0, 0] = 1.0
    gain = radius**-beta * np.exp(-((radius * shortest_px / 2) ** 4) * np.log(2) * 4)
    gain[0, 0] = 0.0
    noise = fft.irfft2(spectrum * gain.astype(np.float32), s=(rows, cols))[: shape[0], : shape[1]]
    return np.asarray((noise - noise.mean()) / noise.std(), np.float32)


def spread(coarse: Floats, rows: Floats, cols: Floats) -> Floats:
    """`coarse` read between its samples (linearly) at every pair of `rows` and `cols`, in its own pixels."""
    top, down = _between(rows, coarse.shape[0])
    left, right = _between(cols, coarse.shape[1])
    lines = coarse[top] * (1 - down)[:, None] + coarse[top + 1] * down[:, None]
    return np.asarray(lines[:, left] * (1 - right) + lines[:, left + 1] * right, np.float32)


def _between(at: Floats, size: int) -> tuple[Ints, Floats]:
    first = np.clip(np.floor(at), 0, size - 2).astype(np.int32)
    return first, np.clip(at - first, 0, 1).astype(np.float32)


def cells(at: Floats, width: Floats, edges: Floats, salt: Ints) -> tuple[Ints, Floats, Floats]:
    """A line divided into cells of uneven width: index of the cell, and distances to its lower and upper edge.

        width:   |----------|----------|----------|       edge k stands at (k + edges[salt + k]) * width
        cells:      |----------|------|----------------|

    `edges` holds 4,096 numbers in [0, 0.6); `salt` shifts the table, so that neighbours are divided differently.
    """
    scaled = at / width
    index = np.floor(scaled).astype(np.int32)
    index -= scaled - index.astype(np.float32) < edges[(index + salt) & 4095]
    start = index.astype(np.float32)
    low = (scaled - start - edges[(index + salt) & 4095]) * width
    high = (start + 1 + edges[(index + 1 + salt) & 4095] - scaled) * width
    return index, low, high


def mixed(*parts: Ints | int) -> Ints:
    """A number of 12 bits for every combination of whole numbers: an index into tables of 4,096 rows."""
    total = np.zeros(np.broadcast_shapes(*(np.shape(part) for part in parts)), np.uint32)
    for part in parts:
        total = (total ^ np.asarray(part, np.int64).astype(np.uint32)) * np.uint32(2654435761)
        total ^= total >> np.uint32(15)
    return (total & np.uint32(4095)).astype(np.int32)
