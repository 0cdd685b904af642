"""Small products in the form in which providers ship them: true names, keys and folders, and pixels of our own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rasterio.transform import Affine

from srcore.storage.raster.gdal import gdal_env

NAME = "S2A_MSIL2A_20240601T103021_N0510_R108_T32TQM_20240601T170000"
GRANULE = "L2A_T32TQM_A046723_20240601T103022"
CORNER = (699960.0, 5000040.0)
SIDE = {10: 60, 20: 30, 60: 10}
"""Pixels of a side of each resolution."""
BANDS = {"B02": 10, "B03": 10, "B04": 10, "B08": 10, "B05": 20, "B11": 20, "B01": 60}
ORDER = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")


def write(
    path: Path,
    values: NDArray[np.generic],
    gsd: float,
    corner: tuple[float, float] = CORNER,
    epsg: int = 32632,
    **facts: object,
) -> Path:
    """A raster (C, Y, X) or (Y, X): JPEG 2000 without loss, or GeoTIFF."""
    import rasterio

    values = values.reshape(-1, *values.shape[-2:])
    path.parent.mkdir(parents=True, exist_ok=True)
    jp2 = (
        {"driver": "JP2OpenJPEG", "QUALITY": 100, "REVERSIBLE": "YES"} if path.suffix == ".jp2" else {"driver": "GTiff"}
    )
    profile = {
        **jp2,
        "count": len(values),
        "height": values.shape[1],
        "width": values.shape[2],
        "dtype": values.dtype,
        "crs": f"EPSG:{epsg}",
        "transform": Affine(gsd, 0, corner[0], 0, -gsd, corner[1]),
        **facts,
    }
    with gdal_env(), rasterio.open(path, "w", **profile) as file:
        file.write(values)
    return path


def pixels(gsd: int, seed: int = 0, side: int | None = None) -> NDArray[np.uint16]:
    """Reflectance + 1000, smooth enough to be brought to other grids."""
    n = side or SIDE[gsd]
    y, x = np.mgrid[:n, :n] * gsd / 10
    return (2500 + 300 * seed + 900 * np.sin(x / 9 + seed) * np.cos(y / 7)).astype(np.uint16)


def make_safe(
    folder: Path,
    bands: Mapping[str, int] = BANDS,
    *,
    level: str = "L2A",
    offset: int | None = -1000,
    baseline: str = "05.10",
    named: Sequence[str] = (),
    name: str = NAME,
    corner: tuple[float, float] = CORNER,
    epsg: int = 32632,
    scl: bool = True,
    values: Mapping[str, NDArray[np.uint16]] | None = None,
) -> Path:
    """A SAFE folder with these bands and their resolutions; `named`: further bands that only the metadata name;
    `values`: pixels of some bands in place of smooth ones."""
    safe = folder / f"{name.replace('L2A', level)}.SAFE"
    data = f"GRANULE/{GRANULE}/IMG_DATA"
    files = []
    for band, gsd in bands.items():
        where = f"{data}/R{gsd}m/T32TQM_20240601T103021_{band}_{gsd}m" if level == "L2A" else f"{data}/T32TQM_{band}"
        files.append(where)
        write(safe / f"{where}.jp2", (values or {}).get(band, pixels(gsd, ORDER.index(band))), gsd, corner, epsg)
    files += [f"{data}/R10m/T32TQM_20240601T103021_{band}_10m" for band in named]
    if scl and level == "L2A":
        files.append(f"{data}/R20m/T32TQM_20240601T103021_SCL_20m")
        classes = np.full((30, 30), 4, np.uint8)
        classes[:6], classes[:, :3], classes[6, 3:] = 9, 0, 10
        write(safe / f"{files[-1]}.jp2", classes, 20, corner, epsg)
    (safe / f"MTD_MSI{level}.xml").write_text(_product(level, files, offset, baseline, safe.name))
    (safe / f"GRANULE/{GRANULE}/MTD_TL.xml").write_text(_tile())
    return safe


def _product(level: str, files: Sequence[str], offset: int | None, baseline: str, uri: str) -> str:
    images = "".join(f"<IMAGE_FILE>{file}</IMAGE_FILE>" for file in files)
    tag, value = (
        ("BOA_ADD_OFFSET", "BOA_QUANTIFICATION_VALUE")
        if level == "L2A"
        else ("RADIO_ADD_OFFSET", "QUANTIFICATION_VALUE")
    )
    offsets = "" if offset is None else "".join(f'<{tag} band_id="{i}">{offset}</{tag}>' for i in range(13))
    spectral = "".join(
        f'<Spectral_Information bandId="{i}" physicalBand="{name}"/>'
        for i, name in enumerate(["B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B10", "B11", "B12"])
    )
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<n1:Level-{level[1:]}_User_Product xmlns:n1="https://psd-15.sentinel2.eo.esa.int/PSD/User_Product.xsd"><n1:General_Info>
<Product_Info><PRODUCT_START_TIME>2024-06-01T10:30:21.024Z</PRODUCT_START_TIME>
<PRODUCT_STOP_TIME>2024-06-01T10:30:21.024Z</PRODUCT_STOP_TIME><PRODUCT_URI>{uri}</PRODUCT_URI>
<PROCESSING_LEVEL>Level-{level[1:]}</PROCESSING_LEVEL><PROCESSING_BASELINE>{baseline}</PROCESSING_BASELINE>
<Datatake><SPACECRAFT_NAME>Sentinel-2A</SPACECRAFT_NAME><SENSING_ORBIT_NUMBER>108</SENSING_ORBIT_NUMBER></Datatake>
<Product_Organisation><Granule_List><Granule granuleIdentifier="T32TQM">{images}</Granule></Granule_List>
</Product_Organisation></Product_Info><Product_Image_Characteristics>
<{value} unit="none">10000</{value}>{offsets}{spectral}</Product_Image_Characteristics></n1:General_Info>
<n1:Quality_Indicators_Info><Cloud_Coverage_Assessment>21.5</Cloud_Coverage_Assessment></n1:Quality_Indicators_Info>
</n1:Level-{level[1:]}_User_Product>"""


def _tile() -> str:
    return f"""<?xml version="1.0"?><n1:Level-2A_Tile_ID xmlns:n1="https://psd-15.sentinel2.eo.esa.int/PSD/Tile.xsd">
<n1:Geometric_Info><Tile_Geocoding><HORIZONTAL_CS_CODE>EPSG:32632</HORIZONTAL_CS_CODE>
<Geoposition resolution="10"><ULX>{CORNER[0]:.0f}</ULX><ULY>{CORNER[1]:.0f}</ULY></Geoposition></Tile_Geocoding>
<Tile_Angles><Mean_Sun_Angle><ZENITH_ANGLE>30.25</ZENITH_ANGLE><AZIMUTH_ANGLE>151.5</AZIMUTH_ANGLE>
</Mean_Sun_Angle></Tile_Angles></n1:Geometric_Info></n1:Level-2A_Tile_ID>"""


LANDSAT = "LC09_L2SP_190028_20240601_20240602_02_T1"


def make_landsat(
    folder: Path,
    bands: Sequence[str] = ("2", "3", "4"),
    form: str = "json",
    values: Mapping[str, NDArray[np.uint16]] | None = None,
    **changed: str | None,
) -> Path:
    """A folder of Landsat Collection 2 Level 2 with its metadata, as JSON or as text; `changed`: keys, None for none.

    With a band 8 among `values`, that one is at 15 m and begins half a pixel of its own inside the others.
    """
    files = {f"FILE_NAME_BAND_{band}": f"{LANDSAT}_SR_B{band}.TIF" for band in ("2", "3", "4", "5")}
    made = values or {}
    for band in bands:
        write(folder / f"{LANDSAT}_SR_B{band}.TIF", made.get(band, pixels(10, int(band))), 30, nodata=0)
    if "8" in made:
        files["FILE_NAME_BAND_8"] = f"{LANDSAT}_B8.TIF"
        write(folder / f"{LANDSAT}_B8.TIF", made["8"], 15, (CORNER[0] + 7.5, CORNER[1] - 7.5), nodata=0)
    quality = np.full((60, 60), 1 << 6, np.uint16)
    quality[:12] = 1 << 3
    quality[:, :6] = 1
    write(folder / f"{LANDSAT}_QA_PIXEL.TIF", quality, 30)
    numbers = {
        f"REFLECTANCE_{what}_BAND_{band}": value
        for band in "23458"
        for what, value in (("MULT", "2.75e-05"), ("ADD", "-0.2"))
    }
    other = {
        f"REFLECTANCE_{what}_BAND_{band}": value
        for band in "23458"
        for what, value in (("MULT", "2.0000E-05"), ("ADD", "-0.1"))
    }
    groups: dict[str, dict[str, str]] = {
        "PRODUCT_CONTENTS": {
            "LANDSAT_PRODUCT_ID": LANDSAT,
            "PROCESSING_LEVEL": "L2SP",
            "COLLECTION_NUMBER": "02",
            **files,
            "FILE_NAME_QUALITY_L1_PIXEL": f"{LANDSAT}_QA_PIXEL.TIF",
        },
        "IMAGE_ATTRIBUTES": {
            "SPACECRAFT_ID": "LANDSAT_9",
            "SENSOR_ID": "OLI_TIRS",
            "DATE_ACQUIRED": "2024-06-01",
            "SCENE_CENTER_TIME": "10:05:07.1234560Z",
            "CLOUD_COVER": "17.25",
            "SUN_ELEVATION": "61.5",
        },
        "LEVEL1_RADIOMETRIC_RESCALING": other,
        "LEVEL2_SURFACE_REFLECTANCE_PARAMETERS": numbers,
    }
    known = {key for group in groups.values() for key in group}
    groups["PROJECTION_ATTRIBUTES"] = {key: "" for key in changed if key not in known}
    groups = {
        name: {key: told for key, value in group.items() if (told := changed.get(key, value)) is not None}
        for name, group in groups.items()
    }
    document = folder / f"{LANDSAT}_MTL.{form}"
    if form == "json":
        document.write_text(json.dumps({"LANDSAT_METADATA_FILE": groups}))
    else:
        lines = [
            line
            for name, group in groups.items()
            for line in (
                f"GROUP = {name}",
                *(f'  {key} = "{value}"' for key, value in group.items()),
                f"END_GROUP = {name}",
            )
        ]
        document.write_text(
            "\n".join(["GROUP = LANDSAT_METADATA_FILE", *lines, "END_GROUP = LANDSAT_METADATA_FILE", "END"])
        )
    return folder
