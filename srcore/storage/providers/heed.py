"""A scene's quality layer: found, laid on the scene's grid, its share counted; nodata, a band or a word in the end."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.windows import Window

from srcore.choices import QUALITY_USES, QualityWish
from srcore.errors import GridError, SourceError
from srcore.grid import Grid
from srcore.storage.disk.card import is_card
from srcore.storage.header import Band, Header, Quality, Wish
from srcore.storage.providers import quality
from srcore.storage.providers.find import find_document, read_granule
from srcore.storage.providers.packed import is_packed
from srcore.storage.providers.quality import Rule, meant
from srcore.storage.raster.gdal import GDAL_ERRORS, gdal_env, gdal_message, open_raster
from srcore.storage.remote.layers import layer_of

NEAR = 1e-3
ROWS = 512
"""Rows of a layer that are looked at at a time."""


def layer_files(paths: Sequence[Path], wish: QualityWish | None) -> tuple[Path, ...]:
    """The file of the layer that `wish` asks for, where it is found by its name; what a change of it makes due."""
    if wish is None:
        return ()
    if is_packed(Path(paths[0])) or is_card(Path(paths[0])):
        return ()  # a part of the archive, or of the card
    found = _find(Path(paths[0]), wish.get("layer", "auto"), None)
    return () if found is None else (Path(os.path.realpath(found[1])),)


def heeded(header: Header, paths: Sequence[Path], wish: Wish) -> Header:
    """The header with the layer that was asked for; SourceError where there is none, CLOUDY where too much is meant."""
    if wish.quality is None:
        return header
    use = wish.quality.get("as_", "flag")
    if use not in QUALITY_USES:
        raise SourceError("what a quality layer is for is not known", repr(use), f"one of {', '.join(QUALITY_USES)}")
    asked = wish.quality.get("layer", "auto")
    found = _find(Path(paths[0]), asked, wish.roots)
    if found is None:
        raise SourceError(
            f"{Path(paths[0]).name}: no quality layer {'' if asked == 'auto' else asked}".rstrip(),
            "no such file in the product or beside the raster",
            "name one that is there, or leave `quality` out",
            code="NO_QUALITY",
        )
    rule = quality.rule_of(found[0], wish.quality.get("use"))
    with gdal_env():
        layer = _laid(header, found, rule, None if header.packed else wish.roots, hides=use == "nodata")
    _refuse_cloudy(layer, wish.quality.get("skip_above"))
    return _used(header, layer, use)


def _find(path: Path, asked: str, roots: Sequence[Path] | None) -> tuple[str, Path] | None:
    """The name of the layer, and its file: of a product, beside a raster, or by a path of the user's."""
    if asked != "auto" and asked not in quality.known_layers():
        own = Path(asked.replace("{scene}", path.stem))
        return ("mask", own) if own.is_file() else None
    if is_card(path):
        return layer_of(path, asked, quality.known_layers(), roots)
    document = find_document(path)
    if document is None:
        beside = quality.beside(path)
        return beside if beside is not None and asked in ("auto", beside[0]) else None
    layers = read_granule(document).layers
    name = next(iter(layers), "") if asked == "auto" else asked
    return (name, layers[name][0]) if name in layers else None


def _laid(header: Header, found: tuple[str, Path], rule: Rule, roots: Sequence[Path] | None, *, hides: bool) -> Quality:
    name, path = found
    with open_raster(path, roots) as dataset:
        own = _grid(dataset, header.grid)
        if rule.bands and max(rule.bands) > dataset.count:
            raise SourceError(f"{path.name}: {dataset.count} bands", f"asked for band {max(rule.bands)}", "name others")
        zoom, fine = _nested(header.grid, own, path)
        layer = Quality(name, str(Path(os.path.realpath(path))), hides, zoom, fine, rule.values, rule.bits, rule.bands)
        return replace(layer, share=_share(dataset, layer, rule))


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


def _share(dataset: Any, layer: Quality, rule: Rule) -> float | None:
    """Of the pixels of the layer that were seen, those that are meant; None where none was seen."""
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
    return hit / seen if seen else None


def _refuse_cloudy(layer: Quality, most: float | None) -> None:
    if most is not None and layer.share is not None and layer.share > most:
        raise SourceError(
            f"more of the scene is hidden than `skip_above` allows, by {layer.layer}",
            f"{layer.share:.1%}",
            f"at most {most:.1%} are allowed: wait for another scene",
            code="CLOUDY",
        )


def _used(header: Header, layer: Quality, use: str) -> Header:
    """The header with the layer in the form that was asked for, and a flag that says how much is meant."""
    share = "no pixel of it was seen" if layer.share is None else f"{layer.share:.1%} of what was seen is meant"
    then = {"nodata": ", and nodata in the product", "band": ", and a band of the product", "flag": ""}[use]
    cloud = {} if layer.share is None else {"eo:cloud_cover": round(100 * layer.share, 4)}
    found = replace(
        header,
        quality=layer,
        properties={**header.properties, **cloud},
        beside=tuple(dict.fromkeys((*header.beside, layer.path))),
        flags=(*header.flags, f"quality layer {layer.layer}: {share}{then}"),
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
