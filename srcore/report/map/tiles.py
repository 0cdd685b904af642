"""A tile as a PNG: product and LR in the same light."""

from __future__ import annotations

import io
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from srcore.report.panels import Stretch, display_bands
from srcore.storage.header import Header
from srcore.storage.view.frame import Frame, Place
from srcore.storage.view.lay import Drawn
from srcore.storage.view.product import open_product
from srcore.storage.view.source import source_tile

FAST = 1
"""zlib's level: it is shown once, on the same machine."""


def product_tile(path: Path, digest: str, place: Place) -> bytes | None:
    """A tile of a published raster, whose sha256 is `digest`; None where it lies beside it. SourceError as
    `open_product`."""
    stretch, bands, _ = look(path, digest)
    with open_product(path) as view:
        found = view.tile(place, bands)
    return None if found is None else _png(stretch, found)


def lr_tile(path: Path, digest: str, header: Header, place: Place) -> bytes | None:
    """The same of the LR that it was made of; None also where it would take too much."""
    stretch, bands, frame = look(path, digest)
    if max(bands) >= len(header.bands):
        return None
    found = source_tile(header, frame, place, bands)
    return None if found is None else _png(stretch, found)


@lru_cache(maxsize=64)
def look(path: Path, _digest: str) -> tuple[Stretch, tuple[int, ...], Frame]:
    """Of a published raster: what is black and white in all of its tiles, the bands that are shown, and its frame."""
    with open_product(path) as view:
        bands = display_bands(view.names, view.colours)
        return Stretch.of(*view.preview(bands)), bands, view.frame


def _png(stretch: Stretch, drawn: Drawn) -> bytes:
    values, valid = drawn
    picture = stretch.paint(values, valid)
    opaque = (255 * valid.any(axis=0)).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(np.dstack([picture, opaque]), "RGBA").save(out, "PNG", compress_level=FAST)
    return out.getvalue()
