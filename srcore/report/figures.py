"""Figures as inline SVG that takes its colours and its font from the page around it.

Drawn by matplotlib, but for those of the archive's own pages (`written`): a figure is 5 to 60 kB of SVG that needs no
script, sharp on a phone and on a projector.
(plotly carries its 4.8 MB script in every self-contained page: ten times the rest of it, for every product.)
Colours are written as CSS variables, so that one figure fits a light and a dark page.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import numpy as np
from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

INK, GRID, LR, SR, BAD = "#000001", "#000002", "#000003", "#000004", "#000005"
"""Stand for the CSS variables of the page."""
_VARIABLES = {INK: "--ink", GRID: "--line", LR: "--lr", SR: "--sr", BAD: "--bad"}
_STYLE: Any = {  # matplotlib's type of it is a list of all its 300 keys
    "svg.fonttype": "none",  # text stays text: found, read aloud, in the page's font
    "svg.hashsalt": "srcore",  # else the ids differ at every run
    "image.composite_image": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "font.family": "DejaVu Sans",  # comes with matplotlib: the layout is the same everywhere
    "font.size": 10,
    "text.parse_math": False,  # a band may be called $x$
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GRID,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
}
_NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))
_HREF = "{http://www.w3.org/1999/xlink}href"


def _canvas(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure((width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.grid(True, axis="y")
    axes.set_axisbelow(True)
    axes.tick_params(length=3)
    return figure, axes


def _inline(figure: Figure, name: str, label: str) -> Markup:
    """The figure as an <svg> element for an HTML page, without ids and styles that could meet those of others."""
    out = io.BytesIO()
    FigureCanvasSVG(figure).print_svg(out, metadata=_NO_METADATA)  # type: ignore[no-untyped-call]
    root = ElementTree.fromstring(out.getvalue())
    used = set(re.findall(rb'(?:url\(|href=")#([^)"]+)', out.getvalue()))
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        if (target := element.attrib.pop(_HREF, None)) is not None:
            element.set("href", f"#{name}-{target[1:]}" if target.startswith("#") else target)
        if (own := element.attrib.pop("id", None)) is not None and own.encode() in used:
            element.set("id", f"{name}-{own}")
        if (clip := element.get("clip-path")) is not None:
            element.set("clip-path", clip.replace("(#", f"(#{name}-"))
    for parent in list(root.iter()):
        for child in [one for one in parent if one.tag in ("metadata", "style")]:
            parent.remove(child)
    root.attrib = {"viewBox": root.attrib["viewBox"], "role": "img", "aria-label": label}
    text = ElementTree.tostring(root, encoding="unicode")
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    return Markup(text)  # ElementTree has escaped it


LIGHT = {"--ink": "#1d2126", "--line": "#c9ced4", "--lr": "#d9822b", "--sr": "#1668c7", "--bad": "#c0291d"}
"""The page's colours, for where there is no page."""


def standalone(figure: Markup) -> str:
    """A figure as an SVG file of its own, on white."""
    text = str(figure).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" style="background: #ffffff" ', 1)
    for variable, colour in LIGHT.items():
        text = text.replace(f"var({variable})", colour)
    return text


@dataclass(frozen=True)
class Point:
    """What was measured of a model: how fast, and how good."""

    label: str
    speed: float
    quality: float
    low: float | None = None
    high: float | None = None
    """Ends of the interval of the quality."""
    group: str = ""
    """Only points of a group compete."""


def front(points: Sequence[Point]) -> list[Point]:
    """Those that no other of their group beats in speed or quality without losing in the other; slowest first."""
    ordered = sorted(points, key=lambda one: (one.speed, one.quality))
    return [
        one
        for index, one in enumerate(ordered)
        if not any(other.group == one.group and other.quality >= one.quality for other in ordered[index + 1 :])
    ]


def pareto_figure(name: str, points: Sequence[Point], quality: str) -> Markup:
    """Quality over speed: a line joins the front of each group, labels stand at what lies on it."""
    best = front(points)
    with rc_context(_STYLE):
        figure, axes = _canvas(5.2, 3.2)
        axes.grid(True, axis="both")
        for index, group in enumerate(sorted({one.group for one in points})):
            own = [one for one in best if one.group == group]
            rest = [one for one in points if one.group == group and one not in own]
            marker = MARKERS[index % len(MARKERS)]
            _intervals(axes, [*own, *rest])
            axes.plot(
                [one.speed for one in rest],
                [one.quality for one in rest],
                marker,
                color=LR,
                markersize=5,
                label=f"{group} beaten".strip() if rest else "_",
            )
            axes.plot(
                [one.speed for one in own],
                [one.quality for one in own],
                f"{marker}-",
                color=SR,
                linewidth=1.2,
                markersize=6,
                label=f"{group} front".strip(),
            )
        _speeds(axes, [one.speed for one in points])
        axes.set_ylabel(quality)
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.margins(0.12, 0.15)
        _name_points(axes, points if len(points) <= FEW_POINTS else best)
        figure.legend(loc="outside upper left", ncols=3, frameon=False, handletextpad=0.4)
        return _inline(figure, name, f"{quality} over speed for {', '.join(one.label for one in points)}")


def _name_points(axes: Axes, points: Sequence[Point]) -> None:
    """Write the labels beside the points, towards the middle."""
    for one in points:
        place = axes.transAxes.inverted().transform(axes.transData.transform((one.speed, one.quality)))
        side, rise = (-1, -12) if place[0] > 0.6 else (1, 5)
        axes.annotate(
            one.label,
            (one.speed, one.quality),
            xytext=(6 * side, rise),
            textcoords="offset points",
            ha="left" if side > 0 else "right",
            color=INK,
            fontsize=9,
        )


def _intervals(axes: Axes, points: Sequence[Point]) -> None:
    for one in points:
        if one.low is not None and one.high is not None:
            axes.plot([one.speed] * 2, [one.low, one.high], color=GRID, linewidth=1.2, zorder=1)


def _speeds(axes: Axes, speeds: Sequence[float]) -> None:
    """A logarithmic axis where the fastest is many times the slowest, with plain numbers on it."""
    axes.set_xlabel("LR megapixels a CPU second")
    if min(speeds) > 0 and max(speeds) > 4 * min(speeds):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))


def curves_figure(name: str, curves: Mapping[str, Sequence[tuple[float, float]]], best: str, unit: str) -> Markup:
    """A line a trial over its steps; `best` stands out, the others are drawn beneath it."""
    with rc_context(_STYLE):
        figure, axes = _canvas(5.2, 3.2)
        for label, points in sorted(curves.items(), key=lambda one: one[0] == best):
            own = label == best
            axes.plot(
                *zip(*points, strict=True),
                "o-",
                color=SR if own else LR,
                linewidth=2 if own else 1,
                markersize=4 if own else 2.5,
                alpha=1 if own else 0.75,
            )
        _name_ends(axes, {label: points[-1] for label, points in curves.items()}, best)
        axes.set_xlabel("step")
        axes.set_ylabel(unit)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        return _inline(figure, name, f"{unit} over the steps of {len(curves)} trials")


def _name_ends(axes: Axes, ends: Mapping[str, tuple[float, float]], best: str) -> None:
    """Write the names to the right of the points, the best first; none where another would be hit."""
    low, high = axes.get_ylim()
    apart = LABEL_POINTS * (high - low) / 160  # points of the axes of a figure of 3.2 inches
    named: list[tuple[float, float]] = []
    for label, (x, y) in sorted(ends.items(), key=lambda one: one[0] != best):
        if all(x != other or abs(y - height) >= apart for other, height in named):
            named.append((x, y))
            axes.annotate(label, (x, y), xytext=(5, 0), textcoords="offset points", va="center", color=INK, fontsize=9)


LABEL_POINTS = 9.5
"""Height of a line of a label."""
FEW_POINTS = 6
"""With more, only what lies on the front is named."""
MARKERS = "oDs^vP"
MOST_LABELS = 24


def dots_figure(name: str, rows: Sequence[str], columns: Mapping[str, Sequence[float]], unit: str) -> Markup:
    """One row a scene, one marker a column (LR's colour for the first of several), values to the right."""
    with rc_context(_STYLE):
        figure, axes = _canvas(5.2, float(np.clip(0.24 * len(rows) + 1.1, 1.8, 9)))
        axes.grid(True, axis="both")
        places = np.arange(len(rows))
        for index, (label, values) in enumerate(columns.items()):
            colour = (LR if len(columns) > 1 else SR, SR, INK, BAD)[min(index, 3)]
            axes.plot(values, places, MARKERS[index % len(MARKERS)], color=colour, markersize=5, label=label)
        step = -(-len(rows) // MOST_LABELS)
        axes.set_yticks(places[::step], [row if len(row) <= 28 else f"{row[:25]}..." for row in rows[::step]])
        axes.invert_yaxis()
        axes.set_xlabel(unit)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        figure.legend(loc="outside upper left", ncols=3, frameon=False, handletextpad=0.1)
        return _inline(figure, name, f"{', '.join(columns)} for every scene, in {unit}")


def shares_figure(name: str, methods: Mapping[str, Sequence[float]]) -> Markup:
    """A bar a method of its shares of true, missing and made-up detail."""
    with rc_context(_STYLE):
        figure, axes = _canvas(5.2, 0.45 * len(methods) + 1.1)
        axes.grid(False)
        left = np.zeros(len(methods))
        for index, (label, colour) in enumerate((("true", SR), ("missing", GRID), ("made up", BAD))):
            share = 100 * np.array([values[index] for values in methods.values()])
            axes.barh(list(methods), share, left=left, color=colour, height=0.6, label=label)
            left += share
        axes.invert_yaxis()
        axes.set_xlabel("% of the detail")
        figure.legend(loc="outside upper left", ncols=3, frameon=False)
        return _inline(figure, name, "Shares of true, missing and made-up detail")
