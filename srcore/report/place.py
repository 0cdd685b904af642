"""Where a product lies, as a drawing that needs no map: the globe's grid with a mark, and the outline with its degrees.

|-- the globe, -180 to 180 --|     |-- the outline, as broad as it is at its latitude --|
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from math import cos, radians

from markupsafe import Markup

from srcore.storage.stac.footprint import Footprint

WIDTH, HEIGHT = 320.0, 176.0
"""Of each of the two drawings: on a phone they stand one below the other."""
GLOBE = (34.0, 10.0, 272.0, 136.0)
"""Left, top, width and height of the globe."""
FRAME = (84.0, 10.0, 200.0, 136.0)
"""The same of the outline's largest extent."""
STEP = 30
"""Degrees between two lines of the globe."""
LEAST = 1e-9

Points = Sequence[Sequence[float]]


def place_figure(outline: Footprint) -> Markup:
    """The drawing, in the colours of the page."""
    west, south, east, north = outline.bbox
    east = east if east >= west else east + 360  # over 180 degrees
    rings = _rings(outline)
    shape = _outline([_unwrapped(ring, west) for ring in rings], west, east)
    globe = _svg("Map of the globe with a mark", _globe(rings, outline.centroid))
    return globe + _svg(f"Outline: {bounds(outline)}", shape + _degrees(west, south, east, north))


def _svg(label: str, inner: str) -> Markup:
    return Markup(
        f'<svg viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" role="img" aria-label="{label}" font-size="10" '
        f'fill="var(--ink)">{inner}</svg>'
    )


def bounds(outline: Footprint) -> str:
    """The bounds in degrees, for people."""
    west, south, east, north = outline.bbox
    return f"{_told(west, 'E', 'W')} to {_told(east, 'E', 'W')}, {_told(south, 'N', 'S')} to {_told(north, 'N', 'S')}"


def _told(degrees: float, positive: str, negative: str) -> str:
    number = f"{abs(degrees):.4f}".rstrip("0").rstrip(".")
    return f"{number}\N{DEGREE SIGN} {positive if degrees >= 0 else negative}"


def _rings(outline: Footprint) -> list[Points]:
    """The outer ring of every part."""
    geometry = outline.geometry
    parts = [geometry["coordinates"]] if geometry["type"] == "Polygon" else geometry["coordinates"]
    return [part[0] for part in parts]


def _unwrapped(ring: Points, west: float) -> Points:
    """A ring whose longitudes go on behind 180 where the outline does."""
    return [(x if x >= west - LEAST else x + 360, y) for x, y in ring]


def _globe(rings: Sequence[Points], centre: Sequence[float]) -> str:
    left, top, width, height = GLOBE

    def at(x: float, y: float) -> tuple[float, float]:
        return left + (x + 180) / 360 * width, top + (90 - y) / 180 * height

    lines = "".join(f"M{at(x, 90)[0]:.1f} {top}v{height}" for x in range(-180, 181, STEP))
    lines += "".join(f"M{left} {at(0, y)[1]:.1f}h{width}" for y in range(-90, 91, STEP))
    equator = f"M{left} {at(0, 0)[1]:.1f}h{width}M{at(0, 0)[0]:.1f} {top}v{height}"
    x, y = at(*centre)
    words = "".join(
        _text(at(x, -90)[0], top + height + 13, word, "middle")
        for x, word in ((-180, "180 W"), (0, "0"), (180, "180 E"))
    )
    words += "".join(
        _text(left - 4, at(0, y)[1] + 3.5, word, "end") for y, word in ((60, "60"), (0, "0"), (-60, "-60"))
    )
    shapes = "".join(f'<path d="{_path([at(*point[:2]) for point in ring])}" fill="var(--sr)"/>' for ring in rings)
    return (
        f'<path d="{lines}" fill="none" stroke="var(--rule)"/><path d="{equator}" fill="none" stroke="var(--line)"/>'
        f'{shapes}<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="none" stroke="var(--bad)" stroke-width="2"/>{words}'
    )


def _outline(rings: Sequence[Points], west: float, east: float) -> str:
    left, top, wide, high = FRAME
    latitudes = [y for _, y in chain.from_iterable(rings)]
    south, north = min(latitudes), max(latitudes)
    shrink = max(cos(radians((south + north) / 2)), 0.05)
    scale = min(wide / max((east - west) * shrink, LEAST), high / max(north - south, LEAST))
    free = (wide - (east - west) * shrink * scale) / 2, (high - (north - south) * scale) / 2

    def at(x: float, y: float) -> tuple[float, float]:
        return left + free[0] + (x - west) * shrink * scale, top + free[1] + (north - y) * scale

    drawn = "".join(_path([at(*point[:2]) for point in ring]) for ring in rings)
    return f'<path d="{drawn}" fill="var(--tint)" stroke="var(--sr)" stroke-width="1.6"/>'


def _degrees(west: float, south: float, east: float, north: float) -> str:
    left, top, wide, high = FRAME
    east = (east + 180) % 360 - 180 if east > 180 else east
    middle = left + wide / 2
    across = f"{_told(west, 'E', 'W')} to {_told(east, 'E', 'W')}"
    return (
        _text(left - 8, top + 9, _told(north, "N", "S"), "end")
        + _text(left - 8, top + high, _told(south, "N", "S"), "end")
        + _text(middle, top + high + 18, across, "middle")
    )


def _path(points: Points) -> str:
    return "M" + "L".join(f"{x:.2f} {y:.2f}" for x, y in points) + "Z"


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'
