"""Registration: the SR lies where the LR lies.

The SR averaged down and the LR are compared by cross-correlation of patches that are spread over the scene: at the
LR's size, because where in an LR pixel a point lies no LR can tell; Hann window, no spectral normalisation (it would
weigh the frequencies that only one of the two has), peak refined by a matrix DFT (Guizar-Sicairos et al. 2008). A
shift that grows over the scene, as `align_corners` makes it, is found by a straight line through the patches, read at
the scene's corners.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srcore.checks import Check, abstain, judge
from srcore.checks.patches import Patch, texture_of
from srcore.checks.spread import BandSpread
from srcore.limits import Limit
from srcore.metrics import beside

LEAST_TEXTURE = 2.0
"""Mean LR gradient in resolutions of the band below which a patch has nothing to hold on to."""


def registration_checks(
    patches: Sequence[Patch], bands: Sequence[BandSpread], limits: Mapping[str, Limit]
) -> list[Check]:
    """Median shift of the quadrants, and the shift at the corners of the scene."""
    found = [(patch.at, _shift(patch, turn % len(patch.bands), bands)) for turn, patch in enumerate(patches)]
    rows = [(at, shift) for at, shift in found if shift is not None]
    if not rows:
        return [abstain("registration.shift", "no patch with enough valid texture")]
    at, shifts = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    basis = "cross-correlation of averaged SR and LR, median of the patches of a quadrant, worst quadrant"
    checks = [
        judge(
            limits,
            "registration.shift",
            _worst_quadrant(at, shifts),
            "SR px",
            basis,
            "a half pixel was lost, or another pixel convention",
        )
    ]
    if len(rows) >= 6 and np.ptp(at, axis=0).min() > 0.3:
        corner = _at_corners(at, shifts)
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


def _worst_quadrant(at: NDArray[Any], shifts: NDArray[Any]) -> float:
    medians = []
    for row in (at[:, 0] < 0.5, at[:, 0] >= 0.5):
        for column in (at[:, 1] < 0.5, at[:, 1] >= 0.5):
            if (row & column).any():
                medians.append(np.hypot(*np.median(shifts[row & column], axis=0)))
    return float(max(medians))


def _at_corners(at: NDArray[Any], shifts: NDArray[Any]) -> float:
    """Largest shift along an axis at either end of it; Theil-Sen, so that one wrong patch does not turn the line."""
    ends = []
    for axis in (0, 1):
        i, j = np.triu_indices(len(at), 1)
        apart = at[j, axis] - at[i, axis]
        far = np.abs(apart) > 0.3
        slope = np.median((shifts[j, axis] - shifts[i, axis])[far] / apart[far])
        offset = np.median(shifts[:, axis] - slope * at[:, axis])
        ends += [abs(offset), abs(offset + slope)]
    return float(max(ends))


def _shift(patch: Patch, band: int, bands: Sequence[BandSpread]) -> tuple[float, float] | None:
    """Rows and columns that one band of the SR lies beside the LR, in SR pixels; None where the patch does not say."""
    ours, theirs = patch.averaged[band], patch.lr[band]
    size = float(np.abs(theirs - theirs.mean()).max())
    if not 0 < size < np.inf or texture_of(theirs) < LEAST_TEXTURE * bands[patch.bands[band]].resolution:
        return None
    found = beside((ours - ours.mean()) / size, (theirs - theirs.mean()) / size)
    return None if found is None else (found[0] * patch.scale[0], found[1] * patch.scale[1])
