"""The key `products`: what can be published of a scene of each kind."""

from __future__ import annotations

from typing import Literal

Output = Literal["cog", "nifti", "dicom", "stac", "report", "quicklook", "trust", "zarr"]
OUTPUTS: dict[str, tuple[Output, ...]] = {
    "raster": ("cog", "stac", "report", "quicklook", "trust", "zarr"),
    "volume": ("nifti", "dicom", "report", "quicklook", "trust", "zarr"),
}
"""What can be published of a scene of each kind."""
DATA: dict[str, tuple[Output, ...]] = {"raster": ("cog",), "volume": ("nifti", "dicom")}
"""What the data can be written as: one of them always is, the first where nothing is said."""
ON_DEMAND: frozenset[Output] = frozenset({"trust", "dicom", "zarr"})
"""What is published only where a dataset names it: a trust map is eight times the work, a Zarr the pixels once more."""


def usual(kind: str) -> tuple[Output, ...]:
    """What is published where nothing is said, the data first."""
    return tuple(one for one in OUTPUTS[kind] if one not in ON_DEMAND)


def in_order(kind: str, wanted: tuple[Output, ...]) -> tuple[Output, ...]:
    """What is wanted, the data first; ValueError for what the kind does not have, or without data."""
    known, data = OUTPUTS[kind], DATA[kind]
    if len(set(wanted) & set(data)) != 1 or len(set(wanted)) < len(wanted) or not set(wanted) <= set(known):
        told = f"a {kind} has {', '.join(known)}, each once"
        raise ValueError(f"{told}, and never goes without {' or '.join(data)}{', one of them' * (len(data) > 1)}")
    return tuple(one for one in known if one in wanted)
