"""How often does the promotion rule err? `python -m benchmarks.gate`: simulated scores, no images, some seconds.

A try: the gains in PSNR of a challenger over the champion on held-out scenes, drawn from a normal distribution of
deviation SD_DB. Clustered: 1 to 6 scenes a place that share most of their deviation, as scenes of one place do.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.table import Table
from scipy.stats import beta

from benchmarks import out
from srcore.training.judge.rule import Compared, Margins, Vector, decide, level_of, sign_flip

SD_DB = 0.3
SHARED = 0.7
"""Share of the variance that scenes of a place have in common."""
NIGHTS = 30
LOW_END_DB = 0.05
RESAMPLES = 999


@dataclass(frozen=True)
class Row:
    """One case."""

    gain_db: float
    scenes: str
    places: int
    nights: int
    promoted: float
    """Share of the repetitions with at least one promotion by the rule."""
    limit: float
    """Upper 95 % limit of that (Clopper and Pearson)."""
    before: float
    """The same share by the rule that was there before: the low end of the scenes' bootstrap is 0.05 dB or more."""


def main() -> None:
    """Print the table; with --json write the same figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gate", description=__doc__)
    parser.add_argument("--repetitions", type=int, default=2000)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    rows = run(arguments.repetitions)
    out.print(table(rows, arguments.repetitions))
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")


def run(repetitions: int) -> list[Row]:
    """False promotions at no gain, then power on the first night."""
    rows = []
    for clustered, counts in ((False, (2, 4, 10, 20, 40)), (True, (10, 20, 40))):
        for places in counts:
            rows += _rows(0.0, clustered, places, NIGHTS, repetitions)
    for gain in (0.1, 0.2, 0.3):
        for places in (10, 20, 40):
            rows += _rows(gain, False, places, 1, repetitions)
    return rows


def _rows(gain: float, clustered: bool, places: int, nights: int, repetitions: int) -> list[Row]:
    """The first night, and all nights where there are more."""
    rng = np.random.default_rng(13)
    first = [_first_nights(gain, clustered, places, nights, rng) for _ in range(repetitions)]
    found = []
    for shown in sorted({1, nights}):
        ours, before = (sum(pair[rule] < shown for pair in first) for rule in (0, 1))
        limit = upper_limit(ours, repetitions)
        told = "1 to 6 a place" if clustered else "1 a place"
        found.append(Row(gain, told, places, shown, ours / repetitions, limit, before / repetitions))
    return found


def _first_nights(gain: float, clustered: bool, places: int, nights: int, rng: np.random.Generator) -> tuple[int, int]:
    """The nights of the first promotion, by the rule and by the one before; `nights` where there is none."""
    counts = rng.integers(1, 7, places) if clustered else np.ones(places, int)  # a frozen test set
    place = np.repeat(np.arange(places), counts)
    common = SHARED if clustered else 0.0
    gains = gain + rng.normal(0, SD_DB * np.sqrt(common), (nights, places))[:, place]
    gains += rng.normal(0, SD_DB * np.sqrt(1 - common), gains.shape)
    ours = (night for night in range(nights) if promoted(gains[night], place, night + 1))
    before = (night for night in range(nights) if promoted_before(gains[night]))
    return next(ours, nights), next(before, nights)


def promoted(gains: Vector, place: NDArray[np.int64], attempt: int) -> bool:
    """What the rule says; what it is bound to refuse is told from its cheap parts."""
    means = np.bincount(place, gains) / np.bincount(place)
    if not means.mean() > Margins().gain_db or sign_flip(means) > level_of(attempt):
        return False
    scenes = [
        Compared(str(index), str(of), float(own), 1.0) for index, (own, of) in enumerate(zip(gains, place, strict=True))
    ]
    return decide(scenes, attempt).promoted


def promoted_before(gains: Vector) -> bool:
    """What the rule before this one said: scenes are its units, and their number does not count."""
    spread = gains.std() / np.sqrt(len(gains))
    if not gains.mean() - spread >= LOW_END_DB:  # some two of them lie below the mean in the end
        return False
    drawn = gains[_drawn(len(gains))].mean(1)
    return bool(np.percentile(drawn, 2.5) >= LOW_END_DB)


@lru_cache(maxsize=64)
def _drawn(count: int) -> NDArray[np.int64]:
    return np.random.default_rng(0).integers(0, count, (RESAMPLES, count))


def upper_limit(hits: int, of: int) -> float:
    """Upper end of the two-sided 95 % interval of a share."""
    return 1.0 if hits == of else float(beta.ppf(0.975, hits + 1, of - hits))


def table(rows: Sequence[Row], repetitions: int) -> Table:
    """As printed."""
    found = Table(
        *("true gain", "scenes", "places", "nights", "promoted", "95 % limit", "rule before"),
        title=f"Promotions in {repetitions} repetitions, sd {SD_DB:g} dB",
    )
    for row in rows:
        shares = (f"{share:.1%}" for share in (row.promoted, row.limit, row.before))
        found.add_row(f"{row.gain_db:+.1f} dB", row.scenes, str(row.places), str(row.nights), *shares)
    return found


if __name__ == "__main__":
    main()
