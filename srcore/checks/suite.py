"""The suite: every family of checks over a scene that comes block by block; memory does not grow with the scene."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srcore.checks import Check
from srcore.checks.blocks import Block
from srcore.checks.consistency import ConsistencyCheck
from srcore.checks.detail import RangeCheck, detail_checks
from srcore.checks.geometry import check_grid
from srcore.checks.opensr import opensr_checks
from srcore.checks.patches import PatchSampler
from srcore.checks.perceptual import lpips_checks
from srcore.checks.radiometry import RadiometryCheck
from srcore.checks.reference import ReferenceCheck
from srcore.checks.registration import registration_checks
from srcore.checks.seams import SeamCheck
from srcore.checks.spectral import SpectralCheck
from srcore.checks.trust import TrustCheck
from srcore.checks.wald import Generate, wald_checks
from srcore.grid import Grid
from srcore.limits import Limit


@dataclass(frozen=True)
class Scene:
    """What is known of LR and SR before a pixel is read."""

    lr: Grid
    sr: Grid
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
    coverage: float | None = None
    """What a trust map promises, where there is one."""

    @property
    def ends(self) -> list[tuple[float, float]]:
        """Least and greatest number that a valid pixel of each band can have."""
        dtype = np.dtype(self.dtype)
        if not np.issubdtype(dtype, np.integer):
            return [(-np.inf, np.inf)] * self.bands
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
        nodata = self.nodata or (None,) * self.bands
        return [(low + (number == low), high - (number == high)) for number in nodata]

    @property
    def step(self) -> float:
        """Smallest difference of two numbers of the dtype: 1 for integers, 0 for floats."""
        return 1.0 if np.issubdtype(np.dtype(self.dtype), np.integer) else 0.0


class Suite:
    """`add` every block in raster order, then `checks`."""

    def __init__(self, scene: Scene, limits: Mapping[str, Limit]) -> None:
        self.scene, self.limits = scene, limits
        self.radiometry = RadiometryCheck(scene.ends, scene.step)
        self.consistency = ConsistencyCheck(scene.bands, scene.step)
        self.spectral = SpectralCheck(scene.bands)
        self.range = RangeCheck(scene.step)
        self.seams = SeamCheck(scene.lr.shape, scene.scale, scene.step)
        self.sampler = PatchSampler(scene.lr.shape, scene.core, scene.bands)
        self.reference = ReferenceCheck(scene.bands)
        self.trust = TrustCheck(scene.bands)

    def add(self, block: Block, hr: tuple[NDArray[Any], NDArray[np.bool_]] | None = None) -> None:
        """Take a block into account, and its true HR with its validity, where that is known."""
        self.radiometry.add(block)
        if block.trust is not None:
            self.trust.add(block, block.trust, hr)
        if not block.valid.any():
            return
        self.consistency.add(block)
        self.spectral.add(block)
        self.range.add(block)
        self.seams.add(block)
        self.sampler.add(block, hr)
        if hr is not None:
            self.reference.add(block, *hr)

    def checks(self, generate: Generate | None = None) -> list[Check]:
        """What was found; `generate` runs the scene's generator for the self-test."""
        scene, limits, patches = self.scene, self.limits, self.sampler.patches()
        return [
            *check_grid(scene.lr.scaled(scene.scale), scene.sr, limits),
            *self.radiometry.checks(limits, scene.dtype, scene.found_dtype),
            *self.consistency.checks(limits),
            *self.spectral.checks(limits),
            *registration_checks(patches, scene.step, limits),
            *self.seams.checks(limits, scene.core if scene.tiled else None),
            *detail_checks(patches, self.range, scene.step, limits),
            *wald_checks(patches, generate, limits),
            *self.reference.checks(limits, self.radiometry.spans()),
            *lpips_checks(patches, limits),
            *opensr_checks(patches, limits),
            *([] if scene.coverage is None else self.trust.checks(limits, self.radiometry.spans(), scene.coverage)),
        ]
