"""Planted defects: what goes wrong with super-resolved scenes, so that the checks can be measured on it.

Each takes a good SR (C, Y, X) of scale 2, with its validity, and gives the SR as the mistake would have left it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

SCALE = 2
TILE_HR = 256
"""SR pixels along a tile of those defects that tiles make."""

Planted = tuple[NDArray[Any], NDArray[np.bool_]]
Plant = Callable[[NDArray[Any], NDArray[np.bool_]], Planted]


def half_pixel_shift(sr: NDArray[Any], valid: NDArray[np.bool_]) -> Planted:
    """Half an SR pixel lost on both axes: corner taken for centre."""
    return _each(sr, lambda band: ndimage.shift(band, (0.5, 0.5), order=3, mode="nearest")), valid


def align_corners(sr: NDArray[Any], valid: NDArray[np.bool_]) -> Planted:
    """Centres of the outer pixels put on each other, as `align_corners=True` does: right in the middle only."""
    axes = []
    for size in sr.shape[1:]:
        lr = np.arange(size) * (size // SCALE - 1) / (size - 1)
        axes.append((lr + 0.5) * SCALE - 0.5)
    at = np.meshgrid(*axes, indexing="ij")
    return _each(sr, lambda band: ndimage.map_coordinates(band, at, order=3, mode="nearest")), valid


def tile_gain(sr: NDArray[Any], valid: NDArray[np.bool_]) -> Planted:
    """Every tile normalised for itself: every other one is 3 % brighter."""
    y, x = (np.arange(size) // TILE_HR for size in sr.shape[1:])
    return _cast(sr * np.where((y[:, None] + x) % 2, 1.03, 1.0), sr), valid


def seam(sr: NDArray[Any], valid: NDArray[np.bool_]) -> Planted:
    """Tiles without halo: what lies beyond a tile's edge was taken to be like the edge."""
    out = sr.astype(np.float64)
    for axis, size in enumerate(sr.shape[1:], start=1):
        view = np.moveaxis(out, axis, -1)
        for border in range(TILE_HR, size - 3, TILE_HR):
            view[..., border - 2 : border] = view[..., border - 3 : border - 2]
            view[..., border : border + 2] = view[..., border + 2 : border + 3]
    return _cast(out, sr), valid


def band_swap(sr: NDArray[Any], valid: NDArray[np.bool_]) -> Planted:
    """Red and blue in each other's place."""
    order = [*range(len(sr))]
    order[0], order[min(2, len(sr) - 1)] = order[min(2, len(sr) - 1)], order[0]
    return sr[order], valid[order]


def wrong_offset(sr: NDArray[Any], valid: NDArray[np.bool_]) -> Planted:
    """An offset applied on the way in and forgotten on the way out: 2 % of the mean."""
    return _cast(sr + 0.02 * np.abs(sr[valid].astype(np.float64)).mean(), sr), valid


def eroded_mask(sr: NDArray[Any], valid: NDArray[np.bool_]) -> Planted:
    """Nodata grown by one SR pixel, as an interpolated mask does."""
    return sr, np.stack([ndimage.binary_erosion(band, np.ones((3, 3)), border_value=1) for band in valid])


def clipped_highlights(sr: NDArray[Any], valid: NDArray[np.bool_]) -> Planted:
    """Everything above the 98th percentile cut off: the end of the normalisation taken for the end of the data."""
    top = [np.percentile(band[seen], 98) for band, seen in zip(sr, valid, strict=True)]
    return _cast(np.minimum(sr, np.reshape(top, (-1, 1, 1))), sr), valid


def blur(sr: NDArray[Any], valid: NDArray[np.bool_]) -> Planted:
    """A Gaussian of one SR pixel over everything."""
    return _each(sr, lambda band: ndimage.gaussian_filter(band, 1.0)), valid


def hallucinated_texture(sr: NDArray[Any], valid: NDArray[np.bool_]) -> Planted:
    """Texture of an eighth of the band's spread that no LR pixel sees: its mean over each LR pixel is 0."""
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(sr.shape)
    coarse = noise.reshape(len(sr), sr.shape[1] // 2, 2, sr.shape[2] // 2, 2).mean(axis=(2, 4))
    noise -= coarse.repeat(2, axis=1).repeat(2, axis=2)
    spread = [float(np.std(band[seen])) for band, seen in zip(sr, valid, strict=True)]
    return _cast(sr + 0.25 * np.reshape(spread, (-1, 1, 1)) * noise, sr), valid


DEFECTS: dict[str, tuple[Plant, tuple[str, ...]]] = {
    "half-pixel shift": (half_pixel_shift, ("registration.shift",)),
    "align_corners": (align_corners, ("registration.corner", "registration.shift")),
    "per-tile gain": (tile_gain, ("values.block_mean",)),
    "seam": (seam, ("seams.step",)),
    "band swap": (band_swap, ("spectral.angle",)),
    "wrong offset": (wrong_offset, ("values.mean",)),
    "mask eroded by one": (eroded_mask, ("mask.equal",)),
    "clipped highlights": (clipped_highlights, ("values.clipped",)),
    "blur": (blur, ("detail.least", "consistency.ratio")),
    "hallucinated texture": (hallucinated_texture, ("detail.most", "detail.beyond")),
}
"""Name to the defect and the checks that are there for it; 'truncated block' and 'swapped overview' need a file."""


def _each(sr: NDArray[Any], change: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> NDArray[Any]:
    return _cast(np.stack([change(band.astype(np.float64)) for band in sr]), sr)


def _cast(values: NDArray[Any], like: NDArray[Any]) -> NDArray[Any]:
    if np.issubdtype(like.dtype, np.integer):
        limits = np.iinfo(like.dtype)
        values = np.clip(np.rint(values), limits.min, limits.max)
    return np.asarray(values, like.dtype)
