"""Each band is hidden by its own rules, and the product has one form that holds all of it, known from headers."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st

from srcore.errors import SourceError
from srcore.storage.band import Band, Mask
from srcore.storage.header import Header
from srcore.storage.raster.header import read_raster_header
from srcore.storage.raster.reader import open_raster_scene
from srcore.storage.raster.validity import product_form

LOWEST = -3.4028234663852886e38


def whole(header: Header) -> tuple[np.ndarray, np.ndarray]:
    with open_raster_scene(header) as reader:
        return reader.read(tuple(slice(0, n) for n in header.grid.shape))


def numbers(bands: int = 2, dtype: str = "uint16") -> np.ndarray:
    return (np.arange(bands * 77) % 120 + 1).reshape(bands, 7, 11).astype(dtype)


def holes(row: int) -> np.ndarray:
    mask = np.full((7, 11), 255, np.uint8)
    mask[row] = 0
    return mask


RULES = st.tuples(st.sampled_from([None, 0.0, 5.0]), st.sampled_from([None, Mask("a"), Mask("a", 1), Mask("b")]))


@given(st.sampled_from(["uint8", "int16", "uint16", "float32"]), st.lists(RULES, min_size=1, max_size=3), st.booleans())
def test_the_form_holds_what_every_band_hides(dtype: str, rules: list, alpha: bool) -> None:
    """A form for the whole file only where all bands say the same; one number otherwise, or NaN."""
    bands = tuple(Band("a", i, "x", hidden=number, mask=mask) for i, (number, mask) in enumerate(rules))
    form, number = product_form(dtype, bands, has_alpha=alpha)
    floats = dtype == "float32"
    alike = len(set(rules)) == 1
    assert (form == "tag") == (number is not None)
    if form in ("none", "alpha"):
        assert set(rules) == {(None, None)}
    if form == "mask":
        assert alike
        assert not floats
        assert rules[0] in ((None, Mask("a")), (None, Mask("b")))
    if floats:
        assert form == ("nan" if number is None else "tag")
    if form == "tag" and not alike and len({number for number, _ in rules}) > 1:
        limits = np.iinfo(dtype)
        assert number in (limits.min, limits.max)


def test_files_that_differ_in_nodata_keep_their_own(write_raster) -> None:
    """0 is data in the band whose nodata is 65535: no number of the user's could say it."""
    values = numbers(2)
    values[0, 0], values[1, 0], values[1, 1] = 0, 65535, 0
    paths = [write_raster(values[i : i + 1], f"B{i}.tif", nodata=tag) for i, tag in enumerate((0, 65535))]
    header = read_raster_header(paths)
    assert (header.nodata, {band.nodata for band in header.bands}) == ("tag", {65535})
    assert [band.hidden for band in header.bands] == [0, 65535]
    assert "bands hide pixels in different ways: nodata 65535 in all bands of the product" in header.flags
    np.testing.assert_array_equal(whole(header)[1], np.stack([values[0] != 0, values[1] != 65535]))


@pytest.mark.parametrize(("dtype", "number"), [("uint8", 255), ("int16", -32768), ("float32", None)])
def test_a_band_without_nodata_beside_one_with(write_raster, dtype: str, number: int | None) -> None:
    values = numbers(2, dtype)
    paths = [write_raster(values[i : i + 1], f"B{i}.tif", nodata=tag) for i, tag in enumerate((7, None))]
    header = read_raster_header(paths)
    assert header.nodata == ("nan" if number is None else "tag")
    assert header.bands[1].nodata == number
    np.testing.assert_array_equal(whole(header)[1], np.stack([values[0] != 7, np.ones((7, 11), bool)]))


def test_each_file_has_its_own_mask(write_raster) -> None:
    values = numbers(3)
    paths = [write_raster(values[i : i + 1], f"B{i}.tif", mask=holes(i) if i else None) for i in range(3)]
    header = read_raster_header(paths)
    assert (header.nodata, header.bands[0].nodata) == ("tag", 65535)
    np.testing.assert_array_equal(whole(header)[1], np.stack([np.ones((7, 11), bool), holes(1) > 0, holes(2) > 0]))


def test_nan_under_a_mask_is_nan_in_the_product(write_raster) -> None:
    values = numbers(2, "float32")
    values[1, 3, 3:5] = np.nan
    header = read_raster_header([write_raster(values, mask=holes(0))])
    assert header.nodata == "nan"
    assert "what a mask hides is NaN in the product" in header.flags
    np.testing.assert_array_equal(whole(header)[1], np.isfinite(values) & (holes(0) > 0))


def test_nan_beside_alpha_is_nan_in_the_product(write_raster) -> None:
    values = numbers(4, "float32")
    values[3] = holes(2) / 255
    values[1, 3, 3:5] = np.nan
    header = read_raster_header([write_raster(values, photometric="RGB", alpha="YES")])
    assert header.nodata == "nan"
    assert header.alpha is not None
    np.testing.assert_array_equal(whole(header)[1], np.isfinite(values[:3]) & (values[3] > 0))


def masked_tiff(path: Path, image: np.ndarray, masks: np.ndarray) -> Path:
    """Image (C, Y, X) of bytes in a directory, masks (N, Y, X) of one bit a pixel in another: no library writes it."""
    out = bytearray(b"II*\0" + bytes(4))

    def field(form: str, values: list[int]) -> bytes:
        packed = struct.pack(f"<{len(values)}{form}", *values)
        if len(packed) <= 4:
            return packed.ljust(4, b"\0")
        out.extend(bytes(len(out) % 2) + packed)
        return struct.pack("<I", len(out) - len(packed))

    link = 4
    for planes, bits, photometric, kind in ((image, 8, 1, 0), (masks, 1, 4, 4)):
        data = [np.packbits(p, axis=1).tobytes() if bits == 1 else p.tobytes() for p in planes]
        offsets = []
        for block in data:
            offsets.append(len(out))
            out += block + bytes(len(block) % 2)

        n, height, width = planes.shape
        fields = [(254, 4, [kind]), (256, 4, [width]), (257, 4, [height]), (258, 3, [bits] * n), (259, 3, [1])]
        fields += [(262, 3, [photometric]), (273, 4, offsets), (277, 3, [n]), (278, 4, [height])]
        fields += [(279, 4, [len(block) for block in data]), (284, 3, [2 if n > 1 else 1])]
        entries = [(tag, form, len(v), field("H" if form == 3 else "I", v)) for tag, form, v in fields]
        out += bytes(len(out) % 2)
        out[link : link + 4] = struct.pack("<I", len(out))
        out += struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHI", *e[:3]) + e[3] for e in entries)
        link = len(out)
        out += bytes(4)
    path.write_bytes(out)
    return path


def test_a_mask_of_one_bit_for_each_band(tmp_path: Path) -> None:
    """GDAL says nothing of such masks in its flags, so that they were lost without a word."""
    masks = np.stack([holes(0), holes(5)]) > 0
    path = masked_tiff(tmp_path / "a.tif", numbers(2, "uint8"), masks)
    with rasterio.open(path) as plain:
        assert plain.mask_flag_enums == ([], [])
    header = read_raster_header([path])
    assert (header.nodata, header.bands[0].nodata) == ("tag", 255)
    np.testing.assert_array_equal(whole(header)[1], masks)


def test_a_mask_that_gdal_does_not_use_is_flagged(tmp_path: Path) -> None:
    header = read_raster_header([masked_tiff(tmp_path / "a.tif", numbers(2, "uint8"), np.stack([holes(0)] * 3) > 0)])
    assert header.nodata == "none"
    assert any("a mask inside the file is not used" in flag for flag in header.flags)


@pytest.mark.parametrize("tag", [np.inf, -np.inf])
def test_infinite_nodata_is_written_as_nan(write_raster, tag: float) -> None:
    values = numbers(1, "float32")
    values[0, 0], values[0, 1, :3], values[0, 2, :3] = tag, -tag, np.nan
    header = read_raster_header([write_raster(values, nodata=tag)])
    assert (header.nodata, header.bands[0].nodata) == ("nan", None)
    assert f"nodata tag {tag:g} is written as NaN" in header.flags
    np.testing.assert_array_equal(whole(header)[1], np.isfinite(values))


@pytest.mark.parametrize(
    ("dtype", "tag", "stored"),
    [
        ("float32", -3.4e38, LOWEST),
        ("float32", -9999.001, -9999),
        ("float64", 1e20 * (1 + 1e-8), 1e20),
        ("float32", 0.1, 0.1),
    ],
)
def test_a_tag_that_lost_digits_hides_what_gdal_hides(write_raster, dtype: str, tag: float, stored: float) -> None:
    values = numbers(1, dtype)
    values[0, 0] = stored
    path = write_raster(values, nodata=tag)
    header = read_raster_header([path])
    with rasterio.open(path) as plain:
        expected = plain.read_masks() > 0
    np.testing.assert_array_equal(whole(header)[1], expected)
    assert not expected[0, 0].any()
    assert expected[0, 1:].all()


def test_the_users_number_wins_over_every_tag(write_raster) -> None:
    values = numbers(2)
    paths = [write_raster(values[i : i + 1], f"B{i}.tif", nodata=tag) for i, tag in enumerate((0, 65535))]
    header = read_raster_header(paths, nodata=7)
    assert [(band.hidden, band.nodata) for band in header.bands] == [(7, 7), (7, 7)]
    floats = read_raster_header([write_raster(numbers(1, "float32"), nodata=5)], nodata=float("-inf"))
    assert (floats.nodata, floats.bands[0].hidden) == ("nan", None)
    with pytest.raises(SourceError, match="does not fit"):
        read_raster_header(paths, nodata=float("nan"))
