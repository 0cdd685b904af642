"""The words of a raster: which of its tags stay true at another scale, and text in whatever encoding."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

UNTRUE = re.compile(
    r"STATISTICS_|OVR_RESAMPLING|RESAMPLING|TIFFTAG_([XY]RESOLUTION|RESOLUTIONUNIT|(MIN|MAX)SAMPLEVALUE|SOFTWARE)"
    r"|NODATA_VALUES|HISTOGRAM|CACHE_PATH|OVERVIEW_FILE|MASK_|DERIVED_|METADATATYPE"
)
"""Names of tags that say something of the LR pixels or of the file's inside: false for the product."""
LAYOUT = re.compile(r"Aperio|ImageJ=|<\?xml|<OME|\{\"shape\"")
"""Image descriptions by which programs say how the file is laid out, and some also who made it."""
MAX_TAG = 4096
"""Characters of a tag that is kept."""


def text(ask: Callable[[], Any], otherwise: Any, flags: list[str]) -> Any:
    """What `ask` gives; `otherwise`, flagged, when the file's text is in no encoding that rasterio knows."""
    try:
        return ask()
    except UnicodeDecodeError:
        flags.append("dropped text that is not UTF-8")
        return otherwise


def true_tags(tags: dict[str, str], flags: list[str]) -> dict[str, str]:
    """The tags that stay true at another scale; the names of the others go to `flags`."""
    kept = {}
    for name, value in tags.items():
        if name == "AREA_OR_POINT":
            continue
        if UNTRUE.match(name) or len(value) > MAX_TAG or (name == "TIFFTAG_IMAGEDESCRIPTION" and LAYOUT.match(value)):
            flags.append(f"dropped tag {'STATISTICS_*' if name.startswith('STATISTICS_') else name}")
        else:
            kept[name] = value
    return kept
