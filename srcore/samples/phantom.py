"""A body that nobody has, in Hounsfield units: ellipsoids, plates and tubes, at 1 mm, and as thick slices of it. Pure.

Edges are as soft as a voxel, by the distance from a surface; tubes and plates run aslant, so that thick slices lose
them. Everything comes from the seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from srcore.radiometry import slice_weights

AIR, FAT, SOFT, ORGAN, BONE, MARROW, LUNG = -1000.0, -95.0, 45.0, 110.0, 900.0, 250.0, -840.0
NOISE_HU = 8.0
THICK = 5
"""Slices of 1 mm in a thick one."""
Floats = NDArray[Any]


def draw(shape: tuple[int, int, int] = (120, 112, 128), seed: int = 5) -> NDArray[np.int16]:
    """HU (Z, Y, X) in voxels of 1 mm, from feet to head, from front to back."""
    rng = np.random.default_rng(seed)
    size = np.array(shape, np.float32)
    at = [axis - (n - 1) / 2 for axis, n in zip(np.ogrid[tuple(slice(0, n) for n in shape)], shape, strict=True)]
    at = [axis.astype(np.float32) for axis in at]
    body = np.array([10 * size[0], 0.42 * size[1], 0.45 * size[2]], np.float32)
    found = np.full(shape, AIR, np.float32)
    _put(found, _ellipsoid(at, (0, 0, 0), body), FAT)
    inside = _ellipsoid(at, (0, 0, 0), body - 5)
    _put(found, inside, SOFT)
    for side in (-1, 1):
        lung = (0.28 * size[0], -0.05 * size[1], side * 0.2 * size[2])
        _put(found, _ellipsoid(at, lung, (0.3 * size[0], 0.24 * size[1], 0.13 * size[2])), LUNG)
    _put(found, _ellipsoid(at, (-0.3 * size[0], -2, -0.14 * size[2]), (0.2 * size[0], 0.2 * size[1], 24)), ORGAN)
    _spine(found, at, 0.25 * size[1])
    for _ in range(14):
        start = rng.uniform(-0.35, 0.35, 3) * size
        tube = _tube(at, start, rng.normal(size=3), rng.uniform(1.2, 3.0))
        _put(found, np.maximum(tube, inside), rng.uniform(60, 220))
    for _ in range(18):
        centre, radius = rng.uniform(-0.3, 0.3, 3) * size, rng.uniform(2.0, 6.0)
        _put(found, _ellipsoid(at, centre, (radius, radius, radius)), rng.choice([-60.0, 10.0, 90.0, 160.0]))
    _ribs(found, at, body)
    grain = ndimage.gaussian_filter(rng.normal(size=shape).astype(np.float32), 0.6)
    found += grain * (NOISE_HU / float(grain.std()))
    return np.asarray(np.rint(np.clip(found, -1024, 3000)), np.int16)


def thick(values: NDArray[np.int16], step: int = THICK) -> NDArray[np.int16]:
    """The same as slices of `step` mm, as a scanner sees them: cos^2 across twice the step, edges repeated."""
    blurred = ndimage.correlate1d(values.astype(np.float64), slice_weights(step), axis=0, mode="nearest")
    middle = blurred[step // 2 :: step]
    return np.asarray(np.rint(middle[: len(values) // step]), np.int16)


def _put(found: Floats, distance: Floats, hu: float) -> None:
    """Lay a body over what is there: all of it inside, nothing outside, a share within a voxel of its surface."""
    share = np.clip(0.5 - distance, 0, 1)
    found += share * (np.float32(hu) - found)


def _ellipsoid(at: Sequence[Floats], centre: Sequence[float] | Floats, radii: Sequence[float] | Floats) -> Floats:
    """mm from its surface, negative inside; near it, as far as that is linear."""
    scaled = [(axis - c) / r for axis, c, r in zip(at, centre, radii, strict=True)]
    length = np.sqrt(sum(axis**2 for axis in scaled))
    slope = np.sqrt(sum((axis / r) ** 2 for axis, r in zip(scaled, radii, strict=True)))
    return np.asarray((length - 1) * length / np.maximum(slope, 1e-6), np.float32)


def _tube(at: Sequence[Floats], start: Floats, way: Floats, radius: float) -> Floats:
    """mm from the surface of an endless tube."""
    along = np.asarray(way, np.float32) / np.linalg.norm(way)
    away = [axis - s for axis, s in zip(at, start, strict=True)]
    inside = sum(a * w for a, w in zip(away, along, strict=True))
    return np.asarray(np.sqrt(np.maximum(sum(a**2 for a in away) - inside**2, 0)) - radius, np.float32)


def _spine(found: Floats, at: Sequence[Floats], back: float) -> None:
    """Vertebrae with discs of 5 mm every 26 mm, whose plates lean by a tenth."""
    height = (at[0] + 0.1 * (at[1] - back)) % 26
    column = np.sqrt((at[1] - back) ** 2 + at[2] ** 2) - 13
    plate = np.abs(height - 13) - 10.5
    _put(found, np.maximum(column, plate), BONE)
    _put(found, np.maximum(column + 2.5, plate + 1.5), MARROW)


def _ribs(found: Floats, at: Sequence[Floats], body: Floats) -> None:
    """Rings of bone that fall to the front, every 22 mm, 4 mm thick, below the fat."""
    shell = np.abs(_ellipsoid(at, (0, 0, 0), body - 9)) - 2
    fall = np.abs((at[0] + 0.35 * at[1]) % 22 - 11) - 3
    _put(found, np.maximum(shell, fall), BONE)
