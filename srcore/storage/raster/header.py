"""The header of a raster scene: one file of many bands, or several files of one band each.

Everything that a header alone can refuse is refused here, before a pixel is read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.enums import ColorInterp, MaskFlags

from srcore.errors import GridError, SourceError
from srcore.grid import Grid
from srcore.storage.disk.real_file import real_file
from srcore.storage.header import Band, GroundControlPoint, Header, Nodata
from srcore.storage.numbers import DTYPES, fit_nodata, nodata_form
from srcore.storage.raster.gdal import GDAL_ERRORS, gdal_env, gdal_message, open_raster

UNTRUE = re.compile(
    r"STATISTICS_|OVR_RESAMPLING|RESAMPLING|TIFFTAG_([XY]RESOLUTION|RESOLUTIONUNIT|(MIN|MAX)SAMPLEVALUE|SOFTWARE)"
    r"|NODATA_VALUES|HISTOGRAM|CACHE_PATH|OVERVIEW_FILE|MASK_|DERIVED_|METADATATYPE"
)
"""Names of tags that say something of the LR pixels or of the file's inside: false for the product."""
LAYOUT = re.compile(r"Aperio|ImageJ=|<\?xml|<OME|\{\"shape\"")
"""Image descriptions by which programs say how the file is laid out, and some also who made it."""
MAX_TAG = 4096
"""Characters of a tag that is kept."""
SAME = 1e-6
"""Fraction of a pixel by which files of one scene may disagree in place."""


def read_raster_header(
    paths: Sequence[Path],
    bands: Sequence[str] | None = None,
    nodata: float | None = None,
    roots: Sequence[Path] | None = None,
) -> Header:
    """The header of one raster scene.

    `bands`: names (descriptions in the file) or 1-based numbers, in the wanted order; for several files of one band
    each, their names in the order of the files. None: all data bands. `nodata` overrides the files' tags. Raises
    SourceError or GridError for what srcore cannot carry to another scale.
    """
    if not paths:
        raise SourceError("the scene has no file", "an empty list", "check the pattern of the source")
    with gdal_env():
        headers = [_read_file(Path(path), roots) for path in paths]
    header = headers[0] if len(headers) == 1 else _join(headers)
    header = _select(header, bands, several=len(headers) > 1)
    header = header if nodata is None else _override(header, nodata)
    _refuse_mixed_tags(header)
    return header


def _read_file(path: Path, roots: Sequence[Path] | None) -> Header:
    real = real_file(path, roots)
    with open_raster(real, roots) as dataset:
        try:
            return _header(real, dataset)
        except GDAL_ERRORS as error:
            raise SourceError(
                f"{path}: its header cannot be read", gdal_message(error), "fetch it again", code="DAMAGED"
            ) from error


def _header(path: Path, dataset: Any) -> Header:
    _refuse_pixels(path, dataset)
    flags: list[str] = []
    grid = _grid(path, dataset, flags)
    nodata, tags = _nodata(dataset, flags)
    alphas = [i for i in dataset.indexes if dataset.colorinterp[i - 1] == ColorInterp.alpha]
    names = _text(lambda: dataset.descriptions, [None] * dataset.count, flags)
    bands = {i: _band(path, dataset, i, names[i - 1], tags[i - 1], flags) for i in dataset.indexes}
    alpha = bands.pop(alphas[0]) if alphas else None
    if not bands:
        raise SourceError(f"{path}: the file has no data band", "an alpha band alone", "give a file with data bands")
    points, points_crs = dataset.gcps
    if dataset.subdatasets:
        flags.append(f"the file holds {len(dataset.subdatasets)} pages: the first is used")
    return Header(
        format="raster",
        grid=grid,
        dtype=dataset.dtypes[0],
        bands=tuple(bands.values()),
        nodata=nodata,
        alpha=alpha,
        gcps=tuple(GroundControlPoint(p.row, p.col, p.x, p.y, p.z or 0.0, p.id or "") for p in points),
        gcps_crs=_wkt(points_crs) if points else None,
        area_or_point="Point" if dataset.get_tag_item("AREA_OR_POINT") == "Point" else "Area",
        tags=_true_tags(_text(dataset.tags, {}, flags), flags),
        flags=tuple(dict.fromkeys(flags)),
    )


def _refuse_pixels(path: Path, dataset: Any) -> None:
    if dataset.count == 0:
        raise SourceError(f"{path}: the file has no band", "0 bands", "give a file with pixels")
    if ColorInterp.palette in dataset.colorinterp:
        raise SourceError(
            f"{path}: pixels are indices of a colour table",
            "a palette",
            "expand it: gdal_translate -expand rgb IN OUT",
            code="NOT_SUPPORTED",
        )
    dtypes = sorted(set(dataset.dtypes))
    if len(dtypes) > 1:
        raise SourceError(
            f"{path}: bands differ in data type", ", ".join(dtypes), "give bands of one type", code="NOT_SUPPORTED"
        )
    if dtypes[0].startswith("complex"):
        raise SourceError(
            f"{path}: complex pixels have no super-resolution here",
            dtypes[0],
            "give amplitude, or real and imaginary parts as two float32 bands",
            code="NOT_SUPPORTED",
        )
    if dtypes[0] not in DTYPES:
        raise SourceError(
            f"{path}: unknown data type", dtypes[0], f"convert it to one of {', '.join(DTYPES)}", code="NOT_SUPPORTED"
        )


def _grid(path: Path, dataset: Any, flags: list[str]) -> Grid:
    """The grid of a dataset; identity where it has none or ground control points instead."""
    t = dataset.transform
    if dataset.rpcs is not None:
        if t.is_identity:
            raise GridError(
                f"{path}: lies in the world by RPCs only", "no affine", "orthorectify it first: gdalwarp -rpc IN OUT"
            )
        flags.append("dropped RPCs: the affine places the product")
    crs = _wkt(dataset.crs)
    if dataset.gcps[0]:
        flags.append(f"placed by {len(dataset.gcps[0])} ground control points")
    elif t.is_identity:
        flags.append("no georeference")
        flags.extend(_world_files(path))
    if crs is None and not dataset.gcps[0]:
        flags.append("no CRS")
    terms = (t.a, t.b, t.c, t.d, t.e, t.f)
    if not np.isfinite(terms).all() or t.determinant == 0:
        raise GridError(f"{path}: its affine cannot be kept", f"{terms}", "georeference it again")
    return Grid((dataset.height, dataset.width), ((t.b, t.a, t.c), (t.e, t.d, t.f)), crs)


def _world_files(path: Path) -> list[str]:
    """Flags for neighbours that GDAL would have read, and srcore does not."""
    suffix = path.suffix
    names = [path.with_suffix(s) for s in (".wld", f"{suffix[:2]}{suffix[-1:]}w", f"{suffix}w") if suffix]
    names.append(path.with_name(path.name + ".aux.xml"))
    return [f"{name.name} is not read: fold it in with gdal_translate" for name in names if name.is_file()]


def _wkt(crs: Any) -> str | None:
    return str(crs.to_wkt(version="WKT2_2019")) if crs else None


def _nodata(dataset: Any, flags: list[str]) -> tuple[Nodata, list[float | None]]:
    """Which form marks invalid pixels, and each band's tag when the form is not a mask."""
    masks = dataset.mask_flag_enums
    tags = [_fitting(value, dataset.dtypes[0], flags) for value in dataset.nodatavals]
    if any(MaskFlags.per_dataset in m and MaskFlags.alpha not in m for m in masks):
        if any(tag is not None for tag in tags):
            flags.append("nodata tag ignored: the mask decides")
        return "mask", [None] * len(tags)
    form = nodata_form(dataset.dtypes[0], tags)
    if ColorInterp.alpha in dataset.colorinterp:
        # Beside a tag, alpha is a band that is carried along: both hide pixels, as the tag does for GDAL.
        return (form if any(tag is not None for tag in tags) else "alpha"), tags
    if form == "none":
        flags.append("no nodata")
    return form, tags


def _fitting(value: float | None, dtype: str, flags: list[str]) -> float | None:
    """A nodata tag as the number of `dtype` that it means; None, flagged, when there is no such number."""
    if value is None:
        return None
    fitted = fit_nodata(value, dtype)
    if fitted is None:
        flags.append(f"nodata tag {value:g} ignored: it does not fit {dtype}")
    return fitted


def _text(ask: Callable[[], Any], otherwise: Any, flags: list[str]) -> Any:
    """What `ask` gives; `otherwise`, flagged, when the file's text is in no encoding that rasterio knows."""
    try:
        return ask()
    except UnicodeDecodeError:
        flags.append("dropped text that is not UTF-8")
        return otherwise


def _band(path: Path, dataset: Any, index: int, name: str | None, nodata: float | None, flags: list[str]) -> Band:
    i = index - 1
    units = _text(lambda: dataset.units, [None] * dataset.count, flags)
    tags = _true_tags(_text(lambda: dataset.tags(index), {}, flags), flags)
    return Band(
        str(path),
        index,
        name or f"band {index}",
        nodata,
        float(dataset.scales[i]),
        float(dataset.offsets[i]),
        units[i] or None,
        dataset.colorinterp[i].name,
        tags,
    )


def _true_tags(tags: dict[str, str], flags: list[str]) -> dict[str, str]:
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


def _join(headers: Sequence[Header]) -> Header:
    """One header of several files with one band each."""
    first = headers[0]
    for header in headers:
        _refuse_stranger(first, header)
    # A file's own description says which band it is; without one, its name does.
    bands = [b if b.name != "band 1" else replace(b, name=Path(b.path).stem) for h in headers for b in h.bands]
    forms = {h.nodata for h in headers}
    form: Nodata = "mask" if "mask" in forms else nodata_form(first.dtype, [b.nodata for b in bands])
    return replace(
        first,
        bands=tuple(bands),
        nodata=form,
        tags={k: v for k, v in first.tags.items() if all(h.tags.get(k) == v for h in headers)},
        flags=tuple(dict.fromkeys(flag for h in headers for flag in h.flags)),
    )


def _refuse_mixed_tags(header: Header) -> None:
    # Compared as text, since NaN equals nothing.
    numbers = sorted({str(band.nodata) for band in header.bands})
    if header.nodata == "tag" and len(numbers) > 1:
        raise SourceError(
            f"{header.bands[0].path}: the bands differ in nodata, and a product has one number for it",
            ", ".join(numbers),
            "give one nodata number for the scene",
            code="BAD_SETTING",
        )


def _refuse_stranger(first: Header, other: Header) -> None:
    path, where = other.bands[0].path, first.bands[0].path
    if len(other.bands) != 1 or other.alpha is not None:
        raise SourceError(
            f"{path}: files of one scene hold one band each",
            f"{len(other.bands)} bands" + (" and an alpha band" if other.alpha else ""),
            "give it as a scene by itself",
        )
    if other.dtype != first.dtype:
        found = f"{other.dtype} and {first.dtype}"
        raise SourceError(f"{path}: differs in data type from {where}", found, "give bands of one type")
    if other.grid.shape != first.grid.shape:
        found = f"{other.grid.shape} and {first.grid.shape}"
        raise GridError(f"{path}: differs in shape from {where}", found, "give bands of one resolution")
    if other.grid.crs != first.grid.crs or other.gcps != first.gcps:
        raise GridError(f"{path}: differs in CRS from {where}", "another CRS or other control points", "warp it first")
    corners = [(0.0, 0.0), tuple(map(float, first.grid.shape)), (0.0, float(first.grid.shape[1]))]
    apart = max(np.abs(np.subtract(other.grid.to_world(c), first.grid.to_world(c))).max() for c in corners)
    if apart > SAME * min(first.grid.spacing()):
        raise GridError(f"{path}: lies elsewhere than {where}", f"{apart:g} apart", "warp both to one grid first")


def _select(header: Header, wanted: Sequence[str] | None, *, several: bool) -> Header:
    if wanted is None:
        return header
    if several and len(wanted) == len(header.bands):
        return replace(header, bands=tuple(replace(b, name=n) for b, n in zip(header.bands, wanted, strict=True)))
    chosen = tuple(_find(header, name) for name in wanted)
    if not chosen or len({(band.path, band.index) for band in chosen}) < len(chosen):
        raise SourceError(
            "bands are named more than once, or none is", ", ".join(wanted), "name each band once", code="BAD_SETTING"
        )
    return replace(header, bands=chosen)


def _find(header: Header, name: str) -> Band:
    """The band that `name` means: its description, or its number."""
    named = [band for band in header.bands if band.name == name]
    if not named and name.isdecimal():
        named = [band for band in header.bands if band.index == int(name)]
    if len(named) != 1:
        there = ", ".join(f"{band.index} ({band.name})" for band in header.bands)
        what = f"band {name!r} is in the file {len(named)} times" if named else f"band {name!r} is not in the file"
        raise SourceError(
            f"{header.bands[0].path}: {what}", there, "name one of these, or its number", code="BAD_SETTING"
        )
    return named[0]


def _override(header: Header, nodata: float) -> Header:
    """The header with a user's nodata number on every band."""
    fitted = fit_nodata(nodata, header.dtype)
    if fitted is None:
        raise SourceError(
            f"nodata {nodata:g} does not fit the pixels",
            header.dtype,
            f"give a number that {header.dtype} can hold",
            code="BAD_SETTING",
        )
    form = "mask" if header.nodata == "mask" else nodata_form(header.dtype, [fitted])
    return replace(header, bands=tuple(replace(band, nodata=fitted) for band in header.bands), nodata=form)
