"""A band that is called alpha: a mask, or data that GDAL calls so because it is the fourth of a photograph.

Aerial imagery in red, green, blue and near infrared carries no more than 'four bands, RGB': by default GDAL then calls
the last one alpha, and its dark pixels would hide the others. The values tell: a mask is 0 or full nearly everywhere.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from rasterio.windows import Window

from srcore.errors import SourceError
from srcore.storage.raster.open_file import OpenFile

WINDOWS, SIDE = 4, 256
"""Windows on each axis that are looked at, and pixels on a side of each."""
FEW, MOST = 0.02, 0.5
"""Share between 0 and full up to which it is a mask, and from which on it is data."""


def alpha_band(file: OpenFile, names: list[str | None]) -> int | None:
    """The 1-based band whose zeros hide the others; None where no band does. Flags say what was decided.

    SourceError ALPHA when the values do not tell, and nobody says.
    """
    called = [i for i in file.dataset.indexes if file.colour(i) == "alpha"]
    if not called:
        return None
    index, rule = called[0], file.wish.alpha
    if rule == "data":
        return None
    named = file.wish.bands is not None and {str(index), names[index - 1]} & set(file.wish.bands)
    if named and rule == "mask":
        what, do = f"{file.path}: band {index} is the mask", "take it out of the bands, or alpha: mask"
        raise SourceError(what, "it among the bands", do, code="BAD_SETTING")
    if named:
        file.flag(f"band {index} is called alpha and is named: it is data and hides nothing")
        return None
    return index if rule == "mask" or _is_mask(file, index) else None


def _is_mask(file: OpenFile, index: int) -> bool:
    between = _share_between(file.dataset, index)
    if between <= FEW:
        return True
    what = f"band {index} is called alpha, and {100 * between:.0f} % of it lies between 0 and full"
    if between < MOST:
        do = "say which it is: --alpha mask or --alpha data (alpha: in the catalog)"
        raise SourceError(f"{file.path}: {what}", "neither a mask nor plainly data", do, code="ALPHA")
    file.flag(f"{what}: it is taken as data; --alpha mask makes it hide the others")
    return False


def _share_between(dataset: Any, index: int) -> float:
    """Share of a sample of a band that is neither 0 nor its greatest number."""
    sides = [min(SIDE, n) for n in (dataset.height, dataset.width)]
    starts = [
        np.unique(np.linspace(0, n - side, WINDOWS).astype(int))
        for n, side in zip((dataset.height, dataset.width), sides, strict=True)
    ]
    windows = [Window(int(col), int(row), sides[1], sides[0]) for row, col in product(*starts)]
    values = np.concatenate([dataset.read(index, window=window).ravel() for window in windows])
    full = np.fmax.reduce(values, initial=0)
    return float(np.mean((values != 0) & (values != full)))
