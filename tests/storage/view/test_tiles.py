"""Tiles of products and LR: where they lie, what they cost, and what hostile or odd rasters make of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rasterio.transform import Affine

from srcore.storage.scene import read_header
from srcore.storage.view.frame import Frame, Place
from srcore.storage.view.product import open_product
from srcore.storage.view.source import MAX_SIDE_PX, first_level, source_tile

Make, Write = Callable[..., np.ndarray], Callable[..., Path]


def places(frame: Frame, level: int) -> list[Place]:
    """The tiles of a level that have something of the product."""
    left, top, right, bottom = (value * 2**level for value in frame.box)
    return [
        Place(level, column, row)
        for row in range(int(top), int(bottom) + 1)
        for column in range(int(left), int(right) + 1)
    ]


def seen(path: Path, level: int | None = None) -> tuple[Frame, int]:
    """The frame of a raster, and the pixels of all tiles of a level, its own at first, in which something lies."""
    with open_product(path) as view:
        found = [view.tile(place, [0]) for place in places(view.frame, view.frame.level if level is None else level)]
        return view.frame, sum(int(one[1][0].sum()) for one in found if one is not None)


@pytest.mark.parametrize(
    ("options", "on_globe"),
    [
        ({}, True),
        ({"crs": None, "transform": Affine.identity()}, False),
        ({"crs": None}, False),
        ({"crs": "EPSG:4326", "transform": Affine(0.001, 0, 7, 0, -0.001, 46)}, True),
        ({"crs": "EPSG:4326", "transform": Affine(0.001, 0, 7, 0, 0.001, 46)}, True),  # south up
        ({"crs": "EPSG:4326", "transform": Affine(0.001, 0.0005, 7, 0.0005, -0.001, 46)}, True),  # turned
        ({"crs": "EPSG:4326", "transform": Affine(0.001, 0, 179.97, 0, -0.001, 46)}, False),  # beyond 180 degrees
        ({"crs": "EPSG:4326", "transform": Affine(0.001, 0, 7, 0, -0.001, 89.99)}, False),  # at the pole
        ({"crs": "EPSG:3413", "transform": Affine(100, 0, -3000, 0, -100, 3000)}, False),  # around the pole
        ({"crs": "EPSG:32660", "transform": Affine(30, 0, 706000, 0, -30, 5200000)}, None),
        ({"crs": "EPSG:32632", "transform": Affine(0, 0, 600000, 0, 0, 5200000)}, None),  # no size
    ],
)
def test_every_place_has_tiles(landscape: Make, write_raster: Write, options: dict[str, Any], on_globe: Any) -> None:
    path = write_raster(landscape(1, (61, 83)), **options)
    frame, pixels = seen(path)
    assert frame.on_globe is (on_globe if on_globe is not None else frame.on_globe)
    assert all(0 <= value <= 1 for value in frame.box)
    if frame.on_globe:
        assert 0.2 * 61 * 83 < pixels < 5 * 61 * 83
    else:
        assert pixels == 61 * 83


def test_a_tile_of_the_whole_globe_has_the_product_in_it(landscape: Make, write_raster: Write) -> None:
    """A zone of UTM tells nothing of the other side of the globe."""
    path = write_raster(landscape(1, (600, 800)), transform=Affine(1000, 0, 100000, 0, -1000, 5200000))
    for level in range(5):
        frame, pixels = seen(path, level)
        expected = (frame.box[2] - frame.box[0]) * (frame.box[3] - frame.box[1]) * (256 * 2**level) ** 2
        assert pixels == pytest.approx(expected, rel=0.35, abs=3)


@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (700, 1), (257, 255)])
def test_odd_shapes_have_all_their_pixels(write_raster: Write, shape: tuple[int, int]) -> None:
    values = np.arange(np.prod(shape), dtype="uint32").reshape(1, *shape)
    path = write_raster(values, crs=None, transform=Affine.identity())
    frame, pixels = seen(path)
    assert pixels == np.prod(shape)
    with open_product(path) as view:
        for place in places(frame, frame.level):
            tile = view.tile(place, [0])
            if tile is None:
                continue
            part = values[0, 256 * place.row :, 256 * place.column :][:256, :256]
            assert np.array_equal(tile[0][0, : part.shape[0], : part.shape[1]], part)


def test_what_is_no_number_is_not_drawn(write_raster: Write) -> None:
    values = np.ones((1, 64, 64), "float32")
    values[0, :8], values[0, 8:16], values[0, 16:24] = np.nan, np.inf, 3e38
    path = write_raster(values, crs=None, transform=Affine.identity())
    assert seen(path)[1] == 48 * 64
    header = read_header([path])
    with open_product(path) as view:
        tile = source_tile(header, view.frame, Place(0, 0, 0), [0])
        assert tile is not None
        assert np.array_equal(tile[1], view.tile(Place(0, 0, 0), [0])[1])  # type: ignore[index]


def test_a_large_lr_is_drawn_from_where_a_screen_shows_its_pixels(write_raster: Write) -> None:
    values = np.broadcast_to(np.arange(3000, dtype="uint16"), (1, 20, 3000))
    path = write_raster(values, crs=None, transform=Affine.identity(), tiled=True, blockxsize=256, blockysize=256)
    header = read_header([path])
    with open_product(path) as view:
        first = first_level(view.frame, header)
        assert 0 < first < view.frame.level
        for level in range(view.frame.level + 3):
            drawn = source_tile(header, view.frame, Place(level, 0, 0), [0])
            assert (drawn is not None) >= (level >= first)
            assert drawn is None or 256 * view.frame.step(Place(level, 0, 0)) <= MAX_SIDE_PX


def test_a_file_of_long_strips_is_not_decoded_for_a_tile(write_raster: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_raster(np.zeros((1, 300, 3000), "uint8"), crs=None, transform=Affine.identity(), blockysize=300)
    header = read_header([path], values="continuous")
    with open_product(path) as view:
        place = Place(view.frame.level, 0, 0)
        assert source_tile(header, view.frame, place, [0]) is not None
        monkeypatch.setattr("srcore.storage.view.source.MAX_DECODED_PX", 250 * 3000)
        assert source_tile(header, view.frame, place, [0]) is None


def test_an_lr_of_several_files_is_drawn_too(landscape: Make, write_raster: Write) -> None:
    values = landscape(2, (64, 80))
    bands = [write_raster(values[i : i + 1], f"b{i}.tif") for i in range(2)]
    parts = [
        write_raster(values[:, :, :40], "m0.tif"),
        write_raster(values[:, :, 40:], "m1.tif", transform=Affine(10, 0, 600400, 0, -10, 5200000)),
    ]
    whole = write_raster(values, "whole.tif")
    with open_product(whole) as view:
        left, top, *_ = view.frame.box
        place = Place(12, int(left * 2**12), int(top * 2**12))
        wanted = source_tile(read_header([whole]), view.frame, place, [1, 0])
        assert wanted is not None
        assert wanted[1].any()
        for header in (read_header(bands, bands=["a", "b"]), read_header(parts, mosaic="first")):
            found = source_tile(header, view.frame, place, [1, 0])
            assert found is not None
            assert np.array_equal(found[0], wanted[0])
            assert np.array_equal(found[1], wanted[1])
