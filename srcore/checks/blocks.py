"""What the checks see: a block of the scene, and what all families need of it, computed once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from srcore.models.blocks import CubicUpsample, cubic_weights
from srcore.radiometry import nearest, slice_weights
from srcore.tiling import Tile, TilePlan, Window

if TYPE_CHECKING:
    from srcore.storage.scene import SceneReader

MARGIN_PX = 3
"""LR pixels around a block, on the axes of a slice: what bicubic needs to know a pixel beside the block too."""
BICUBIC_PX = CubicUpsample.margin_px
"""LR pixels around what bicubic enlarges."""
HUGE = 1e30
"""From here on sums of a few float32 may leave float32."""


@dataclass(frozen=True)
class Block:
    """One window of the scene; blocks come in raster order and partition it."""

    core: Window
    """LR pixels of the scene."""
    around: NDArray[Any]
    """LR (C, *core) with MARGIN_PX more on the last two axes, nodata filled, the scene's edge reflected."""
    valid: NDArray[np.bool_]
    """(C, *core)"""
    sr: NDArray[Any]
    """(C, *core * scale), from the product."""
    sr_valid: NDArray[np.bool_]
    """(C, *core * scale), from the product."""
    scale: tuple[int, ...]
    trust: NDArray[np.float32] | None = None
    """(C, *core * scale) half widths in DN, where a trust map was made."""
    seen: NDArray[np.float64] | None = None
    """(C, *core): the SR as the profile of the LR's slices sees it, where one is known; None: its plain mean."""

    def of(self, bands: Sequence[int]) -> Block:
        """The same of these bands alone."""
        if len(bands) == len(self.sr):
            return self
        each = ("around", "valid", "sr", "sr_valid", *(("seen",) if self.seen is not None else ()))
        return replace(self, **{name: getattr(self, name)[list(bands)] for name in each})

    def prepare(self) -> None:
        """Compute what every family needs, in the thread that has made the block."""
        with np.errstate(over="ignore", invalid="ignore"):
            for name in ("lr", "near", "averaged", "low", "high"):
                getattr(self, name)

    @property
    def window_hr(self) -> Window:
        """SR pixels of the scene."""
        return tuple(slice(w.start * s, w.stop * s) for w, s in zip(self.core, self.scale, strict=True))

    @cached_property
    def lr(self) -> NDArray[Any]:
        """(C, *core), nodata filled."""
        return shrunk(self.around, MARGIN_PX).astype(self.work)

    @cached_property
    def work(self) -> np.dtype[Any]:
        """float32 where it holds every number of the block and sums of a few, else float64."""
        if self.sr.dtype == np.float32:
            return np.dtype(np.float64 if np.abs(self.around).max(initial=0) > HUGE else np.float32)
        return np.dtype(np.float32 if self.sr.dtype.itemsize <= 2 else np.float64)

    @property
    def bicubic(self) -> NDArray[np.float64]:
        """(C, *core * scale), of the LR, where slices stay what they are; computed at every call."""
        return bicubic(shrunk(self.around, MARGIN_PX - BICUBIC_PX), self.scale[-2:])

    @cached_property
    def near(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Least and greatest LR pixel of the 3 x 3 around each (C, *core), in its own slice."""
        around = shrunk(self.around, MARGIN_PX - 1).astype(self.work, copy=False)
        return over_3x3(around, np.minimum), over_3x3(around, np.maximum)

    @cached_property
    def averaged(self) -> NDArray[Any]:
        """Mean of the SR pixels in each LR pixel (C, *core); the LR itself where that is invalid."""
        if self.seen is not None:
            return self._known(self.seen.astype(self.work))
        total = over_pixels(self.sr.astype(self.work, copy=False), self.scale, np.add)
        return self._known(total / np.prod(self.scale, dtype=self.work))

    @cached_property
    def averaged_bicubic(self) -> NDArray[Any]:
        """Bicubic SR averaged down (C, *core): one fixed 5 x 5 kernel on the LR, a column and a row."""
        values = shrunk(self.around, MARGIN_PX - BICUBIC_PX).astype(self.work, copy=False)
        size = 2 * BICUBIC_PX + 1
        for axis in (-2, -1):
            kernel = _weights(self.scale[axis]).mean(axis=0).astype(self.work)
            length = values.shape[axis] - 2 * BICUBIC_PX
            taps = [values[..., k : k + length] if axis == -1 else values[..., k : k + length, :] for k in range(size)]
            values = kernel[0] * taps[0]
            for weight, tap in zip(kernel[1:], taps[1:], strict=True):
                values += weight * tap
        return values

    @cached_property
    def low(self) -> NDArray[Any]:
        """Least SR pixel in each LR pixel (C, *core)."""
        return self._known(over_pixels(self.sr, self.scale, np.minimum).astype(self.work))

    @cached_property
    def high(self) -> NDArray[Any]:
        """Greatest SR pixel in each LR pixel (C, *core)."""
        return self._known(over_pixels(self.sr, self.scale, np.maximum).astype(self.work))

    @cached_property
    def whole(self) -> bool:
        """True when every pixel is valid."""
        return bool(self.valid.all())

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """Valid pixels of each band (C,)."""
        return np.asarray(np.count_nonzero(self.valid.reshape(len(self.valid), -1), axis=1), np.int64)

    @cached_property
    def mask_errors(self) -> int:
        """SR pixels whose validity is not that of their LR pixel."""
        if self.whole:
            return int(self.sr_valid.size - np.count_nonzero(self.sr_valid))
        return int(np.count_nonzero(nearest(self.valid, self.scale) != self.sr_valid))

    def _known(self, values: NDArray[Any]) -> NDArray[Any]:
        return values if self.whole else np.where(self.valid, values, self.lr)


def by_profile(sr: NDArray[Any], valid: NDArray[np.bool_], scale: Sequence[int]) -> NDArray[np.float64]:
    """What thick slices see of SR slices (C, Z * s + 2 (s // 2), Y * t, X * u): (C, Z, Y, X), of what is valid; 0 where
    nothing is."""
    weights, step = slice_weights(scale[0]), scale[0]
    plane = (1, *scale[1:])
    known = over_pixels(np.where(valid, sr, 0).astype(np.float64), plane, np.add)
    count = over_pixels(valid.astype(np.float64), plane, np.add)
    length = sr.shape[1] - len(weights) + 1

    def weighed(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(sum(w * values[:, t : t + length : step] for t, w in enumerate(weights)))

    total = weighed(count)
    return np.asarray(weighed(known) / np.where(total > 0, total, 1))


def view_by_profile(product: SceneReader, tiles: TilePlan, tile: Tile) -> NDArray[np.float64]:
    """The SR of a tile as the LR's slices see it (C, *core): they reach into the next; beyond the ends it is mirrored
    as the LR was for the generator."""
    depth, rows, columns = tiles.window_hr(tile)
    reach, most = tiles.scale[0] // 2, tiles.shape_hr[0]
    window = slice(max(depth.start - reach, 0), min(depth.stop + reach, most))
    values, valid = product.read((window, rows, columns))
    at = mirrored(np.arange(depth.start - reach, depth.stop + reach), most, tiles)
    seen = np.clip(at - window.start, 0, values.shape[1] - 1)
    return by_profile(values[:, seen], valid[:, seen], tiles.scale)


def mirrored(at: NDArray[np.intp], most: int, tiles: TilePlan) -> NDArray[np.intp]:
    """Slices of an SR of `most` for slices up to one of the LR beyond its ends: about the end, or the outer LR slice's
    centre."""
    centre = 0 if tiles.mirrored else tiles.scale[0]
    below, above = centre - 1 - at, 2 * most - 1 - centre - at
    return np.asarray(np.where(at < 0, below, np.where(at >= most, above, at)))


def shrunk(around: NDArray[Any], margin_px: int) -> NDArray[Any]:
    """(..., y, x) without `margin_px` pixels on each side of the last two axes."""
    height, width = around.shape[-2:]
    return around[..., margin_px : height - margin_px, margin_px : width - margin_px]


def middle_slice(values: NDArray[Any]) -> NDArray[Any]:
    """(C, y, x): the middle slice of a volume."""
    return values if values.ndim == 3 else values[:, values.shape[1] // 2]


def bicubic(around: NDArray[Any], scale: int | Sequence[int]) -> NDArray[np.float64]:
    """Bicubic SR (..., y * s, x * s) of an LR with BICUBIC_PX more on each side (..., y + 4, x + 4).

    `scale` is one number for both axes, or one each.
    """
    values = np.asarray(around, np.float64)
    for axis, factor in zip((-2, -1), (scale, scale) if isinstance(scale, int) else scale, strict=True):
        along = np.moveaxis(values, axis, -1)
        phases = sliding_window_view(along, 2 * BICUBIC_PX + 1, axis=-1) @ _weights(factor).T
        values = np.moveaxis(phases.reshape(*along.shape[:-1], -1), -1, axis)
    return np.ascontiguousarray(values)


@cache
def _weights(factor: int) -> NDArray[np.float64]:
    """Those of `cubic_weights`, computed once: patches ask for them a hundred times a scene."""
    weights: NDArray[np.float64] = cubic_weights(factor)
    weights.flags.writeable = False
    return weights


def sum_of_squares(values: NDArray[Any]) -> NDArray[np.float64]:
    """(C, ...) to (C,)"""
    flat = values.reshape(len(values), -1)
    return np.asarray(np.einsum("cn,cn->c", flat, flat, dtype=np.float64))


def average_down(sr: NDArray[Any], scale: Sequence[int]) -> NDArray[np.float64]:
    """Mean of the SR pixels (C, *n * scale) in each LR pixel: (C, *n)."""
    return np.asarray(over_pixels(sr.astype(np.float64), scale, np.add) / np.prod(scale))


def over_3x3(values: NDArray[Any], operation: np.ufunc) -> NDArray[Any]:
    """(..., y + 2, x + 2) to (..., y, x)"""
    rows = operation(operation(values[..., :-2, :], values[..., 1:-1, :]), values[..., 2:, :])
    return np.asarray(operation(operation(rows[..., :-2], rows[..., 1:-1]), rows[..., 2:]))


def over_pixels(values: NDArray[Any], scale: Sequence[int], operation: np.ufunc) -> NDArray[Any]:
    """(C, *n * scale) to (C, *n): `operation` over the SR pixels of each LR pixel, always in the same order."""
    for axis, factor in enumerate(scale, start=1):
        if factor > 1:
            parts = [values[(slice(None),) * axis + (slice(k, None, factor),)] for k in range(factor)]
            values = parts[0]
            with np.errstate(over="ignore"):  # numbers for 'nothing here' may be as large as a float can be
                for part in parts[1:]:
                    values = operation(values, part)
    return values
