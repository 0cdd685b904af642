"""Drift: this product's figures against those of the dataset's last products."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite, nan

import numpy as np

from srcore.checks import Check, judge
from srcore.limits import Limit

LAST = 30
"""Products that are looked back on."""
LEAST = 8
"""Products before which nothing is usual."""
FIGURES = ("consistency.ratio", "detail.least", "detail.most", "spectral.reflectance", "wald.gain", "seams.step")


def drift_checks(
    checks: Sequence[Check], history: Sequence[Mapping[str, float]], limits: Mapping[str, Limit]
) -> list[Check]:
    """Distance of each figure from the median of `history` in robust standard deviations (1.4826 x MAD).

    `history` holds id to value of the checks of the last products, in any order. A spread below 2 % of the median
    counts as 2 %: products that are all alike do not make a small change a large one.
    """
    found = []
    for check in checks:
        if check.id not in FIGURES or isinstance(check.value, str):
            continue
        past = np.array([one[check.id] for one in history if isfinite(one.get(check.id, nan))])
        if len(past) < LEAST:
            continue
        middle = float(np.median(past))
        spread = max(1.4826 * float(np.median(np.abs(past - middle))), 0.02 * abs(middle), 1e-9)
        found.append(
            judge(
                limits,
                f"drift.{check.id}",
                abs(check.value - middle) / spread,
                "robust deviations",
                f"{check.id} against the median {middle:.4g} of the last {len(past)} products",
                "another season, a change of the sensor, or of the source's processing",
                of="drift",
            )
        )
    return found
