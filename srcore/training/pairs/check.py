"""Whether an HR and an LR are a pair that can be learned from: accepted, perhaps corrected, or refused. Pure.

    enough clear pixels -> content, saturation -> HR beyond the LR -> its place (moved back) -> alike -> gain, offset

Every step gives its figures; the first that refuses ends it. What is corrected is said. The limits were set by real
pairs of Sentinel-2 and Landsat and by planted ones: docs/retraining.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from srcore.radiometry import fill_invalid, quantise
from srcore.training.pairs.detail import REACH_LR_PX, detail
from srcore.training.pairs.register import NOWHERE, Registration, register
from srcore.training.pairs.sample import Sample

LEAST_LR_PX = 400
"""Clear LR pixels of a slice."""
LEAST_CLEAR = 0.5
"""Share of the pixels that nodata and masks leave."""
MOST_SATURATED = 0.1
"""Share of the HR's or LR's pixels at the greatest number that is there."""
NEAR_END, HEAPED, FEW_LEVELS = 0.02, 3.0, 32
"""A sensor is at its end where that number is three times as frequent as those within 2 % of the range below it, and
there are more levels than in a map or a drawing."""
LEAST_DETAIL = 0.1
"""Of `detail`: enlarged HR has 0 to 0.05, real HR 0.18 to 0.66, one that is blurred by a pixel 0.05 to 0.11."""
LEAST_TOLD = 0.045
"""Of what the pixels beside it tell of the detail: enlarged HR with white noise of any kind or a checkerboard
has 0.02 (0.043 in 24 x 24 LR px), real HR 0.058 and more."""
MOST_SHIFT_LR_PX = 2.0
"""On an axis."""
STILL_LR_PX = 0.1
"""A smaller shift is left: moving an HR costs some of its detail, too."""
LEAST_SLICES = 20
"""Of a volume's LR: what lies along z is found in windows of as many."""
MOST_SPREAD_LR_PX = 0.4
"""Between the quarters of a scene."""
LEAST_NCC: Mapping[str, float] = {"same": 0.9, "other": 0.7}
"""Of HR averaged to the LR and LR, in the worst band."""
MOST_GAIN = 0.05
"""By so much the gain may be off 1."""
MOST_OFFSET = 0.05
"""By so much of the LR's span (2nd to 98th percentile) the HR may lie above or below it on average."""
SOFTER_LR_PX = 2.0
"""Gain and offset are those of what is left behind a Gaussian of this deviation: blur and noise of a sensor are not in
it."""


@dataclass(frozen=True)
class Rules:
    """What a dataset asks of its pairs."""

    sensor: Literal["same", "other"] = "same"
    """Whether HR and LR are of one sensor, so that they look alike."""
    fit: bool = False
    """Whether gain and offset are fitted to the LR, in place of a refusal."""


@dataclass(frozen=True)
class Refusal:
    """Why a pair is none."""

    code: str
    what: str
    """With its figures."""

    def __str__(self) -> str:
        return f"{self.code}: {self.what}"


@dataclass(frozen=True)
class Verdict:
    """What became of a pair."""

    refusal: Refusal | None
    figures: Mapping[str, float]
    notes: tuple[str, ...]
    """What was corrected."""
    sample: Sample
    """As corrected."""


@dataclass
class _State:
    sample: Sample
    rules: Rules
    figures: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


Step: TypeAlias = Callable[[_State], Refusal | None]


def check(sample: Sample, rules: Rules = Rules(), steps: Sequence[Step] | None = None) -> Verdict:
    """Accepted or refused, with the figures up to there; by all steps unless some are given."""
    state = _State(sample, rules)
    with np.errstate(invalid="ignore", divide="ignore"):
        refusal = next((found for step in steps or STEPS if (found := step(state)) is not None), None)
    return Verdict(refusal, dict(state.figures), tuple(state.notes), state.sample)


def _clear(state: _State) -> Refusal | None:
    usable = state.sample.usable
    share, sizes = float(usable.mean()), usable.shape[1:]
    state.figures["clear"] = share
    for part, valid in (("LR", state.sample.lr_valid), ("HR", state.sample.hr_valid)):
        if not valid.any():
            return Refusal(code="NO_CONTENT", what=f"the {part} is nodata alone")
    if share < LEAST_CLEAR:
        return Refusal(
            code="MOSTLY_NODATA", what=f"{share:.0%} of the pixels are clear in both, {LEAST_CLEAR:.0%} are the least"
        )
    count = int(usable.sum() / len(usable) / (sizes[0] if len(sizes) == 3 else 1))
    state.figures["lr_px"] = count
    if count < LEAST_LR_PX or min(sizes[-2:]) < 2 * (2 * REACH_LR_PX + 1):
        found = f"{count} clear LR pixels of {' x '.join(map(str, sizes))}"
        return Refusal(code="PAIR_TOO_SMALL", what=f"{found}, {LEAST_LR_PX} are the least")
    return None


def _content(state: _State) -> Refusal | None:
    one = state.sample
    for part, values, valid in (("LR", one.lr, one.lr_valid), ("HR", one.hr, one.hr_valid)):
        bands = [band[own] for band, own in zip(values, valid, strict=True)]
        if all(not band.size or np.ptp(band) == 0 for band in bands):
            return Refusal(code="NO_CONTENT", what=f"the {part} is one number in every band")
        share = max(_at_the_end(band) for band in bands if band.size and np.ptp(band) > 0)
        state.figures[f"saturated_{part.lower()}"] = share
        if share > MOST_SATURATED:
            most = f"{MOST_SATURATED:.0%} are the most"
            return Refusal(
                code="SATURATED", what=f"{share:.0%} of the {part}'s pixels are at its greatest number, {most}"
            )
    return None


def _at_the_end(values: NDArray[Any]) -> float:
    """Share of the numbers at the greatest, where they heap up there: not among a few levels, nor on a plain."""
    top = values == values.max()
    share, near = float(top.mean()), float((values >= values.max() - NEAR_END * np.ptp(values)).mean())
    few = share > MOST_SATURATED and len(np.unique(values)) <= FEW_LEVELS
    return 0.0 if few or share < HEAPED * (near - share) else share


def _beyond(state: _State) -> Refusal | None:
    one = state.sample
    planes = _slices(fill_invalid(one.hr, one.hr_valid))
    scale = (one.scale[-2], one.scale[-1])
    if scale == (1, 1):
        state.notes.append("one size in a slice: that the HR holds more than the LR is not known")
        return None
    found = [detail(plane, scale) for plane in planes]
    most, told = max(one.beyond for one in found), max(one.told for one in found)
    state.figures |= {"detail": most, "told": told}
    if most < LEAST_DETAIL:
        return Refusal(
            code="NO_DETAIL",
            what=f"the HR holds nothing beyond its averages: detail {most:.3f}, {LEAST_DETAIL} is the least",
        )
    if told < LEAST_TOLD:
        what = (
            f"the HR's detail is noise, or a pattern that repeats: of {most:.3f} the pixels beside it tell {told:.3f}"
        )
        return Refusal(code="NO_DETAIL", what=f"{what}, {LEAST_TOLD} is the least")
    return None


def _placed(state: _State) -> Refusal | None:
    one = state.sample
    found = _where(one)
    if one.lr.ndim == 4 and one.lr.shape[1] < LEAST_SLICES:
        state.notes.append(f"{one.lr.shape[1]} slices: no shift along z is looked for below {LEAST_SLICES}")
    state.figures |= _told(found)
    told = _in_words(found.shift_lr_px)
    if found.spread_lr_px > MOST_SPREAD_LR_PX:
        return Refusal(
            code="SHIFT_VARIES", what=f"the HR lies {told} beside the LR, and {found.spread_lr_px:.2f} more in places"
        )
    if max(map(abs, found.shift_lr_px)) > MOST_SHIFT_LR_PX + STILL_LR_PX:
        return Refusal(code="SHIFTED", what=f"the HR lies {told} beside the LR; {MOST_SHIFT_LR_PX:g} can be corrected")
    if np.hypot.reduce(found.shift_lr_px) > STILL_LR_PX:
        state.sample, shift = _moved_back(one, found)
        state.figures |= _by_axis(shift)
        state.notes.append(f"HR moved back by {_in_words(shift)}")
    return None


def _where(one: Sample) -> Registration:
    """Where the HR lies on the axes of the sample; along z by planes of slices and rows, else by the slices."""
    lr = fill_invalid(one.lr, one.lr_valid)
    flat = register(_slices(one.reduced), _slices(lr), _slices(one.usable))
    if lr.ndim == 3:
        return flat
    upright = [np.moveaxis(values, 3, 1) for values in (one.reduced, lr, one.usable)]
    deep = lr.shape[1] >= LEAST_SLICES
    along = register(*(_slices(values) for values in upright)) if deep else NOWHERE
    return replace(flat, shift_lr_px=(along.shift_lr_px[0], *flat.shift_lr_px))


def _told(found: Registration) -> dict[str, float]:
    spread, windows = found.spread_lr_px, float(found.windows)
    return {**_by_axis(found.shift_lr_px), "shift_spread": spread, "windows": windows}


def _by_axis(shift: Sequence[float]) -> dict[str, float]:
    names = ("shift_slices", "shift_rows", "shift_columns")
    return dict(zip(names[-len(shift) :], shift, strict=True))


def _in_words(shift: Sequence[float]) -> str:
    names = ("slices", "rows", "columns")[-len(shift) :]
    return ", ".join(f"{one:+.2f} {name}" for one, name in zip(shift, names, strict=True)) + " of LR px"


def _moved_back(one: Sample, found: Registration) -> tuple[Sample, tuple[float, ...]]:
    """The sample in its place, and the whole shift: what averages hide of half a pixel, a second look finds."""
    left = _where(one.moved(found.shift_lr_px)).shift_lr_px
    shift = tuple(a + b for a, b in zip(found.shift_lr_px, left, strict=True))
    return one.moved(shift), shift


def _alike(state: _State) -> Refusal | None:
    values = [ncc(a, b, own) for a, b, own in _bands(state.sample)]
    known = [value for value in values if value is not None]
    worst, least = min(known, default=0.0), LEAST_NCC[state.rules.sensor]
    state.figures["ncc"] = worst
    if worst >= least:
        return None
    where = "" if state.figures["windows"] else "; no window of the LR is found in the HR"
    return Refusal(
        code="UNLIKE", what=f"HR averaged to the LR correlates with it by {worst:.3f}, {least} is the least{where}"
    )


def _levelled(state: _State) -> Refusal | None:
    fits = [_fit(a, b, own) for a, b, own in _bands(state.sample)]
    off = [max(abs(one.gain - 1) / MOST_GAIN, abs(one.apart) / MOST_OFFSET) for one in fits]
    worst = fits[int(np.argmax(off))]
    state.figures |= {"gain": worst.gain, "offset": worst.offset, "apart": worst.apart, "r2": worst.r2}
    told = f"LR = {worst.gain:.3f} HR {worst.offset:+.4g} (R2 {worst.r2:.3f}, {worst.apart:+.1%} of the span apart)"
    if state.rules.fit:
        state.sample = state.sample.with_hr(_levelled_hr(state.sample, fits))
        state.notes.append(f"HR fitted to the LR: {told}")
        return None
    if max(off) > 1:
        return Refusal(code="OTHER_GAIN", what=f"{told}; gain within {MOST_GAIN:.0%} of 1, or `fit: true`")
    return None


STEPS: tuple[Step, ...] = (_clear, _content, _beyond, _placed, _alike, _levelled)
ALONE: tuple[Step, ...] = (_clear, _content, _beyond)
"""Of an HR whose LR is made of it."""


@dataclass(frozen=True)
class _Fit:
    gain: float
    offset: float
    apart: float
    """Mean of the LR less that of the HR, in spans of the LR."""
    r2: float


def _fit(hr: NDArray[Any], lr: NDArray[Any], own: NDArray[np.bool_]) -> _Fit:
    """LR = gain HR + offset by least squares on softened images."""
    soft = (0.0,) * (hr.ndim - 2) + (SOFTER_LR_PX,) * 2
    a, b = (ndimage.gaussian_filter(one.astype(np.float64), soft, mode="nearest")[own] for one in (hr, lr))
    low, high = np.percentile(lr[own], (2, 98)) if own.any() else (0.0, 0.0)
    spread = float(a.var()) if a.size else 0.0
    if not (spread > 0 and high > low):
        return _Fit(1.0, 0.0, 0.0, 0.0)
    gain = float(((a - a.mean()) * (b - b.mean())).mean() / spread)
    r2 = float(np.corrcoef(a, b)[0, 1] ** 2)
    return _Fit(gain, float(b.mean() - gain * a.mean()), float((b.mean() - a.mean()) / (high - low)), r2)


def _levelled_hr(sample: Sample, fits: Sequence[_Fit]) -> NDArray[Any]:
    """The HR in the LR's numbers and dtype."""
    bands = [band.astype(np.float64) * one.gain + one.offset for band, one in zip(sample.hr, fits, strict=True)]
    return quantise(np.stack(bands), sample.lr.dtype)


def _bands(sample: Sample) -> list[tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_]]]:
    """HR averaged to the LR, LR, and what counts, band by band; nodata filled."""
    lr = fill_invalid(sample.lr, sample.lr_valid)
    return list(zip(sample.reduced, lr, sample.usable, strict=True))


def ncc(a: NDArray[Any], b: NDArray[Any], own: NDArray[np.bool_] | None = None) -> float | None:
    """Correlation of two images where `own`; None where one of them is one number."""
    x, y = (one.astype(np.float64)[own] if own is not None else one.astype(np.float64).ravel() for one in (a, b))
    if x.size < 2 or not (np.ptp(x) > 0 and np.ptp(y) > 0):
        return None
    x, y = x - x.mean(), y - y.mean()
    return float((x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum()))


def _slices(values: NDArray[Any]) -> NDArray[Any]:
    """(C, y, x) as it is; of (1, z, y, x) up to three slices, as bands."""
    if values.ndim == 3:
        return values
    depth = values.shape[1]
    return values[0, sorted({depth // 4, depth // 2, 3 * depth // 4})]
