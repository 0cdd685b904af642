"""Where a raster lies: what the file says, and what lies beside it, with GDAL's precedence.

    affine           .aux.xml > the file > world file (first .tfw, then .tifw, then .wld)
    CRS              .aux.xml > the file > with a world file: of the file's control points > .prj
    control points   .aux.xml > the file; only where there is no affine: a GeoTIFF holds either

A .prj, which GDAL passes over, comes last. RPCs, .tab and geolocation arrays place nothing here: a raster that has
nothing else is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from srcore.errors import GridError
from srcore.grid import Grid
from srcore.storage.header import GroundControlPoint
from srcore.storage.raster.beside import bad_sidecar, sidecar
from srcore.storage.raster.open_file import OpenFile
from srcore.storage.raster.pam import Affine
from srcore.storage.raster.world import read_prj, read_world

NOWHERE: Affine = ((0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
MAX_POINTS = 10922
"""Control points that a GeoTIFF holds: GDAL leaves all of them out when they are more."""
HFA = b"EHFA_HEADER_TAG"
"""Of an Erdas .aux; other programs have files of that name, too."""


@dataclass(frozen=True)
class Place:
    """Where a raster lies: by its grid, or by control points and a grid that is pixels alone."""

    grid: Grid
    points: tuple[GroundControlPoint, ...] = ()
    points_crs: str | None = None

    @property
    def is_known(self) -> bool:
        """False where nothing says where the raster lies."""
        return bool(self.points) or self.grid.affine != NOWHERE


def find_place(file: OpenFile) -> Place:
    """The place of a raster, with flags for what is missing or dropped.

    GridError for an affine that cannot be kept or RPCs alone; SourceError SIDECAR for a place that is not read here.
    """
    dataset, pam = file.dataset, file.pam
    points, points_crs = _points(file)
    affine = pam.affine or _own_affine(dataset)
    crs = pam.crs or _wkt(dataset.crs)
    if affine is None and file.beside.world is not None:
        affine = read_world(sidecar(file.beside.world, file.roots))
        crs = crs or points_crs
        file.use(file.beside.world, "place")
    if affine is None and not points:
        _refuse_elsewhere(file)
    if affine is not None and points:
        file.flag(f"dropped {len(points)} ground control points: the affine places the product")
        points = ()
    _refuse_points(file.path, points)
    if crs is None and not points and file.beside.crs is not None:
        crs = read_prj(sidecar(file.beside.crs, file.roots))
        file.use(file.beside.crs, "CRS")
    _flag_missing(file, affine, crs, len(points))
    grid = Grid((dataset.height, dataset.width), _kept(file.path, affine or NOWHERE), crs)
    return Place(grid, points, points_crs if points else None)


def _own_affine(dataset: Any) -> Affine | None:
    t = dataset.transform
    return None if t.is_identity else ((t.b, t.a, t.c), (t.e, t.d, t.f))


def _wkt(crs: Any) -> str | None:
    return str(crs.to_wkt(version="WKT2_2019")) if crs else None


def _points(file: OpenFile) -> tuple[tuple[GroundControlPoint, ...], str | None]:
    if file.pam.points:
        return file.pam.points, file.pam.points_crs
    points, crs = file.dataset.gcps
    return tuple(GroundControlPoint(p.row, p.col, p.x, p.y, p.z or 0.0, p.id or "") for p in points), _wkt(crs)


def _refuse_points(path: Path, points: tuple[GroundControlPoint, ...]) -> None:
    if len(points) > MAX_POINTS:
        do = f"keep at most {MAX_POINTS}, or warp the raster: gdalwarp -tps IN OUT"
        raise GridError(f"{path}: more ground control points than a GeoTIFF holds", f"{len(points)}", do)
    if not np.isfinite([(p.row, p.col, p.x, p.y, p.z) for p in points]).all():
        raise GridError(f"{path}: its ground control points cannot be kept", "NaN or Inf", "georeference it again")


def _kept(path: Path, affine: Affine) -> Affine:
    matrix = np.array(affine)
    if not np.isfinite(matrix).all() or np.linalg.det(matrix[:, :2]) == 0:
        raise GridError(f"{path}: its affine cannot be kept", f"{affine}", "georeference it again")
    return affine


def _refuse_elsewhere(file: OpenFile) -> None:
    """Refuse a raster whose only place is in a form that is not read here."""
    beside = file.beside
    if file.dataset.rpcs is not None or file.pam.has_rpc:
        do = "orthorectify it first: gdalwarp -rpc IN OUT"
        raise GridError(f"{file.path}: lies in the world by RPCs only", "no affine", do)
    if beside.rpc is not None:
        raise bad_sidecar(beside.rpc, "RPCs, and no other place", "orthorectify the raster: gdalwarp -rpc IN OUT")
    if file.pam.has_arrays and beside.words is not None:
        raise bad_sidecar(beside.words, "geolocation arrays", "warp the raster to a grid: gdalwarp -geoloc IN OUT")
    if beside.other_place is not None and _is_place(file):
        raise bad_sidecar(beside.other_place, "its only place", "fold it into the raster: gdal_translate IN OUT")


def _is_place(file: OpenFile) -> bool:
    path = sidecar(file.beside.other_place or file.path, file.roots)
    with path.open("rb") as opened:
        return path.suffix.lower() == ".tab" or opened.read(len(HFA)) == HFA


def _flag_missing(file: OpenFile, affine: Affine | None, crs: str | None, points: int) -> None:
    if file.dataset.rpcs is not None or file.pam.has_rpc or file.beside.rpc is not None:
        which = "control points" if affine is None and points else "affine"
        file.flag(f"dropped RPCs: the {which} place{'s' if which == 'affine' else ''} the product")
    if points:
        file.flag(f"placed by {points} ground control points")
    elif affine is None:
        file.flag("no georeference")
    if crs is None and not points:
        file.flag("no CRS")
