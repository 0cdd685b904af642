"""The pictures of a report's page: the whole scene, and LR (bicubic) under SR at the places with most to see."""

from __future__ import annotations

import io
from base64 import b64decode, b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from srcore.report.panels import RGB
from srcore.report.planes import Planes
from srcore.report.quicklook import Look
from srcore.storage.disk.records import read_json, write_json

PLACES = 3
SIDE_HR = 512
"""SR pixels on each side of a place: three of them make a page of about a megabyte."""
WHOLE_HR = 1024
"""A scene whose sides have no more SR pixels is one place."""
OVERLAP = 0.25
"""Share of a place that may lie in another one: at the edge of a scene there is not always room."""
BESIDE_PLANES = 80
"""Of JPEG of a volume: planes take most of the page."""
QUALITY = 92
"""Of JPEG with full colour: lossless takes four times as many bytes and looks the same."""


@dataclass(frozen=True)
class Place:
    """The same place twice."""

    label: str
    """Where it lies, in LR pixels."""
    frame: tuple[float, float, float, float]
    """Left, top, width and height in the whole scene, each as a share of it."""
    size: tuple[int, int]
    """Width and height of the pictures, in SR pixels."""
    before: bytes
    """LR, JPEG."""
    after: bytes
    """SR, JPEG."""


@dataclass(frozen=True)
class Pictures:
    """All pictures of one page."""

    title: str
    size: tuple[int, int]
    """Width and height of the overview, in its own pixels."""
    overview: bytes
    """The whole SR (the middle slice of a volume), JPEG."""
    places: tuple[Place, ...]
    how: str = "bicubic"
    """How the LR was brought to the size of the SR."""
    planes: Planes | None = None
    """Of a volume."""
    light: str = ""
    """What is black and what is white, in words; empty: by percentiles."""

    def save(self, path: Path) -> None:
        """Write them as one JSON document, whole or not at all."""
        places = [{**vars(place), "before": _text(place.before), "after": _text(place.after)} for place in self.places]
        planes = self.planes and self.planes.to_json()
        write_json(path, {**vars(self), "overview": _text(self.overview), "places": places, "planes": planes})

    @classmethod
    def load(cls, path: Path) -> Pictures | None:
        """What `save` wrote; None when there is nothing."""
        if not path.exists():
            return None
        value = read_json(path)
        places = tuple(_place(place) for place in value["places"])
        planes = Planes.from_json(value["planes"]) if value["planes"] else None
        overview = b64decode(value["overview"])
        return cls(value["title"], tuple(value["size"]), overview, places, value["how"], planes, value["light"])


def _place(value: dict[str, Any]) -> Place:
    return Place(
        value["label"],
        tuple(value["frame"]),
        tuple(value["size"]),
        b64decode(value["before"]),
        b64decode(value["after"]),
    )


def paint_pictures(look: Look, planes: Planes | None = None) -> Pictures:
    """The overview and up to PLACES places of a scene; of a volume, which has `planes` too, one place of a slice."""
    down, along = look.views.shape
    places = []
    for rows, cols in _windows(look)[: None if planes is None else 1]:
        before, after = look.pair(rows, cols)
        frame = (
            cols.start / along,
            rows.start / down,
            (cols.stop - cols.start) / along,
            (rows.stop - rows.start) / down,
        )
        label = f"rows {rows.start} to {rows.stop - 1}, columns {cols.start} to {cols.stop - 1} of the input"
        size = (after.shape[1], after.shape[0])
        quality = QUALITY if planes is None else BESIDE_PLANES
        places.append(Place(label, frame, size, _jpeg(before, quality), _jpeg(after, quality)))
    whole, views = look.overview.picture, look.views
    size = (whole.shape[1], whole.shape[0])
    return Pictures(views.title, size, _jpeg(whole), tuple(places), views.interpolated, planes, look.light)


def _windows(look: Look) -> list[tuple[slice, slice]]:
    if max(n * s for n, s in zip(look.views.shape, look.views.scale, strict=True)) <= WHOLE_HR:
        return [(slice(0, look.views.shape[0]), slice(0, look.views.shape[1]))]
    kept: list[tuple[slice, slice]] = []
    for window in look.overview.place(PLACES, SIDE_HR):
        if all(_common(window, other) <= OVERLAP for other in kept):
            kept.append(window)
    return kept


def _common(one: tuple[slice, slice], other: tuple[slice, slice]) -> float:
    """Share of `one` that lies in `other`."""
    share = 1.0
    for a, b in zip(one, other, strict=True):
        share *= max(0, min(a.stop, b.stop) - max(a.start, b.start)) / (a.stop - a.start)
    return share


def _jpeg(picture: RGB, quality: int = QUALITY) -> bytes:
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "JPEG", quality=quality, subsampling=0)
    return out.getvalue()


def _text(data: bytes) -> str:
    return b64encode(data).decode("ascii")
