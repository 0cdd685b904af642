"""Files that srcore does not read: what each is, by its first bytes, and the way from it to one that is read."""

from __future__ import annotations

import re
from pathlib import Path

from srcore.errors import SourceError

HEAD = 4096
"""Bytes that are looked at."""
READ = "give a GeoTIFF, COG, JPEG 2000, PNG, NIfTI or DICOM"

_TRANSLATE = "convert it: gdal_translate {name} OUT.tif"
_PARTS = "`gdalinfo {name}` lists what is in it; convert one: gdal_translate '{driver}:\"{name}\":VARIABLE' OUT.tif"
_NETCDF, _HDF5 = _PARTS.replace("{driver}", "NETCDF"), _PARTS.replace("{driver}", "HDF5")
_C3D = "convert it: c3d {name} -o OUT.nii.gz"
_SENTINEL = (
    "give the folder that holds MTD_MSIL2A.xml or MTD_MSIL1C.xml, or its bands: "
    "srcore upscale 'GRANULE/.../IMG_DATA/R10m/..._{{band}}_10m.jp2' OUT.tif --bands B02,B03,B04"
)
_LANDSAT = (
    "give the folder that holds one *_MTL.json or *_MTL.txt of Collection 2, or its bands: "
    "srcore upscale 'LC08_..._{{band}}.TIF' OUT.tif --bands B4,B3,B2"
)

KNOWN: tuple[tuple[bytes, str, str], ...] = (
    (
        rb"II\*\x00|MM\x00\*|II\+\x00|MM\x00\+|\x89PNG|\x00\x00\x00\x0cjP",
        "a raster under another name",
        "unpack and rename it, as its format is called: .tif, .png, .jp2",
    ),
    (rb"NRRD\d{4}", "an NRRD volume", _C3D),
    (rb"(?=.*?NDims *=)(ObjectType|Comment|NDims) *=", "a MetaImage volume (MHA, MHD)", _C3D),
    (rb".{344}ni1|\x5c\x01\x00\x00.{34}r|\x00\x00\x01\x5c.{34}r", "an Analyze or NIfTI pair of .hdr and .img", _C3D),
    (
        rb"\x00\x00\x00\x01(\x00\x00..){4}",
        "a FreeSurfer volume (MGH, MGZ)",
        "convert it: mri_convert {name} OUT.nii.gz",
    ),
    (rb"PK(\x03\x04|\x05\x06)", "a zip archive", "unpack it: unzip {name}, and give what is inside"),
    (
        rb"\x1f\x8b",
        "a gzip file that holds no NIfTI",
        "unpack it: gunzip {name} (.tar.gz: tar xzf; .mgz: mri_convert {name} OUT.nii.gz)",
    ),
    (rb".{257}ustar", "a tar archive", "unpack it: tar xf {name}, and give what is inside"),
    (rb"7z\xbc\xaf|Rar!|BZh|\xfd7zXZ", "a packed archive", "unpack it, and give what is inside"),
    (rb"CDF[\x01\x02\x05]", "a NetCDF file", _NETCDF),
    (rb"\x89HDF\r\n\x1a\n", "an HDF5 or NetCDF-4 file", _HDF5),
    (rb"\x0e\x03\x13\x01", "an HDF4 file", _PARTS.replace("{driver}", "HDF4_SDS")),
    (rb"GRIB", "a GRIB file", "convert a message of it: gdal_translate -b 1 {name} OUT.tif"),
    (rb"NITF|NSIF", "a NITF file", _TRANSLATE),
    (rb"\xff\xd8\xff", "a JPEG", _TRANSLATE),
    (rb"GIF8|BM.{4}\x00\x00\x00\x00|RIFF.{4}WEBP|%PDF", "a GIF, BMP, WebP or PDF", _TRANSLATE),
    (rb"EHFA_HEADER_TAG", "an Erdas Imagine file", _TRANSLATE),
    (rb"SIMPLE  =", "a FITS file", _TRANSLATE),
    (rb"SQLite format 3", "a GeoPackage or another SQLite file", _TRANSLATE),
    (rb"(?i)ncols\s+\d", "an ASCII grid", _TRANSLATE),
    (rb"ENVI\s", "an ENVI header", "convert the file that it describes: gdal_translate DATA OUT.tif"),
    (rb"\x93NUMPY", "a NumPy array", "write it as a GeoTIFF with its place: rasterio, or gdal.Open on a VRT"),
    (rb"(?i)<!doctype html|<html", "a web page, perhaps of a login or an error", "fetch the file again"),
    (rb"(<\?xml.*?>\s*)?(<!--.*?-->\s*)*<VRTDataset", "a VRT, which only names other files", _TRANSLATE),
    (rb"<.*?(GDAL_WMS|GDALTileIndexDataset)", "XML that names a raster elsewhere", _TRANSLATE),
    (rb"<.*?PAMDataset", "GDAL's words on a raster", "give the raster beside it"),
    (rb"<.*?(Level-\d\w_|S2_|SENTINEL-?2|xfdu:XFDU)", "Sentinel metadata (MTD, SAFE)", _SENTINEL),
    (rb".*?(LANDSAT_METADATA_FILE|L1_METADATA_FILE)", "Landsat metadata (MTL)", _LANDSAT),
    (rb"<.*?Dimap_Document", "DIMAP metadata", _TRANSLATE),
    (rb"<", "XML text", "give the raster that it describes"),
    (rb"[\[{].*?\"stac_version\"", "a STAC document", "give the file that its asset names (href)"),
    (rb"[\[{].*?\"(Feature|FeatureCollection)\"", "GeoJSON, which is no raster", "burn it in: gdal_rasterize"),
    (rb"[\[{]", "JSON text", "give the raster that it describes"),
)
"""Pattern at the start of the file, what it is, and what to do; the first that fits counts."""

UNKNOWN_FOLDER = "name a file in it, or 'FOLDER/..._{band}.tif' with its bands"

_PATTERNS = tuple((re.compile(pattern, re.DOTALL), what, do) for pattern, what, do in KNOWN)


def stranger(path: Path, head: bytes) -> SourceError:
    """The error for a file that no reader takes; `head`: its first bytes, unpacked where it was packed."""
    text = head[:HEAD].lstrip(b"\xef\xbb\xbf \t\r\n")
    for pattern, what, do in _PATTERNS:
        if pattern.match(text) or pattern.match(head):
            way = do.format(name=path.name, folder=path.parent)
            return SourceError(f"{path}: not a file that srcore reads", what, way, code="NOT_SUPPORTED")
    if not head:
        return SourceError(f"{path}: the file is empty", "0 bytes", "fetch the file again", code="TRUNCATED")
    found = f"first bytes {head[:8].hex(' ')}"
    return SourceError(f"{path}: not a file that srcore reads", found, READ, code="NOT_SUPPORTED")


def refuse_folder(path: Path) -> None:
    """Raise SourceError for a folder, and say what kind of folder it is."""
    if not path.is_dir():
        return
    what, do = folder_kind(path)
    raise SourceError(f"{path}: a folder, where one file is read", what, do, code="NOT_SUPPORTED")


def folder_kind(path: Path) -> tuple[str, str]:
    """What a folder is, and the way from it to what is read."""
    try:
        names = sorted(entry.name for entry in path.iterdir())
    except OSError as error:
        return (error.strerror or str(error)).lower(), "check its permissions"
    what, do = _kind(path, names)
    return what, do if do == UNKNOWN_FOLDER else do.format(name=path.name, folder=path)


def _kind(path: Path, names: list[str]) -> tuple[str, str]:
    lower = path.name.lower()
    if lower.endswith(".safe") or "manifest.safe" in names:
        return "a Sentinel product (SAFE)", _SENTINEL
    if lower.endswith(".zarr") or {"zarr.json", ".zgroup", ".zarray", ".zmetadata"} & set(names):
        return "a Zarr store", _TRANSLATE
    if any(name.upper().endswith(("_MTL.TXT", "_MTL.XML", "_MTL.JSON")) for name in names):
        return "a Landsat product", _LANDSAT
    return f"{len(names)} entries", UNKNOWN_FOLDER
