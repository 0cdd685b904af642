"""What a TIFF says of its pixels and GDAL does not heed: kept, refused with how, or flagged."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from rasterio.transform import from_origin

from srcore.errors import SourceError
from srcore.storage.raster.header import read_raster_header
from srcore.storage.raster.words import is_untrue, own_domains

PLACED = {"crs": "EPSG:32632", "transform": from_origin(5e5, 5e6, 10, 10)}


def written(path: Path, dtype: str = "uint16", shape: tuple[int, ...] = (48, 64), **options: Any) -> Path:
    values = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    count = 1 if len(shape) == 2 else shape[0]
    profile = {"driver": "GTiff", "height": shape[-2], "width": shape[-1], "count": count, "dtype": dtype}
    with rasterio.open(path, "w", **profile, **options) as target:
        target.write(values.reshape(count, *shape[-2:]))
    return path


def with_tag(path: Path, tag: int, value: int) -> Path:
    """The classic little-endian TIFF with one SHORT tag more in its first directory, which moves to the end."""
    data = bytearray(path.read_bytes())
    start = struct.unpack_from("<I", data, 4)[0]
    count = struct.unpack_from("<H", data, start)[0]
    entries = [bytes(data[start + 2 + 12 * i : start + 14 + 12 * i]) for i in range(count)]
    entries = [e for e in entries if struct.unpack_from("<H", e)[0] != tag]
    entries.append(struct.pack("<HHIHH", tag, 3, 1, value, 0))
    entries.sort(key=lambda entry: struct.unpack_from("<H", entry)[0])
    data += bytes(len(data) % 2)
    struct.pack_into("<I", data, 4, len(data))
    data += struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("orientation", [2, 3, 4, 5, 6, 7, 8])
def test_a_picture_that_lies_otherwise_is_refused(tmp_path: Path, orientation: int) -> None:
    path = with_tag(written(tmp_path / "a.tif"), 274, orientation)
    with pytest.raises(SourceError, match=rf"Orientation {orientation}.*-auto-orient") as caught:
        read_raster_header([path])
    assert caught.value.code == "TURNED"


def test_an_orientation_that_turns_nothing_is_none(tmp_path: Path) -> None:
    flags = read_raster_header([with_tag(written(tmp_path / "a.tif"), 274, 1)]).flags
    assert not [flag for flag in flags if "Orientation" in flag]


def test_a_place_outdoes_an_orientation(tmp_path: Path) -> None:
    flags = read_raster_header([with_tag(written(tmp_path / "a.tif", **PLACED), 274, 6)]).flags
    assert "Orientation 6 is dropped: rows and columns lie as the place says, as for GDAL" in flags


def test_a_turned_png_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tif", "uint8")
    rasterio.shutil.copy(path, tmp_path / "a.png", driver="PNG")
    exif = b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 274, 3, 1, 8, 0, 0)
    chunk = struct.pack(">I", len(exif)) + b"eXIf" + exif + struct.pack(">I", zlib.crc32(b"eXIf" + exif))
    data = (tmp_path / "a.png").read_bytes()
    assert "no CRS" in read_raster_header([tmp_path / "a.png"]).flags
    (tmp_path / "a.png").write_bytes(data[:33] + chunk + data[33:])
    with pytest.raises(SourceError, match="Orientation 8"):
        read_raster_header([tmp_path / "a.png"])


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_white_stays_white(tmp_path: Path, dtype: str) -> None:
    header = read_raster_header([written(tmp_path / "a.tif", dtype, photometric="MINISWHITE", **PLACED)])
    assert header.white_is_zero
    assert any(flag.startswith("0 is white, in the product too") for flag in header.flags)
    assert not read_raster_header([written(tmp_path / "b.tif", dtype, **PLACED)]).white_is_zero


def test_white_that_a_product_of_several_bands_cannot_say_is_told(tmp_path: Path) -> None:
    paths = [written(tmp_path / f"{name}.tif", "uint8", photometric="MINISWHITE", **PLACED) for name in "ab"]
    header = read_raster_header(paths)
    assert not header.white_is_zero
    assert "0 is white in the files, and dark in the product of several bands" in header.flags


def sparse(path: Path, **options: Any) -> Path:
    """20 tiles, 5 of which are never written."""
    profile = {"driver": "GTiff", "height": 64, "width": 80, "count": 1, "dtype": "uint16", "tiled": True}
    with rasterio.open(path, "w", **profile, blockxsize=16, blockysize=16, SPARSE_OK=True, **PLACED, **options) as out:
        for row, col in [(r, c) for r in range(4) for c in range(5)][:15]:
            window = rasterio.windows.Window(16 * col, 16 * row, 16, 16)
            out.write(np.full((1, 16, 16), 7, np.uint16), window=window)
    return path


def test_blocks_that_are_missing_are_counted(tmp_path: Path) -> None:
    flags = read_raster_header([sparse(tmp_path / "a.tif")]).flags
    assert "5 of 20 blocks are missing in the file: read as 0, and data here" in flags
    flags = read_raster_header([sparse(tmp_path / "b.tif", nodata=3)]).flags
    assert "5 of 20 blocks are missing in the file: read as nodata" in flags
    flags = read_raster_header([tmp_path / "a.tif"], nodata=0).flags
    assert "5 of 20 blocks are missing in the file: read as nodata" in flags
    whole = read_raster_header([written(tmp_path / "c.tif", tiled=True, blockxsize=16, blockysize=16)]).flags
    assert not [flag for flag in whole if "missing" in flag]


def test_fewer_bits_than_the_product_has_are_told(tmp_path: Path) -> None:
    flags = read_raster_header([written(tmp_path / "a.tif", NBITS=12, **PLACED)]).flags
    assert "numbers of 12 bits, 0 to 4095: the product has 16 bits for them" in flags


FALSE = """
GSD, gsd, SPATIAL_RESOLUTION, NROWS, NCOLS, lines, samples, ULX, ULY, PIXEL_SIZE, pixel_spacing,
GRID_CELL_SIZE_REFLECTIVE, REFLECTIVE_LINES, CORNER_UL_PROJECTION_X_PRODUCT, XDIM, YDIM, proj:transform,
NC_GLOBAL#geospatial_lat_resolution, width, IMAGE_HEIGHT, UPPER_LEFT_X, UpperLeftPointMtrs, map info, LR_LAT,
NumberOfRows, MEAN_COLLECTED_GSD, file_size, MD5, STATISTICS_MEAN, x-spacing, resolution
"""
TRUE = """
SENSING_TIME, ORIGIN, URL, ULTRA, CLOUD_COVER, SUN_ELEVATION, LINEAGE, SENSOR, TILE_ID,
RADIOMETRIC_RESOLUTION, SAMPLES_PER_PIXEL_KIND, GRID_ID, ROWPATH, WRS_ROW, COLOUR, LLOYD, PRODUCT_URI,
BANDWIDTH, SPECTRAL_RESOLUTION, add_offset, scale_factor, PROCESSING_LEVEL, NADIR_DATA_PIXEL_SHARE, SHAPEFILE
"""


def listed(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


def test_which_tags_another_scale_makes_false() -> None:
    assert [name for name in listed(FALSE) if not is_untrue(name)] == []
    assert [name for name in listed(TRUE) if is_untrue(name)] == []


def test_domains_are_kept_but_for_documents_and_what_gdal_makes_up() -> None:
    dropped: list[str] = []
    kept = own_domains(
        {
            "PROVIDER": {"CLOUD": "3", "GSD": "10"},
            "IMAGE_STRUCTURE": {"NBITS": "12"},
            "xml:XMP": {},
            "xml:gml.root-instance": {},
            "EXIF": {},
            "EMPTY": {},
        },
        dropped,
    )
    assert kept == {"PROVIDER": {"CLOUD": "3"}}
    assert dropped == ["PROVIDER:GSD", "xml:XMP", "EXIF"]


def test_tags_in_domains_of_their_own_are_read(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tif", shape=(2, 48, 64), **PLACED)
    with rasterio.open(path, "r+") as target:
        target.update_tags(ns="PROVIDER", CLOUD="3", NROWS="48")
        target.update_tags(2, ns="CALIB", GAIN="0.01")
        target.update_tags(GSD="10")
    header = read_raster_header([path])
    assert header.domains == {"PROVIDER": {"CLOUD": "3"}}
    assert [band.domains for band in header.bands] == [{}, {"CALIB": {"GAIN": "0.01"}}]
    assert "dropped tags, not kept or false at another scale: GSD, PROVIDER:NROWS" in header.flags


@pytest.mark.parametrize(
    ("name", "flag"),
    [
        ("sparse_no_nodata.tif", "5 of 20 blocks are missing in the file: read as 0, and data here"),
        ("minwhite.tif", "0 is white, in the product too; pictures of it here draw its numbers, 0 dark"),
        ("nbits12.tif", "numbers of 12 bits, 0 to 4095: the product has 16 bits for them"),
        (
            "hls_like.tif",
            "dropped tags, not kept or false at another scale: GSD, lines, NCOLS, NROWS, PIXEL_SIZE, samples, "
            "SPATIAL_RESOLUTION, ULX",
        ),
    ],
)
def test_cases_of_users(shared_data: Path, name: str, flag: str) -> None:
    path = shared_data / "cases" / "raster" / name
    if not path.exists():
        pytest.skip(f"{name} is not there")
    assert flag in read_raster_header([path]).flags
