"""Blocks through one generator on one device: LR in, SR out.

Blocks are native DN (C, ...). Everything between native DN and native DN happens here: normalisation, the
generator band by band, the way back, rounding and nodata.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from srcore import radiometry
from srcore.checkpoints import Spec
from srcore.engine.backends import Precision, build
from srcore.engine.batches import Batches
from srcore.engine.stream import Block, Numbers, Stream, can_stream, is_sound
from srcore.errors import CheckpointError, TileError
from srcore.filters import sharpened
from srcore.models import Generator
from srcore.models.backprojection import back_project
from srcore.models.blocks import centre_crop
from srcore.nodata import keep_off
from srcore.radiometry import Normalisation
from srcore.treatment import Treatment
from srcore.trust import MEMBERS, Spread, half_width, turned, turned_back


class Engine:
    """One generator on one device. Not thread-safe; one a process."""

    def __init__(
        self,
        spec: Spec,
        generator: Generator,
        device: torch.device,
        precision: Precision,
        backend: str = "eager",
        samples: Sequence[Tensor] = (),
    ) -> None:
        self.spec, self.device, self.precision, self.backend = spec, device, precision, backend
        if device.type == "cuda":
            torch.backends.cudnn.allow_tf32 = False  # on by default: the reference would have 10 bits
        self.exact = build(generator, "eager", "float32", device)
        reference = precision == "float32" and backend == "eager"
        self.generator = self.exact if reference else build(generator, backend, precision, device, samples)
        self.batches = Batches(device, spec.halo, spec.scale, spec.core_multiple)
        self._stream: Stream | None = None

    def can_stream(self, facts: BlockFacts) -> bool:
        """True on a GPU, where every band of every slice goes through alone, cores may begin anywhere, and the SR is
        neither sharpened nor kept within ends."""
        planar = self.spec.bands == "any" and len(self.spec.scale) == 2 and self.spec.core_multiple == 1
        return self.device.type == "cuda" and planar and can_stream(facts.dtype) and facts.is_plain

    def stream(self, numbers: Numbers) -> Stream:
        """The way through the device and back; kept, with its pinned buffers, while `numbers` stay the same."""
        if self._stream is None or self._stream.numbers != numbers:
            self._stream = Stream(partial(self.batches.run, network=self.generator), self.device, numbers)
        return self._stream

    def run(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """Network values (C, ..., Y + 2 halo, X + 2 halo) to (C, ..., Y * scale, X * scale).

        Of a band before its guides (1 + G, ...) to the band (1, Y, X).

        TileError TILE_OOM when not even the smallest piece fits, TILE_NONFINITE when float32 gives no numbers.
        """
        slices = _slices(block, self.spec)
        core = centre_crop(slices[:, : self._given], self.spec.halo[-1], slices.ndim - 2)
        result = self.batches.run(slices, self.generator).cpu()
        if not is_sound(core, result):
            result = self.batches.run(slices, self.exact).cpu()
            if not is_sound(core, result):
                raise TileError(
                    "the generator gives no usable numbers",
                    "NaN, Inf or a constant, also in float32",
                    "check the checkpoint and the tile's values",
                    code="TILE_NONFINITE",
                )
        return _unsliced(result, block[: self._given], self.spec)

    @property
    def _given(self) -> int | None:
        """How many of the bands that it sees come back: with guides the first alone; None: all."""
        return 1 if self.spec.zoom > 1 else None


@dataclass(frozen=True)
class BlockFacts:
    """What turns DN into network values and back."""

    normalisation: Normalisation
    dtype: str
    nodata: tuple[float | None, ...]
    """The number for 'nothing here' per band; None where a mask, alpha or nothing says so."""
    treatment: Treatment = field(default_factory=lambda: Treatment(back_projection=0))
    """What follows the generator; it needs its `margin_px` more around the core."""
    copied: tuple[bool, ...] = ()
    """Per band whether its pixels are repeated, and no generator sees them; (): none."""
    ranges: tuple[tuple[float, float] | None, ...] = ()
    """Per band the least and the greatest number of a valid pixel, where it has ends; (): none."""
    guides: tuple[int, ...] = ()
    """Bands that guide those which the generator brings to their grid; all but these are copied."""

    @property
    def is_plain(self) -> bool:
        """True where all bands go through the generator, and nothing follows but back-projection."""
        return not (self.treatment.sharpen or self.treatment.is_by_profile or any(self.copied) or any(self.ranges))

    def of(self, bands: Sequence[int]) -> BlockFacts:
        """The same of these bands alone, which no one copies."""

        def chosen(values: tuple[Any, ...]) -> tuple[Any, ...]:
            return tuple(values[band] for band in bands) if values else ()

        offset, scale = chosen(self.normalisation.offset), chosen(self.normalisation.scale)
        normalisation = Normalisation(offset, scale)
        return replace(
            self,
            normalisation=normalisation,
            nodata=chosen(self.nodata),
            copied=(),
            ranges=chosen(self.ranges),
            guides=(),
        )


def super_resolve(
    engine: Engine,
    tile: NDArray[Any],
    valid: NDArray[np.bool_],
    facts: BlockFacts,
    around: NDArray[np.bool_] | None = None,
) -> NDArray[Any]:
    """The SR (C, *core * scale) in native dtype of a tile (C, *core + 2 halo) whose core's validity is `valid`.

    `valid` (C, *core) may be clipped at the scene's edge; the SR is clipped likewise. Invalid pixels come back
    as the nodata number (0 where there is none), valid ones never take it. With back-projection the halo is
    the generator's plus its margin, and `around` is the validity of the tile without the generator's halo;
    None where all is valid.
    """
    if any(facts.copied):
        return _with_copies(engine, tile, valid, facts, around)
    if engine.can_stream(facts):
        return next(super_resolve_stream(engine, [Block(tile, valid, around)], facts))
    network = facts.normalisation.apply(tile)
    numbers = numbers_of(engine, network, around, facts.treatment)
    return _native(engine, numbers, valid, facts)


def _with_copies(
    engine: Engine,
    tile: NDArray[Any],
    valid: NDArray[np.bool_],
    facts: BlockFacts,
    around: NDArray[np.bool_] | None,
) -> NDArray[Any]:
    """What `super_resolve` gives where some bands, or all, are copied."""
    axes = tile.ndim - 1
    halo = engine.spec.halo_around(axes, facts.treatment.margin_px)
    core = tile[(slice(None), *(slice(h, h + n) for h, n in zip(halo, valid.shape[1:], strict=True)))]
    sr: NDArray[Any] = radiometry.nearest(core, engine.spec.scale_for(axes)).copy()
    hidden = ~radiometry.nearest(valid, engine.spec.scale_for(axes))
    for band, nodata in enumerate(facts.nodata):
        sr[band][hidden[band]] = 0 if nodata is None else nodata
    seen = [band for band, copied in enumerate(facts.copied) if not copied]
    if facts.guides:
        for band in seen:
            sr[band] = _guided(engine, tile, valid, facts, band, around)
    elif seen:
        known = None if around is None else around[seen]
        sr[seen] = super_resolve(engine, tile[seen], valid[seen], facts.of(seen), known)
    return sr


def _guided(
    engine: Engine,
    tile: NDArray[Any],
    valid: NDArray[np.bool_],
    facts: BlockFacts,
    band: int,
    around: NDArray[np.bool_] | None,
) -> NDArray[Any]:
    """A band (Y, X) brought to the grid of the guides; interpolated where a guide is hidden: it says nothing there."""
    own, bands, zoom = facts.of([band]), [band, *facts.guides], engine.spec.zoom
    network = facts.of(bands).normalisation.apply(tile[bands])
    known = None if around is None else around[[band]]
    numbers = numbers_of(engine, network, known, facts.treatment)
    hidden = ~valid[list(facts.guides)].all(axis=0)
    if hidden.any():
        halo = engine.spec.halo_around(2, facts.treatment.margin_px)
        coarse = network[0, ::zoom, ::zoom].astype(np.float64)
        whole = radiometry.enlarged(coarse, zoom)[
            tuple(slice(h, h + n) for h, n in zip(halo, hidden.shape, strict=True))
        ]
        numbers = numbers[:, : hidden.shape[0], : hidden.shape[1]].copy()
        numbers[0][hidden] = whole[hidden]
    found: NDArray[Any] = _native(engine, numbers, valid[[band]], own)[0]
    return found


def super_resolve_stream(engine: Engine, blocks: Iterable[Block], facts: BlockFacts) -> Iterator[NDArray[Any]]:
    """What `super_resolve` gives, for many tiles in turn: on CUDA their copies overlap with the computing.

    For `facts` that the engine `can_stream`: nothing is sharpened.
    """
    numbers = Numbers(
        facts.normalisation.offset,
        facts.normalisation.scale,
        facts.dtype,
        facts.nodata,
        engine.spec.scale[-1],
        engine.spec.halo[-1],
        facts.treatment.steps,
    )

    def again(block: Block) -> NDArray[Any]:
        network = facts.normalisation.apply(block.values)
        return _native(engine, numbers_of(engine, network, block.around, facts.treatment), block.valid, facts)

    yield from engine.stream(numbers).run(blocks, again)


def super_resolve_with_trust(
    engine: Engine,
    tile: NDArray[Any],
    valid: NDArray[np.bool_],
    facts: BlockFacts,
    around: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[Any], NDArray[np.float32]]:
    """What `super_resolve` gives, and the half widths (C, *core * scale) in DN of its trust map, NaN where invalid."""
    if facts.treatment.trust is None:
        raise CheckpointError(
            f"{engine.spec.name} has no calibration for a trust map", "", "calibrate it", code="NOT_CALIBRATED"
        )
    network = facts.normalisation.apply(tile)
    numbers = numbers_of(engine, network, around, facts.treatment)
    spread = self_ensemble_spread(engine, network, numbers, around, facts.treatment)
    half_widths = _clipped(engine, half_width(spread, facts.treatment.trust, facts.normalisation.scale), valid)
    half_widths[~radiometry.nearest(valid, engine.spec.scale_for(tile.ndim - 1))] = np.nan
    return _native(engine, numbers, valid, facts), half_widths


def _native(engine: Engine, numbers: NDArray[np.float32], valid: NDArray[np.bool_], facts: BlockFacts) -> NDArray[Any]:
    """Network values (C, *core * scale) as DN in the native dtype, nodata in place."""
    block = radiometry.to_native(_clipped(engine, numbers, valid), facts.normalisation, np.dtype(facts.dtype))
    scale = engine.spec.scale_for(block.ndim - 1)
    for band, ends in enumerate(facts.ranges):
        if ends is not None:
            np.clip(block[band], *np.array(ends, block.dtype), out=block[band])
    for band, nodata in enumerate(facts.nodata):
        if nodata is not None:
            block[band] = keep_off(block[band], nodata)
        if not valid[band].all():
            block[band][~radiometry.nearest(valid[band : band + 1], scale)[0]] = 0 if nodata is None else nodata
    return block


def _clipped(engine: Engine, values: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[Any]:
    """Without what lies beyond the scene's edge."""
    scale = engine.spec.scale_for(values.ndim - 1)
    return values[(slice(None), *(slice(n * s) for n, s in zip(valid.shape[1:], scale, strict=True)))]


def numbers_of(
    engine: Engine,
    block: NDArray[np.float32],
    around: NDArray[np.bool_] | None,
    treatment: Treatment,
) -> NDArray[np.float32]:
    """Network values of the SR (C, *core * scale) of a block (C, *core + 2 halo), sharpened and then back-projected."""
    numbers = engine.run(block)
    if treatment.sharpen:
        numbers = sharpened(numbers, treatment.sharpen, engine.spec.scale[-1] * engine.spec.zoom)
    margin = engine.spec.margin_for(treatment.margin_px)
    return _back_projected(engine.spec, numbers, block, around, treatment, margin) if margin else numbers


def self_ensemble_spread(
    engine: Engine,
    block: NDArray[np.float32],
    numbers: NDArray[np.float32],
    around: NDArray[np.bool_] | None,
    treatment: Treatment,
) -> NDArray[np.float32]:
    """Standard deviation of the SR over the eight orientations of `block`; `numbers` is what it gives as it is."""
    spread = Spread(numbers)
    for member in range(1, MEMBERS):
        seen = None if around is None else turned(around, member)
        spread.add(turned_back(numbers_of(engine, turned(block, member), seen, treatment), member))
    return spread.deviation()


def plain_sr(engine: Engine, lr: NDArray[Any]) -> NDArray[np.float64]:
    """The SR (C, Y * s, X * s) of whole images lr (C, Y, X), all valid, edges reflected, neither rounded nor clipped.

    Normalised by their own percentiles, as a scene is.
    """
    normalisation = radiometry.percentile_normalisation(list(lr))
    halo, scale = engine.spec.halo[-1], engine.spec.scale[-1]
    height, width = lr.shape[1:]
    beyond = [(halo, halo + -size % engine.spec.core_multiple) for size in (height, width)]
    padded = np.pad(lr, [(0, 0), *beyond], mode="reflect")
    return normalisation.undo(engine.run(normalisation.apply(padded)))[:, : height * scale, : width * scale]


def _back_projected(
    spec: Spec,
    sr: NDArray[np.float32],
    tile: NDArray[np.float32],
    around: NDArray[np.bool_] | None,
    treatment: Treatment,
    margin: int,
) -> NDArray[np.float32]:
    """SR (C, ..., Y, X) of the core from the SR with a margin, the tile that it came from and what is valid there.

    The treatment's steps of back-projection, none being only the cut; `margin` in LR pixels.
    """
    surplus = (
        margin - treatment.steps * treatment.step_px
    )  # what sharpening spoiled, and what the generator's grid needs
    lr = _slices(tile, spec)
    lr = centre_crop(lr, spec.halo[-1] + surplus, lr.ndim - 2)
    valid = None if around is None else centre_crop(_slices(around, spec), surplus, lr.ndim - 2)
    fine = _slices(sr, spec)
    for axis, scale in enumerate(spec.scale, 2):
        fine = fine.narrow(axis, surplus * scale, fine.shape[axis] - 2 * surplus * scale)
    profile = radiometry.slice_weights(spec.scale[0]).tolist() if treatment.is_by_profile else ()
    return _unsliced(back_project(fine, lr, valid, treatment.steps, profile), sr, spec)


def _slices(block: NDArray[Any], spec: Spec) -> Tensor:
    """(C, ..., Y, X) as (N, B, Y, X): what the generator sees together is B bands of a slice, or of a volume; or a band
    and its guides."""
    bands = len(block) if spec.zoom > 1 else 1 if spec.bands == "any" else spec.bands
    return torch.from_numpy(np.ascontiguousarray(block)).reshape(-1, bands, *block.shape[-len(spec.scale) :])


def _unsliced(result: Tensor, block: NDArray[Any], spec: Spec) -> NDArray[np.float32]:
    """(N, B, Y, X) as (C, ..., Y, X), in the order of `block`."""
    own = len(spec.scale)
    return result.reshape(*block.shape[:-own], *result.shape[-own:]).numpy()
