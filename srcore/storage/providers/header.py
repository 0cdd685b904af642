"""The header of a provider's product: its bands' rasters on the grid of the finest, with what the metadata say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Unpack

import numpy as np
from rasterio.crs import CRS
from rasterio.errors import CRSError

from srcore.errors import GridError
from srcore.grid import Grid
from srcore.storage.band import Band, Values
from srcore.storage.header import Header
from srcore.storage.providers.find import find_document, read_granule
from srcore.storage.providers.granule import ITEM, BandFile, Granule, chosen, metadata_error
from srcore.storage.providers.packed import is_packed
from srcore.storage.raster.gdal import gdal_env
from srcore.storage.raster.header import read_file
from srcore.storage.raster.validity import with_user_number
from srcore.storage.wish import Wish, Wishes

NEAR = 1e-3
"""Fraction of a fine pixel by which grids of one product may disagree in place."""
COLOURS = ("red", "green", "blue")
UNGUIDED = ("lwir", "lwir11", "lwir12", "cirrus")
"""Of Landsat: heat, which the sensor sees at 100 m, and clouds; neither has the detail of the ground's colours."""


def read_product_header(paths: Sequence[Path], **wishes: Unpack[Wishes]) -> Header:
    """The header of the product that lies in a folder, or is described by a metadata file, as a `Wish` asks for it.

    The form of its nodata is not decided yet. SourceError MISSING_BAND or BAD_METADATA, GridError for bands that do not
    lie on one nested grid.
    """
    wish = Wish.of(**wishes)
    document = find_document(Path(paths[0]))
    assert document is not None, "asked before"
    granule, packed = read_granule(document, wish.roots), is_packed(document)
    if packed:
        wish = replace(wish, roots=None)  # the archive lies where it may; what was unpacked lies in the cache
    header = granule_header(granule, wanted_bands(granule, wish.bands, document.parent, wish.guided), wish)
    return replace(header, packed=str(document.resolve())) if packed else header


def granule_header(granule: Granule, bands: Sequence[BandFile], wish: Wish) -> Header:
    """The header of some bands of a product, each a file; as `read_product_header`."""
    with gdal_env():
        headers = {band.path: _read_band(band, granule, wish) for band in bands}
    header = _on_one_grid(granule, bands, headers, wish.guided)
    return header if wish.nodata is None else with_user_number(header, wish.nodata)


def files_of(
    paths: Sequence[Path], bands: Sequence[str] | None, roots: Sequence[Path] | None, guided: int = 1
) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """The files that `read_product_header` would read, without opening a raster: those of bands, and metadata."""
    document = find_document(Path(paths[0]))
    assert document is not None, "asked before"
    if is_packed(document):
        return (document.resolve(),), ()
    granule = read_granule(document, roots)
    found = wanted_bands(granule, bands, document.parent, guided)
    return tuple(band.path.resolve() for band in found), tuple(one.resolve() for one in granule.documents)


def wanted_bands(granule: Granule, names: Sequence[str] | None, folder: Path, guided: int) -> tuple[BandFile, ...]:
    """The bands of these names; else all but Landsat's panchromatic one, whose grid begins inside that of the others,
    and which is good for a guide alone."""
    found = chosen(granule, names, folder)
    if names or guided > 1:
        return found
    return tuple(band for band in found if band.common != "pan") or found


def _read_band(band: BandFile, granule: Granule, wish: Wish) -> Header:
    """One file as a raster, and what the metadata say of it."""
    values = wish.values if wish.values != "auto" else "continuous"  # the provider says so: no look is needed
    header = read_file(band.path, replace(wish, values=values, bands=None))
    if len(header.bands) != 1 or header.alpha is not None:
        raise metadata_error(band.path, f"{len(header.bands)} bands where one is named")
    own = header.bands[0]
    told = replace(
        own,
        name=band.name,
        common=band.common,
        scale=band.scale,
        offset=band.offset,
        unit=band.unit or own.unit,
        colour=band.common if band.common in COLOURS else "undefined",
        hidden=own.hidden if granule.hidden is None else granule.hidden,
        values=_told_values(wish, band.name),
    )
    return replace(_placed(header, granule, band), bands=(told,))


def _told_values(wish: Wish, name: str) -> Values:
    rule = wish.values.get(name, "auto") if isinstance(wish.values, Mapping) else wish.values
    return "continuous" if rule == "auto" else rule


def _placed(header: Header, granule: Granule, band: BandFile) -> Header:
    """The header with the CRS of the metadata where the file has none; BAD_METADATA where the two do not agree."""
    path = band.path
    grid, told = header.grid, _crs(granule, path)
    if told is not None and grid.crs is None:
        grid = Grid(grid.shape, grid.affine, told.to_wkt())
    elif told is not None and CRS.from_user_input(grid.crs) != told:
        found = f"{CRS.from_user_input(grid.crs).to_string()[:60]}; the metadata say {granule.crs}"
        raise metadata_error(path, f"another CRS than in the metadata: {found}", "fetch the product again")
    corner = grid.to_world((0, 0))
    if granule.corner is not None and np.abs(np.subtract(corner, granule.corner)).max() > NEAR * min(grid.spacing()):
        raise metadata_error(
            path, f"its corner is {corner}, the metadata say {granule.corner}", "fetch the product again"
        )
    if granule.corner is not None and not _has_pixels_of(grid, band.gsd_m):
        found = f"its pixels have {grid.spacing()[0]:g} m, the metadata say {band.gsd_m:g}"
        raise metadata_error(path, found, "fetch the product again")
    flags = tuple(flag for flag in header.flags if told is None or flag != "no CRS")
    return replace(header, grid=grid, flags=flags)


def _has_pixels_of(grid: Grid, metres: float) -> bool:
    return bool(np.allclose(grid.spacing(), metres, rtol=NEAR))


def _crs(granule: Granule, path: Path) -> CRS | None:
    try:
        return None if granule.crs is None else CRS.from_user_input(granule.crs)
    except CRSError as error:
        raise metadata_error(path, f"the metadata name a CRS that is none: {granule.crs!r}") from error


def _on_one_grid(granule: Granule, bands: Sequence[BandFile], headers: Mapping[Path, Header], guided: int) -> Header:
    """One header of all bands: each with its zoom onto the grid of the finest."""
    finest = min(headers.values(), key=lambda one: one.grid.spacing())
    pan = _pan_inside(bands, headers) if guided > 1 else None
    finest = finest if pan is None else replace(finest, grid=pan)
    joined: list[Band] = []
    for band in bands:
        header = headers[band.path]
        _refuse_other(finest, header, band)
        if pan is not None and band.common == "pan":
            joined.append(replace(header.bands[0], between=True))
            continue
        zoom = _zoom(finest.grid, header.grid, band)
        seen = zoom == guided > 1 and band.common not in UNGUIDED and not header.bands[0].is_copied
        far = zoom > guided > 1 and band.common not in UNGUIDED and not header.bands[0].is_copied
        joined.append(replace(header.bands[0], zoom=zoom, guided=seen, injected=far))
    if not any(band.guided for band in joined):
        joined = [replace(band, injected=False) for band in joined]  # there are no guides
    flags = [*granule.flags, *_told_of(granule, bands, joined, finest.grid), *_other_pixels(granule, bands, headers)]
    own = [flag for band in bands for flag in headers[band.path].flags if not flag.startswith("no nodata")]
    return replace(
        finest,
        bands=tuple(joined),
        tags=dict(granule.tags),
        domains={},
        taken=granule.taken,
        properties=dict(granule.properties),
        beside=tuple(
            dict.fromkeys(
                (
                    *(str(one.resolve()) for one in granule.documents),
                    *(path for band in bands for path in headers[band.path].beside),
                )
            )
        ),
        flags=tuple(dict.fromkeys((*flags, *own))),
    )


def _refuse_other(finest: Header, header: Header, band: BandFile) -> None:
    if header.dtype != finest.dtype:
        raise metadata_error(band.path, f"{header.dtype} where the others are {finest.dtype}")
    if header.grid.crs != finest.grid.crs:
        raise metadata_error(band.path, "another CRS than the other bands")


def _zoom(fine: Grid, own: Grid, band: BandFile) -> int:
    """Pixels of the fine grid along one of the band's; GridError unless the two are nested and share their corner."""
    ratio = own.spacing()[0] / fine.spacing()[0]
    zoom = round(ratio)
    apart = np.abs(np.subtract(own.to_world((0, 0)), fine.to_world((0, 0)))).max() / min(fine.spacing())
    nested = tuple(n * zoom for n in own.shape) == fine.shape and abs(ratio - zoom) < NEAR and apart < NEAR
    if not nested:
        found = (
            f"{own.shape} px of {own.spacing()[0]:g} and {fine.shape} px of {fine.spacing()[0]:g}, {apart:.3g} px apart"
        )
        raise GridError(
            f"{band.path.name}: its grid is not nested in that of the finest band",
            found,
            "name bands of one resolution",
            code="BAD_GRID",
        )
    return zoom


def _told_of(granule: Granule, bands: Sequence[BandFile], joined: Sequence[Band], grid: Grid) -> list[str]:
    """What was done to bands, and what there is besides."""
    told = [f"{granule.product} {granule.id}"]
    by_zoom: dict[int, list[str]] = {}
    for band in joined:
        if not (band.guided or band.injected):
            by_zoom.setdefault(band.zoom, []).append(band.name)
    fine = min(grid.spacing())
    told += _guided(joined, fine)
    for zoom, names in sorted(by_zoom.items()):
        if zoom > 1:
            told.append(f"{', '.join(names)}: {fine * zoom:g} m brought to {fine:g} m by bicubic interpolation")
    coarse = [band.name for band in bands if band.gsd_m > band.native_m]
    if coarse:
        told.append(f"{', '.join(coarse)}: a coarser copy, the file of the sensor's own resolution is not there")
    if granule.missing and not granule.whole:
        told.append(f"named by the metadata and not there: {', '.join(one.name for one in granule.missing)}")
    pan = [band.name for band in granule.bands if band.common == "pan" and band not in bands]
    if pan:
        told.append(f"{', '.join(pan)} (15 m) left out: its grid begins inside that of the others")
    return told


def _other_pixels(granule: Granule, bands: Sequence[BandFile], headers: Mapping[Path, Header]) -> Iterator[str]:
    """What is said where the files have other pixels than the provider's product: a part of it, or a thinned copy."""
    grids = {band: headers[band.path].grid for band in bands}
    for gsd, told in granule.sizes.items():
        cut = {band.name: grid.shape for band, grid in grids.items() if band.gsd_m == gsd and grid.shape != told}
        if cut:
            own, there = (" x ".join(map(str, shape)) for shape in (next(iter(cut.values())), told))
            yield f"{', '.join(cut)}: {own} pixels, the metadata say {there}"
    metric = [band for band, grid in grids.items() if granule.product != ITEM and _is_projected(grid)]
    thinned = [band for band in metric if not _has_pixels_of(grids[band], band.gsd_m)]
    if thinned:
        names, size = ", ".join(band.name for band in thinned), max(grids[thinned[0]].spacing())
        yield f"{names}: pixels of {size:.6g} m, the provider's have {thinned[0].gsd_m:g} m"


def _is_projected(grid: Grid) -> bool:
    return grid.crs is not None and bool(CRS.from_user_input(grid.crs).is_projected)


def _guided(joined: Sequence[Band], fine: float) -> list[str]:
    """Which bands are brought to the grid of the finest by which others, and what becomes of these."""
    names = [band.name for band in joined if band.guided]
    if not names:
        return []
    guides = [band for band in joined if band.zoom == 1 and not band.is_copied]
    zoom, by = max(band.zoom for band in joined if band.guided), ", ".join(band.name for band in guides)
    told = [f"{', '.join(names)}: {fine * zoom:g} m brought to {fine:g} m with {by} as guides, which stay as they are"]
    further = [band for band in joined if band.injected]
    if further:
        named, metres = ", ".join(band.name for band in further), fine * further[0].zoom
        told.append(f"{named}: {metres:g} m brought to {fine:g} m with the detail of {by}, by regression alone")
    told.append("no back-projection: the model undoes the coarser sensor's optics, of which plain means know nothing")
    moved = [band.name for band in guides if band.between]
    if moved:
        told.append(
            f"{', '.join(moved)}: moved by half a pixel (windowed sinc), as its grid begins inside that of the others"
        )
    return told


def _pan_inside(bands: Sequence[BandFile], headers: Mapping[Path, Header]) -> Grid | None:
    """The grid of twice as many pixels that a panchromatic band goes onto, whose pixels lie on its corners.

        30 m      |       0       |       1       |      the pan's first pixel has the centre of the others' first
        pan           |   0   |   1   |   2   |          so its grid begins half a pixel of its own inside theirs
        product   |   0   |   1   |   2   |   3   |

    None where there is none, or it lies otherwise.
    """
    pan = [headers[band.path].grid for band in bands if band.common == "pan"]
    others = [headers[band.path].grid for band in bands if band.common != "pan"]
    if not pan or not others:
        return None
    finest = min(others, key=lambda grid: grid.spacing())
    product = finest.scaled((2, 2))
    first = np.subtract(pan[0].to_world((0, 0)), product.to_world((0.5, 0.5)))
    apart = np.abs(first).max() / min(product.spacing())
    same = np.allclose(pan[0].spacing(), product.spacing(), rtol=NEAR)
    inside = tuple(n - 1 for n in product.shape) == pan[0].shape
    return product if same and inside and apart < NEAR else None
