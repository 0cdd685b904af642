"""The suite: every family of checks over a scene that comes block by block; memory does not grow with the scene."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srcore.checks import Check, abstain
from srcore.checks.blocks import Block
from srcore.checks.consistency import BOX_SLICES, ConsistencyCheck, SensorCheck, VolumeCheck
from srcore.checks.detail import RangeCheck, detail_checks
from srcore.checks.ends import EndsCheck
from srcore.checks.geometry import Place, check_place
from srcore.checks.kept import KeptCheck
from srcore.checks.opensr import opensr_checks
from srcore.checks.patches import PatchSampler
from srcore.checks.perceptual import lpips_checks
from srcore.checks.radiometry import RadiometryCheck, dtype_check
from srcore.checks.reference import ReferenceCheck
from srcore.checks.registration import registration_checks
from srcore.checks.seams import SeamCheck
from srcore.checks.spectral import SpectralCheck
from srcore.checks.spread import Spread
from srcore.checks.tissue import TissueCheck
from srcore.checks.trust import TrustCheck
from srcore.checks.volumes.continuity import ContinuityCheck
from srcore.checks.volumes.place import PlaceCheck
from srcore.checks.wald import Generate, wald_checks
from srcore.limits import Limit

IN_PLANE = ("seams.step", "detail.beyond", "detail.least", "detail.most", "wald.gain")
"""What compares rows and columns of one slice."""
LEAST_BEND = 1e-3
"""Of the range of a volume of floats: a CT of whole numbers has one of 2e-4 to 1e-3."""
LEAST_RANGE = 0.03
"""Of the same: where floats are flat, what a network makes of nothing would be a bend of many ranges; whole numbers
round it off. Of three z-scored MR by srcore-volume-z5 the worst slice is 1.0 to 1.4 then, without it 1.1 to 1.5."""


@dataclass(frozen=True)
class Scene:
    """What is known of LR and SR before a pixel is read."""

    lr: Place
    sr: Place
    scale: tuple[int, ...]
    bands: int
    dtype: str
    """Of the LR."""
    found_dtype: str
    """Of the SR."""
    core: tuple[int, ...]
    """LR pixels of a block."""
    tiled: bool
    """True when blocks are the tiles of the product: then seams lie at their borders."""

    nodata: tuple[float | None, ...] = ()
    """Of each band."""
    copied: tuple[bool, ...] = ()
    """Of each band whether it is classes, bits or angles, which no other check looks at; (): none is."""
    ranges: tuple[tuple[float, float] | None, ...] = ()
    """Of each band the ends that its numbers keep to; (): none has such."""
    own: tuple[tuple[float, float] | None, ...] = ()
    """Of each band the least and the greatest valid number of the LR; (): not known."""
    coverage: float | None = None
    """What a trust map promises, where there is one."""
    hounsfield: tuple[float, float] | None = None
    """Slope and intercept to HU, of a CT."""
    by_profile: bool = False
    """True where blocks know what the profile of the LR's slices sees of the SR."""
    least_contrast: float | None = None
    """Of the sensors that the generator takes the LR to come from, at the LR's Nyquist frequency; None: of none."""
    bounds: tuple[tuple[float, float] | None, ...] = ()
    """Of each band the ends at which whoever made the SR may have cut it off, beside `ranges`: nothing has to keep to
    them; (): none is known."""

    @property
    def ends(self) -> list[tuple[float, float]]:
        """Least and greatest number that a valid pixel of each band can have, for all that is known."""
        return [own if cut is None else cut for own, cut in zip(self._of_dtype(), self.cut, strict=True)]

    @property
    def cut(self) -> list[tuple[float, float] | None]:
        """Of each band the ends of its own, not of the dtype, at which it may be cut off."""
        none = (None,) * self.bands
        return [a if a is not None else b for a, b in zip(self.ranges or none, self.bounds or none, strict=True)]

    def _of_dtype(self) -> list[tuple[float, float]]:
        dtype = np.dtype(self.dtype)
        if not np.issubdtype(dtype, np.integer):
            return [(-np.inf, np.inf)] * self.bands
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
        nodata = self.nodata or (None,) * self.bands
        return [(low + (number == low), high - (number == high)) for number in nodata]

    @property
    def seen(self) -> list[int]:
        """The bands that are amounts."""
        return [band for band in range(self.bands) if not (self.copied and self.copied[band])]

    def of_seen(self) -> Scene:
        """The same of those bands alone."""
        chosen: dict[str, Any] = {
            name: tuple(values[band] for band in self.seen)
            for name in ("nodata", "ranges", "bounds", "own")
            if (values := getattr(self, name))
        }
        return replace(self, bands=len(self.seen), copied=(), **chosen)

    @property
    def step(self) -> float:
        """Smallest difference of two numbers of the dtype: 1 for integers, 0 for floats."""
        return 1.0 if np.issubdtype(np.dtype(self.dtype), np.integer) else 0.0

    @property
    def least_bend(self) -> float:
        """What is no bend between slices: a step of the dtype, of floats LEAST_BEND of the first band's range."""
        return self.step or LEAST_BEND * self._span

    @property
    def least_range(self) -> float:
        """What a bend is measured in at least: of floats LEAST_RANGE of the first band's range."""
        return 0.0 if self.step else LEAST_RANGE * self._span

    @property
    def _span(self) -> float:
        own = self.own[0] if self.own else None
        return 0.0 if own is None else own[1] - own[0]

    @property
    def has_finer_slices(self) -> bool:
        """Whether slices of the SR lie between those of the LR."""
        return any(factor > 1 for factor in self.scale[:-2])

    @property
    def no_plane(self) -> str:
        """Why the yardsticks of a slice, bicubic along rows and columns, are none here; empty where they are."""
        if self.has_finer_slices:
            return "slices of the SR lie between those of the LR: a yardstick of rows and columns says nothing"
        if all(factor == 1 for factor in self.scale):
            return "the SR has the LR's size: there is no detail to compare"
        return ""


def _consistency(scene: Scene, planar: bool) -> ConsistencyCheck:
    if scene.has_finer_slices:
        slope = scene.hounsfield[0] if scene.hounsfield else None
        return VolumeCheck(scene.bands, scene.scale[0], scene.by_profile, slope)
    if scene.least_contrast is None or not planar:
        return ConsistencyCheck(scene.bands, planar, "DN" if len(scene.scale) == 2 else "as stored")
    return SensorCheck(scene.bands, max(scene.scale[-2:]), scene.least_contrast)


class Suite:
    """`add` every block in raster order, then `checks`."""

    def __init__(self, scene: Scene, limits: Mapping[str, Limit]) -> None:
        self.limits, self.seen = limits, scene.seen
        none = (None,) * scene.bands
        copied = scene.copied or (False,) * scene.bands
        self.kept = KeptCheck(copied, scene.ranges or none, scene.own or none, len(scene.scale) == 3)
        self.scene = scene = scene.of_seen()
        planar = not scene.no_plane
        self.spread = Spread(scene.bands, np.dtype(scene.dtype))
        self.radiometry = RadiometryCheck(scene.ends, self.spread, planar)
        self.ends = EndsCheck(scene.ends, scene.step, [ends is not None for ends in scene.cut])
        self.consistency = _consistency(scene, planar)
        self.spectral = SpectralCheck(scene.bands, planar)
        self.range = RangeCheck(scene.step)
        self.seams = SeamCheck(scene.lr.grid.shape, scene.scale, scene.step)
        self.sampler = PatchSampler(scene.lr.grid.shape, scene.core, scene.bands)
        self.reference = ReferenceCheck(scene.bands, planar)
        self.trust = TrustCheck(scene.bands)
        self.finer = (
            (
                PlaceCheck(
                    scene.lr.grid.shape,
                    scene.scale,
                    scene.lr.grid.spacing(),
                    scene.own[0] if scene.own else None,
                    scene.by_profile or scene.scale[0] <= BOX_SLICES,
                ),
                ContinuityCheck(scene.lr.grid.shape[0], scene.scale, scene.least_bend, scene.least_range),
            )
            if scene.has_finer_slices
            else None
        )
        self.tissue = TissueCheck(scene.hounsfield, scene.scale[0] > BOX_SLICES and not scene.by_profile)

    def add(self, block: Block, hr: tuple[NDArray[Any], NDArray[np.bool_]] | None = None) -> None:
        """Take a block into account, and its true HR with its validity, where that is known."""
        self.kept.add(block)
        if not self.seen:
            return
        if len(self.seen) < len(block.sr):
            block, hr = block.of(self.seen), None if hr is None else (hr[0][self.seen], hr[1][self.seen])
        with np.errstate(over="ignore", invalid="ignore"):  # a sum that leaves float64 is seen, and said
            self.radiometry.add(block)
            if block.trust is not None:
                self.trust.add(block, block.trust, hr)
            if hr is not None:
                self.reference.add(block, *hr)
            if block.valid.any():
                self._add_valid(block, hr)

    def _add_valid(self, block: Block, hr: tuple[NDArray[Any], NDArray[np.bool_]] | None) -> None:
        self.spread.add(block)
        self.ends.add(block)
        self.consistency.add(block)
        self.tissue.add(block)
        self.spectral.add(block)
        for check in self.finer or ():
            check.add(block)
        if not self.scene.no_plane:
            self.range.add(block)
            self.seams.add(block)
            self.sampler.add(block, hr)

    def checks(self, generate: Generate | str = "no generator at hand") -> list[Check]:
        """What was found; `generate` runs the scene's generator for the self-test, or says why there is none."""
        scene, limits = self.scene, self.limits
        place = check_place(scene.lr.scaled(scene.scale), scene.sr, limits)
        same, kept = [*place, dtype_check(scene.dtype, scene.found_dtype)], self.kept.checks(limits)
        if not self.seen:
            return [*same, *kept]
        with np.errstate(over="ignore", invalid="ignore"):
            bands = self.spread.bands
            return [
                *same,
                *self.radiometry.checks(limits),
                *kept,
                *self.ends.checks(limits),
                *self.consistency.checks(limits, bands, scene.no_plane),
                *self.tissue.checks(limits),
                *self.spectral.checks(limits, bands),
                *self._in_plane(generate),
                *self.reference.checks(limits, bands, scene.no_plane),
                *([] if scene.coverage is None else self.trust.checks(limits, bands, scene.coverage)),
            ]

    def _in_plane(self, generate: Generate | str) -> list[Check]:
        scene, limits, bands = self.scene, self.limits, self.spread.bands
        if scene.no_plane:
            place = abstain("registration.shift", scene.no_plane)
            found = [place] if self.finer is None else self._finer(self.finer)
            return [*found, *(abstain(name, scene.no_plane) for name in IN_PLANE)]
        patches = self.sampler.patches()
        return [
            *registration_checks(patches, bands, limits),
            *self.seams.checks(limits, scene.core if scene.tiled else None),
            *detail_checks(patches, self.range, bands, limits),
            *wald_checks(patches, generate, bands, limits),
            *lpips_checks(patches, limits),
            *opensr_checks(patches, limits),
        ]

    def _finer(self, checks: tuple[PlaceCheck, ContinuityCheck]) -> list[Check]:
        """Of a volume whose slices are made finer."""
        place, continuity = checks
        return [*place.checks(self.limits, self.spread.bands[0]), *continuity.checks(self.limits)]
