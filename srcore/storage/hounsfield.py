"""Whether the numbers of a volume are Hounsfield units, and by which slope and intercept."""

from __future__ import annotations

from collections.abc import Sequence

from srcore.storage.header import Header

AIR_HU = (-1100.0, -900.0)
"""Where the least number of a CT lies: air is -1000."""
Scale = tuple[float, float]
"""Slope and intercept."""


def hounsfield_of(header: Header, ends: Sequence[tuple[float, float] | None]) -> Scale | None:
    """Slope and intercept from stored numbers to HU, for a volume that says HU or whose least number is that of air;
    None for any other."""
    band = header.bands[0]
    if header.kind != "volume" or band.is_copied:
        return None
    if band.unit == "HU":
        return band.scale, band.offset
    own = ends[0] if ends else None
    if band.unit is not None or own is None or "modality" in header.extra:
        return None
    least = min(end * band.scale + band.offset for end in own)
    return (band.scale, band.offset) if AIR_HU[0] <= least <= AIR_HU[1] else None
