"""A scene's header: what its files say of it besides the pixels. Read by PLAN, kept in the store, used by EXPORT."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from srcore.grid import Grid
from srcore.radiometry import native_range
from srcore.storage.band import Band, Member, Quality

NO_PLACE = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
"""GDAL's affine of a raster that has none; it takes what is nearer to it than NO_PLACE_WITHIN for that."""
NO_PLACE_WITHIN = 1e-5

LEAST_MM, MOST_MM = 1e-5, 1e3
"""Of a voxel's side: from the finest microscope to more than a person; beyond, a header means another unit."""
DROPPED_TEXT = "dropped all text of the headers, which may name a patient"
KEPT_IDENTITY = "the derived series says who the patient is (identity: keep)"
"""What is said of every DICOM series; and in place of it, where its product keeps the text."""
Nodata = Literal["none", "tag", "nan", "mask", "alpha"]


Kind = Literal["raster", "volume"]


@dataclass(frozen=True)
class GroundControlPoint:
    """Corner-based position in the raster and in the world."""

    row: float
    col: float
    x: float
    y: float
    z: float
    id: str = ""


@dataclass(frozen=True)
class Taken:
    """When a scene was taken: the first and the last second in UTC, as STAC writes them."""

    first: str
    last: str
    source: str = ""
    """What says it; empty: nothing does, and it was taken at some time in between."""


@dataclass(frozen=True)
class Origin:
    """A file that was fetched, and where it lies."""

    href: str
    """Without secrets."""
    sha256: str
    size_bytes: int
    etag: str = ""


@dataclass(frozen=True)
class Part:
    """Of which scene a header describes a window."""

    start: tuple[int, ...]
    """First pixel of the window in the scene."""
    scene: Grid
    """The whole scene's."""


@dataclass(frozen=True)
class Header:
    """What the files of one scene say of themselves."""

    format: str
    """Which of the formats of `storage.scene` its files have."""
    grid: Grid
    dtype: str
    """numpy name of the native dtype, the same for all bands."""
    bands: tuple[Band, ...]
    nodata: Nodata
    """The form in which the product says 'nothing here', chosen so that it holds what every band hides: 'nan' is a
    float raster in which NaN means it."""
    alpha: Band | None = None
    gcps: tuple[GroundControlPoint, ...] = ()
    gcps_crs: str | None = None
    area_or_point: Literal["Area", "Point"] = "Area"
    tags: dict[str, str] = field(default_factory=dict)
    """Dataset tags that stay true at another scale."""
    domains: dict[str, dict[str, str]] = field(default_factory=dict)
    """The same in domains of their own."""
    white_is_zero: bool = False
    """The greatest number is drawn black: a grey raster of one band, as scanned film is."""
    taken: Taken | None = None
    """When the scene was taken, where that was asked for (`storage.dates`)."""
    extra: dict[str, Any] = field(default_factory=dict)
    """What a format needs to be written back, for example a NIfTI header's codes and units."""
    beside: tuple[str, ...] = ()
    """Files beside the scene's own that were read for it: a mask, a .aux.xml, a world file."""
    flags: tuple[str, ...] = ()
    """What a user should know: 'no CRS', 'no nodata', 'dropped STATISTICS_* tags' ..."""
    quality: Quality | None = None
    """The provider's or the user's layer of clouds, where one was asked for."""
    packed: str = ""
    """The archive that its files were unpacked from, or the card of a scene elsewhere: it stands for all of them."""
    origins: tuple[Origin, ...] = ()
    """Of a scene elsewhere: its files there."""
    properties: dict[str, Any] = field(default_factory=dict)
    """What a provider's metadata say of the scene, as STAC names it: eo:cloud_cover, view:sun_azimuth, platform ..."""
    mosaic: tuple[Member, ...] = ()
    """Its files, where each is a part of the ground with all bands; `bands` are those of the first."""
    part: Part | None = None
    """Where `grid` is a window of the files' pixels; None: it is all of them."""

    @property
    def kind(self) -> Kind:
        """A raster has rows and columns, a volume slices too."""
        return "raster" if len(self.grid.shape) == 2 else "volume"

    @property
    def nodata_numbers(self) -> tuple[float | None, ...]:
        """Per band the number that is written for 'nothing here'; None where a mask, alpha or nothing says so."""
        return tuple(float("nan") if self.nodata == "nan" else band.nodata for band in self.bands)

    @property
    def axes(self) -> tuple[int, int, int] | None:
        """Which axes of a volume's file are (Z, Y, X), so that what is made of it can be read alike."""
        found = self.extra.get("axes")
        return None if found is None else (found[0], found[1], found[2])

    @property
    def zoom(self) -> int:
        """Pixels of the scene along one of the guided bands; 1 where there are none."""
        return self.bands[self.guided[0]].zoom if self.guided else 1

    def names_of(self, places: Sequence[int]) -> list[str]:
        """Names of the bands at these places."""
        return [self.bands[place].name for place in places]

    @property
    def guided(self) -> tuple[int, ...]:
        """Which bands a generator brings to the grid of finer ones, by their place."""
        return tuple(i for i, band in enumerate(self.bands) if band.guided)

    @property
    def injected(self) -> tuple[int, ...]:
        """Which bands are read with the detail of the guides, by their place; none where there are no guides."""
        if not self.guided:
            return ()
        return tuple(i for i, band in enumerate(self.bands) if band.injected)

    @property
    def guides(self) -> tuple[int, ...]:
        """Which bands guide the coarser ones, by their place; none where no band is guided."""
        if not self.guided:
            return ()
        return tuple(i for i, band in enumerate(self.bands) if band.zoom == 1 and not band.is_copied)

    @property
    def copied(self) -> tuple[bool, ...]:
        """Per band whether it comes out as it went in: classes and the like, and all but the guided where some are."""
        return tuple(band.is_copied or (bool(self.guided) and not band.guided) for band in self.bands)

    @property
    def ranges(self) -> tuple[tuple[float, float] | None, ...]:
        """Per band the least and the greatest number that a valid pixel may have; None where it has no end."""
        dtype = np.dtype(self.dtype)
        each = zip(self.bands, self.nodata_numbers, strict=True)
        return tuple(native_range(band.valid_range, dtype, nodata) for band, nodata in each)

    @property
    def rasters(self) -> tuple[Path, ...]:
        """The files that hold bands, each once, in band order."""
        bands = self.bands if self.alpha is None else (*self.bands, self.alpha)
        return tuple(dict.fromkeys(Path(one.path) for one in self.mosaic or bands))

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that the scene was read from, each once: those with bands, then those beside them; or the archive
        that holds them, and what lies elsewhere."""
        if self.packed:
            layer = self.quality
            return (Path(self.packed), *([Path(layer.path)] if layer is not None and layer.apart else ()))
        return tuple(dict.fromkeys((*self.rasters, *map(Path, self.beside))))

    @property
    def lies_by_points(self) -> bool:
        """True of a raster that lies in the world by control points alone: a GeoTIFF holds them or an affine."""
        if not self.gcps:
            return False
        apart = (abs(found - none) for found, none in zip(self.grid.gdal_affine, NO_PLACE, strict=True))
        return max(apart) < NO_PLACE_WITHIN

    def window(self, start: tuple[int, ...], shape: tuple[int, ...]) -> Header:
        """The header of a window of the scene: its grid lies where those pixels lie."""
        moved = tuple(replace(p, row=p.row - start[0], col=p.col - start[1]) for p in self.gcps)
        return replace(self, grid=self.grid.part(start, shape), gcps=moved, part=Part(start, self.grid))

    def hidden(self, told: Callable[[str], str]) -> Header:
        """The header of a volume with `told` of the paths of its files."""
        bands = tuple(replace(band, path=told(band.path)) for band in self.bands)
        return replace(
            self, bands=bands, beside=tuple(map(told, self.beside)), packed=self.packed and told(self.packed)
        )

    @property
    def whole(self) -> Header:
        """The header of all pixels of the files."""
        if self.part is None:
            return self
        row, col = self.part.start[:2]
        points = tuple(replace(p, row=p.row + row, col=p.col + col) for p in self.gcps)
        return replace(self, grid=self.part.scene, gcps=points, part=None)

    def to_json(self) -> dict[str, Any]:
        """Plain values, for a JSON document."""
        part = {"start": self.part.start, "scene": self.part.scene.to_json()} if self.part else None
        return {**asdict(self), "grid": self.grid.to_json(), "part": part}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Header:
        """The header that `to_json` wrote."""
        return cls(
            **{
                **value,
                "grid": Grid.from_json(value["grid"]),
                "bands": tuple(Band.from_json(band) for band in value["bands"]),
                "alpha": Band.from_json(value["alpha"]) if value["alpha"] else None,
                "gcps": tuple(GroundControlPoint(**point) for point in value["gcps"]),
                "taken": Taken(**value["taken"]) if value.get("taken") else None,
                "quality": Quality.from_json(value["quality"]) if value.get("quality") else None,
                "beside": tuple(value["beside"]),
                "flags": tuple(value["flags"]),
                "part": _part(value.get("part")),
                "mosaic": tuple(map(Member.from_json, value.get("mosaic", ()))),
                "origins": tuple(Origin(**one) for one in value.get("origins", ())),
            }
        )


def _part(value: dict[str, Any] | None) -> Part | None:
    return None if value is None else Part(tuple(value["start"]), Grid.from_json(value["scene"]))
