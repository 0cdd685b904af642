"""The figures of the archive's pages as SVG that is written, not drawn: every scene has some, and every night.

matplotlib takes 75 ms of CPU a figure, and half a second to be imported; this takes 1. Sizes in points, as it has them.

    LEFT              right
     |  %   /\\         |  TOP
     |     /  \\__      |
     |____/______\\_____|  bottom
      0    50   100
"""

from __future__ import annotations

import io
import math
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray
from PIL import Image

from srcore.report.evidence import Evidence, Histogram

WIDTH, LEFT, TOP, BOTTOM = 374.4, 40.0, 8.0, 34.0
"""Of a figure; left of the axes, above and below them."""
BAR = 64.0
"""Right of a map: its colours."""
TOWER = 5
"""A bin that many times higher than the third one is cut."""
_SIXTEENTHS = "0000040a08221d114736106b51127c6a1c818326819c2e7fb73779d0416fe75263f56b5cfc8961fea772fec488fde2a3fcfdbf"
MAGMA = tuple(_SIXTEENTHS[i : i + 6] for i in range(0, len(_SIXTEENTHS), 6))
"""matplotlib's colours of that name, a sixteenth apart."""


@dataclass(frozen=True)
class Scale:
    """Where numbers lie along an axis."""

    low: float
    high: float
    start: float
    end: float
    """Points of `low` and `high`."""

    def at(self, value: float) -> float:
        """In points, held inside the axis."""
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return self.start + (self.end - self.start) * min(max(share, 0.0), 1.0)

    def ticks(self, most: int) -> list[float]:
        """Round numbers on it, `most` and one at most."""
        span = self.high - self.low
        if not 0 < span < math.inf:
            return [self.low]
        size = 10.0 ** math.floor(math.log10(span / most))
        step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if span / (size * factor) <= most)
        return [step * i for i in range(math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9) + 1)]


def histogram_figure(name: str, band: str, histogram: Histogram, unit: str) -> Markup:
    """Shares of pixels over DN: LR filled, SR as a line, on the same bins."""
    height = 180.0
    lr, sr = 100 * np.array(histogram.lr), 100 * np.array(histogram.sr)
    first, last = _shown(np.maximum(lr, sr))
    edges = [histogram.low + histogram.width * i for i in range(first, last + 1)]
    top, cut = _top(np.maximum(lr, sr))
    across = Scale(edges[0], edges[-1], LEFT, WIDTH - 8)
    up = Scale(0.0, top, height - BOTTOM, TOP)
    drawn = [
        _grid(up, WIDTH - 8),
        f'<path d="{_stairs(lr[first:last], edges, across, up)}Z" fill="var(--lr)" fill-opacity="0.35"/>',
        f'<path d="{_stairs(sr[first:last], edges, across, up)}" fill="none" stroke="var(--sr)" stroke-width="1.6"/>',
        _axes(across, up, unit, "% of pixels"),
    ]
    if cut:
        drawn.append(_text(WIDTH - 12, TOP + 12, f"cut: up to {cut:.0f} %", "end"))
    return _svg(height, f"Histogram of {band} before and after", drawn)


def _shown(percent: NDArray[np.float64]) -> tuple[int, int]:
    """The first bin and the one behind the last of those that hold something, with a little air."""
    used = np.flatnonzero(percent > 1e-2)
    first, last = (int(used[0]), int(used[-1])) if used.size else (0, len(percent) - 1)
    return max(0, first - 1), min(len(percent), last + 2)


def _top(percent: NDArray[np.float64]) -> tuple[float, float]:
    """Where the axis ends; and how high the bins go, where one or two (the background of a scan) are cut."""
    highest, next_ones = float(percent.max()), float(np.sort(percent)[-3:][0])
    if highest > TOWER * next_ones > 0:
        return 1.5 * next_ones, highest
    return (1.05 * highest or 1.0), 0.0


def _stairs(percent: NDArray[np.float64], edges: list[float], across: Scale, up: Scale) -> str:
    """A path from the ground over the bins to the ground."""
    ground, path = up.at(0), f"M{across.at(edges[0]):.1f} {up.at(0):.1f}"
    for value, (_, right) in zip(percent, pairwise(edges), strict=True):
        path += f"V{up.at(float(value)):.1f}H{across.at(right):.1f}"
    return f"{path}V{ground:.1f}"


def map_figure(name: str, evidence: Evidence, cells: NDArray[np.float32], label: str) -> Markup:
    """`cells` (Y, X) of the evidence over the scene, in percent of the span of the band's values."""
    percent = 100 * cells.astype(np.float64)
    known = percent[np.isfinite(percent)]
    top = max(float(np.percentile(known, 99.5)) if known.size else 0.0, 0.01)
    rows, cols = evidence.shape
    free = WIDTH - LEFT - BAR
    pixel = min(free / cols, 430.0 / rows)
    height = TOP + max(pixel * rows, 70.0) + BOTTOM
    across, down = Scale(0, cols, LEFT, LEFT + pixel * cols), Scale(0, rows, TOP, TOP + pixel * rows)
    size = (pixel * evidence.step * cells.shape[1], pixel * evidence.step * cells.shape[0])
    picture = (  # a cell at the edge may reach beyond the scene
        f'<clipPath id="{name}-scene"><rect x="{LEFT}" y="{TOP}" width="{pixel * cols:.2f}" '
        f'height="{pixel * rows:.2f}"/></clipPath><image clip-path="url(#{name}-scene)" x="{LEFT}" y="{TOP}" '
        f'width="{size[0]:.2f}" height="{size[1]:.2f}" preserveAspectRatio="none" '
        f'style="image-rendering:pixelated" href="data:image/png;base64,{_picture(percent / top)}"/>'
    )
    drawn = [picture, _axes(across, down, "column of the input", "row"), _bar(name, top, height)]
    return _svg(height, label, drawn)


@dataclass(frozen=True)
class Trend:
    """One figure over time."""

    title: str
    unit: str
    when: Sequence[datetime]
    """In order."""
    values: Sequence[float]
    good: Sequence[bool]
    """False for products whose verdict was not 'published'."""
    limit: float | None = None


def trend_figure(trend: Trend) -> Markup:
    """One mark a product: a dot, or a diamond where it is not good; what is no number has none."""
    height = 172.0
    shown = [value for value in (*trend.values, trend.limit) if value is not None and math.isfinite(value)] or [0.0]
    air = 0.15 * (max(shown) - min(shown)) or 0.5 * abs(shown[0]) or 1.0
    up = Scale(min(shown) - air, max(shown) + air, height - BOTTOM, TOP)
    first, last = (one.timestamp() for one in (trend.when[0], trend.when[-1]))
    across = Scale(first, last, LEFT + 12, WIDTH - 20)
    each = zip(trend.when, trend.values, trend.good, strict=True)
    marks = [(across.at(t.timestamp()), up.at(v), good) for t, v, good in each if math.isfinite(v)]
    line = "L".join(f"{x:.1f} {y:.1f}" for x, y, _ in marks)
    drawn = [
        _grid(up, WIDTH - 8),
        f'<path d="M{line}" fill="none" stroke="var(--line)"/>' if line else "",
        *(f'<path d="{_mark(x, y, good)}" fill="var(--{"sr" if good else "bad"})"/>' for x, y, good in marks),
        _axes(
            replace(across, start=LEFT, end=WIDTH - 8), up, "", trend.unit, _moments(trend.when, across, height - 21)
        ),
    ]
    if trend.limit is not None and math.isfinite(trend.limit):
        y = f"M{LEFT} {up.at(trend.limit):.1f}H{WIDTH - 8}"
        drawn.append(f'<path d="{y}" stroke="var(--bad)" stroke-dasharray="4 3"/>')
    return _svg(height, f"{trend.title} over time", drawn)


def _mark(x: float, y: float, good: bool) -> str:
    if good:
        return f"M{x - 2.4:.1f} {y:.1f}a2.4 2.4 0 1 0 4.8 0a2.4 2.4 0 1 0 -4.8 0"
    return f"M{x:.1f} {y - 3.6:.1f}l3.6 3.6l-3.6 3.6l-3.6 -3.6Z"


def _moments(when: Sequence[datetime], across: Scale, y: float) -> str:
    """The first, the middle and the last time, as exactly as the time between them wants it."""
    span = when[-1] - when[0]
    form = "%Y-%m" if span > timedelta(days=700) else "%Y-%m-%d" if span > timedelta(days=2) else "%m-%d %H:%M"
    places = [(when[0], "start"), (when[0] + span / 2, "middle"), (when[-1], "end")]
    told = places if span else places[1:2]
    return "".join(_text(across.at(t.timestamp()), y, f"{t:{form}}", anchor) for t, anchor in told)


def _picture(share: NDArray[np.float64]) -> str:
    """A PNG in base64: colours of shares from 0 to 1, nothing where there is none."""
    anchors = np.array([[int(colour[i : i + 2], 16) for i in (0, 2, 4)] for colour in MAGMA], np.float64)
    known, places = np.isfinite(share), np.linspace(0, 1, len(anchors))
    held = np.clip(np.where(known, share, 0), 0, 1)
    bands = [np.interp(held, places, anchors[:, i]) for i in range(3)]
    out = io.BytesIO()
    Image.fromarray(np.stack([*bands, 255.0 * known], axis=-1).round().astype(np.uint8)).save(out, "PNG")
    return b64encode(out.getvalue()).decode("ascii")


def _bar(name: str, top: float, height: float) -> str:
    """What the colours of a map mean, with a tip for all above `top`."""
    left, up = WIDTH - BAR + 12, Scale(0, top, height - BOTTOM, TOP + 8)
    stops = "".join(f'<stop offset="{i / 16}" stop-color="#{colour}"/>' for i, colour in enumerate(MAGMA))
    ticks = "".join(_text(left + 13, up.at(value) + 3.5, _number(value), "start") for value in up.ticks(4))
    middle = (TOP + height - BOTTOM) / 2
    return (
        f'<linearGradient id="{name}-bar" x1="0" y1="1" x2="0" y2="0">{stops}</linearGradient>'
        f'<rect x="{left}" y="{up.end}" width="10" height="{up.start - up.end:.2f}" fill="url(#{name}-bar)"/>'
        f'<path d="M{left} {up.end}h10l-5 -8Z" fill="#{MAGMA[-1]}"/>{ticks}'
        f"{_upright(WIDTH - 4, middle, '% of the span of values')}"
    )


def _grid(up: Scale, right: float) -> str:
    lines = "".join(f"M{LEFT} {up.at(value):.1f}H{right}" for value in up.ticks(4))
    return f'<path d="{lines}" stroke="var(--line)" stroke-width="0.6"/>'


def _axes(across: Scale, up: Scale, below: str, beside: str, along: str | None = None) -> str:
    """Two lines, the numbers along them (or `along`), and what they are."""
    bottom, middle = max(up.start, up.end), (up.start + up.end) / 2
    numbers = along
    if numbers is None:
        numbers = "".join(_text(across.at(value), bottom + 13, _number(value), "middle") for value in across.ticks(5))
    numbers += "".join(_text(LEFT - 5, up.at(value) + 3.5, _number(value), "end") for value in up.ticks(4))
    return (
        f'<path d="M{LEFT} {min(up.start, up.end)}V{bottom:.1f}H{across.end:.1f}" fill="none" stroke="var(--line)"/>'
        f"{numbers}"
        f"{_text((across.start + across.end) / 2, bottom + 27, below, 'middle')}"
        f"{_upright(10, middle, beside)}"
    )


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _upright(x: float, y: float, text: str) -> str:
    return f'<text transform="translate({x:.1f} {y:.1f}) rotate(-90)" text-anchor="middle">{escape(text)}</text>'


def _number(value: float) -> str:
    return f"{value:.6g}"


def _svg(height: float, label: str, drawn: list[str]) -> Markup:
    # the label alone, and what _text was given, is somebody else's
    inner = "".join(drawn)
    return Markup(
        f'<svg viewBox="0 0 {WIDTH} {height:.1f}" role="img" aria-label="{escape(label)}" '
        f'font-size="10" fill="var(--ink)">{inner}</svg>'
    )
