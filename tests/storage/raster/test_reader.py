"""Every form in which a raster says what it is, and every one that is refused."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from PIL import Image
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp
from rasterio.rpc import RPC

from srcore.errors import GridError, SourceError
from srcore.storage.header import Header
from srcore.storage.numbers import DTYPES
from srcore.storage.raster.gdal import gdal_env
from srcore.storage.raster.header import read_raster_header
from srcore.storage.raster.reader import open_raster_scene

WORLD = Affine(10, 0, 600000, 0, -10, 5200000)


def whole(header: Header) -> tuple[np.ndarray, np.ndarray]:
    with open_raster_scene(header) as reader:
        return reader.read(tuple(slice(0, n) for n in header.grid.shape))


def numbers(bands: int = 2, shape: tuple[int, int] = (7, 11), dtype: str = "uint16") -> np.ndarray:
    return (np.arange(bands * shape[0] * shape[1]) % 120 + 1).reshape(bands, *shape).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_values_come_back_in_their_type(write_raster, dtype: str) -> None:
    values = numbers(dtype=dtype)
    header = read_raster_header([write_raster(values)])
    read, valid = whole(header)
    assert header.dtype == dtype
    assert read.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(read, values)
    assert valid.all()


@pytest.mark.parametrize("bands", [1, 3, 13, 300])
@pytest.mark.parametrize("interleave", ["pixel", "band"])
def test_any_number_of_bands(write_raster, bands: int, interleave: str) -> None:
    values = numbers(bands)
    header = read_raster_header([write_raster(values, interleave=interleave)])
    np.testing.assert_array_equal(whole(header)[0], values)
    assert [band.index for band in header.bands] == list(range(1, bands + 1))


def test_windows_partition_the_scene(write_raster, landscape) -> None:
    values = landscape(3, (61, 83))
    values[:, :20] = 0
    header = read_raster_header([write_raster(values, nodata=0, tiled=True, blockxsize=16, blockysize=32)])
    read, valid = np.zeros_like(values), np.zeros(values.shape, bool)
    with open_raster_scene(header) as reader:
        for rows in (slice(0, 1), slice(1, 40), slice(40, 61)):
            for columns in (slice(0, 50), slice(50, 82), slice(82, 83)):
                part = (slice(None), rows, columns)
                read[part], valid[part] = reader.read((rows, columns))
    np.testing.assert_array_equal(read, values)
    np.testing.assert_array_equal(valid, values != 0)


@pytest.mark.parametrize(
    "affine",
    [
        WORLD,
        Affine(10, 0, 600000, 0, 10, 5200000),
        Affine.translation(600000, 5200000) * Affine.rotation(33) * Affine.scale(10, -10),
        Affine(3, 0, 600000, 0, -7, 5200000),
        Affine(10, 2, 600000, 3, -10, 5200000),
    ],
    ids=["north-up", "south-up", "rotated", "not square", "sheared"],
)
def test_the_grid_is_where_the_file_says(write_raster, affine: Affine) -> None:
    header = read_raster_header([write_raster(numbers(), transform=affine)])
    assert header.grid.shape == (7, 11)
    for row, column in ((0, 0), (7, 0), (0, 11), (3.5, 2.25)):
        np.testing.assert_allclose(header.grid.to_world((row, column)), affine @ (column, row), rtol=1e-15)


def test_crs_of_degrees_of_metres_and_none(write_raster) -> None:
    degrees = read_raster_header([write_raster(numbers(), crs="EPSG:4326", transform=Affine(1e-4, 0, 9, 0, -1e-4, 46))])
    assert rasterio.CRS.from_wkt(degrees.grid.crs) == rasterio.CRS.from_epsg(4326)
    metres = read_raster_header([write_raster(numbers(), crs="EPSG:2056")])
    assert rasterio.CRS.from_wkt(metres.grid.crs) == rasterio.CRS.from_epsg(2056)
    none = read_raster_header([write_raster(numbers(), crs=None)])
    assert none.grid.crs is None
    assert "no CRS" in none.flags
    assert "no georeference" not in none.flags


def test_no_georeference_is_flagged(write_raster) -> None:
    header = read_raster_header([write_raster(numbers(), crs=None, transform=Affine.identity())])
    assert {"no georeference", "no CRS"} <= set(header.flags)
    assert header.grid.affine == ((0.0, 1.0, 0.0), (1.0, 0.0, 0.0))


# ---- nodata -----------------------------------------------------------------------------------------------------


def test_tag(write_raster) -> None:
    values = numbers()
    header = read_raster_header([write_raster(values, nodata=5)])
    assert header.nodata == "tag"
    assert [band.nodata for band in header.bands] == [5, 5]
    np.testing.assert_array_equal(whole(header)[1], values != 5)


def test_nan_tag_and_floats_without_one(write_raster) -> None:
    values = numbers(dtype="float32")
    values[0, 2, 3], values[1, 0, 0], values[1, 0, 1] = np.nan, np.inf, -np.inf
    for nodata in (np.nan, None):
        header = read_raster_header([write_raster(values, nodata=nodata)])
        assert header.nodata == "nan"
        np.testing.assert_array_equal(whole(header)[1], np.isfinite(values))


def test_a_float_tag_and_nan_together(write_raster) -> None:
    values = numbers(dtype="float32")
    values[0, 2, 3], values[1, 0, 0] = np.nan, -9999
    header = read_raster_header([write_raster(values, nodata=-9999)])
    assert header.nodata == "tag"
    assert np.argwhere(~whole(header)[1]).tolist() == [[0, 2, 3], [1, 0, 0]]


def test_a_tag_that_float32_rounds(write_raster) -> None:
    values = numbers(dtype="float32")
    values[0, 2, 3] = 0.1
    header = read_raster_header([write_raster(values, nodata=0.1)])
    assert np.argwhere(~whole(header)[1]).tolist() == [[0, 2, 3]]


@pytest.mark.parametrize(
    ("dtype", "tag", "nodata"),
    [("uint8", "-9999", None), ("uint8", "1.5", None), ("float32", "-1.7976931348623157e+308", None),
     ("float32", "-3.40282347e+38", -3.4028234663852886e38), ("uint8", "nan", None)],
)  # fmt: skip
def test_a_tag_that_the_type_cannot_hold_is_ignored(tmp_path: Path, dtype: str, tag: str, nodata) -> None:
    Image.fromarray(np.ones((4, 4), dtype)).save(tmp_path / "a.tif", tiffinfo={42113: tag})
    header = read_raster_header([tmp_path / "a.tif"])
    assert header.bands[0].nodata == nodata
    assert whole(header)[1].all()


def test_mask_of_the_dataset(write_raster) -> None:
    mask = np.full((7, 11), 255, np.uint8)
    mask[2:4, :5] = 0
    header = read_raster_header([write_raster(numbers(), mask=mask)])
    assert header.nodata == "mask"
    np.testing.assert_array_equal(whole(header)[1], np.broadcast_to(mask > 0, (2, 7, 11)))
    assert header.flags == ()


def test_a_mask_beats_a_tag_and_says_so(write_raster) -> None:
    mask = np.full((7, 11), 255, np.uint8)
    mask[2:4, :5] = 0
    header = read_raster_header([write_raster(numbers(), mask=mask, nodata=5)])
    assert header.nodata == "mask"
    assert header.bands[0].nodata is None
    assert "nodata tag ignored: the mask decides" in header.flags
    np.testing.assert_array_equal(whole(header)[1][0], mask > 0)


def opaque(values: np.ndarray) -> np.ndarray:
    """The values with a fourth band that is 0 in three rows and full elsewhere."""
    values[3] = 255
    values[3, :3] = 0
    return values


def test_alpha_is_no_data_band(write_raster) -> None:
    values = opaque(numbers(4, dtype="uint8"))
    header = read_raster_header([write_raster(values, photometric="RGB", alpha="YES")])
    assert header.nodata == "alpha"
    assert header.alpha is not None
    assert header.alpha.index == 4
    assert [band.colour for band in header.bands] == ["red", "green", "blue"]
    read, valid = whole(header)
    np.testing.assert_array_equal(read, values[:3])
    np.testing.assert_array_equal(valid, np.broadcast_to(values[3] > 0, (3, 7, 11)))
    with open_raster_scene(header) as reader:
        np.testing.assert_array_equal(reader.read_alpha((slice(1, 5), slice(2, 9))), values[3, 1:5, 2:9])


def test_a_tag_beside_alpha_counts_too(write_raster) -> None:
    values = opaque(numbers(4, dtype="uint8"))
    values[0, 5, 5] = 200
    header = read_raster_header([write_raster(values, photometric="RGB", alpha="YES", nodata=200)])
    assert header.nodata == "tag"
    assert header.alpha is not None
    np.testing.assert_array_equal(whole(header)[1], (values[:3] != 200) & (values[3] > 0))


def test_alpha_still_counts_when_bands_are_chosen(write_raster) -> None:
    values = opaque(numbers(4, dtype="uint8"))
    header = read_raster_header([write_raster(values, photometric="RGB", alpha="YES")], bands=["2"])
    assert whole(header)[1].sum() == 4 * 11


def test_none_is_flagged(write_raster) -> None:
    header = read_raster_header([write_raster(numbers())])
    assert header.nodata == "none"
    assert header.flags == ("no nodata",)


def test_the_users_nodata_wins(write_raster) -> None:
    values = numbers()
    header = read_raster_header([write_raster(values, nodata=5)], nodata=7)
    assert [band.nodata for band in header.bands] == [7, 7]
    np.testing.assert_array_equal(whole(header)[1], values != 7)


def test_the_users_nodata_has_to_fit(write_raster) -> None:
    with pytest.raises(SourceError, match="nodata -1 does not fit"):
        read_raster_header([write_raster(numbers())], nodata=-1)


def test_the_users_nodata_joins_a_mask(write_raster) -> None:
    """A mask for the whole file cannot say what a number hides in one band: the number says both."""
    mask = np.full((7, 11), 255, np.uint8)
    mask[0] = 0
    values = numbers()
    header = read_raster_header([write_raster(values, mask=mask)], nodata=60)
    assert (header.nodata, [band.nodata for band in header.bands]) == ("tag", [60, 60])
    assert "what a mask hides is nodata 60 in the product" in header.flags
    np.testing.assert_array_equal(whole(header)[1], (values != 60) & (mask > 0))


# ---- words ------------------------------------------------------------------------------------------------------


def described(path: Path) -> Path:
    with gdal_env(), rasterio.open(path, "r+") as dataset:
        dataset.descriptions = ("B02", "B08")
        dataset.scales, dataset.offsets = (1e-4, 2e-4), (-0.1, 0.0)
        dataset.units = ("1", "W/m2")
        dataset.colorinterp = (ColorInterp.blue, ColorInterp.undefined)
        dataset.update_tags(
            PLATFORM="sentinel-2a",
            AREA_OR_POINT="Point",
            OVR_RESAMPLING_ALG="AVERAGE",
            TIFFTAG_COPYRIGHT="none",
        )
        dataset.update_tags(1, WAVELENGTH="490", STATISTICS_MEAN="12", STATISTICS_MAXIMUM="20")
    return path


def test_words_that_stay_true_are_kept(write_raster) -> None:
    header = read_raster_header([described(write_raster(numbers()))])
    first, second = header.bands
    assert (first.name, first.scale, first.offset, first.unit, first.colour) == ("B02", 1e-4, -0.1, "1", "blue")
    assert (second.name, second.scale, second.offset, second.unit) == ("B08", 2e-4, 0.0, "W/m2")
    assert first.tags == {"WAVELENGTH": "490"}
    assert header.area_or_point == "Point"
    assert header.tags == {"PLATFORM": "sentinel-2a", "TIFFTAG_COPYRIGHT": "none"}
    dropped = "dropped tags, not kept or false at another scale: STATISTICS_*, OVR_RESAMPLING_ALG"
    assert dropped in header.flags


def test_point_and_area_lie_on_the_same_grid(write_raster) -> None:
    area = read_raster_header([write_raster(numbers(), "area.tif")])
    point = read_raster_header([described(write_raster(numbers(), "point.tif"))])
    assert area.area_or_point == "Area"
    assert point.grid == area.grid


def test_a_header_survives_json(write_raster) -> None:
    for path in (described(write_raster(numbers())), write_raster(numbers(4, dtype="uint8"), "rgba.tif", alpha="YES")):
        header = read_raster_header([path])
        assert Header.from_json(json.loads(json.dumps(header.to_json()))) == header


def test_control_points_are_kept(write_raster) -> None:
    points = [
        GroundControlPoint(row=r, col=c, x=600000 + 10 * c, y=5200000 - 10 * r, z=1.5, id=f"p{r}{c}")
        for r, c in ((0, 0), (0, 11), (7, 0), (7, 11))
    ]
    path = write_raster(numbers(), crs=None, transform=Affine.identity())
    with gdal_env(), rasterio.open(path, "r+") as dataset:
        dataset.gcps = (points, rasterio.CRS.from_epsg(32632))
    header = read_raster_header([path])
    assert [(p.row, p.col, p.x, p.y) for p in header.gcps] == [(p.row, p.col, p.x, p.y) for p in points]
    assert rasterio.CRS.from_wkt(header.gcps_crs) == rasterio.CRS.from_epsg(32632)
    assert "placed by 4 ground control points" in header.flags
    assert "no CRS" not in header.flags


def test_text_in_an_old_encoding(tmp_path: Path) -> None:
    words = b'<GDALMetadata><Item name="DESCRIPTION" sample="0" role="description">B\xfc</Item></GDALMetadata>'
    image = Image.fromarray(np.ones((4, 4), np.uint8))
    image.save(tmp_path / "a.tif", tiffinfo={270: b"Z\xfcrich", 42112: words, 42113: "7"})
    header = read_raster_header([tmp_path / "a.tif"])
    assert "dropped text that is not UTF-8" in header.flags
    assert (header.bands[0].name, header.bands[0].nodata, header.tags) == ("band 1", 7, {})


# ---- bands and files --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("asked", "got"), [(["B08", "B02"], [2, 1]), (["2"], [2]), (["1", "B08"], [1, 2])])
def test_bands_by_name_or_number(write_raster, asked, got) -> None:
    values = numbers()
    header = read_raster_header([described(write_raster(values))], bands=asked)
    assert [band.index for band in header.bands] == got
    np.testing.assert_array_equal(whole(header)[0], values[np.array(got) - 1])


@pytest.mark.parametrize("asked", [["B99"], ["3"], ["0"], ["-1"], [""]])
def test_a_band_that_is_not_there(write_raster, asked) -> None:
    with pytest.raises(SourceError, match="is not in the file; found 1 \\(B02\\), 2 \\(B08\\)"):
        read_raster_header([described(write_raster(numbers()))], bands=asked)


@pytest.mark.parametrize("asked", [["B02", "1"], []])
def test_a_band_asked_twice_or_none(write_raster, asked) -> None:
    with pytest.raises(SourceError, match="more than once, or none"):
        read_raster_header([described(write_raster(numbers()))], bands=asked)


def test_files_of_one_band_are_one_scene(write_raster) -> None:
    values = numbers(3)
    paths = [write_raster(values[i : i + 1], f"B0{i + 2}.tif", nodata=3) for i in range(3)]
    header = read_raster_header(paths)
    assert [band.name for band in header.bands] == ["B02", "B03", "B04"]
    assert [band.nodata for band in header.bands] == [3, 3, 3]
    assert header.paths == tuple(paths)
    read, valid = whole(header)
    np.testing.assert_array_equal(read, values)
    np.testing.assert_array_equal(valid, values != 3)
    named = read_raster_header(paths, bands=["blue", "green", "red"])
    assert [(band.name, band.path) for band in named.bands] == [
        ("blue", str(paths[0])),
        ("green", str(paths[1])),
        ("red", str(paths[2])),
    ]


@pytest.mark.parametrize(
    ("file", "asked", "found"),
    [
        ("T32_B02.tif", "B02", True),
        ("B02/T32.tif", "B02", True),
        ("T32_B021.tif", "B02", False),
        ("XB02.tif", "B02", False),
        ("T32_B02.tif", "B0", False),
        ("T32_B02.tif", "B0.", False),
        ("T32_2.tif", "2", False),
    ],
)
def test_one_band_by_the_word_that_a_pattern_has_for_it(write_raster, file: str, asked: str, found: bool) -> None:
    path = write_raster(np.full((1, 8, 8), 3, "uint8"), file)
    if found:
        assert [band.name for band in read_raster_header([path], bands=[asked]).bands] == [asked]
    else:
        with pytest.raises(SourceError, match="is not in the file"):
            read_raster_header([path], bands=[asked])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"values": numbers(1, (7, 12))}, GridError, "differs in shape"),
        ({"values": numbers(2)}, SourceError, "hold one band each"),
        ({"values": numbers(1, dtype="int16")}, SourceError, "differs in data type"),
        ({"crs": "EPSG:32633"}, GridError, "differs in CRS"),
        ({"crs": None}, GridError, "differs in CRS"),
        ({"transform": WORLD * Affine.translation(0.5, 0)}, GridError, "lies elsewhere"),
        ({"transform": WORLD * Affine.scale(1.00001, 1)}, GridError, "lies elsewhere"),
        ({"transform": WORLD * Affine.scale(2)}, GridError, "lies elsewhere"),
    ],
)
def test_a_stranger_among_the_files(write_raster, options, error, message: str) -> None:
    values = {"values": numbers(1), **options}
    paths = [write_raster(numbers(1), "a.tif"), write_raster(name="b.tif", **values)]
    with pytest.raises(error, match=message) as caught:
        read_raster_header(paths)
    assert "b.tif" in str(caught.value)


# ---- refusals ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["complex64", "complex128", "complex_int16"])
def test_complex_pixels(tmp_path: Path, dtype: str) -> None:
    with (
        gdal_env(),
        rasterio.open(
            tmp_path / "slc.tif", "w", driver="GTiff", count=1, height=4, width=4, dtype=dtype, transform=WORLD
        ),
    ):
        pass
    with pytest.raises(SourceError, match="two float32 bands"):
        read_raster_header([tmp_path / "slc.tif"])


@pytest.mark.parametrize("dtype", ["int64", "uint64"])
def test_64_bit_integers(write_raster, dtype: str) -> None:
    with pytest.raises(SourceError, match=f"unknown data type; found {dtype}; convert it"):
        read_raster_header([write_raster(numbers(dtype=dtype))])


def test_palette(write_raster) -> None:
    path = write_raster(numbers(1, dtype="uint8"), photometric="palette")
    with gdal_env(), rasterio.open(path, "r+") as dataset:
        dataset.write_colormap(1, {i: (i, i, i, 255) for i in range(256)})
    assert read_raster_header([path]).copied == (True,)
    with pytest.raises(SourceError, match="gdal_translate -expand rgb"):
        read_raster_header([path], values="continuous")


RPCS = RPC(
    height_off=0,
    height_scale=1,
    lat_off=46,
    lat_scale=1,
    line_off=3,
    line_scale=3,
    long_off=9,
    long_scale=1,
    samp_off=5,
    samp_scale=5,
    line_num_coeff=[0.0] * 20,
    line_den_coeff=[1.0] + [0.0] * 19,
    samp_num_coeff=[0.0] * 20,
    samp_den_coeff=[1.0] + [0.0] * 19,
)


def test_rpcs_alone_are_refused(write_raster) -> None:
    path = write_raster(numbers(), crs=None, transform=Affine.identity(), rpcs=RPCS)
    with pytest.raises(GridError, match=r"by RPCs only.*gdalwarp -rpc"):
        read_raster_header([path])


def test_rpcs_beside_an_affine_are_dropped(write_raster) -> None:
    header = read_raster_header([write_raster(numbers(), rpcs=RPCS)])
    assert "dropped RPCs: the affine places the product" in header.flags


def test_an_affine_without_area(write_raster) -> None:
    path = write_raster(numbers(), transform=Affine(10, 10, 0, 10, 10, 0))
    with pytest.raises(GridError, match="affine cannot be kept"):
        read_raster_header([path])


def test_alpha_alone(write_raster) -> None:
    path = write_raster(255 * (numbers(1) > 40).astype("uint8"))
    with gdal_env(), rasterio.open(path, "r+") as dataset:
        dataset.colorinterp = (ColorInterp.alpha,)
    with pytest.raises(SourceError, match="no data band"):
        read_raster_header([path])


def test_zero_bands(tmp_path: Path) -> None:
    fields = [(256, 4, 1, 4), (257, 4, 1, 4), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (277, 3, 1, 0)]
    data = b"II*\0" + struct.pack("<IH", 8, len(fields))
    data += b"".join(struct.pack("<HHII", *field) for field in fields) + struct.pack("<I", 0)
    (tmp_path / "none.tif").write_bytes(data + bytes(64))
    with pytest.raises(SourceError):
        read_raster_header([tmp_path / "none.tif"])


def test_no_file_at_all() -> None:
    with pytest.raises(SourceError, match="no file"):
        read_raster_header([])


def test_roots(write_raster, tmp_path: Path) -> None:
    path = write_raster(numbers(), "in/scene.tif")
    assert read_raster_header([path], roots=[tmp_path / "other", tmp_path / "in"])
    with pytest.raises(SourceError, match="outside the folders"):
        read_raster_header([path], roots=[tmp_path / "i"])


# ---- cut, damaged, changed --------------------------------------------------------------------------------------

FORMS = {
    "tiled.tif": {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "deflate"},
    "strips.tif": {},
    "big.tif": {"BIGTIFF": "YES", "compress": "zstd"},
    "motorola.tif": {"ENDIANNESS": "BIG"},
    "cog.tif": {"driver": "COG", "compress": "lzw", "blocksize": 128},
    "scene.jp2": {"driver": "JP2OpenJPEG", "QUALITY": 100, "REVERSIBLE": "YES"},
    "scene.j2k": {"driver": "JP2OpenJPEG", "QUALITY": 100, "REVERSIBLE": "YES", "CODEC": "J2K"},
    "scene.png": {"driver": "PNG"},
}


@pytest.mark.parametrize("name", FORMS)
def test_formats_and_their_cuts(write_raster, landscape, name: str) -> None:
    """A whole file gives its pixels; a cut one is refused by its header, wherever it is cut."""
    values = landscape(1, (160, 170))
    path = write_raster(values, name, **FORMS[name])
    np.testing.assert_array_equal(whole(read_raster_header([path]))[0], values)
    data = path.read_bytes()
    for end in (9, 40, len(data) // 10, len(data) // 2, len(data) * 99 // 100, len(data) - 16):
        path.write_bytes(data[:end])
        with pytest.raises(SourceError) as caught:
            read_raster_header([path])
        assert caught.value.code in ("TRUNCATED", "DAMAGED", "NOT_SUPPORTED")
        assert caught.value.code == "TRUNCATED" or end < 100
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["tiled.tif", "big.tif", "scene.png", "scene.jp2"])
def test_no_byte_of_a_header_breaks_the_reader(write_raster, name: str) -> None:
    """Any damage is a SourceError or GridError, or harmless; never another exception."""
    path = write_raster(numbers(1, (40, 40)), name, nodata=0 if name.endswith("tif") else None, **FORMS[name])
    data = path.read_bytes()
    outcomes = {"read": 0, "refused": 0}
    for position in range(8, min(600, len(data)), 11):
        for value in (0x00, 0xFF):
            damaged = bytearray(data)
            damaged[position] = value
            path.write_bytes(damaged)
            try:
                header = read_raster_header([path])
                if np.prod(header.grid.shape) < 1e6:
                    whole(header)
                outcomes["read"] += 1
            except (SourceError, GridError):
                outcomes["refused"] += 1
    assert min(outcomes.values()) > 0


def test_a_box_of_no_length_ends(write_raster) -> None:
    """GDAL itself never answers when it is asked how such a file is interleaved."""
    path = write_raster(numbers(1, (40, 40)), "a.jp2", driver="JP2OpenJPEG")
    data = bytearray(path.read_bytes())
    at = data.index(b"colr") - 4
    data[at : at + 4] = bytes(4)
    path.write_bytes(data)
    assert read_raster_header([path]).grid.shape == (40, 40)


def test_a_jpeg2000_without_georeference(write_raster) -> None:
    path = write_raster(numbers(1, (64, 64)), "a.j2k", driver="JP2OpenJPEG", CODEC="J2K")
    path.with_name("a.j2k.aux.xml").unlink()  # GDAL put the place there
    header = read_raster_header([path])
    assert header.grid.affine == ((0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
    assert "no georeference" in header.flags


def test_a_block_that_does_not_decode_names_file_and_window(write_raster, landscape) -> None:
    path = write_raster(landscape(1, (64, 64)), tiled=True, blockxsize=32, blockysize=32, compress="deflate")
    data = bytearray(path.read_bytes())
    with gdal_env(), rasterio.open(path) as dataset:
        start = int(dataset.get_tag_item("BLOCK_OFFSET_1_1", "TIFF", bidx=1))
    data[start : start + 200] = bytes(200)
    path.write_bytes(data)
    header = read_raster_header([path])
    with open_raster_scene(header) as reader:
        reader.read((slice(0, 32), slice(0, 64)))
        with pytest.raises(SourceError, match=r"scene.tif: rows 32:40, columns 30:64 cannot be decoded; found \S+"):
            reader.read((slice(32, 40), slice(30, 64)))


def test_a_shape_that_outgrows_its_blocks(write_raster) -> None:
    """GDAL would show the rows that have no block as zeros."""
    path = write_raster(numbers(1, (40, 40)), tiled=True, blockxsize=16, blockysize=16)
    data = bytearray(path.read_bytes())
    at = data.index(struct.pack("<HHI", 257, 3, 1)) + 8
    data[at : at + 2] = struct.pack("<H", 400)
    path.write_bytes(data)
    with pytest.raises(SourceError, match="9 blocks where its shape needs 75"):
        read_raster_header([path])


def test_a_file_that_changes_after_the_plan(write_raster, tmp_path: Path) -> None:
    path = write_raster(numbers())
    header = read_raster_header([path])
    write_raster(numbers(shape=(8, 11)))
    with pytest.raises(SourceError) as caught, open_raster_scene(header):
        pass
    assert caught.value.code == "SOURCE_CHANGED"
    path.unlink()
    path.symlink_to(write_raster(numbers(), "other.tif"))
    with pytest.raises(SourceError) as caught, open_raster_scene(header):
        pass
    assert caught.value.code == "SOURCE_CHANGED"


def test_a_block_too_large_to_hold_is_refused(write_raster) -> None:
    side = 6016
    path = write_raster(np.zeros((1, 16, 16), np.uint8), tiled=True, blockxsize=side, blockysize=side, compress="zstd")
    with pytest.raises(SourceError, match="rewrite it in tiles") as caught:
        read_raster_header([path])
    assert caught.value.code == "TOO_LARGE"


def test_pages_are_flagged(tmp_path: Path) -> None:
    pages = [Image.fromarray(np.full((8, 8), i, np.uint8)) for i in (3, 4)]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    header = read_raster_header([tmp_path / "pages.tif"])
    assert "the file holds 2 pages: the first is used" in header.flags
    assert whole(header)[0].max() == 3


def test_large_blocks_of_an_honest_file_are_read(write_raster) -> None:
    """Hyperspectral files interleave hundreds of bands in a tile."""
    noise = np.random.default_rng(0).integers(0, 60000, (140, 360, 360)).astype("uint16")
    path = write_raster(noise, tiled=True, blockxsize=368, blockysize=368, interleave="pixel")
    header = read_raster_header([path])
    with open_raster_scene(header) as reader:
        np.testing.assert_array_equal(reader.read((slice(3, 9), slice(4, 8)))[0], noise[:, 3:9, 4:8])


# ---- real imagery -----------------------------------------------------------------------------------------------


def test_real_scenes_open_or_say_why_not(shared_data: Path) -> None:
    folders = ("satellite", "medical", "sr_benchmarks")
    files = [p for f in folders for p in sorted((shared_data / "data" / f).rglob("*.*")) if p.is_file()]
    opened, refused = 0, []
    for path in files:
        try:
            header = read_raster_header([path])
        except SourceError as error:
            refused.append((path.suffix, str(error)))
            continue
        values, valid = whole(header)
        opened += 1
        with gdal_env(), rasterio.open(path) as dataset:
            np.testing.assert_array_equal(values, dataset.read())
            np.testing.assert_array_equal(valid, dataset.read_masks() > 0)
            assert tuple(dataset.bounds) == header.grid.bounds() or dataset.transform.is_identity
    assert opened >= 40
    assert {suffix for suffix, _ in refused} <= {".mat", ".gz", ".dcm"}
    assert not any("\n" in message for _, message in refused)
