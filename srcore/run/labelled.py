"""xarray in, xarray out: a DataArray, or a Dataset of bands, through the engine with its place and its names.

    DataArray (.., band, y, x), any order --values--> SR --+--> DataArray (.., band, y * s, x * s), the same order
              names, nodata, attributes  ------------------+
              coordinates, CRS, transform --scaled---------+

Every other dimension than bands, y and x (time, say) is done slice by slice. xarray and rioxarray are an extra: this
module imports them when it is called.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from srcore.checkpoints import Spec, read_spec
from srcore.errors import SourceError
from srcore.job import Job
from srcore.run.lazy import stacked, super_resolve_values, tell
from srcore.run.placed import find_place, lost_coordinates, placed
from srcore.storage.raster.words import is_untrue

if TYPE_CHECKING:
    from xarray import DataArray, Dataset

BANDS = ("band", "bands", "channel", "channels", "wavelength", "variable", "c")
"""What a dimension of bands is called."""
PLANES = (("y", "x"), ("lat", "lon"), ("latitude", "longitude"), ("northing", "easting"), ("row", "col"))
"""What rows and columns are called, where rioxarray has not been told."""
OF_PIXELS = ("transform", "res", "resolution", "is_tiled")
"""Attributes that old readers write of the LR pixels: false for the SR."""
PER_BAND = ("long_name", "units", "scales", "offsets", "descriptions")
"""Attributes that may hold one value for each band."""
KEPT_ENCODING = ("_FillValue", "missing_value", "scale_factor", "add_offset", "dtype", "rasterio_dtype", "grid_mapping")
"""How the values are stored, which holds at any scale; chunks and compression do not."""


@dataclass(frozen=True)
class Axes:
    """Which dimension is what."""

    others: tuple[str, ...]
    band: str | None
    y: str
    x: str

    @property
    def order(self) -> tuple[str, ...]:
        """As the engine takes them."""
        return (*self.others, *((self.band,) if self.band else ()), self.y, self.x)


def super_resolve_dataset(source: Dataset, job: Job) -> Dataset:
    """The SR of every variable that has rows and columns; the others stay. `job.bands` are names of variables."""
    source = source.set_coords([name for name in _mappings(source) if name in source.data_vars])
    names = list(source.data_vars) if job.bands is None else list(job.bands)
    missing = [name for name in names if name not in source.data_vars]
    if missing:
        found = ", ".join(map(str, source.data_vars))
        raise SourceError(f"the Dataset has no band {missing[0]!r}", found, "name one of these", code="BAD_SETTING")
    kept = source[names]
    planes = [name for name in names if _has_plane(kept[name])]
    if not planes:
        raise SourceError("no variable of the Dataset has rows and columns", ", ".join(map(str, names)), "give one")
    own = replace(job, bands=None)
    if read_spec(job.model.folder).bands == "any":
        bands = {name: super_resolve_labelled(kept[name], own) for name in planes}
    else:
        bands = _together(kept[planes], own)
    # Variables without a place keep theirs; coordinates come with the SR.
    rest = kept.drop_vars(planes)
    result = next(iter(bands.values())).to_dataset(name=planes[0]).assign(bands)
    result = result.assign({name: rest[name].variable for name in names if name not in planes})
    return result[names].assign_attrs(source.attrs)


def _mappings(source: Dataset) -> set[str]:
    """What the variables call the holder of their CRS: a plain variable, where a reader knows no better."""
    each = ((band.attrs, band.encoding) for band in source.data_vars.values())
    return {str(kept["grid_mapping"]) for both in each for kept in both if "grid_mapping" in kept}


def _together(bands: Dataset, job: Job) -> dict[Any, DataArray]:
    """Bands that a generator sees together."""
    dtypes = {str(band.dtype) for band in bands.data_vars.values()}
    nodata = {str(_nodata(band, job, [])) for band in bands.data_vars.values()}
    if len(dtypes) > 1 or len(nodata) > 1:
        raise SourceError(
            "the bands of the Dataset differ", ", ".join(sorted(dtypes | nodata)), "give one dtype and one nodata"
        )
    first = next(iter(bands.data_vars.values()))
    stacked = bands.to_dataarray(dim="variable").assign_attrs(first.attrs)
    stacked.encoding = dict(first.encoding)
    found = super_resolve_labelled(stacked, job)
    result = {}
    for index, (name, band) in enumerate(bands.data_vars.items()):
        result[name] = found.isel(variable=index, drop=True).rename(name)
        result[name].attrs = _true_attrs(band.attrs, [])
    return result


def super_resolve_labelled(source: DataArray, job: Job) -> DataArray:
    """The SR of a DataArray: NumPy is computed here, Dask stays lazy.

    SourceError or GridError for what cannot be placed or has no super-resolution. What had to be left out is told
    as a UserWarning.
    """
    spec, axes = read_spec(job.model.folder), _axes(source)
    chosen = _chosen(source, axes, job.bands)
    place = find_place(chosen, axes.y, axes.x)
    dropped = _named("coordinate", lost_coordinates(chosen, place))
    ordered = chosen.transpose(*axes.order)
    flat = ordered if axes.band else ordered.expand_dims("band", axis=len(axes.others))
    nodata = _nodata(chosen, job, dropped)
    values = _stacked(flat.data, len(axes.others), nodata, job, spec)
    values = values if axes.band else values[(*(slice(None),) * len(axes.others), 0)]
    attrs = _true_attrs(chosen.attrs, dropped)
    result = placed(chosen, values, axes.order, place.scaled(spec.scale), attrs).transpose(*source.dims)
    result.encoding = {name: value for name, value in chosen.encoding.items() if name in KEPT_ENCODING}
    tell([f"left out of the SR: {', '.join(dropped)}"] if dropped else [])
    wanted = job.treatment.nodata
    return result if wanted is None else _with_nodata(result, wanted)


def _stacked(values: Any, others: int, nodata: float | None, job: Job, spec: Spec) -> Any:
    """SR (.., C, Y * s, X * s) of values (.., C, Y, X), every slice of the leading axes by itself."""
    if not others:
        return super_resolve_values(values, nodata, job, spec)
    return stacked([_stacked(part, others - 1, nodata, job, spec) for part in values])


def _axes(source: DataArray) -> Axes:
    y, x = _plane(source)
    rest = [str(dim) for dim in source.dims if dim not in (y, x)]
    band = next((name for name in BANDS if name in rest), None)
    return Axes(tuple(dim for dim in rest if dim != band), band, y, x)


def _has_plane(source: DataArray) -> bool:
    try:
        _plane(source)
    except SourceError:
        return False
    return True


def _plane(source: DataArray) -> tuple[str, str]:
    """The names of rows and columns: as rioxarray was told or finds them, else by custom."""
    from rioxarray.exceptions import MissingSpatialDimensionError

    try:
        return str(source.rio.y_dim), str(source.rio.x_dim)
    except MissingSpatialDimensionError as missing:
        for y, x in PLANES:
            if {y, x} <= set(source.dims):
                return y, x
        raise SourceError(
            "which dimensions are rows and columns is not known",
            ", ".join(map(str, source.dims)),
            "say it: .rio.set_spatial_dims(x_dim=..., y_dim=...)",
        ) from missing


def _nodata(source: DataArray, job: Job, dropped: list[str]) -> float | None:
    """The number for 'nothing here': the one that is asked for, or the array's own; NaN where it masks its values.

    One that the dtype cannot hold marks nothing, and goes to `dropped`.
    """
    if job.treatment.nodata is not None:
        return job.treatment.nodata
    try:
        found = source.rio.nodata
    except (OverflowError, ValueError):
        dropped.append(f"its nodata, which {source.dtype} cannot hold")
        return None
    return None if found is None else float(found)


def _with_nodata(result: DataArray, nodata: float) -> DataArray:
    """The SR that says of itself what its nodata is, as its source may not have done."""
    found: DataArray = result.rio.write_nodata(result.dtype.type(nodata))
    return found


def _chosen(source: DataArray, axes: Axes, wanted: Sequence[str] | None) -> DataArray:
    """The bands that are wanted, in that order: by label, by the name in `long_name`, or by number from 1."""
    if wanted is None:
        return source
    if axes.band is None:
        found = ", ".join(map(str, source.dims))
        raise SourceError("bands are named, and the array has none", found, "leave them out", code="BAD_SETTING")
    names = _band_names(source, axes.band)
    index = [_find(name, names) for name in wanted]
    if len(set(index)) < len(index) or not index:
        found = ", ".join(wanted)
        raise SourceError("bands are named more than once, or none is", found, "name each once", code="BAD_SETTING")
    chosen = source.isel({axes.band: index})
    for name in PER_BAND:
        value = source.attrs.get(name)
        if isinstance(value, tuple | list) and len(value) == source.sizes[axes.band]:
            chosen.attrs[name] = tuple(value[i] for i in index)
    return chosen


def _band_names(source: DataArray, band: str) -> list[tuple[str, ...]]:
    """For every band, what it may be called."""
    count = source.sizes[band]
    labels = [str(label) for label in source[band].values] if band in source.coords else [""] * count
    long = source.attrs.get("long_name")
    long = list(long) if isinstance(long, tuple | list) and len(long) == count else [""] * count
    return [(label, str(name), str(i + 1)) for i, (label, name) in enumerate(zip(labels, long, strict=True))]


def _find(wanted: str, names: Sequence[tuple[str, ...]]) -> int:
    for known in zip(*names, strict=True):  # all labels before all names before all numbers
        found = [index for index, name in enumerate(known) if name == wanted]
        if len(found) == 1:
            return found[0]
    there = ", ".join(" or ".join(dict.fromkeys(filter(None, name))) for name in names)
    raise SourceError(f"band {wanted!r} is not in the array", there, "name one of these", code="BAD_SETTING")


def _true_attrs(attrs: dict[Any, Any], dropped: list[str]) -> dict[Any, Any]:
    """The attributes that stay true at another scale; the names of the others go to `dropped`."""
    untrue = [name for name in attrs if name in OF_PIXELS or is_untrue(str(name))]
    dropped += _named("attribute", untrue)
    return {name: value for name, value in attrs.items() if name not in untrue}


def _named(what: str, names: Iterable[Any]) -> list[str]:
    return [f"{what} {name}" for name in names]
