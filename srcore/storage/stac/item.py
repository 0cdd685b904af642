"""The STAC item beside a product: what it is, where and when it lies, what it was made of. STAC 1.1.

Extensions: projection 2.0, raster 2.0 and file 2.1. Hrefs are relative, keys are sorted, and no time enters but
those that are given: the same product has the same item.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pystac
from pyproj import CRS
from pyproj.exceptions import CRSError

from srcore.grid import Grid
from srcore.storage.band import Band
from srcore.storage.cog import read_statistics
from srcore.storage.cube.attributes import variable_names
from srcore.storage.disk.files import sha256_file
from srcore.storage.header import Header
from srcore.storage.product import product_format
from srcore.storage.remote.address import file_name
from srcore.storage.stac.catalog import item_links
from srcore.storage.stac.footprint import Footprint, fitted, footprint

PROJECTION = "https://stac-extensions.github.io/projection/v2.0.0/schema.json"
RASTER = "https://stac-extensions.github.io/raster/v2.0.0/schema.json"
FILE = "https://stac-extensions.github.io/file/v2.1.0/schema.json"
OF_SCENE = {
    "eo": "https://stac-extensions.github.io/eo/v1.1.0/schema.json",
    "view": "https://stac-extensions.github.io/view/v1.0.0/schema.json",
    "sat": "https://stac-extensions.github.io/sat/v1.1.0/schema.json",
    "grid": "https://stac-extensions.github.io/grid/v1.1.0/schema.json",
}
"""Prefix of what a provider's metadata say of the scene to its extension."""
COMMON_NAMES = frozenset(
    [
        "coastal",
        "blue",
        "green",
        "red",
        "rededge",
        "yellow",
        "pan",
        "nir",
        "nir08",
        "nir09",
        "cirrus",
        "swir16",
        "swir22",
        "lwir",
        "lwir11",
        "lwir12",
    ]
)
"""Those that version 1 of the eo extension knows."""

SHA2_256 = "1220"
"""Multihash: the function's code and the digest's length, in hex."""


@dataclass(frozen=True)
class ProductFacts:
    """What the files of a product do not say of it."""

    id: str
    sources: tuple[str, ...] = ()
    """Names of the source files, without their folders; or addresses."""
    quicklook: Path | None = None
    trust: Path | None = None
    cube: Path | None = None
    properties: Mapping[str, Any] = field(default_factory=dict)
    """More properties, their names beginning with 'srcore:', such as srcore:model."""
    sha256: str | None = None
    """Of the product, when it is known already."""
    dataset: str = ""
    """Whose collection the item is of; '' for one that lies by itself."""


def _times(header: Header) -> tuple[datetime | None, dict[str, str]]:
    """`datetime`, and the properties around it: null where nothing says it, with a stretch of time that holds it."""
    taken = header.taken
    assert taken is not None, "PLAN looks for it"
    stretch = {"start_datetime": taken.first, "end_datetime": taken.last}
    if not taken.source:
        return None, stretch
    return datetime.fromisoformat(taken.first), {
        "srcore:datetime_by": taken.source,
        **(stretch if taken.last != taken.first else {}),
    }


def build_item(product: Path, header: Header, scale: Sequence[int], facts: ProductFacts) -> pystac.Item:
    """The item of a product: `header` of the LR scene, `scale` SR pixels per LR pixel on each axis.

    Geometry is null where the scene has no place on the globe: without a CRS, and for a volume.
    """
    grid = header.grid.scaled(scale)
    outline = _footprint(grid, header, scale) if header.kind == "raster" else None
    when, times = _times(header)
    item = pystac.Item(
        id=facts.id,
        geometry=None if outline is None else outline.geometry,
        bbox=None if outline is None else outline.bbox,
        datetime=when,
        properties={
            **header.properties,
            **facts.properties,
            **times,
            "srcore:scale": [int(s) for s in scale],
            "srcore:lr_shape": list(header.grid.shape),
            **({"srcore:flags": list(header.flags)} if header.flags else {}),
            **(_projection(grid, header, outline) if header.kind == "raster" else {}),
        },
        stac_extensions=_extensions(header),
    )
    item.add_asset("data", _data_asset(product, header, grid, facts))
    if facts.quicklook is not None:
        item.add_asset("quicklook", _quicklook_asset(facts.quicklook))
    if facts.trust is not None:
        item.add_asset("trust", _trust_asset(facts.trust, header))
    if facts.cube is not None:
        item.add_asset("zarr", _cube_asset(facts.cube, header))
    if facts.dataset:
        item.collection_id = facts.dataset
        for link in item_links(facts.dataset, None if when is None else when.strftime("%Y-%m")):
            item.add_link(pystac.Link(link["rel"], link["href"], link["type"], link.get("title")))
    for name in facts.sources:
        href, called = (name, file_name(name)) if "://" in name else (f"./{Path(name).name}", Path(name).name)
        item.add_link(pystac.Link("derived_from", href, title=f"LR source {called}"))
    return item


def _extensions(header: Header) -> list[str]:
    if header.kind == "volume":
        return [FILE]
    used = {name.partition(":")[0] for name in header.properties}
    used |= {"eo"} if _is_named(header) else set()
    return [FILE, PROJECTION, RASTER, *(uri for prefix, uri in OF_SCENE.items() if prefix in used)]


def _footprint(grid: Grid, header: Header, scale: Sequence[int]) -> Footprint | None:
    if not header.lies_by_points:
        return footprint(grid)
    located = fitted(header.grid, header.gcps, header.gcps_crs)
    return footprint(located.scaled(scale))


def _projection(grid: Grid, header: Header, outline: Footprint | None) -> dict[str, Any]:
    """The projection extension's fields, and gsd where the unit is a length."""
    crs = _crs(header.gcps_crs if header.lies_by_points else grid.crs)
    found: dict[str, Any] = {"proj:shape": list(grid.shape), "proj:code": None}
    if crs is not None:
        authority = crs.to_authority(min_confidence=100)
        found["proj:code"] = None if authority is None else ":".join(authority)
        found["proj:wkt2"] = crs.to_wkt()
    if not header.lies_by_points:
        found["proj:transform"] = [float(v) for v in grid.gdal_affine]
        found["proj:bbox"] = list(grid.bounds())
    metres = _resolution(grid, header)
    if metres is not None:
        found["gsd"] = metres
    if outline is not None:
        found["proj:centroid"] = {"lat": outline.centroid[1], "lon": outline.centroid[0]}
    return found


def _crs(text: str | None) -> CRS | None:
    try:
        return None if text is None else CRS.from_user_input(text)
    except CRSError:
        return None


def _resolution(grid: Grid, header: Header) -> float | None:
    """The larger side of a pixel in metres; None unless the grid is in a projected CRS."""
    crs = _crs(grid.crs)
    if crs is None or header.lies_by_points or not crs.is_projected:
        return None
    return float(max(grid.spacing())) * float(crs.axis_info[0].unit_conversion_factor)


def _data_asset(product: Path, header: Header, grid: Grid, facts: ProductFacts) -> pystac.Asset:
    digest = facts.sha256 or sha256_file(product)
    fields = {"file:size": product.stat().st_size, "file:checksum": SHA2_256 + digest}
    form = product_format(product.name, header.kind)
    if form.name == "cog":
        statistics, resolution = read_statistics(product, len(header.bands)), _resolution(grid, header)
        fields["bands"] = [_band(b, header, s, resolution) for b, s in zip(header.bands, statistics, strict=True)]
        if _is_named(header):  # odc-stac and others find a band of several by these alone
            fields["eo:bands"] = [_eo_band(band) for band in header.bands]
    media_type = "application/gzip" if product.suffix.lower() == ".gz" else form.media_type
    return pystac.Asset(f"./{product.name}", form.title, None, media_type, ["data"], fields)


def _band(band: Band, header: Header, statistics: dict[str, float], resolution: float | None) -> dict[str, Any]:
    value: dict[str, Any] = {
        "name": band.name,
        "data_type": header.dtype,
        "raster:scale": band.scale,
        "raster:offset": band.offset,
    }
    if header.nodata == "nan":
        value["nodata"] = "nan"
    elif header.nodata == "tag" and band.nodata is not None:
        value["nodata"] = _number(band.nodata)
    if band.common:
        value["eo:common_name"] = band.common
    if band.unit:
        value["unit"] = band.unit
    if resolution is not None:
        value["raster:spatial_resolution"] = resolution
    if statistics:
        value["statistics"] = statistics
    return value


def _is_named(header: Header) -> bool:
    return any(band.common or band.name != f"band {band.index}" for band in header.bands)


def _eo_band(band: Band) -> dict[str, str]:
    return {"name": band.name, **({"common_name": band.common} if band.common in COMMON_NAMES else {})}


def _number(value: float) -> float | str:
    """JSON has no NaN and no infinity; STAC writes them as words."""
    if np.isnan(value):
        return "nan"
    return value if np.isfinite(value) else ("inf" if value > 0 else "-inf")


def _trust_asset(path: Path, header: Header) -> pystac.Asset:
    fields = {"file:size": path.stat().st_size, "file:checksum": SHA2_256 + sha256_file(path), "nodata": "nan"}
    fields["bands"] = [{"name": band.name, "data_type": "float32"} for band in header.bands]
    text = "For each pixel and band, the half width in DN of the interval that holds the true value"
    media_type = product_format(path.name, header.kind).media_type
    return pystac.Asset(f"./{path.name}", "Trust map", text, media_type, ["uncertainty"], fields)


def _cube_asset(path: Path, header: Header) -> pystac.Asset:
    fields = {"file:size": path.stat().st_size, "file:checksum": SHA2_256 + sha256_file(path)}
    names = zip(variable_names([band.name for band in header.bands]), header.bands, strict=True)
    bands = [{"name": name, "data_type": header.dtype, "description": band.name} for name, band in names]
    text = "Zarr 3 in a ZIP: a variable a band, coordinates at pixel centres, CF grid mapping, GeoZarr levels"
    kind = "application/vnd.zarr; version=3; profile=zip"
    return pystac.Asset(
        f"./{path.name}", "Super-resolved image (Zarr)", text, kind, ["data"], {**fields, "bands": bands}
    )


def _quicklook_asset(path: Path) -> pystac.Asset:
    fields = {"file:size": path.stat().st_size, "file:checksum": SHA2_256 + sha256_file(path)}
    roles = ["thumbnail", "overview"]
    return pystac.Asset(f"./{path.name}", "LR bicubic | SR", None, pystac.MediaType.PNG, roles, fields)
