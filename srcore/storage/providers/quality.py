"""Quality layers: which numbers, or bits, of a provider's layer mean cloud, shadow, snow and the like.

    SCL       scene classification of Sentinel-2 L2A: a class a pixel
    CLASSI    opaque clouds, cirrus and snow of Sentinel-2 L1C: a band each
    QA_PIXEL  Landsat Collection 2: a bit each
    Fmask     HLS: a bit each
    udm2      PlanetScope: a band each
    a path    a mask of the user's: what is not 0 is meant

Sources: the product specifications of the providers (Sentinel-2 PSD 14.9, Landsat 8-9 C2 L2 DFCB, HLS user guide 2.0,
Planet's UDM 2).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from srcore.errors import SourceError
from srcore.storage.band import Quality

USE = ("cloud", "shadow", "cirrus")
"""What is meant where nobody says it: what hides the ground."""

CLASSES: Mapping[str, Mapping[str, tuple[int, ...]]] = {
    "SCL": {
        "nodata": (0,),
        "saturated": (1,),
        "dark": (2,),
        "shadow": (3,),
        "vegetation": (4,),
        "soil": (5,),
        "water": (6,),
        "unclassified": (7,),
        "cloud": (8, 9),
        "cirrus": (10,),
        "snow": (11,),
    }
}
"""Layer to word to the numbers of a pixel."""
BITS: Mapping[str, Mapping[str, tuple[int, ...]]] = {
    "QA_PIXEL": {
        "nodata": (0,),
        "dilated": (1,),
        "cirrus": (2,),
        "cloud": (3,),
        "shadow": (4,),
        "snow": (5,),
        "clear": (6,),
        "water": (7,),
    },
    "Fmask": {"cirrus": (0,), "cloud": (1,), "dilated": (2,), "shadow": (3,), "snow": (4,), "water": (5,)},
}
"""Layer to word to the bits of a pixel."""
BANDS: Mapping[str, Mapping[str, tuple[int, ...]]] = {
    "CLASSI": {"cloud": (1,), "cirrus": (2,), "snow": (3,)},
    "udm2": {
        "clear": (1,),
        "snow": (2,),
        "shadow": (3,),
        "haze": (4, 5),
        "cloud": (6,),
        "unusable": (8,),
        "cirrus": (),
    },
}
"""Layer to word to the bands that are not 0. What has no bands is not told apart by the layer."""
FILL = {"SCL": 0, "Fmask": 255}
"""Layer to the number of a pixel that was not seen; in QA_PIXEL it is bit 0."""
_BESIDE = (
    ("QA_PIXEL", re.compile(r"(?P<stem>L[COTEM]0\d_.+?_(?:T1|T2|RT))_.+\.TIFF?", re.IGNORECASE), "{stem}_QA_PIXEL.TIF"),
    ("Fmask", re.compile(r"(?P<stem>HLS\.[SL]30\..+\.v\d\.\d)\.B\w\w\.tiff?"), "{stem}.Fmask.tif"),
    (
        "udm2",
        re.compile(r"(?P<stem>.+_3B)_(?:Analytic|Visual|BasicAnalytic)\w*?(?P<rest>_clip)?\.tiff?"),
        "{stem}_udm2{rest}.tif",
    ),
)
"""Layer to the name of a raster, and that of the layer beside it."""


@dataclass(frozen=True)
class Rule:
    """Which pixels of a layer's file are meant."""

    values: tuple[int, ...] = ()
    """Those with one of these numbers, in its first band."""
    bits: int = 0
    """Those with one of these bits, in its first band."""
    bands: tuple[int, ...] = ()
    """Those that are not 0 in one of these bands, from 1."""
    fill: int | None = None
    """Number of a pixel that was not seen, and does not count in a share."""
    fill_bit: int = 0
    """The same as a bit."""


def known_layers() -> tuple[str, ...]:
    """Names that a layer can have, beside a path."""
    return (*CLASSES, *BITS, *BANDS)


def rule_of(layer: str, use: Sequence[str | int] | None) -> Rule:
    """What `use` means in a layer: words, and numbers of classes, bits or bands; SourceError for an unknown word.

    A layer that does not tell cirrus from cloud, or has none, is no error: what it knows of USE counts.
    """
    if layer not in known_layers():
        return Rule(bands=tuple(int(one) for one in use) if use else (1,))
    table = {**CLASSES, **BITS, **BANDS}[layer]
    found: list[int] = []
    for word in use if use is not None else [one for one in USE if one in table]:
        if isinstance(word, int):
            found.append(word)
        elif word in table:
            found += table[word]
        else:
            raise SourceError(
                f"quality layer {layer} has no {word!r}",
                ", ".join(table),
                "use some of these, or numbers",
                code="BAD_SETTING",
            )
    chosen = tuple(dict.fromkeys(found))
    if layer in CLASSES:
        return Rule(values=chosen, fill=FILL.get(layer))
    if layer in BITS:
        return Rule(bits=sum(1 << bit for bit in chosen), fill=FILL.get(layer), fill_bit=layer == "QA_PIXEL")
    return Rule(bands=chosen)


def beside(path: Path) -> tuple[str, Path] | None:
    """The layer that a provider ships beside a raster, by their names, and its file, which is there."""
    for layer, pattern, form in _BESIDE:
        match = pattern.fullmatch(path.name)
        if match is None:
            continue
        name = form.format(stem=match["stem"], rest=match.groupdict().get("rest") or "")
        alike = [one for one in (name, name.replace(".TIF", ".tif")) if (path.parent / one).is_file()]
        if alike:
            return layer, path.parent / alike[0]
    return None


def meant(layer: Quality, read: Any, window: Window) -> NDArray[np.bool_]:
    """(Y, X) of a window of the layer's own file: what the rule means. `read`: rasterio's."""
    if layer.bands:
        return np.asarray((read(list(layer.bands), window=window) != 0).any(axis=0))
    values = read(1, window=window)
    return np.asarray(np.isin(values, layer.values) | ((values.astype(np.int64) & layer.bits) != 0))
