"""Registration: the SR lies where the LR lies.

The SR averaged down and the LR are compared by cross-correlation of patches that are spread over the scene (`shift`):
at the LR's size, because where in an LR pixel a point lies no LR can tell. A shift that grows over the scene, as
`align_corners` makes it, is found by a straight line through the patches, read at the scene's corners.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srcore.checks import Check, abstain, judge
from srcore.checks.patches import Patch
from srcore.checks.spread import BandSpread
from srcore.limits import Limit
from srcore.shift import shifts

LEAST_TEXTURE = 2.0
"""Mean LR gradient in resolutions of the band below which a patch has nothing to hold on to."""


def registration_checks(
    patches: Sequence[Patch], bands: Sequence[BandSpread], limits: Mapping[str, Limit]
) -> list[Check]:
    """Median shift of the quadrants, and the shift at the corners of the scene."""
    at, found = _shifted(patches, bands) if patches else (np.empty((0, 2)), np.empty((0, 2)))
    if not len(found):
        return [abstain("registration.shift", "no patch with enough valid texture")]
    basis = "cross-correlation of averaged SR and LR, median of the patches of a quadrant, worst quadrant"
    checks = [
        judge(
            limits,
            "registration.shift",
            _worst_quadrant(at, found),
            "SR px",
            basis,
            "a half pixel was lost, or another pixel convention",
        )
    ]
    if len(found) >= 6 and np.ptp(at, axis=0).min() > 0.3:
        corner = _at_corners(at, found)
        checks.append(
            judge(
                limits,
                "registration.corner",
                corner,
                "SR px",
                "shift at the scene's corners, by a line through the patches",
                "another scale than the grid says, as with align_corners",
            )
        )
    return checks


def _worst_quadrant(at: NDArray[Any], found: NDArray[Any]) -> float:
    medians = []
    for row in (at[:, 0] < 0.5, at[:, 0] >= 0.5):
        for column in (at[:, 1] < 0.5, at[:, 1] >= 0.5):
            if (row & column).any():
                medians.append(np.hypot(*np.median(found[row & column], axis=0)))
    return float(max(medians))


def _at_corners(at: NDArray[Any], found: NDArray[Any]) -> float:
    """Largest shift along an axis at either end of it; Theil-Sen, so that one wrong patch does not turn the line."""
    ends = []
    for axis in (0, 1):
        i, j = np.triu_indices(len(at), 1)
        apart = at[j, axis] - at[i, axis]
        far = np.abs(apart) > 0.3
        slope = np.median((found[j, axis] - found[i, axis])[far] / apart[far])
        offset = np.median(found[:, axis] - slope * at[:, axis])
        ends += [abs(offset), abs(offset + slope)]
    return float(max(ends))


def _shifted(patches: Sequence[Patch], bands: Sequence[BandSpread]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where the patches lie that say something, and rows and columns (n, 2) that the SR lies beside the LR there, in
    SR pixels. One band of each patch is looked at, another one of the next."""
    turns = [(patch, turn % len(patch.bands)) for turn, patch in enumerate(patches)]
    ours, theirs = (
        _around_zero(np.stack(planes))
        for planes in ([one.averaged[band] for one, band in turns], [one.lr[band] for one, band in turns])
    )
    size = np.abs(theirs).max(axis=(1, 2))
    least = np.array([LEAST_TEXTURE * bands[patch.bands[band]].resolution for patch, band in turns])
    told = np.flatnonzero((size > 0) & (size < np.inf) & (_textures(theirs) >= least))
    unit = size[told, None, None]
    found = shifts(ours[told] / unit, theirs[told] / unit) * np.array(patches[0].scale)
    known = np.isfinite(found).all(axis=1)
    return np.array([patch.at for patch in patches])[told][known], found[known]


def _around_zero(planes: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(planes - planes.mean(axis=(1, 2), keepdims=True))


def _textures(planes: NDArray[Any]) -> NDArray[np.float64]:
    """Mean gradient along both axes of each of (n, y, x)."""
    steps = (np.abs(np.diff(planes, axis=axis)).mean(axis=(1, 2)) for axis in (1, 2))
    return np.asarray(sum(steps), np.float64)
