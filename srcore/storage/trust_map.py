"""The trust map as a file: the product's grid and bands, half widths in DN as float32, NaN where nothing is known."""

from __future__ import annotations

from dataclasses import replace

from srcore.storage.header import Header


def trust_header(header: Header) -> Header:
    """The LR header that a trust map is written under, for the `header` of the scene.

    A width has the band's scale and unit, but no offset: half a width of 0 DN is 0 in every unit.
    """
    bands = tuple(replace(band, nodata=None, offset=0.0, colour="undefined", tags={}) for band in header.bands)
    return replace(header, bands=bands, dtype="float32", nodata="nan", alpha=None)
