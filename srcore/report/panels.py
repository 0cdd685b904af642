"""Pictures from bands: which bands to show, how light, and panels with labels side by side. Pure."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from srcore.radiometry import HIGH, LOW, fill_invalid

RGB = NDArray[np.uint8]

MAX_BYTES = 2**20
"""Of a picture: it travels inside pages and databases."""
NOTHING, PAPER, INK, FRAME = (226, 226, 226), (255, 255, 255), (40, 40, 40), (255, 60, 40)
ALIKE = 3
"""Ranges of bands that differ by less than this factor are shown with one range."""
GAMMA = 0.75
"""Of colour pictures: reflectance is mostly dark."""
RLE = 3
"""zlib's strategy of that name, as Pillow takes it."""
GAP, LINE = 10, 24
"""Pixels between panels, and of a line of text."""

_COLOURS = (("red", "r", "b4"), ("green", "g", "b3"), ("blue", "b", "b2"))


def display_bands(names: Sequence[str], colours: Sequence[str]) -> tuple[int, ...]:
    """Indices of red, green and blue, or of the one band to show in grey.

    By colour interpretation, then by name (red; B04 or B4 as Sentinel-2 and Landsat 8 count), then the first three.
    """
    for labels in (colours, names):
        found = [_first(labels, wanted) for wanted in _COLOURS]
        if None not in found:
            return tuple(index for index in found if index is not None)
    return (0, 1, 2) if len(names) >= 3 else (0,)


def _first(labels: Sequence[str], wanted: tuple[str, ...]) -> int | None:
    for index, label in enumerate(labels):
        words = re.sub(r"\bband[ _]?", "b", str(label).lower())
        if set(re.sub(r"\bb0+(?=\d)", "b", words).replace("_", " ").split()) & set(wanted):
            return index
    return None


@dataclass(frozen=True)
class Stretch:
    """What is black and what is white, one number a shown band: the same for LR and SR, so that they compare."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]

    @classmethod
    def of(cls, values: NDArray[np.generic], valid: NDArray[np.bool_]) -> Stretch:
        """The 2nd and 98th percentile of the valid of `values` (bands, ...), widened by a tenth.

        Bands of about the same range get the widest of their ranges, so that grey ground stays grey.
        """
        limits = [_limits(band[seen & np.isfinite(band)]) for band, seen in zip(values, valid, strict=True)]
        low, width = np.array([low for low, _ in limits]), np.array([high - low for low, high in limits])
        if width.max() < ALIKE * width.min():
            width[:] = width.max()
        return cls(low, low + width)

    def apply(self, values: NDArray[np.generic]) -> NDArray[np.float32]:
        """`values` (bands, y, x) as light from 0 to 1."""
        low, high = self.low[:, None, None], self.high[:, None, None]
        with np.errstate(over="ignore"):  # numbers for 'nothing here' may be as large as a float can be
            light = (np.nan_to_num(values.astype(np.float64)) - low) / (high - low)
        return np.clip(light, 0, 1).astype(np.float32)

    def paint(self, values: NDArray[np.generic], valid: NDArray[np.bool_]) -> RGB:
        """`values` (1 or 3, y, x) as a picture (y, x, 3); grey where no shown band is valid."""
        gamma = GAMMA if len(values) == 3 else 1.0
        light = np.rint(255 * self.apply(values) ** gamma).astype(np.uint8) * valid
        picture = np.moveaxis(np.broadcast_to(light, (3, *light.shape[1:])), 0, -1).copy()
        picture[~valid.any(axis=0)] = NOTHING
        return picture


def _limits(values: NDArray[np.generic]) -> tuple[float, float]:
    if not values.size:
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(values.astype(np.float64), (LOW, HIGH)))
    spare = 0.1 * (high - low) or 0.5
    return low - spare / 2, high + spare


def enlarge(values: NDArray[np.generic], valid: NDArray[np.bool_], scale: tuple[int, int]) -> NDArray[np.float32]:
    """`values` (bands, y, x) at `scale` by bicubic interpolation, outer edges kept, invalid pixels filled before."""
    usable = valid & np.isfinite(values)
    size = (values.shape[2] * scale[1], values.shape[1] * scale[0])
    bands = fill_invalid(values, usable).astype(np.float32)
    return np.stack([np.asarray(Image.fromarray(band).resize(size, Image.Resampling.BICUBIC)) for band in bands])


def fit(picture: RGB, side: int, enlarged: int) -> RGB:
    """`picture` made smaller, to about `side` along its longer side, or larger, a whole number of times: `enlarged`."""
    longer = max(picture.shape[:2])
    if longer <= side:
        times = max(1, enlarged // longer)
        return picture.repeat(times, axis=0).repeat(times, axis=1)
    size = [max(1, round(n * side / longer)) for n in picture.shape[:2]]
    return np.asarray(Image.fromarray(picture).resize((size[1], size[0]), Image.Resampling.BOX))


def nearest(valid: NDArray[np.bool_], scale: tuple[int, int]) -> NDArray[np.bool_]:
    """`valid` (bands, y, x) with each pixel repeated `scale` times."""
    return valid.repeat(scale[0], axis=1).repeat(scale[1], axis=2)


@dataclass(frozen=True)
class Panel:
    """A picture with a line of text above it."""

    label: str
    picture: RGB
    frame: tuple[int, int, int, int] | None = None
    """Left, top, right, bottom of a frame to draw, in pixels of `picture`."""


def compose(rows: Sequence[Sequence[Panel]]) -> bytes:
    """Rows of panels as a PNG, at most about MAX_BYTES long: in 256 colours when that is needed."""
    font = ImageFont.load_default(size=15)
    widths = [sum(_width(panel, font) + GAP for panel in row) + GAP for row in rows]
    heights = [max(panel.picture.shape[0] for panel in row) + LINE + GAP for row in rows]
    sheet = Image.new("RGB", (max(widths), sum(heights) + GAP), PAPER)
    pen, top = ImageDraw.Draw(sheet), GAP // 2
    for row, height in zip(rows, heights, strict=True):
        left = GAP
        for panel in row:
            pen.text((left, top + 2), panel.label, INK, font)
            sheet.paste(Image.fromarray(panel.picture), (left, top + LINE))
            if panel.frame is not None:
                a, b, c, d = panel.frame
                pen.rectangle((left + a, top + LINE + b, left + c, top + LINE + d), outline=FRAME, width=2)
            left += _width(panel, font) + GAP
        top += height
    return _png(sheet)


def _width(panel: Panel, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> int:
    return max(int(panel.picture.shape[1]), int(font.getlength(panel.label)) + 1)


def _png(sheet: Image.Image) -> bytes:
    full = _saved(sheet)
    return full if len(full) <= MAX_BYTES else _saved(sheet.quantize(256, Image.Quantize.FASTOCTREE))


def _saved(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    # pixels are repeated: looking for runs alone takes a third of the time, and few bytes more
    picture.save(out, "PNG", compress_type=RLE)
    return out.getvalue()


def as_jpeg(picture: bytes, at_most: int) -> bytes:
    """A picture as a JPEG of `at_most` bytes: first of less quality, then of half the size, and so on."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    while True:
        for quality in (85, 70, 50, 35):
            image.save(made := io.BytesIO(), "JPEG", quality=quality, optimize=True)
            if made.tell() <= at_most or (quality == 35 and max(image.size) == 1):
                return made.getvalue()
        image = image.resize((max(1, image.width // 2), max(1, image.height // 2)), Image.Resampling.LANCZOS)
