"""What the figures of a page are drawn from: histograms before and after, and where SR and LR disagree.

VALIDATE adds block by block; memory does not grow with the scene.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srcore.radiometry import Normalisation
from srcore.storage.disk.records import read_json, write_json

BINS = 96
"""Of a histogram, about."""
MARGIN = 0.5
"""Of the span that a histogram shows on each side of the 2nd to 98th percentile."""
CELLS = 240
"""Of the map along its longer side, at most."""
MOST = 1e6
"""Spans that a difference counts, at most: values of a broken product can be anything."""


@dataclass(frozen=True)
class Histogram:
    """One band: shares of the pixels, LR and SR on the same bins."""

    low: float
    """Lower edge of the first bin, in DN."""
    width: float
    """Of a bin, in DN."""
    lr: tuple[float, ...]
    sr: tuple[float, ...]
    beyond: tuple[float, float]
    """Shares of LR and SR that lie outside all bins."""


@dataclass(frozen=True)
class Evidence:
    """What VALIDATE counted."""

    histograms: tuple[Histogram, ...]
    step: int
    """LR pixels along a side of a cell of the map."""
    shape: tuple[int, int]
    """LR rows and columns."""
    difference: NDArray[np.float32] | None
    """(Y, X): mean |mean of SR - LR| over the LR pixels of a cell, as a share of the band's span; NaN: no valid one.

    None when no picture of the scene may be made.
    """
    trust: NDArray[np.float32] | None = None
    """(Y, X): mean half width of the trust map over a cell, as `difference`; None without a trust map, too."""

    def save(self, path: Path) -> None:
        """Write it, whole or not at all."""
        histograms = [vars(histogram) for histogram in self.histograms]
        maps = {"difference": _coded(self.difference), "trust": _coded(self.trust)}
        write_json(path, {"histograms": histograms, "step": self.step, "shape": self.shape, **maps})

    @classmethod
    def load(cls, path: Path) -> Evidence | None:
        """What `save` wrote; None when there is nothing."""
        if not path.exists():
            return None
        value = read_json(path)
        histograms = tuple(_histogram(one) for one in value["histograms"])
        maps = _decoded(value["difference"]), _decoded(value["trust"])
        return cls(histograms, value["step"], tuple(value["shape"]), *maps)


def _coded(cells: NDArray[np.float32] | None) -> dict[str, Any] | None:
    return None if cells is None else {"shape": cells.shape, "data": b64encode(cells.tobytes()).decode("ascii")}


def _decoded(value: dict[str, Any] | None) -> NDArray[np.float32] | None:
    return None if value is None else np.frombuffer(b64decode(value["data"]), "<f4").reshape(value["shape"])


def _histogram(value: dict[str, Any]) -> Histogram:
    return Histogram(value["low"], value["width"], tuple(value["lr"]), tuple(value["sr"]), tuple(value["beyond"]))


class EvidenceCollector:
    """Collects block by block: `add` every core, then `evidence`."""

    def __init__(self, percentiles: Normalisation, dtype: np.dtype[Any], shape: Sequence[int], pictures: bool) -> None:
        self.pictures, self.shape = pictures, (shape[-2], shape[-1])
        span = np.array(percentiles.scale)
        self.span = span
        self.low, self.width = np.array(percentiles.offset) - MARGIN * span, (1 + 2 * MARGIN) * span / BINS
        if np.issubdtype(dtype, np.integer):  # whole numbers a bin: else some bins have more of them than others
            self.width = np.maximum(1, np.ceil(self.width))
            self.low = np.floor(self.low) - 0.5
        self.counts = np.zeros((2, len(span), BINS + 2), np.int64)
        """LR and SR; the first and the last bin are what lies below and above."""
        self.step = -(-max(self.shape) // CELLS)
        cells = tuple(-(-n // self.step) for n in self.shape)
        self.difference, self.trust = np.zeros((2, *cells)), np.zeros((2, *cells))
        """Sums over the pixels of a cell, and how many they are."""

    def add(
        self,
        core: tuple[slice, ...],
        lr: NDArray[Any],
        valid: NDArray[np.bool_],
        sr: NDArray[Any],
        sr_valid: NDArray[np.bool_],
        averaged: NDArray[np.float64],
    ) -> None:
        """LR (C, *core), SR (C, *core * scale), the validity of both, and the SR averaged down to (C, *core)."""
        native = lr.astype(sr.dtype) if sr.dtype.kind in "iu" else lr
        for row, (values, seen) in enumerate(((native, valid), (sr, sr_valid))):
            for band, (one, known) in enumerate(zip(values, seen, strict=True)):
                self.counts[row, band] += self._count(band, one if known.all() else one[known])
        if self.pictures:
            span = self.span.reshape(-1, *(1,) * (lr.ndim - 1))
            apart = np.where(valid, np.minimum(np.nan_to_num(np.abs(averaged - lr) / span), MOST), 0)
            axes = tuple(range(lr.ndim - 2))
            self._add_cells(self.difference, core[-2:], apart.sum(axis=axes), valid.sum(axis=axes))

    def add_trust(self, core: tuple[slice, ...], half_widths: NDArray[Any], valid: NDArray[np.bool_]) -> None:
        """Half widths of the trust map in DN, averaged down to (C, *core), and the LR's validity (C, *core)."""
        if self.pictures:
            span = self.span.reshape(-1, *(1,) * (half_widths.ndim - 1))
            axes = tuple(range(half_widths.ndim - 2))
            shares = np.where(valid, half_widths / span, 0)
            self._add_cells(self.trust, core[-2:], shares.sum(axis=axes), valid.sum(axis=axes))

    def _count(self, band: int, values: NDArray[Any]) -> NDArray[np.int64]:
        if values.dtype.kind in "iu" and values.dtype.itemsize <= 2 and values.size > 2**16:
            unsigned = np.dtype(f"u{values.dtype.itemsize}")  # each number there is once, not each pixel
            numbers = np.arange(np.iinfo(unsigned).max + 1).astype(unsigned).view(values.dtype)
            times = np.bincount(values.reshape(-1).view(unsigned), minlength=numbers.size)
            return np.bincount(self._bins(band, numbers), times, BINS + 2).astype(np.int64)
        return np.bincount(self._bins(band, values.reshape(-1)), minlength=BINS + 2)

    def _bins(self, band: int, values: NDArray[Any]) -> NDArray[np.int64]:
        bins = (values.astype(np.float64) - self.low[band]) / self.width[band] + 1
        np.clip(np.nan_to_num(bins), 0, BINS + 1, out=bins)
        return np.asarray(bins, np.int64)

    def _add_cells(
        self, cells_of: NDArray[np.float64], plane: tuple[slice, ...], apart: NDArray[Any], numbers: NDArray[Any]
    ) -> None:
        starts, cells = [], []
        for window in plane:
            inner = range(-(-window.start // self.step) * self.step, window.stop, self.step)
            edges = sorted({window.start, *inner})
            starts.append([edge - window.start for edge in edges])
            cells.append([edge // self.step for edge in edges])
        at = np.ix_(*cells)
        for total, values in zip(cells_of, (apart, numbers), strict=True):
            total[at] += np.add.reduceat(np.add.reduceat(values.astype(np.float64), starts[1], 1), starts[0], 0)

    def evidence(self) -> Evidence:
        """What was counted."""
        histograms = tuple(self._histogram(band) for band in range(len(self.span)))
        difference = _means(self.difference) if self.pictures else None
        trust = _means(self.trust) if self.trust[1].any() else None
        return Evidence(histograms, self.step, self.shape, difference, trust)

    def _histogram(self, band: int) -> Histogram:
        counts = self.counts[:, band]
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        lr, sr = (tuple(float(value) for value in row[1:-1]) for row in shares)
        beyond = shares[:, 0] + shares[:, -1]
        return Histogram(float(self.low[band]), float(self.width[band]), lr, sr, (float(beyond[0]), float(beyond[1])))


def _means(cells: NDArray[np.float64]) -> NDArray[np.float32]:
    """Sums over numbers; NaN where there are none."""
    sums, numbers = cells
    means: NDArray[np.float32] = np.divide(sums, numbers, out=np.full(sums.shape, np.nan), where=numbers > 0).astype(
        "<f4"
    )
    return means
