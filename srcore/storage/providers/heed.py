"""A scene's quality layer: found, laid on the scene's grid, its share counted; nodata, a band or a word in the end."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.windows import Window

from srcore.choices import QUALITY_USES, QualityWish
from srcore.errors import GridError, SourceError
from srcore.grid import Grid
from srcore.storage.band import Band, Member, Quality
from srcore.storage.disk.card import is_card
from srcore.storage.header import Header, Origin
from srcore.storage.providers import quality
from srcore.storage.providers.find import find_document, read_granule
from srcore.storage.providers.packed import is_packed
from srcore.storage.providers.quality import Rule, meant
from srcore.storage.raster.gdal import GDAL_ERRORS, gdal_env, gdal_message, open_raster
from srcore.storage.raster.mosaic import of_member
from srcore.storage.remote.layers import layer_of
from srcore.storage.wish import Wish

NEAR = 1e-3
ROWS = 512
"""Rows of a layer that are looked at at a time."""


@dataclass(frozen=True)
class _Found:
    """A layer that was asked for."""

    layer: str
    path: Path
    origin: Origin | None = None
    """Where it was fetched."""
    apart: bool = False
    """True of a file that neither an archive nor a card stands for."""


@dataclass(frozen=True)
class _Share:
    """Of the pixels of a layer that were seen, those that are meant."""

    hit: int = 0
    seen: int = 0

    @property
    def share(self) -> float | None:
        return self.hit / self.seen if self.seen else None


def layer_files(paths: Sequence[Path], wish: QualityWish | None) -> tuple[Path, ...]:
    """The files of the layers that `wish` asks for, one of each of `paths`, where they are found by their names and
    nothing stands for them: a change of one makes its scene due."""
    asked = None if wish is None else wish.get("layer", "auto")
    named = asked in ("auto", *quality.known_layers())
    found = [
        _find(path, asked, None)
        for path in map(Path, paths)
        if asked is not None and not (named and (is_packed(path) or is_card(path)))  # a part of archive or card
    ]
    return tuple(dict.fromkeys(Path(os.path.realpath(one.path)) for one in found if one is not None))


def heeded(header: Header, paths: Sequence[Path], wish: Wish) -> Header:
    """The header with the layer that was asked for; SourceError where there is none, CLOUDY where too much is meant.

    Of a mosaic each file has its own: what it hides in one another file shows.
    """
    if wish.quality is None:
        return header
    use = wish.quality.get("as_", "flag")
    if use not in QUALITY_USES:
        raise SourceError("what a quality layer is for is not known", repr(use), f"one of {', '.join(QUALITY_USES)}")
    if header.mosaic:
        return _heeded_mosaic(header, paths, wish, use)
    found, layer, share = _read(header, Path(paths[0]), wish, use)
    _refuse_cloudy(layer.layer, share.share, wish.quality.get("skip_above"))
    return _used(header, replace(layer, share=share.share), use, found.origin)


def _heeded_mosaic(header: Header, paths: Sequence[Path], wish: Wish, use: str) -> Header:
    if use == "band":
        what, do = "the quality layers of a mosaic cannot be a band of the product", "say as: flag, or as: nodata"
        raise SourceError(what, f"{len(header.mosaic)} of them", do, code="BAD_SETTING")
    assert wish.quality is not None, "asked before"
    members: list[Member] = []
    total = _Share()
    for member, path in zip(header.mosaic, paths, strict=True):
        own = of_member(header, member)
        _, layer, share = _read(own, Path(path), wish, use)
        members.append(replace(member, quality=_used(own, replace(layer, share=share.share), use).quality))
        total = _Share(total.hit + share.hit, total.seen + share.seen)
    layers = [one.quality for one in members if one.quality is not None]
    name = ", ".join(dict.fromkeys(one.layer for one in layers))
    _refuse_cloudy(name, total.share, wish.quality.get("skip_above"))
    then = ", and another file's or nodata in the product" if use == "nodata" else ""
    return replace(
        header,
        mosaic=tuple(members),
        properties={**header.properties, **_cloud(total.share)},
        beside=tuple(dict.fromkeys((*header.beside, *(one.path for one in layers)))),
        flags=(*header.flags, f"quality layers {name} of {len(layers)} files: {_told(total.share)}{then}"),
    )


def _read(header: Header, path: Path, wish: Wish, use: str) -> tuple[_Found, Quality, _Share]:
    """The layer of the raster or product at a path, on the grid of its header."""
    assert wish.quality is not None, "asked before"
    asked = wish.quality.get("layer", "auto")
    found = _find(path, asked, wish.roots)
    if found is None:
        raise SourceError(
            f"{path.name}: no quality layer {'' if asked == 'auto' else asked}".rstrip(),
            "no such file in the product or beside the raster",
            "name one that is there, or leave `quality` out",
            code="NO_QUALITY",
        )
    rule = quality.rule_of(found.layer, wish.quality.get("use"))
    with gdal_env():
        layer, share = _laid(header, found, rule, None if header.packed else wish.roots, hides=use == "nodata")
    return found, layer, share


def _find(path: Path, asked: str, roots: Sequence[Path] | None) -> _Found | None:
    """The layer of a product, beside a raster, or by a path of the user's."""
    if asked != "auto" and asked not in quality.known_layers():
        own = Path(asked.replace("{scene}", path.stem))
        return _Found("mask", own, apart=True) if own.is_file() else None
    if is_card(path):
        fetched = layer_of(path, asked, quality.known_layers(), roots)
        return None if fetched is None else _Found(*fetched, apart=fetched[2] is None)
    document = find_document(path)
    if document is None:
        beside = quality.beside(path)
        return _Found(*beside) if beside is not None and asked in ("auto", beside[0]) else None
    layers = read_granule(document).layers
    name = next(iter(layers), "") if asked == "auto" else asked
    return _Found(name, layers[name][0]) if name in layers else None


def _laid(
    header: Header, found: _Found, rule: Rule, roots: Sequence[Path] | None, *, hides: bool
) -> tuple[Quality, _Share]:
    name, path = found.layer, found.path
    with open_raster(path, roots) as dataset:
        own = _grid(dataset, header.grid)
        if rule.bands and max(rule.bands) > dataset.count:
            raise SourceError(f"{path.name}: {dataset.count} bands", f"asked for band {max(rule.bands)}", "name others")
        zoom, fine = _nested(header.grid, own, path)
        real = str(Path(os.path.realpath(path)))
        layer = Quality(name, real, hides, zoom, fine, rule.values, rule.bits, rule.bands, apart=found.apart)
        return layer, _share(dataset, layer, rule)


def _grid(dataset: Any, scene: Grid) -> Grid:
    affine = tuple(dataset.transform)[:6]
    if affine == (1.0, 0.0, 0.0, 0.0, 1.0, 0.0):  # a mask without a place lies where the scene does
        ratio = scene.shape[0] / dataset.height
        return scene.scaled((1, 1)) if ratio == 1 else _coarser(scene, dataset.shape)
    a, b, c, d, e, f = affine
    return Grid((dataset.height, dataset.width), ((b, a, c), (e, d, f)), None)


def _coarser(scene: Grid, shape: tuple[int, int]) -> Grid:
    by = [n / own for n, own in zip(scene.shape, shape, strict=True)]
    rows = tuple((row[0] * by[0], row[1] * by[1], row[2]) for row in scene.affine)
    return Grid(shape, rows, None)


def _nested(scene: Grid, layer: Grid, path: Path) -> tuple[int, int]:
    """Pixels of the scene along one of the layer, and of the layer along one of the scene; one of them is 1."""
    ratio = layer.spacing()[0] / scene.spacing()[0]
    zoom, fine = max(1, round(ratio)), max(1, round(1 / ratio))
    apart = np.abs(np.subtract(layer.to_world((0, 0)), scene.to_world((0, 0)))).max() / min(scene.spacing())
    same = tuple(n * zoom for n in layer.shape) == tuple(n * fine for n in scene.shape)
    if not (same and apart < NEAR):
        found = f"{layer.shape} px of {layer.spacing()[0]:g} on {scene.shape} px of {scene.spacing()[0]:g}"
        raise GridError(
            f"{path.name}: the quality layer lies on another grid",
            f"{found}, {apart:.3g} px apart",
            "warp it to the scene's grid",
            code="BAD_GRID",
        )
    return zoom, fine


def _share(dataset: Any, layer: Quality, rule: Rule) -> _Share:
    hit = seen = 0
    try:
        for row in range(0, dataset.height, ROWS):
            window = Window(0, row, dataset.width, min(ROWS, dataset.height - row))
            found = meant(layer, dataset.read, window)
            there = np.ones(found.shape, np.bool_)
            if rule.fill is not None or rule.fill_bit:
                values = dataset.read(1, window=window)
                there = (values != rule.fill) if rule.fill is not None else there
                there &= (values.astype(np.int64) & int(rule.fill_bit)) == 0
            hit, seen = hit + int((found & there).sum()), seen + int(there.sum())
    except GDAL_ERRORS as error:
        what = f"{Path(layer.path).name}: the quality layer cannot be decoded"
        raise SourceError(what, gdal_message(error), "fetch it again", code="DAMAGED") from error
    return _Share(hit, seen)


def _refuse_cloudy(name: str, share: float | None, most: float | None) -> None:
    if most is not None and share is not None and share > most:
        raise SourceError(
            f"more of the scene is hidden than `skip_above` allows, by {name}",
            f"{share:.1%}",
            f"at most {most:.1%} are allowed: wait for another scene",
            code="CLOUDY",
        )


def _told(share: float | None) -> str:
    return "no pixel of it was seen" if share is None else f"{share:.1%} of what was seen is meant"


def _cloud(share: float | None) -> dict[str, float]:
    return {} if share is None else {"eo:cloud_cover": round(100 * share, 4)}


def _used(header: Header, layer: Quality, use: str, origin: Origin | None = None) -> Header:
    """The header with the layer in the form that was asked for, and a flag that says how much is meant."""
    then = {"nodata": ", and nodata in the product", "band": ", and a band of the product", "flag": ""}[use]
    origins = header.origins if origin is None or origin in header.origins else (*header.origins, origin)
    found = replace(
        header,
        quality=layer,
        properties={**header.properties, **_cloud(layer.share)},
        beside=tuple(dict.fromkeys((*header.beside, layer.path))),
        flags=(*header.flags, f"quality layer {layer.layer}: {_told(layer.share)}{then}"),
        origins=origins,
    )
    if use == "nodata" and header.alpha is not None:
        raise SourceError(
            "a scene with an alpha band takes no quality layer as nodata",
            layer.layer,
            "say as: flag",
            code="BAD_SETTING",
        )
    if use != "band":
        return found
    if layer.bands or layer.fine > 1:
        what = f"quality layer {layer.layer} cannot be a band of the product"
        raise SourceError(what, "several bands, or finer pixels than the scene", "say as: flag", code="BAD_SETTING")
    band = Band(
        layer.path,
        1,
        layer.layer,
        hidden=header.bands[0].hidden,
        values="bits" if layer.bits else "categorical",
        zoom=layer.zoom,
    )
    return replace(found, bands=(*found.bands, band))
