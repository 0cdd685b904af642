"""Training pairs for guided generators, by Wald's protocol: what is judged was measured, and all is one scale down.

    HR band (say 20 m) --degradation--> LR (40 m), each pixel repeated --+
    finer bands (10 m) --optics--> guides on the HR's grid --------------+--> x (N, 1 + G, ...); truth: the HR band

The bands of one file guide each other as well: so any band meets any guides.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.ma as ma
import torch
from numpy.typing import NDArray
from torch import Tensor

from srcore.errors import SourceError
from srcore.training.data.degrade import REACH_LR, optics, reduce

Masked: TypeAlias = "ma.MaskedArray[Any, Any]"

GUIDE_MTF = 0.27
"""Contrast at the HR's Nyquist frequency under which finer bands become guides: about that of the 10 m bands."""
COUNTS = {1: 0.2, 2: 0.15, 3: 0.15, 4: 0.5}
"""Guides of a batch, and how often there are so many."""
OWN = 2 / 3
"""Of the samples of a place with finer bands: a coarse band with these as guides; the others take any with any."""


def with_guides(hr: Masked, fine: Masked, zoom: int, name: str) -> Masked:
    """(B + G, Y, X): the HR bands, then the finer ones brought to their grid; SourceError where the two do not fit.

    Fine pixels lie in the HR's, `zoom` on each axis, or on their corners (Landsat's panchromatic band, which then has
    one less on each axis).
    """
    shape = hr.shape[1:]
    inside = tuple(zoom * n - 1 for n in shape)
    if fine.shape[1:] not in (tuple(zoom * n for n in shape), inside) or (fine.shape[1:] == inside and zoom % 2):
        found = f"{fine.shape[1:]} pixels on {shape}"
        raise SourceError(f"the guides of {name} do not lie on its grid", found, f"they must be {zoom} times finer")
    centred = fine.shape[1:] == inside
    seen = np.stack([_seen(band, zoom, centred=centred) for band in ma.getdata(fine)])
    hidden = ma.getmaskarray(fine).any(axis=0)
    if centred:
        hidden = np.pad(hidden, (0, 1), mode="edge")
    hidden = hidden.reshape(shape[0], zoom, shape[1], zoom).any(axis=(1, 3))
    masked = ma.masked_array(seen, np.broadcast_to(hidden, seen.shape))
    joined: Masked = ma.concatenate([hr.astype(np.float32), masked])  # type: ignore[no-untyped-call]
    return joined


def _seen(band: NDArray[np.generic], zoom: int, *, centred: bool) -> NDArray[np.float32]:
    """A fine band (Y, X) as a sensor of pixels `zoom` times as large sees it; `centred`: their first centres agree."""
    margin = zoom * REACH_LR
    sides = [(margin, margin + centred)] * 2
    wide = torch.from_numpy(np.pad(np.asarray(band, np.float32), sides, mode="symmetric"))[None, None]
    kernel = optics(GUIDE_MTF, zoom, -0.5 / zoom if centred else 0.0)[None]  # half a fine pixel before the middle
    return np.asarray(reduce(wide, [kernel, kernel])[0, 0].numpy())


def drawn_bands(bands: int, guides: int, count: int, rng: np.random.Generator, *, shuffle: bool) -> list[int]:
    """The band of a sample, then `count` guides of it, again from the first where there are fewer.

    The last `guides` bands of a file are finer ones; 0: none is, and all guide each other.
    """
    first = bands - guides
    if guides and (not shuffle or rng.random() < OWN):
        band, others = int(rng.integers(first)), np.arange(first, bands)
    else:
        band = int(rng.integers(bands))
        others = np.delete(np.arange(bands), band)
    return [band, *(int(k) for k in np.resize(rng.permutation(others), count))]


def drawn_count(rng: np.random.Generator) -> int:
    """How many guides the samples of a batch have."""
    return int(rng.choice(list(COUNTS), p=list(COUNTS.values())))


def repeated(lr: Tensor, zoom: int) -> Tensor:
    """(N, B, Y, X) with every pixel `zoom` times on each axis."""
    return lr.repeat_interleave(zoom, -1).repeat_interleave(zoom, -2)


def coarse(x: Tensor, zoom: int) -> Tensor:
    """The LR band (N, 1, Y, X) in the input of a guided generator."""
    return x[:, :1, ::zoom, ::zoom]
