"""What pixels say that no header said: numbers that look like nodata, and alpha that is no mask.

Gathered while the pixels pass; nothing is changed by it. A number looks like nodata when it is one that programs use
for that and lies far from all others (-9999 in heights of 100 to 2,400 m), or when it fills the outside of the scene in
all bands at once while next to nothing in the scene is as dark (0 around a swath).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srcore.errors import SourceError

KNOWN = (-999, -9999, -99999, -32768, -32767, -2147483648, 32767, 65535, 1e20)
"""Numbers that programs write where there is nothing."""
HUGE = 1e30
"""No measurement is as large, and float32 cannot compute with it."""
FAR = 0.1
"""Distance to the nearest other number, as a part of the span of the others, from which on a known number is odd."""
BORDER, ALL, DARK = 0.1, 0.01, 0.05
"""What a swath leaves: at least so much of the scene's border, so much of all pixels, and at most so much of the rest
within a tenth of the median from the number."""
FEW = 0.02
"""Share of an alpha band between 0 and full up to which it is a mask."""


class Undeclared:
    """`add` every core of a scene, then `flags`."""

    def __init__(self, shape: Sequence[int], bands: Sequence[str], dtype: str, *, declared: bool) -> None:
        self.shape, self.bands = shape, bands
        self.declared = declared
        """Whether a header names a number or a mask already: another number cannot be given then."""
        kind = np.dtype(dtype)
        self.frames = (0, int(np.iinfo(kind).max)) if kind.kind == "u" else (0,)
        """Numbers that may lie around a scene."""
        self.counts: list[dict[float, int]] = [{} for _ in bands]
        """Of each band, how many pixels have a number that is known or huge."""
        self.least, self.most = [np.inf] * len(bands), [-np.inf] * len(bands)
        """Of each band without those."""
        self.framed = {number: [0, 0] for number in self.frames}
        """Pixels that have the number in all bands: on the scene's border, and everywhere."""
        self.pixels = self.border = 0
        self.alpha = np.zeros(3, np.int64)
        """Pixels of alpha: all, 0, and at the greatest number."""
        self.full = 0.0
        self.nans = self.infinite = 0

    def add(self, window: tuple[slice, ...], values: NDArray[Any], valid: NDArray[np.bool_]) -> None:
        """Take the values (C, *window) and their validity into account."""
        for band in range(len(self.bands)):
            self._add_band(band, values[band] if valid[band].all() else values[band][valid[band]])
        self.pixels += valid[0].size
        if len(self.shape) == 2:
            self._add_frames(window, values, valid)

    def _add_band(self, band: int, values: NDArray[Any]) -> None:
        while values.size:
            low, high = float(values.min()), float(values.max())
            odd = next((number for number in (low, high) if abs(number) >= HUGE or number in KNOWN), None)
            if odd is None:
                self.least[band], self.most[band] = min(self.least[band], low), max(self.most[band], high)
                return
            same = np.abs(values) >= HUGE if abs(odd) >= HUGE else values == values.dtype.type(odd)
            self.counts[band][odd] = self.counts[band].get(odd, 0) + int(np.count_nonzero(same))
            values = values[~same]

    def _add_frames(self, window: tuple[slice, ...], values: NDArray[Any], valid: NDArray[np.bool_]) -> None:
        edge = np.zeros(values.shape[1:], bool)
        for axis, (span, size) in enumerate(zip(window, self.shape, strict=True)):
            line = np.moveaxis(edge, axis, 0)
            line[0] |= span.start == 0
            line[-1] |= span.stop == size
        self.border += int(np.count_nonzero(edge))
        for number, counts in self.framed.items():
            same = (values[0] == number) & valid[0]
            for band, seen in zip(values[1:], valid[1:], strict=True):
                if same.any():
                    same &= (band == number) & seen
            counts[0] += int(np.count_nonzero(same & edge))
            counts[1] += int(np.count_nonzero(same))

    def add_raw(self, stored: NDArray[Any]) -> None:
        """Count NaN and Inf, which are never data, in values as the file has them."""
        if stored.dtype.kind == "f":
            self.nans += int(np.count_nonzero(np.isnan(stored)))
            self.infinite += int(np.count_nonzero(np.isinf(stored)))

    def add_alpha(self, alpha: NDArray[Any]) -> None:
        """Take a part of the alpha band into account."""
        full = float(alpha.max(initial=0))
        if full > self.full:
            self.full, self.alpha[2] = full, 0
        at_full = np.count_nonzero(alpha == full) if full == self.full and full else 0
        self.alpha += np.array([alpha.size, np.count_nonzero(alpha == 0), at_full])

    def flags(self, samples: Sequence[Sequence[NDArray[Any]]]) -> tuple[str, ...]:
        """What a user should know; `samples`: valid values of every band, in parts.

        SourceError UNDECLARED where a band holds numbers that nothing can be computed with.
        """
        odd: dict[float, list[int]] = {}
        for band, counts in enumerate(self.counts):
            for number, count in counts.items():
                if abs(number) >= HUGE:
                    raise SourceError(*self._told(number, [band], count), code="UNDECLARED")
                if self._is_far(band, number):
                    odd.setdefault(number, []).append(band)
        found = [self._told(number, bands, max(self.counts[b][number] for b in bands)) for number, bands in odd.items()]
        found += [
            self._told(number, [], self.framed[number][1]) for number in self.frames if self._is_frame(number, samples)
        ]
        return (*("; ".join(parts) for parts in found), *self._alpha_flags(), *self._raw_flags())

    def _is_far(self, band: int, number: float) -> bool:
        others = [n for n in self.counts[band] if n != number and abs(n) < HUGE]
        least, most = min([self.least[band], *others]), max([self.most[band], *others])
        if not np.isfinite(least):
            return True
        gap = least - number if number < least else number - most
        return gap > FAR * max(most - least, 1e-12) and gap > 1

    def _is_frame(self, number: int, samples: Sequence[Sequence[NDArray[Any]]]) -> bool:
        border, everywhere = self.framed[number]
        if border < BORDER * max(self.border, 1) or everywhere < ALL * self.pixels:
            return False
        return all(_is_apart(np.concatenate(band), number) for band in samples if band)

    def _told(self, number: float, bands: Sequence[int], count: int) -> tuple[str, str, str]:
        """What, found and do."""
        text = str(int(number)) if abs(number) < 1e15 and float(number).is_integer() else f"{number:.9g}"
        names = ", ".join(self.bands[band] for band in bands[:8]) + (" ..." if len(bands) > 8 else "")
        where = f"in {names}" if bands else "around the scene, in all bands"
        give = f"--nodata {text} (nodata: {text} in the catalog)"
        do = "set it in a mask beside or inside the file" if self.declared else give
        return (
            f"{text} {where} looks like nodata and is data here",
            f"{100 * count / self.pixels:.3g} % of the pixels",
            do,
        )

    def _raw_flags(self) -> tuple[str, ...]:
        """Inf is no number that a file declares as nothing; NaN is, of a raster."""
        if not self.infinite and (not self.nans or len(self.shape) == 2):
            return ()
        counts = [f"{count} {name}" for name, count in (("NaN", self.nans), ("Inf", self.infinite)) if count]
        what = "pixels" if len(self.shape) == 2 else "voxels"
        return (f"{' and '.join(counts)} among the {what}: nothing is there, in the product either",)

    def _alpha_flags(self) -> tuple[str, ...]:
        pixels, empty, full = (int(count) for count in self.alpha)
        between = pixels - empty - full
        if between <= FEW * pixels:
            return ()
        text = f"{100 * between / pixels:.3g} % of the alpha band lies between 0 and full: it hides where it is 0 only"
        return (text,)


def _is_apart(values: NDArray[Any], number: int) -> bool:
    """Whether next to nothing else lies near `number`: no measurement then fades into it."""
    others = values[values != number].astype(np.float64)
    if not others.size or others.min() == others.max():
        return False
    distance = np.abs(others - number)
    return bool(np.mean(distance <= 0.1 * np.median(distance)) <= DARK)
