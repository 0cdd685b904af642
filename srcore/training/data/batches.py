"""Batches of training pairs from images in memory: a function of seed and step alone. numpy and torch only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from srcore.models.blocks import centre_crop
from srcore.training.data.augment import draw_turn, magnified, radiometric
from srcore.training.data.degrade import box, cos2, cubic, optics, reduce
from srcore.training.data.guided import drawn_bands, drawn_count, repeated
from srcore.training.data.resize import MARGIN_LR, shrink
from srcore.training.data.slabs import slab_pair

if TYPE_CHECKING:
    from srcore.models import Generator
    from srcore.training.config import Degradation, TrainConfig


@dataclass(frozen=True)
class Geometry:
    """Sizes of a pair, in LR pixels unless suffixed; core and scale may differ between the generator's own axes.

    |<- margin ->|<- halo ->|<--- core --->|<- halo ->|<- margin ->|   x scale = the HR window that is read
                 |<------------ LR in ------------->|                 margin: lost to the degradation's kernel
                            |<- HR out  ->|                           core x scale
    """

    core: int | tuple[int, ...]
    halo: int
    scale: int | tuple[int, ...]
    """One number for (Y, X), or (z, y, x)."""
    zoom: int = 1
    """Of a guided generator: HR pixels along one of the LR, all else being on the HR's grid."""

    @property
    def scales(self) -> tuple[int, ...]:
        return (self.scale,) * 2 if isinstance(self.scale, int) else self.scale

    slab: bool = False
    """The core alone has to lie within the image; what is around it comes by the rule for edges."""

    @property
    def cores(self) -> tuple[int, ...]:
        return (self.core,) * len(self.scales) if isinstance(self.core, int) else self.core

    @property
    def window_hr(self) -> tuple[int, ...]:
        around = 0 if self.slab else 2 * self.halo + 2 * MARGIN_LR * self.zoom
        return tuple((core + around) * scale for core, scale in zip(self.cores, self.scales, strict=True))


def geometry_of(config: TrainConfig, generator: Generator) -> Geometry:
    """Sizes of the recipe's pairs for a generator."""
    core = config.core_px if isinstance(config.core_px, int) else tuple(config.core_px)
    return Geometry(core, generator.halo, generator.scales, generator.zoom, config.slab is not None)


@dataclass(frozen=True)
class Plane:
    """What patches are cut from: a band, a slice or a volume, or the bands that a generator sees together."""

    values: NDArray[Any]
    """DN (B, Y, X) or (B, Z, Y, X) in the native dtype."""
    starts: NDArray[np.int64] | None
    """Flat indices of the first pixels of windows without an invalid pixel; None when every window is."""
    offset: tuple[float, ...]
    scale: tuple[float, ...]
    """Network value = (DN - offset) / scale, per band."""
    chance: float
    lr: NDArray[Any] | None = None
    """The LR that was really measured (B, Y / s, X / s); None: it is made by degradation."""
    degradation: tuple[Degradation, ...] | None = None
    """How, where the recipe's way is not this plane's."""
    guides: int = 0
    """How many bands at the end guide the others alone, for a guided generator; 0: all guide each other."""


def draw_batch(
    planes: Sequence[Plane],
    geometry: Geometry,
    config: TrainConfig,
    step: int,
    device: torch.device | None = None,
    rank: int = 0,
) -> tuple[Tensor, Tensor]:
    """LR (N, B, core + 2 halo, ...) and HR (N, B, core x scale, ...) in network values, float32.

    Depends on seed, step and rank alone, so a resumed run sees the same pairs as an unbroken one. Windows are cut
    on the CPU; all else happens on `device`.
    """
    rng = np.random.default_rng((config.seed, step, rank) if rank else (config.seed, step))
    picks = rng.choice(len(planes), size=config.batch, p=[plane.chance for plane in planes])
    chosen = [planes[pick] for pick in picks]
    if geometry.zoom > 1:
        return _guided(chosen, geometry, config, rng, device)
    if config.slab is not None:
        return _of_slabs(chosen, geometry, config, rng, device)
    windows = [_window(plane, geometry, rng) for plane in chosen]
    hr = torch.from_numpy(np.stack([window for window, _ in windows])).to(device)  # (N, B, ...) in DN
    made = [_drawn(plane.degradation or config.degradation, rng) for plane in chosen]
    lr = _degraded(hr, geometry.scales, made, rng)
    for sample, (_, measured) in enumerate(windows):
        if measured is not None:
            lr[sample] = torch.from_numpy(measured).to(device)
    column = (-1, hr.shape[1], *(1,) * len(geometry.scales))
    whole = torch.tensor([plane.values.dtype.kind in "iu" for plane in chosen], device=device)
    lr = torch.where(whole.reshape(-1, 1, *column[2:]), lr.round(), lr)  # a coarser sensor stores whole numbers as well
    offset, scale = (
        torch.tensor([getattr(plane, name) for plane in chosen], device=device).reshape(column)
        for name in ("offset", "scale")
    )
    hr = (_cut(hr, geometry) - offset) / scale
    lr = (lr - offset) / scale
    noise = [0.0 if plane.lr is not None else rng.uniform(*one.noise) for plane, one in zip(chosen, made, strict=True)]
    if any(noise):
        lr = lr + _noise(lr, noise, rng)
    if config.band_shuffle and hr.shape[1] > 1:
        order = torch.from_numpy(rng.permutation(hr.shape[1])).to(device)
        lr, hr = lr[:, order], hr[:, order]
    return radiometric(lr, hr, config.gain, config.offset, rng)


def _of_slabs(
    chosen: Sequence[Plane], geometry: Geometry, config: TrainConfig, rng: np.random.Generator, device: Any
) -> tuple[Tensor, Tensor]:
    """LR and HR of patches with ends of slabs; degraded on the CPU: each has a shape of its own."""
    assert config.slab is not None
    pairs = []
    for plane in chosen:
        made = _drawn(plane.degradation or config.degradation, rng)
        kernels = _kernels(made, geometry.scales, rng)
        lr, hr = slab_pair(plane, geometry, kernels, config.slab, config.edge == "repeat", rng)
        if plane.values.dtype.kind in "iu":
            lr = np.rint(lr)
        if plane.lr is None and config.magnify[1] > 1:
            factor = float(rng.uniform(*config.magnify))
            lr, hr = magnified(lr, factor), magnified(hr, factor)
        turn = draw_turn(hr.shape if lr.shape[-1] == lr.shape[-2] else lr.shape, rng)
        pair = [(turn(x) - plane.offset[0]) / plane.scale[0] for x in (lr, hr)]
        if plane.lr is None and any(made.noise):
            pair[0] = pair[0] + rng.standard_normal(lr.shape, np.float32) * rng.uniform(*made.noise)
        pairs.append(pair)
    lrs, hrs = (torch.from_numpy(np.stack(side).astype(np.float32)).to(device) for side in zip(*pairs, strict=True))
    return radiometric(lrs, hrs, config.gain, config.offset, rng)


def _guided(
    chosen: Sequence[Plane], geometry: Geometry, config: TrainConfig, rng: np.random.Generator, device: Any
) -> tuple[Tensor, Tensor]:
    """x (N, 1 + G, core + 2 halo, ...), an LR band with repeated pixels before its guides, and HR (N, 1, core, ...)."""
    count, zoom = drawn_count(rng), geometry.zoom
    seen = [drawn_bands(len(p.values), p.guides, count, rng, shuffle=config.band_shuffle) for p in chosen]
    windows = [_window(plane, geometry, rng, bands)[0] for plane, bands in zip(chosen, seen, strict=True)]
    hr = torch.from_numpy(np.stack(windows)).to(device)
    offset, scale = (
        torch.tensor([[getattr(p, name)[k] for k in bands] for p, bands in zip(chosen, seen, strict=True)])
        .reshape(len(chosen), 1 + count, 1, 1)
        .to(device)
        for name in ("offset", "scale")
    )
    hr = (hr - offset) / scale
    made = [_drawn(plane.degradation or config.degradation, rng) for plane in chosen]
    lr = _degraded(hr[:, :1], (zoom, zoom), made, rng)
    lr = lr + _noise(lr, [rng.uniform(*one.noise) for one in made], rng)
    guides = centre_crop(hr[:, 1:], MARGIN_LR * zoom)
    lr, truth = radiometric(repeated(lr, zoom), _cut(hr[:, :1], geometry), config.gain, config.offset, rng)
    return torch.cat([lr, guides], 1), truth


def _drawn(degradations: Sequence[Degradation], rng: np.random.Generator) -> Degradation:
    """One of them, by their shares."""
    if len(degradations) == 1:
        return degradations[0]
    shares = np.array([one.share for one in degradations])
    return degradations[int(rng.choice(len(shares), p=shares / shares.sum()))]


def _degraded(hr: Tensor, scales: Sequence[int], made: Sequence[Degradation], rng: np.random.Generator) -> Tensor:
    """LR without the margin, in DN; every sample in its own way."""
    if len(scales) == 2 and all(one.kind == "bicubic" for one in made):
        return centre_crop(shrink(hr, scales[-1]), MARGIN_LR)
    samples = [_kernels(one, scales, rng) for one in made]
    return reduce(hr, [torch.stack(kernels).to(hr.device) for kernels in zip(*samples, strict=True)])


def _kernels(made: Degradation, scales: Sequence[int], rng: np.random.Generator) -> list[Tensor]:
    """A kernel for every axis."""
    if made.kind == "bicubic":
        return [cubic(scale) for scale in scales]
    if made.kind == "box":
        return [box(scale) for scale in scales]
    if made.kind == "cos2":
        width = float(rng.uniform(*made.width)) if made.width[0] < made.width[1] else made.width[0]
        return [cos2(scales[0], width), *(box(scale) for scale in scales[1:])]
    mtf = float(rng.uniform(*made.mtf))
    return [optics(mtf, scale, float(rng.uniform(-made.shift, made.shift))) for scale in scales]


def _noise(lr: Tensor, sigma: Sequence[float], rng: np.random.Generator) -> Tensor:
    """White noise with a deviation of its own for every sample."""
    sigmas = np.asarray(sigma, np.float32).reshape(-1, *(1,) * (lr.ndim - 1))
    return torch.from_numpy(rng.standard_normal(lr.shape, np.float32) * sigmas).to(lr.device)


def _cut(hr: Tensor, geometry: Geometry) -> Tensor:
    """The pixels of hr that the loss sees."""
    for axis, (core, scale) in enumerate(zip(geometry.cores, geometry.scales, strict=True), 2):
        margin = (MARGIN_LR * geometry.zoom + geometry.halo) * scale
        hr = hr.narrow(axis, margin, core * scale)
    return hr


def _window(
    plane: Plane, geometry: Geometry, rng: np.random.Generator, bands: Sequence[int] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """A random clear HR window (of some `bands`) and, where the LR was measured, the LR under it without the margin;
    turned alike."""
    shape, window = plane.values.shape[1:], geometry.window_hr
    if plane.starts is None:
        first = [int(rng.integers(size - side + 1)) for size, side in zip(shape, window, strict=True)]
    else:
        first = [int(i) for i in np.unravel_index(int(rng.choice(plane.starts)), shape)]
    hr = plane.values[(slice(None), *(slice(a, a + side) for a, side in zip(first, window, strict=True)))]
    hr = hr if bands is None else hr[list(bands)]
    turn = draw_turn(hr.shape, rng)
    measured = None
    if plane.lr is not None:
        corner = [a // s + MARGIN_LR for a, s in zip(first, geometry.scales, strict=True)]
        sides = [core + 2 * geometry.halo for core in geometry.cores]
        measured = plane.lr[(slice(None), *(slice(a, a + side) for a, side in zip(corner, sides, strict=True)))]
        measured = np.ascontiguousarray(turn(measured), np.float32)
    return np.ascontiguousarray(turn(hr), np.float32), measured
