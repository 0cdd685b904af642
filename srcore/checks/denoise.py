"""Denoise: what was taken out of the LR before the generator saw it was no more than its noise.

The other families compare the SR with the LR that the generator saw; this one stands between that and the source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from srcore.checks import Check, abstain, judge
from srcore.limits import Limit


def noise_check(removed: Sequence[float], noise: Sequence[float], limits: Mapping[str, Limit]) -> Check:
    """`removed`: root mean square of what was taken out of each band; `noise`: deviation that was found; in DN."""
    shares = [took / found for took, found in zip(removed, noise, strict=True) if found > 0]
    if not shares:
        return abstain("denoise.removed", "no noise was found, and nothing taken out")
    return judge(
        limits,
        "denoise.removed",
        max(shares),
        "x noise",
        "RMS of what was taken out of the LR over the noise that was found in it, worst band",
        "texture went with the noise: ask for less denoising",
    )
