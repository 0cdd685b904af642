"""What a derived series says of how it was made, and whether it is one file or many. Knows no pydicom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from srcore.choices import Identity
from srcore.storage.header import Header

MOST_FRAME_BYTES = 2**32 - 2
"""Of pixels in one file: their length is a number of 32 bits, and even."""


@dataclass(frozen=True)
class Facts:
    """How a series was derived."""

    sources: tuple[str, ...]
    """sha256 of every file of the source."""
    model: str
    model_digest: str
    configuration: str
    """sha256 over all but the sources that decides the product."""
    identity: Identity
    """Whether what tells of the patient stays."""


def classic_because(header: Header, scale: Sequence[int]) -> str:
    """Why a derived series has a classic file a slice, in words; '' where it is one enhanced file, as its source is."""
    voxel = np.dtype(header.dtype).itemsize
    told = (
        (not header.extra["enhanced"], "its source is classic"),
        (prod(header.grid.scaled(scale).shape) * voxel > MOST_FRAME_BYTES, "an enhanced file holds 4 GiB at most"),
        (voxel != 2, f"an enhanced file has 16 bits a pixel, and the source {8 * voxel}"),
        (header.extra["photometric"] != "MONOCHROME2", "an enhanced file draws its greatest number white"),
    )
    return next((why for holds, why in told if holds), "")
