"""What GDAL writes into the head of a product: taken from a tiny one of the same header, made in memory.

GDAL is the authority on every tag, and writes them for a few pixels as it would for a whole scene, but for sizes and
places. So there is one writer of products, and nothing here knows how a CRS becomes GeoKeys.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from rasterio.io import DatasetWriter, MemoryFile

from srcore.storage.cog.product import Product
from srcore.storage.cog.profile import (
    band_tags,
    colour_table,
    colours,
    dataset_tags,
    domains,
    georeference,
    nodata_tag,
    product_bands,
)
from srcore.storage.cog.statistics import Statistics
from srcore.storage.raster.directories import OVERVIEW_BIT, PHOTOMETRIC, SHORT, SUBFILE_TYPE, Field, directories
from srcore.storage.raster.gdal import gdal_env
from srcore.tiling import TIFF_STEP

COG = {
    "driver": "COG",
    "COMPRESS": "ZSTD",
    "OVERVIEW_COMPRESS": "ZSTD",
    "PREDICTOR": "YES",
    "OVERVIEW_PREDICTOR": "YES",
    "BIGTIFF": "YES",
    "NUM_THREADS": "1",
}


GDAL_METADATA = 42112
"""Tag of GDAL's own, an XML of all words in all domains."""


@dataclass(frozen=True)
class Value:
    """The value of one tag, as stored (little endian)."""

    type: int
    count: int
    data: bytes


def model_tags(product: Product, statistics: Sequence[Statistics]) -> dict[int, dict[int, Value]]:
    """All tags of the product's directories, by TIFF's NewSubfileType: the scene 0, an overview 1, their masks 4 and 5.

    Sizes, and where the tiles lie, are those of a tiny product: of a pixel, or of one more than a block holds where the
    product has overviews.
    """
    width = TIFF_STEP + 1 if len(product.shapes) > 1 else 1
    base, cog = written_by_gdal(product, statistics, (1, width), TIFF_STEP)
    found = tags_of(cog)
    if any(domains(product.header)):  # a copy has lost them
        found[0][GDAL_METADATA] = tags_of(base)[0][GDAL_METADATA]
    if product.header.white_is_zero:  # GDAL's driver of COGs has no option for it
        for kind in (0, OVERVIEW_BIT):
            if kind in found:
                found[kind][PHOTOMETRIC] = Value(SHORT, 1, bytes(2))
    return found


def tags_of(data: bytes) -> dict[int, dict[int, Value]]:
    """All tags of the COG `data`, by NewSubfileType; of several overviews the last one's."""
    found: dict[int, dict[int, Value]] = {}
    for fields, order in directories(BytesIO(data), Path("the model of a product"), len(data)):
        assert order == "<", "little endian, as the product's tiles"
        tags = {tag: _value(data, field) for tag, field in fields.items()}
        kind = int.from_bytes(tags[SUBFILE_TYPE].data, "little") if SUBFILE_TYPE in tags else 0
        found[kind] = tags
    return found


def _value(data: bytes, field: Field) -> Value:
    return Value(field.type, field.count, data[field.offset : field.offset + field.count * field.width])


def written_by_gdal(
    product: Product, statistics: Sequence[Statistics], shape: tuple[int, int], block: int
) -> tuple[bytes, bytes]:
    """A TIFF of zeros of another shape that says of itself what the product must, and a COG of it in such blocks."""
    header = product.header
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "height": shape[0],
        "width": shape[1],
        "count": product.count,
        "dtype": header.dtype,
        "nodata": nodata_tag(header),
    }
    # it warns of blocks below 128, and makes them
    options = {"GDAL_TIFF_INTERNAL_MASK": "YES", "GDAL_VALIDATE_CREATION_OPTIONS": "NO"}
    with gdal_env(), rasterio.Env(**options), MemoryFile() as base, MemoryFile() as cog:
        with base.open(**profile, **georeference(product)) as target:
            # before the first pixel: GDAL cannot turn a band into an alpha band of a file that has data
            target.colorinterp = colours(header)
            if header.bands[0].palette:
                target.write_colormap(1, colour_table(header))
            target.write(np.zeros((product.count, *shape), header.dtype))
            if product.is_masked:
                target.write_mask(np.ones(shape, bool))
            _describe(target, product, statistics)
        rasterio.shutil.copy(base.name, cog.name, **COG, BLOCKSIZE=str(block))
        return base.read(), cog.read()


def _describe(target: DatasetWriter, product: Product, statistics: Sequence[Statistics]) -> None:
    """Everything that the header says in words: names, scale, offset, unit, tags; and the statistics."""
    header, bands = product.header, product_bands(product.header)
    target.update_tags(**dataset_tags(header))
    target.descriptions = tuple(band.name for band in bands)
    target.scales = tuple(band.scale for band in bands)
    target.offsets = tuple(band.offset for band in bands)
    target.units = tuple(band.unit or "" for band in bands)
    for index, tags in enumerate(band_tags(header, statistics), 1):
        target.update_tags(index, **tags)
    for index, found in enumerate(domains(header)):
        for domain, tags in found.items():
            target.update_tags(index, ns=domain, **tags)
