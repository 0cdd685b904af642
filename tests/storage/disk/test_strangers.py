"""What srcore does not read is named, with the way from it to what is read; never one format's advice for another."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import pytest

from srcore.errors import SourceError
from srcore.storage.scene import read_header

STAC = '{"type": "Feature", "stac_version": "1.0.0", "id": "x"}'
MTL = "GROUP = LANDSAT_METADATA_FILE\n  GROUP = PRODUCT_CONTENTS\n"
MTD = '<?xml version="1.0"?>\n<n1:Level-2A_User_Product xmlns:n1="https://psd-14.sentinel2.eo.esa.int/"/>'
MHA = "ObjectType = Image\nNDims = 3\nBinaryData = True\nElementDataFile = LOCAL\n"


@pytest.mark.parametrize(
    ("name", "content", "found", "do"),
    [
        ("v.nrrd", b"NRRD0005\ntype: short\n", "an NRRD volume", "c3d v.nrrd -o OUT.nii.gz"),
        ("v.mha", MHA.encode(), "a MetaImage volume", "c3d v.mha -o OUT.nii.gz"),
        ("v.hdr", (348).to_bytes(4, "little") + bytes(340) + b"ni1\0", "a NIfTI pair|or NIfTI pair", "c3d"),
        ("s.zip", b"PK\3\4" + bytes(40), "a zip archive", "unzip s.zip"),
        ("s.tif.gz", gzip.compress(b"II*\0", mtime=0), "a gzip file|a raster under another name", "gunzip s.tif.gz"),
        ("s.tar", bytes(257) + b"ustar\0", "a tar archive", "tar xf s.tar"),
        ("s.nc", b"CDF\1" + bytes(40), "a NetCDF file", 'NETCDF:"s.nc":VARIABLE\' OUT.tif'),
        ("s.nc4", b"\x89HDF\r\n\x1a\n" + bytes(40), "an HDF5 or NetCDF-4 file", 'HDF5:"s.nc4":VARIABLE\' OUT.tif'),
        ("s.hdf", b"\x0e\x03\x13\x01" + bytes(40), "an HDF4 file", "gdal_translate"),
        ("s.grib2", b"GRIB" + bytes(40), "a GRIB file", "gdal_translate -b 1 s.grib2 OUT.tif"),
        ("s.ntf", b"NITF02.10", "a NITF file", "gdal_translate s.ntf OUT.tif"),
        ("s.jpg", b"\xff\xd8\xff\xe0" + bytes(40), "a JPEG", "gdal_translate s.jpg OUT.tif"),
        ("s.img", b"EHFA_HEADER_TAG", "an Erdas Imagine file", "gdal_translate s.img OUT.tif"),
        ("s.asc", b"ncols 4\nnrows 4\n", "an ASCII grid", "gdal_translate s.asc OUT.tif"),
        ("s.vrt", b"<VRTDataset rasterXSize='1'/>", "a VRT, which only names other files", "gdal_translate s.vrt"),
        ("s.vrt", b"<?xml version='1.0'?>\n<!-- x -->\n<VRTDataset/>", "a VRT", "gdal_translate s.vrt OUT.tif"),
        ("item.json", STAC.encode(), "a STAC document", "the file that its asset names"),
        ("x.geojson", b'{"type": "FeatureCollection", "features": []}', "GeoJSON", "gdal_rasterize"),
        ("x.json", b"[1, 2]", "JSON text", "give the raster"),
        ("MTD_TL.xml", MTD.encode(), "Sentinel metadata", r"srcore upscale 'GRANULE/.*_{band}_10m.jp2'"),
        ("LC08_MTL.txt", MTL.encode(), "Landsat metadata", r"srcore upscale 'LC08_..._{band}.TIF'"),
        ("LC08_MTL.xml", b"<?xml version='1.0'?><LANDSAT_METADATA_FILE/>", "Landsat metadata", "--bands B4,B3,B2"),
        ("LC08_MTL.json", b'{"LANDSAT_METADATA_FILE": {}}', "Landsat metadata", "--bands B4,B3,B2"),
        ("s.tif.aux.xml", b"<PAMDataset/>", "GDAL's words on a raster", "give the raster beside it"),
        ("s.xml", b"<metadata/>", "XML text", "give the raster that it describes"),
        ("s.tif", b"<!DOCTYPE html><html>", "a web page", "fetch the file again"),
        ("s.npy", b"\x93NUMPY\1\0", "a NumPy array", "GeoTIFF"),
        (
            "noise.tif",
            b"\1\2\3\4\5\6\7\x08",
            "first bytes 01 02 03 04",
            "give a GeoTIFF, COG, JPEG 2000, PNG, NIfTI or DICOM",
        ),
    ],
)
def test_a_stranger_is_named_and_the_way_is_shown(
    tmp_path: Path, name: str, content: bytes, found: str, do: str
) -> None:
    (tmp_path / name).write_bytes(content)
    for given in (name, "named.tif", "named.nii"):  # a wrong ending hides nothing
        path = tmp_path / given
        path.write_bytes(content)
        with pytest.raises(SourceError) as caught:
            read_header([path])
        message = str(caught.value)
        assert "not a file that srcore reads" in message
        assert any(one in message for one in found.split("|")), message
        assert "\n" not in message
        assert "convert it to GeoTIFF" not in message
        assert caught.value.code == "NOT_SUPPORTED"
    with pytest.raises(SourceError, match=do):
        read_header([tmp_path / name])


def test_folders_are_named_too(tmp_path: Path) -> None:
    for name, inside, found, do in (
        ("S2A_MSIL2A.SAFE", "manifest.safe", "a Sentinel product", "{band}_10m.jp2"),
        ("x.zarr", "zarr.json", "a Zarr store", "gdal_translate x.zarr OUT.tif"),
        ("LC08", "LC08_MTL.txt", "a Landsat product", "{band}.TIF"),
        ("some", "a.tif", "1 entries", "name a file in it"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / inside).write_text("x")
        with pytest.raises(SourceError, match="a folder, where one file is read") as caught:
            read_header([tmp_path / name])
        assert found in str(caught.value)
        assert do in str(caught.value)


def test_a_real_zip(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "S2A.SAFE.zip", "w") as archive:
        archive.writestr("a.txt", "x")
    with pytest.raises(SourceError, match=r"a zip archive; unpack it: unzip S2A\.SAFE\.zip"):
        read_header([tmp_path / "S2A.SAFE.zip"])
