"""Training pairs cut straight from rasters and slices: HR patch out of the file, LR by antialiased bicubic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.ma as ma
import torch
from numpy.typing import NDArray
from torch import Tensor

from srcore.errors import SourceError
from srcore.radiometry import percentile_normalisation
from srcore.storage.patches import is_image, read_bands
from srcore.training.augment import radiometric, turn
from srcore.training.config import Source, TrainConfig
from srcore.training.resize import MARGIN_LR, shrink


@dataclass(frozen=True)
class Geometry:
    """Sizes of a pair, in LR pixels unless suffixed.

    |<- margin ->|<- halo ->|<--- core --->|<- halo ->|<- margin ->|   x scale = the HR window that is read
                 |<------------ LR in ------------->|                 margin: lost to the cubic kernel
                            |<- HR out  ->|                           core x scale
    """

    core: int
    halo: int
    scale: int

    @property
    def window_hr(self) -> int:
        return (self.core + 2 * self.halo + 2 * MARGIN_LR) * self.scale


@dataclass(frozen=True)
class Plane:
    """One band of an image or one slice of a volume, in memory."""

    values: NDArray[Any]
    """DN (Y, X) in the native dtype."""
    starts: NDArray[np.int64] | None
    """Flat indices of the first pixels of windows without an invalid pixel; None when every window is."""
    offset: float
    scale: float
    """Network value = (DN - offset) / scale; of the band, or of the whole volume."""
    chance: float


def load_planes(folder: Path, sources: Sequence[Source], window_hr: int) -> list[Plane]:
    """All planes of the sources' files, with their chances (of sum 1).

    SourceError when a source names no image, or an image is smaller than the window.
    """
    planes = []
    total = sum(source.share for source in sources)
    for source in sources:
        paths = sorted(path for path in folder.glob(source.files) if is_image(path))
        if not paths:
            raise SourceError(f"no image matches {source.files}", str(folder), "correct `files` in the recipe")
        parts = [part for path in paths for part in _planes_of(path, window_hr)]
        pixels = sum(part.values.size for part in parts)
        for part in parts:
            chance = source.share / total * part.values.size / pixels
            planes.append(Plane(part.values, part.starts, part.offset, part.scale, chance))
    return planes


def _planes_of(path: Path, window_hr: int) -> list[Plane]:
    bands = read_bands(path)
    if min(bands.shape[-2:]) < window_hr:
        raise SourceError(
            f"{path.name} is too small for a training patch",
            f"{bands.shape[-2]} x {bands.shape[-1]} pixels, patches of {window_hr}",
            "leave it out of the sources, or lower core_px",
        )
    normalisation = percentile_normalisation([band.compressed() for band in bands])
    planes = []
    for band, offset, scale in zip(bands, normalisation.offset, normalisation.scale, strict=True):
        for plane in band.reshape(-1, *band.shape[-2:]):  # a raster's band is one plane, a volume has one a slice
            starts = _clear_starts(ma.getmaskarray(plane), window_hr) if ma.is_masked(plane) else None
            if starts is None or starts.size:
                planes.append(Plane(ma.getdata(plane), starts, offset, scale, 0.0))
    if not planes:
        raise SourceError(f"{path.name} has no clear training patch", "nodata in every window", "leave it out")
    return planes


def _clear_starts(mask: NDArray[np.bool_], window: int) -> NDArray[np.int64]:
    """Flat indices (y * X + x) at which a window x window square without a masked pixel starts."""
    sums = np.pad(mask.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    masked = sums[window:, window:] - sums[:-window, window:] - sums[window:, :-window] + sums[:-window, :-window]
    y, x = np.nonzero(masked == 0)
    return np.ravel_multi_index((y, x), mask.shape).astype(np.int64)


def draw_batch(planes: Sequence[Plane], geometry: Geometry, config: TrainConfig, step: int) -> tuple[Tensor, Tensor]:
    """LR (N, 1, core + 2 halo, ...) and HR (N, 1, core x scale, ...) in network values, float32.

    Depends on seed and step alone, so a resumed run sees the same pairs as an unbroken one.
    """
    rng = np.random.default_rng((config.seed, step))
    picks = rng.choice(len(planes), size=config.batch, p=[plane.chance for plane in planes])
    chosen = [planes[pick] for pick in picks]
    windows = [turn(_window(plane, geometry.window_hr, rng), rng).astype(np.float32) for plane in chosen]
    hr = torch.from_numpy(np.stack(windows))[:, None]  # (N, 1, Y, X) in DN
    lr = shrink(hr, geometry.scale)
    whole = torch.tensor([plane.values.dtype.kind in "iu" for plane in chosen]).reshape(-1, 1, 1, 1)
    lr = torch.where(whole, lr.round(), lr)  # a sensor with coarser pixels stores whole numbers as well
    lr, hr = _cut(lr, MARGIN_LR), _cut(hr, (MARGIN_LR + geometry.halo) * geometry.scale)
    offset = torch.tensor([plane.offset for plane in chosen]).reshape(-1, 1, 1, 1)
    scale = torch.tensor([plane.scale for plane in chosen]).reshape(-1, 1, 1, 1)
    return radiometric((lr - offset) / scale, (hr - offset) / scale, config.gain, config.offset, rng)


def _cut(x: Tensor, margin_px: int) -> Tensor:
    return x[..., margin_px:-margin_px, margin_px:-margin_px]


def _window(plane: Plane, window: int, rng: np.random.Generator) -> NDArray[Any]:
    height, width = plane.values.shape
    if plane.starts is None:
        y, x = rng.integers(height - window + 1), rng.integers(width - window + 1)
    else:
        y, x = divmod(int(rng.choice(plane.starts)), width)
    return plane.values[y : y + window, x : x + window]
