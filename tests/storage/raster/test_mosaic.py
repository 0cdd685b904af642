"""Several files as one scene: the mosaic of the parts of an image is the image; what does not fit is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.transform import Affine

from srcore.errors import SRError
from srcore.storage.dates.taken import dated
from srcore.storage.header import Header
from srcore.storage.raster import mosaic as module
from srcore.storage.scene import open_scene, read_header

Make, Write = Callable[..., np.ndarray], Callable[..., Path]
ROWS, COLUMNS = 61, 83


def at(row: float, column: float, step: float = 10) -> Affine:
    return Affine(step, 0, 600000 + 10 * column, 0, -step, 5200000 - 10 * row)


def whole(header: Header) -> tuple[np.ndarray, np.ndarray]:
    with open_scene(header) as reader:
        return reader.read(tuple(slice(0, n) for n in header.grid.shape))


def split(write: Write, values: np.ndarray, rows: int, columns: int, overlap: int = 0, **more: Any) -> list[Path]:
    """The image cut in four at a row and a column, each part `overlap` pixels larger than it need be."""
    paths = []
    for a, low in enumerate((0, rows)):
        for b, left in enumerate((0, columns)):
            down = slice(max(0, low - overlap), rows + overlap if a == 0 else ROWS)
            along = slice(max(0, left - overlap), columns + overlap if b == 0 else COLUMNS)
            part = values[:, down, along]
            paths.append(write(part, f"part_{a}{b}.tif", transform=at(down.start, along.start), **more))
    return paths


@pytest.mark.parametrize("overlap", [0, 5])
@pytest.mark.parametrize("order", ["first", "newest"])
def test_the_mosaic_of_the_parts_of_an_image_is_the_image(
    landscape: Make, write_raster: Write, overlap: int, order: Any
) -> None:
    values = landscape(2, (ROWS, COLUMNS))
    one = read_header([write_raster(values, "one.tif")])
    paths = split(write_raster, values, 20, 37, overlap)
    header = read_header(paths, mosaic=order, date="2024-05-06")
    assert header.grid == one.grid
    assert header.nodata == one.nodata == "none"
    assert header.paths == tuple(paths)
    got, valid = whole(header)
    assert valid.all()
    assert np.array_equal(got, values)
    assert Header.from_json(header.to_json()) == header


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_every_window_is_that_of_the_whole(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Files that lie anywhere, and any window: pixel by pixel by the rule itself."""
    import rasterio

    folder = tmp_path_factory.mktemp("m")
    count = data.draw(st.integers(1, 4))
    truth, seen = np.zeros((30, 40), "int16"), np.zeros((30, 40), bool)
    paths: list[Path] = []
    boxes = [
        (data.draw(st.integers(0, 20)), data.draw(st.integers(0, 30)), data.draw(st.integers(1, 10)))
        for _ in range(count)
    ]
    for i, (row, column, size) in reversed(list(enumerate(boxes))):  # the first by name is written last
        values = np.full((1, size, size), 100 + i, "int16")
        values[0, 0, 0] = -1
        profile = {"driver": "GTiff", "count": 1, "height": size, "width": size, "dtype": "int16", "nodata": -1}
        path = folder / f"{i}.tif"
        with rasterio.open(path, "w", crs="EPSG:32632", transform=at(row, column), **profile) as target:
            target.write(values)
        paths.insert(0, path)
        area = truth[row : row + size, column : column + size], values[0] != -1
        area[0][area[1]] = values[0][area[1]]
        seen[row : row + size, column : column + size] |= area[1]
    low, left = min(b[0] for b in boxes), min(b[1] for b in boxes)
    header = read_header(paths, mosaic="first", values="continuous")
    truth, seen = (one[low:, left:][: header.grid.shape[0], : header.grid.shape[1]] for one in (truth, seen))
    height, width = header.grid.shape
    top, start = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    window = (
        slice(top, data.draw(st.integers(top + 1, height))),
        slice(start, data.draw(st.integers(start + 1, width))),
    )
    with open_scene(header) as reader:
        got, valid = reader.read(window)
    assert np.array_equal(valid[0], seen[window])
    assert np.array_equal(got[0][valid[0]], truth[window][seen[window]])
    assert (got[0][~valid[0]] == -1).all()


def test_of_a_pixel_in_two_files_the_order_decides(write_raster: Write) -> None:
    paths = [
        write_raster(np.full((1, 8, 8), n, "uint16"), f"scene_{day}.tif")
        for n, day in ((1, "20240101"), (3, "20240301"), (2, "20240201"))
    ]
    date = "scene_YYYYMMDD.tif"
    newest = read_header(paths, mosaic="newest", date=date, values="continuous")
    assert set(np.unique(whole(newest)[0])) == {3}
    first = read_header(paths, mosaic="first", date=date, values="continuous")
    assert set(np.unique(whole(first)[0])) == {1}
    assert "scene_20240301.tif, scene_20240201.tif, scene_20240101.tif" in newest.flags[0]
    taken = dated(newest, date).taken
    assert taken is not None
    assert (taken.first, taken.last) == ("2024-01-01T00:00:00Z", "2024-03-01T23:59:59Z")


def test_a_pixel_is_one_files(write_raster: Write) -> None:
    """A spectrum of two days would be no spectrum: where one band of the upper file is hidden, it stays hidden."""
    upper, lower = np.full((2, 4, 4), 7, "int16"), np.full((2, 4, 4), 9, "int16")
    upper[0, 1, 1] = upper[:, 2, 2] = -1
    paths = [write_raster(upper, "a.tif", nodata=-1), write_raster(lower, "b.tif", nodata=-1)]
    values, valid = whole(read_header(paths, mosaic="first", values="continuous"))
    assert values[:, 1, 1].tolist() == [-1, 7]
    assert valid[:, 1, 1].tolist() == [False, True]
    assert values[:, 2, 2].tolist() == [9, 9]


def test_what_no_file_covers_is_invalid_and_the_product_can_say_it(landscape: Make, write_raster: Write) -> None:
    for dtype, form in (("uint16", "mask"), ("float32", "nan")):
        values = landscape(1, (16, 16)).astype(dtype)
        paths = [write_raster(values, "a.tif"), write_raster(values, "b.tif", transform=at(16, 20))]
        header = read_header(paths, mosaic="first")
        assert header.grid.shape == (32, 36)
        assert header.nodata == form
        got, valid = whole(header)
        assert valid.sum() == 2 * 256
        assert not valid[0, :16, 16:].any()
        assert np.array_equal(got[0, 16:, 20:], values[0])


def test_masks_and_alpha_of_each_file_hide_in_it_alone(landscape: Make, write_raster: Write) -> None:
    """Where the upper file hides a pixel the lower one is seen; where both do, or one is alone, nothing is."""
    values = landscape(3, (16, 16), "uint8")
    mask = np.full((16, 16), 255, "uint8")
    mask[:, :8] = 0
    rgba = np.concatenate([values // 2, mask[None].T.reshape(1, 16, 16)])  # hides the rows above 8
    paths = [
        write_raster(values, "a.tif", mask=mask),
        write_raster(rgba, "b.tif", photometric="RGB", alpha="YES"),
    ]
    header = read_header(paths, mosaic="first", values="continuous", alpha="mask")
    assert (header.nodata, header.alpha) == ("mask", None)
    got, valid = whole(header)
    assert np.array_equal(valid[0], (mask > 0) | (mask.T > 0))
    assert np.array_equal(got[:, :, 8:], values[:, :, 8:])
    assert np.array_equal(got[:, 8:, :8], values[:, 8:, :8] // 2)


def test_bands_that_hide_their_own_numbers_hide_them_in_the_product(landscape: Make, write_raster: Write) -> None:
    values = landscape(2, (16, 16))
    values[0, 3, 4], values[1, 5, 6] = 7, 9
    paths = [write_raster(values, "a.tif"), write_raster(values, "b.tif", transform=at(0, 16))]
    for path in paths:
        words = "".join(
            f'<PAMRasterBand band="{i}"><NoDataValue>{n}</NoDataValue></PAMRasterBand>' for i, n in ((1, 7), (2, 9))
        )
        path.with_name(f"{path.name}.aux.xml").write_text(f"<PAMDataset>{words}</PAMDataset>")
    one, header = read_header(paths[:1]), read_header(paths, mosaic="first")
    assert (header.nodata, [band.nodata for band in header.bands]) == ("tag", [band.nodata for band in one.bands])
    _, valid = whole(header)
    assert not valid[0, 3, (4, 20)].any()
    assert not valid[1, 5, (6, 22)].any()


def test_a_part_without_detail_does_not_make_classes_of_the_rest(landscape: Make, write_raster: Write) -> None:
    values = landscape(1, (64, 64))
    classes = np.repeat(np.repeat(np.arange(16, dtype="uint16").reshape(1, 4, 4) % 3, 16, axis=1), 16, axis=2)
    paths = [write_raster(classes, "a.tif"), write_raster(values, "b.tif", transform=at(0, 64))]
    assert [read_header([path]).bands[0].values for path in paths] == ["categorical", "continuous"]
    header = read_header(paths, mosaic="first")
    assert header.bands[0].values == header.mosaic[0].bands[0].values == "continuous"
    assert "band 1: the files of the mosaic look different; taken for continuous, see `values`" in header.flags


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"crs": "EPSG:32633"}, "CRS is not"),
        ({"transform": at(0, 10, step=20)}, "have not the size"),
        ({"transform": at(0, 10, step=10.01)}, "have not the size"),
        ({"transform": at(0.5, 10)}, "between those of a.tif; found 0.5 of a pixel"),
        ({"transform": Affine(10, 1, 600000, 1, -10, 5200000)}, "have not the size"),
        ({"transform": at(1e6, 0)}, "too large for its files"),
        ({"dtype": "int16"}, "data type is not"),
        ({"nodata": 0}, "say `nodata`"),
        ({"bands": 3}, "number of bands is not"),
    ],
)
def test_what_is_no_part_of_it_is_refused(
    landscape: Make, write_raster: Write, other: dict[str, Any], words: str
) -> None:
    first = write_raster(landscape(2, (16, 16)), "a.tif")
    values = landscape(other.pop("bands", 2), (16, 16), other.get("dtype", "uint16"))
    options = {"transform": at(0, 16), **other}
    with pytest.raises(SRError) as raised:
        read_header([first, write_raster(values, "b.tif", **options)], mosaic="first")
    assert raised.value.code == "BAD_MOSAIC"
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_files_without_a_place_are_no_mosaic(landscape: Make, write_raster: Write) -> None:
    paths = [write_raster(landscape(1, (16, 16)), name, transform=Affine.identity(), crs=None) for name in ("a", "b")]
    with pytest.raises(SRError, match="does not lie on a grid; found no place"):
        read_header(paths, mosaic="first")


def test_the_newest_of_files_without_a_date_is_not_guessed(landscape: Make, write_raster: Write) -> None:
    paths = [write_raster(landscape(1, (16, 16)), f"{name}.tif", transform=at(0, 9 * i)) for i, name in enumerate("ab")]
    with pytest.raises(SRError) as raised:
        read_header(paths, mosaic="newest")
    assert raised.value.code == "UNDATED"


def test_few_files_are_open_at_a_time_and_a_changed_one_is_refused(
    landscape: Make, write_raster: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = landscape(2, (ROWS, COLUMNS))
    paths = split(write_raster, values, 20, 37)
    header = read_header(paths, mosaic="first")
    monkeypatch.setattr(module, "MOST_OPEN", 1)
    assert np.array_equal(whole(header)[0], values)
    write_raster(values, "part_11.tif")
    with pytest.raises(SRError) as raised:
        whole(header)
    assert raised.value.code == "SOURCE_CHANGED"


def test_its_window_lies_where_its_pixels_lie(landscape: Make, write_raster: Write) -> None:
    values = landscape(2, (ROWS, COLUMNS))
    header = read_header(split(write_raster, values, 20, 37), mosaic="first").window((15, 30), (10, 12))
    got, _ = whole(header)
    assert np.array_equal(got, values[:, 15:25, 30:42])
