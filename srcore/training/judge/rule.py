"""The promotion rule: whether a challenger takes the champion's place, and why. Pure; numbers come in, words go out.

    scenes -> means of their places -> enough places for this try?
                                    -> mean above the margin, low end of the bootstrap above 0      (first key)
                                    -> exact sign-flip test at the level of this try                (second key)
                                    -> no stratum, figure or speed worse than its margin

The unit is the place (or patient), not the scene: scenes of one place say the same thing again. Every comparison is
written in the accepting direction, so that NaN accepts nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import ceil, isfinite, log2
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

LEAST_PLACES = 10
"""Fewer never promote: a bootstrap of a few units is too sure of itself."""
SPENT, FIRST = 0.05, 0.03
"""Chance of a false promotion over all tries together, and in the first."""
MOST_DB = 1000.0
"""No difference of two PSNRs of real pixels is larger: a score beyond it is a fault."""
CONFIDENCE = 0.95
RESAMPLES, MOST_DRAWN = 9_999, 10_000_000
FINEST, LONGEST = 512, 200_000
"""Steps of the sign-flip test's grid: of the largest gain, and all together."""

Vector: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class Compared:
    """One held-out scene under champion and challenger."""

    scene: str
    place: str
    """Block of ground, or patient."""
    gain_db: float
    """PSNR of the challenger less that of the champion."""
    over_plain_db: float
    """PSNR of the challenger less that of plain interpolation."""
    worse: Mapping[str, float] = field(default_factory=dict)
    """Figure to how much worse the challenger is in it, in the figure's unit; negative where it is better."""
    strata: tuple[str, ...] = ()
    """What it is one of, as 'sensor s2' or 'season summer'."""


@dataclass(frozen=True)
class Margins:
    """What is asked of a challenger."""

    gain_db: float = 0.05
    """Its mean gain is more than this."""
    stratum_db: float = 0.1
    """The most that a stratum may lose on average."""
    worse: Mapping[str, float] = field(
        default_factory=lambda: {"radiometry": 0.002, "spectra": 0.1, "hallucination": 0.02}
    )
    """The most by which a figure may be worse, at the upper end of its interval: the averaged SR against the averaged
    HR in spans, the angle between their spectra in degrees, the share of made-up detail beyond what the true detail
    pays for (`judge.scores`). Not against the LR, from which a sensor's blur sets the true HR apart, too."""
    speed: float = 0.9
    """The least share of the champion's speed."""


@dataclass(frozen=True)
class Verdict:
    """What the rule says."""

    promoted: bool
    reason: str
    attempt: int
    places: int
    needed: int
    """Places that this try needs."""
    judged: bool = True
    """False where the scores were not looked at: such a try is not spent."""
    mean_db: float | None = None
    low_db: float | None = None
    high_db: float | None = None
    chance: float | None = None
    """Of a gain as large without any, by the sign-flip test."""
    level: float | None = None
    """That the chance must not exceed in this try."""


def level_of(attempt: int) -> float:
    """The level of the sign-flip test in the k-th try, from 1: they add up to SPENT over all tries for ever.

    FIRST for the first, where a gain is most likely to be true; the rest falls as 1 / k (k - 1), whose sum from 2 is 1.
    """
    return FIRST if attempt <= 1 else (SPENT - FIRST) / (attempt * (attempt - 1))


def places_needed(attempt: int) -> int:
    """The least places with which the k-th try can promote: with n the sign-flip test gives 2^-n at best."""
    return max(LEAST_PLACES, ceil(-log2(level_of(attempt))))


def decide(
    scenes: Sequence[Compared],
    attempt: int,
    margins: Margins | None = None,
    speed_ratio: float = 1.0,
    stopped: Mapping[str, str] | None = None,
) -> Verdict:
    """Whether the challenger is promoted in its dataset's k-th try; `speed_ratio` is its speed over the champion's.

    `stopped`: scene to the gate, with its figures, that keeps its product from being published.
    """
    margins = margins or Margins()
    gains, needed = place_means(scenes), places_needed(attempt)
    if len(gains) < needed:
        why = f"not enough places for try {attempt}: {len(gains)} of {needed}"
        return Verdict(False, why, attempt, len(gains), needed, judged=False)
    if (fault := _fault(scenes, margins, speed_ratio)) is not None:
        return Verdict(False, fault, attempt, len(gains), needed)
    mean, (low, high) = float(gains.mean()), interval(gains)
    chance, level = sign_flip(gains), level_of(attempt)
    told = f"{mean:+.3f} dB over the champion ({low:+.3f} to {high:+.3f}, {len(gains)} held-out places, try {attempt})"
    against = [
        *([] if mean > margins.gain_db else [f"more than {margins.gain_db:g} dB are asked"]),
        *([] if low > 0 else ["the low end has to be above 0"]),
        *([] if chance <= level else [f"chance gives as much with {chance:.2g}, this try allows {level:.2g}"]),
        *_not_inferior(scenes, margins, speed_ratio),
        *_not_published(stopped or {}),
    ]
    reason = f"{told}, but {'; '.join(against)}" if against else f"{told}, and nothing is worse than its margin"
    return Verdict(not against, reason, attempt, len(gains), needed, True, mean, low, high, chance, level)


def place_means(scenes: Sequence[Compared]) -> Vector:
    """The mean gain of every place, in dB."""
    return _means((one.place, one.gain_db) for one in scenes)


def _means(values: object) -> Vector:
    places: dict[str, list[float]] = {}
    for place, value in values:  # type: ignore[attr-defined]
        places.setdefault(place, []).append(value)
    return np.array([sum(own) / len(own) for own in places.values()], np.float64)


def _fault(scenes: Sequence[Compared], margins: Margins, speed_ratio: float) -> str | None:
    """Why the scores decide nothing; None where all are numbers that scores can be."""
    for one in scenes:
        for name, value in (("gain", one.gain_db), ("gain over interpolation", one.over_plain_db), *one.worse.items()):
            if not abs(value) <= MOST_DB:
                return f"the {name} on {one.scene} is no score: {value:g}"
    asked = (margins.gain_db, margins.stratum_db, margins.speed, *margins.worse.values(), speed_ratio)
    return None if all(map(isfinite, asked)) else "a margin or the speed is no number"


def _not_published(stopped: Mapping[str, str]) -> list[str]:
    """One gate on one scene is enough: what VALIDATE stops has no product, however good the mean is."""
    if not stopped:
        return []
    scene, told = min(stopped.items())
    more = f", and {len(stopped) - 1} more of its products would be" if len(stopped) > 1 else ""
    return [f"its product of {scene} would be stopped by a gate ({told}){more}"]


def _not_inferior(scenes: Sequence[Compared], margins: Margins, speed_ratio: float) -> list[str]:
    """What the challenger is worse in than its margin allows."""
    found = []
    if not float(_means((one.place, one.over_plain_db) for one in scenes).mean()) > 0:
        found.append("it is no better than plain interpolation")
    for name in sorted({name for one in scenes for name in one.strata}):
        loss = -float(place_means([one for one in scenes if name in one.strata]).mean())
        if not loss <= margins.stratum_db:
            found.append(f"{name} loses {loss:.3f} dB: at most {margins.stratum_db:g} are allowed")
    for name, most in margins.worse.items():
        own = _means((one.place, one.worse[name]) for one in scenes if name in one.worse)
        worst = interval(own)[1] if len(own) else 0.0
        if not worst <= most:
            found.append(f"{name} may be worse by {worst:.3g}: at most {most:g} are allowed")
    if not speed_ratio >= margins.speed:
        found.append(f"it runs at {speed_ratio:.2f} of the champion's speed: at least {margins.speed:g} are asked")
    return found


def interval(values: Vector) -> tuple[float, float]:
    """Ends of the 95 % interval of the mean of one value a place, by bootstrap; always the same for the same values."""
    if len(values) < 2:
        return float(values[0]), float(values[0])
    low, high = np.percentile(_resamples(len(values)) @ values, (50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE)))
    return float(low), float(high)


@lru_cache(maxsize=3)
def _resamples(count: int) -> Vector:
    """Rows of weights, each a drawing of `count` places with replacement; the same for all values."""
    rng = np.random.default_rng(0)
    rows = max(500, min(RESAMPLES, MOST_DRAWN // count))
    return rng.multinomial(count, np.full(count, 1 / count), size=rows) / count


def sign_flip(gains: Vector) -> float:
    """The share of all 2^n choices of signs of the gains whose sum is at least the one found: exact, by convolution.

    The gains are rounded to a grid that depends on their sizes alone, which flipping signs leaves as they are: so the
    test stays exact. What the grid makes equal counts against the challenger.
    """
    largest = float(np.abs(gains).max(initial=0.0))
    if not 0 < largest < np.inf:
        return 1.0  # nothing, or nothing that can be compared
    finest = min(FINEST, max(16, LONGEST // len(gains)))
    steps = np.rint(gains / largest * finest).astype(np.int64)
    sums = np.ones(1)  # of the steps with the sign +: their chances
    for size in np.abs(steps):
        wider = np.zeros(len(sums) + int(size))
        wider[: len(sums)] = sums
        wider[len(wider) - len(sums) :] += sums
        sums = wider / 2
    return float(min(1.0, sums[int(steps[steps > 0].sum()) :].sum()))
