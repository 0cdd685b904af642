"""Any two files: an SR of whatever origin against its LR, by the suite that VALIDATE runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from srcore.checks import Check, Report
from srcore.checks.blocks import MARGIN_PX, Block, view_by_profile
from srcore.checks.file import cube_checks, overview_checks, unreadable
from srcore.checks.geometry import corner_shift_px, crs_name, place_of, same_crs
from srcore.checks.suite import Scene, Suite
from srcore.errors import GridError, SourceError, StoreError
from srcore.grid import Grid
from srcore.layout import ProductPaths, band_files
from srcore.limits import Limit
from srcore.progress import Progress, silent
from srcore.radiometry import Extent
from srcore.storage.archive.publish import Receipt
from srcore.storage.bounds import bounds
from srcore.storage.cut import cut
from srcore.storage.disk.files import sha256_file
from srcore.storage.header import Header
from srcore.storage.hounsfield import hounsfield_of
from srcore.storage.scene import SceneReader, header_like, hr_header, open_scene, read_header
from srcore.storage.stac.any_product import layout_of
from srcore.storage.wish import Wishes
from srcore.tiling import TilePlan

CORE_PX = 512
"""LR pixels along a block."""
SLICES = 8
"""Slices of a volume in a block."""
DISJOINT = 0.5
"""Share of the scene by which corners may lie apart; beyond, the two show different places."""


def validate_pair(
    sr_path: Path,
    lr_path: Path,
    limits: Mapping[str, Limit],
    hr_path: Path | None = None,
    progress: Progress = silent,
    **wishes: Unpack[Wishes],
) -> Report:
    """Every check that two files (and the true HR) allow.

    `wishes` are of the LR, as in the run that made the SR. With '{band}' in a path, each of `bands` is a file of its
    own. SourceError or GridError for a file that cannot be read, and for two that cannot be compared: other CRS, a size
    that is no whole multiple on every axis, another place, other bands, nodata that only the LR has.
    """
    bands = wishes.get("bands")
    lr = read_header(band_files(lr_path, bands), **wishes)
    sr_files = band_files(sr_path, bands)
    try:
        sr = header_like(sr_files, lr, bands)
    except SourceError as error:
        if error.code != "TRUNCATED":
            raise
        return Report((unreadable(error),))
    scale = comparable(lr, sr)
    hr = hr_header(band_files(hr_path, bands), lr, sr) if hr_path else None
    told = _told(sr_files)
    by_profile = len(scale) == 3 and told.get("slice_profile", "box") != "box"
    scene = replace(_scene(lr, sr, scale), least_contrast=told.get("least_contrast"), by_profile=by_profile)
    if told.get("modality") == "CT":
        scene = replace(scene, hounsfield=(lr.bands[0].scale, lr.bands[0].offset))
    suite = Suite(scene, limits)
    try:
        with ExitStack() as stack:
            readers = [stack.enter_context(open_scene(header)) for header in (lr, sr)]
            truth = stack.enter_context(open_scene(hr)) if hr else None
            tiles = replace(_tiles(lr, scale), mirrored=told.get("edge") == "repeat")
            for tile, block in zip(tiles, blocks_of(tiles, readers[0], readers[1], progress), strict=True):
                if by_profile:
                    block = replace(block, seen=view_by_profile(readers[1], tiles, tile))
                suite.add(block, truth.read(block.window_hr) if truth is not None else None)
    except SourceError as error:
        if not any(str(path) in str(error) for path in sr_files):
            raise
        return Report((unreadable(error),))
    overviews = [check for path in sr_files if sr.format == "raster" for check in _overviews(path, limits)]
    beside = _beside(sr_files[0], sr) if sr.format != "dicom" and len(sr_files) == 1 else []
    return Report((*overviews, *beside, *suite.checks()))


def _told(paths: Sequence[Path]) -> Mapping[str, Any]:
    """What a product's receipt says of how it was made; nothing where no receipt is of these bytes."""
    product = ProductPaths(paths[0].parent, paths[0].name)
    try:
        receipt = Receipt.load(product.receipt) if len(paths) == 1 and product.receipt.exists() else None
    except StoreError:  # whoever asks for the archive's state is told: this is about pixels
        return {}
    if receipt is None or not {"least_contrast", "slice_profile", "modality"} & receipt.parameters.keys():
        return {}
    mine = {one.name: one.sha256 for one in receipt.outputs}.get(product.name)
    return receipt.parameters if mine == sha256_file(paths[0]) else {}


def _beside(path: Path, header: Header) -> list[Check]:
    """What stands beside the product as one more form of it."""
    return cube_checks(ProductPaths(path.parent, path.name), header)


def _overviews(path: Path, limits: Mapping[str, Limit]) -> list[Check]:
    try:
        levels = layout_of(path).overviews
    except SourceError as error:
        return [unreadable(error)]
    return overview_checks(path, levels, limits)


def _tiles(lr: Header, scale: tuple[int, ...]) -> TilePlan:
    """Blocks of the scene with the margin of the checks."""
    shape = lr.grid.shape
    core = (*(min(SLICES, n) for n in shape[:-2]), *(min(CORE_PX, n) for n in shape[-2:]))
    return TilePlan(shape, core, (0,) * (len(shape) - 2) + (MARGIN_PX,) * 2, scale)


def _scene(lr: Header, sr: Header, scale: tuple[int, ...]) -> Scene:
    nodata = tuple(band.nodata for band in sr.bands)
    core, ends = _tiles(lr, scale).core, _own_ends(lr, scale)
    return Scene(
        place_of(lr),
        place_of(sr),
        scale,
        len(lr.bands),
        lr.dtype,
        sr.dtype,
        core,
        False,
        nodata,
        lr.copied,
        lr.ranges,
        ends,
        hounsfield=hounsfield_of(lr, ends),
        bounds=bounds(lr, ends),
    )


def _own_ends(lr: Header, scale: tuple[int, ...]) -> tuple[tuple[float, float] | None, ...]:
    """Least and greatest valid number of each band."""
    extent = Extent(len(lr.bands))
    with open_scene(lr) as reader:
        for tile in _tiles(lr, scale):
            extent.add(*reader.read(tile.core))
    return extent.ends


def comparable(lr: Header, sr: Header) -> tuple[int, ...]:
    """SR pixels per LR pixel on every axis; GridError when the two cannot be compared."""
    if len(lr.bands) != len(sr.bands):
        raise GridError("SR and LR have different bands", f"{len(sr.bands)} and {len(lr.bands)}", "give the same bands")
    scale = _scale(lr.grid, sr.grid)
    ours, theirs = place_of(lr), place_of(sr)
    if (ours.crs is None) != (theirs.crs is None) or not same_crs(ours.crs, theirs.crs):
        raise GridError(
            "SR and LR have different CRS",
            f"{crs_name(theirs.crs)} and {crs_name(ours.crs)}",
            "warp one to the other's grid",
            code="OTHER_CRS",
        )
    if bool(ours.points) != bool(theirs.points):
        by = {True: "control points", False: "an affine, or nothing"}
        raise GridError(
            "SR and LR say in different ways where they lie",
            f"the SR by {by[bool(theirs.points)]}, the LR by {by[bool(ours.points)]}",
            "warp both to one grid",
            code="OTHER_PLACE",
        )
    if not ours.points and corner_shift_px(lr.grid.scaled(scale), sr.grid) > DISJOINT * max(sr.grid.shape):
        raise GridError(
            "SR and LR show different places",
            f"bounds {_round(sr.grid)} and {_round(lr.grid)}",
            "give files of one scene",
            code="DISJOINT",
        )
    if lr.nodata in ("tag", "mask", "alpha") and sr.nodata == "none":
        raise GridError(
            "the SR does not say what is nodata",
            f"the LR has a {lr.nodata}, the SR nothing",
            "write the SR with the nodata of its LR",
            code="NO_NODATA",
        )
    return scale


def _scale(lr: Grid, sr: Grid) -> tuple[int, ...]:
    whole = len(lr.shape) == len(sr.shape) and all(b % a == 0 for a, b in zip(lr.shape, sr.shape, strict=True))
    if not whole:
        raise GridError(
            "the size of the SR is no whole multiple of the LR's",
            f"{' x '.join(map(str, sr.shape))} and {' x '.join(map(str, lr.shape))}",
            "crop to a whole multiple on every axis",
            code="NOT_A_MULTIPLE",
        )
    return tuple(b // a for a, b in zip(lr.shape, sr.shape, strict=True))


def _round(grid: Grid) -> str:
    return "(" + ", ".join(f"{value:.6g}" for value in grid.bounds()) + ")"


def blocks_of(
    tiles: TilePlan, lr: SceneReader, sr: SceneReader, progress: Progress, noise: Sequence[float] = ()
) -> Iterator[Block]:
    """The blocks of a scene, tile by tile; `noise` of such deviations in DN is taken out of the LR first."""
    for tile in tiles:
        found = cut(lr, tiles, tile, noise)
        sizes = [w.stop - w.start for w in tile.core]
        here = (slice(None), *(slice(h, h + n) for h, n in zip(tiles.halo, sizes, strict=True)))
        wide = (slice(None), *(slice(0, n + 2 * h) for h, n in zip(tiles.halo, sizes, strict=True)))
        values, valid = sr.read(tiles.window_hr(tile))
        yield Block(tile.core, found.values[wide], found.valid[here], np.asarray(values), valid, tiles.scale)
        progress(tile.index + 1, len(tiles))
