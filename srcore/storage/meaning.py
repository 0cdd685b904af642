"""What the numbers of a band are: amounts, classes, bits of flags, or angles. By what is said of them, else by a look.

Between two amounts lies a third; between two classes nothing does, and half way from 359 to 1 degree lies 0, not 180.
So only amounts go through a generator, and the others are repeated. What a look alone says is a guess, and is told.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srcore.choices import ValuesRule
from srcore.storage.band import Band, Values

MAX_CLASSES = 32
"""Of what is taken for classes by a look alone; land cover has about 10 to 25."""
MAX_NAMED_CLASSES = 256
"""The same where a name says so, too."""
PIXELS_A_CLASS, MIN_PIXELS = 128, 1024
"""Below that a look says nothing: small scenes have few numbers, whatever they are."""
ALIKE = 0.6
"""Share of neighbours with the same number from which on numbers lie in patches, as classes do."""
PATCHES = 0.4
"""The same, where a name says so, too."""
JUMPS = 0.2
"""Share of unequal neighbours that are not next to each other in order: classes meet as they come, heights do not."""
RARE = 0.005
"""The rarer one of two numbers has at least this share in a mask; fewer are odd pixels."""
TURNS = (360.0, 2 * np.pi)
NEAR_END, WRAPS = 0.05, 0.002
"""Parts of a turn from its ends, and share of neighbours on both sides of them, by which angles are known."""

_NAMES: tuple[tuple[Values, re.Pattern[str]], ...] = (
    (
        "bits",
        re.compile(
            r"qa|bqa|qa_?(pixel|radsat|aerosol|60|10|20)|pixel_?qa|qc(_?day|_?night)?|quality|flags?|bitmask|dqf"
        ),
    ),
    (
        "categorical",
        re.compile(
            r"scl|fmask|udm|classes|class(ification|ified|map)?|labels?|segmentation|mask|land_?cover|land_?use|lulc"
            r"|nlcd|cdl|corine|clc|worldcover|categor(y|ies|ical)|thematic|zones?"
        ),
    ),
    ("circular", re.compile(r"aspect|phase|azimuth|(wind|flow)?_?dir(ection)?|wrapped|hue|bearing|heading")),
)
_PARTS = re.compile(r"[^a-z]+")


def named_values(name: str) -> Values | None:
    """What numbers are by a name as a whole, of a band or a file; None where it says nothing."""
    return next((values for values, known in _NAMES if known.fullmatch(name.lower())), None)


def hinted_values(name: str) -> Values | None:
    """What numbers may be by a word in a name, or by two that follow each other."""
    words = [word for word in _PARTS.split(name.lower()) if word]
    runs = (*words, *(f"{first}_{second}" for first, second in pairwise(words)))
    return next((found for run in runs if (found := named_values(run)) is not None), None)


def told_values(rule: ValuesRule | dict[str, ValuesRule], *names: str) -> ValuesRule:
    """What the user says of a band that has these names; auto where nothing is said of it."""
    if not isinstance(rule, dict):
        return rule
    return next((rule[name] for name in names if name in rule), "auto")


def is_whole(values: NDArray[Any]) -> bool:
    """Whether all numbers are integers."""
    return values.dtype.kind in "iu" or bool(np.all(values == np.rint(values)))


def few_in_patches(windows: Iterable[NDArray[Any]]) -> bool:
    """Whether windows (..., y, x) hold whole numbers, no more than a byte can tell apart, that lie in patches."""
    numbers: set[float] = set()
    same = pairs = 0
    for window in windows:
        found = np.unique(window[np.isfinite(window)])
        numbers |= set(found.tolist())
        if len(numbers) > MAX_NAMED_CLASSES or not is_whole(found):
            return False
        left, right = window[..., :-1], window[..., 1:]
        same += int(np.count_nonzero(left == right))
        pairs += int(np.count_nonzero(np.isfinite(left) & np.isfinite(right)))
    return same >= PATCHES * pairs


def look_like_classes(windows: Iterable[NDArray[Any]], *, heights: bool = True) -> bool:
    """Whether windows (..., y, x) of finite numbers hold a few whole ones that lie in patches, and in no order where
    they could be `heights`."""
    look = _Look(heights)
    for window in windows:
        look.add(window)
        if not look.goes_on:
            return False
    return look.says_classes


class _Look:
    """`add` window by window while it `goes_on`; NaN and Inf count as nothing."""

    def __init__(self, heights: bool) -> None:
        self.heights = heights
        self.counts: dict[float, int] = {}
        self.pairs: dict[tuple[float, float], int] = {}
        """Neighbours along the last axis, by their numbers."""
        self.goes_on = True
        self.dtype = np.dtype(np.uint8)

    def add(self, window: NDArray[Any]) -> None:
        """Count the numbers of a window (..., x), and which of them are neighbours."""
        self.dtype = window.dtype
        found = window[np.isfinite(window)] if window.dtype.kind == "f" else window.ravel()
        numbers, counts = np.unique(found, return_counts=True)
        if len(numbers) > MAX_CLASSES or not is_whole(numbers):
            self.goes_on = False
            return
        for number, count in zip(numbers.tolist(), counts.tolist(), strict=True):
            self.counts[number] = self.counts.get(number, 0) + count
        self.goes_on = len(self.counts) <= MAX_CLASSES
        left, right = window[..., :-1].ravel(), window[..., 1:].ravel()
        known = np.isfinite(left) & np.isfinite(right) if window.dtype.kind == "f" else np.ones(left.shape, bool)
        places = np.searchsorted(numbers, left[known]) * len(numbers) + np.searchsorted(numbers, right[known])
        for place, count in enumerate(np.bincount(places, minlength=len(numbers) ** 2).tolist()):
            if count:
                pair = (float(numbers[place // len(numbers)]), float(numbers[place % len(numbers)]))
                self.pairs[pair] = self.pairs.get(pair, 0) + count

    @property
    def says_classes(self) -> bool:
        """Whether all that was added looks like classes."""
        pixels, ordered = sum(self.counts.values()), sorted(self.counts)
        if not self.goes_on or len(ordered) < 2 or pixels < max(MIN_PIXELS, PIXELS_A_CLASS * len(ordered)):
            return False
        same = sum(count for (left, right), count in self.pairs.items() if left == right)
        if same < ALIKE * max(1, sum(self.pairs.values())):
            return False
        if len(ordered) == 2:
            return min(self.counts.values()) >= RARE * pixels
        if not self.heights:
            return True
        # Whole metres of a flat coast lie in patches, too: but in order, each next to the one above or below it.
        return self._jumps() or self.dtype == np.uint8 or min(b - a for a, b in pairwise(ordered)) > 1

    def _jumps(self) -> bool:
        rank = {number: place for place, number in enumerate(sorted(self.counts))}
        unequal = [(abs(rank[a] - rank[b]), count) for (a, b), count in self.pairs.items() if a != b]
        far = sum(count for apart, count in unequal if apart > 1)
        return far >= JUMPS * max(1, sum(count for _, count in unequal))


def look_like_angles(windows: Iterable[NDArray[Any]], *, named: bool) -> bool:
    """Whether windows (..., y, x) hold angles: a turn from end to end, whose ends are neighbours; `named` so, all of
    them within one turn is enough."""
    least, most, kept = np.inf, -np.inf, []
    turns = [(low, turn) for turn in TURNS for low in (0.0, -turn / 2)]
    for window in windows:
        if window.dtype == np.uint8:
            return False  # no turn of degrees fits, and radians are no whole numbers
        found = window[np.isfinite(window)]
        if not found.size:
            continue
        least, most = min(least, float(found.min())), max(most, float(found.max()))
        turns = [(low, turn) for low, turn in turns if low - 1e-3 * turn <= least and most <= low + 1.001 * turn]
        if not turns:
            return False
        kept.append(window)
    span = 0.5 if named else 1 - NEAR_END
    return any(most - least > span * turn and (named or _wraps(kept, low, turn) >= WRAPS) for low, turn in turns)


def _wraps(windows: Sequence[NDArray[Any]], low: float, turn: float) -> float:
    """Share of neighbours of which one lies near the beginning of the turn, and the other near its end."""
    count = pairs = 0
    for window in windows:
        place = (window.astype(np.float64) - low) / turn
        for axis in (-1, -2):
            left, right = np.moveaxis(place, axis, 0)[:-1], np.moveaxis(place, axis, 0)[1:]
            pairs += left.size
            count += int(np.count_nonzero(np.abs(left - right) > 1 - 2 * NEAR_END))
    return count / max(1, pairs)


def copied_flags(bands: Iterable[Band]) -> tuple[str, ...]:
    """What is said of bands that no generator sees, by what they are."""
    kinds: dict[Values, list[str]] = {}
    for band in bands:
        if band.is_copied:
            kinds.setdefault(band.values, []).append(band.name)
    words = {"categorical": "categorical (classes)", "bits": "bits", "circular": "circular (angles)"}
    return tuple(
        f"{', '.join(names)}: {words[values]}, each SR pixel is the LR pixel it lies in; --values continuous "
        "(values: in the catalog) takes them for amounts"
        for values, names in kinds.items()
    )
