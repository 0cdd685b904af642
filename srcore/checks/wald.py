"""The scale-degraded self-test (Wald et al. 1997, the synthesis property).

The LR is made coarser by the scale, super-resolved, and compared with itself: a figure of quality for every scene,
also where nobody knows the true HR. It assumes that what works one scale lower works here too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srcore.checks import Check, abstain, judge
from srcore.checks.blocks import BICUBIC_PX, average_down, bicubic
from srcore.checks.patches import SIDE_PX, Patch
from srcore.checks.spread import BandSpread
from srcore.limits import Limit
from srcore.metrics import ergas, spectral_angle, ssim

PATCHES = 4
"""Patches that are tried, at most: the generator has to run on them."""

Generate = Callable[[NDArray[Any]], NDArray[Any]]
"""LR (B, y, x) to SR (B, y * s, x * s) by the scene's own generator, edges reflected."""


def self_test_pixels(halo: int, scale: int) -> int:
    """LR pixels of one band that the generator has to look at, for as many bands as the patches hold."""
    return PATCHES * (SIDE_PX // scale + 2 * halo) ** 2


def wald_checks(
    patches: Sequence[Patch], generate: Generate | str, bands: Sequence[BandSpread], limits: Mapping[str, Limit]
) -> list[Check]:
    """PSNR, SSIM, spectral angle and ERGAS of the generator one scale lower, and the gain over bicubic.

    `generate` may say instead why there is no generator to ask.
    """
    if isinstance(generate, str):
        return [abstain("wald.gain", generate)]
    chosen = sorted(patches, key=lambda patch: -patch.texture)[:PATCHES]
    chosen = [patch for patch in chosen if patch.lr.shape[-1] // max(patch.scale) >= 16 and patch.texture > 0]
    if not chosen:
        return [abstain("wald.gain", "no patch large enough, and with texture")]
    steps = np.array([bands[band].resolution for band in chosen[0].bands])
    rows = np.array([_figures(patch, generate, float(np.median(steps))) for patch in chosen]).mean(axis=0)
    (gain, psnr, ssim_, angle, ergas_), basis = rows, f"LR made coarser and brought back, {len(chosen)} patches"
    checks = [
        judge(limits, "wald.gain", float(gain), "dB", f"PSNR over bicubic's, {basis}", "bicubic would do better here"),
        judge(limits, "wald.psnr", float(psnr), "dB", basis),
        judge(limits, "wald.ssim", float(ssim_), "", basis),
        judge(limits, "wald.ergas", float(ergas_), "", basis),
    ]
    if len(chosen[0].bands) > 1:
        checks.append(judge(limits, "wald.angle", float(angle), "degrees", basis))
    return checks


def _figures(patch: Patch, generate: Generate, step: float) -> tuple[float, ...]:
    scale = patch.scale
    rows, columns = (patch.lr.shape[-1] // factor * factor for factor in scale)
    truth = patch.lr[:, :rows, :columns]
    coarse = average_down(truth, scale)
    padded = np.pad(coarse, [(0, 0), (BICUBIC_PX, BICUBIC_PX), (BICUBIC_PX, BICUBIC_PX)], mode="reflect")
    ours, theirs = generate(coarse), bicubic(padded, scale)
    cut = (slice(None), *(slice(factor, -factor) for factor in scale))
    truth, ours, theirs = truth[cut], ours[cut], theirs[cut]
    span = float(np.ptp(np.percentile(truth, (2, 98)))) or float(np.ptp(truth)) or 1.0
    ours_db, theirs_db = (_decibels(truth, test, span, step) for test in (ours, theirs))
    likeness = np.mean([ssim(a, b, span) for a, b in zip(truth, ours, strict=True)])
    by = float(np.sqrt(scale[0] * scale[1]))
    return ours_db - theirs_db, ours_db, float(likeness), spectral_angle(truth, ours), ergas(truth, ours, by)


def _decibels(truth: NDArray[Any], test: NDArray[Any], span: float, step: float) -> float:
    """PSNR; what rounding leaves counts as an error, so that two that are exact are alike."""
    error = float(np.mean((truth - test) ** 2)) / span**2 + (step / span) ** 2 / 12
    return -10 * float(np.log10(max(error, np.finfo(np.float64).tiny)))
