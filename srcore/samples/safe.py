"""Small Sentinel-2 products, drawn by the project: a place of its landscape on three days, as SAFE folders of level 2A.

Names, folders, metadata and numbers are those of the true format (baseline 05.10): what reads these reads true ones.
The second day is almost all clouds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from srcore.samples.archive import halve
from srcore.samples.landscape import BANDS, render
from srcore.samples.noise import Floats, fractal
from srcore.storage.disk.files import write_atomic
from srcore.storage.raster.write_sample import write_sample_jp2

SIDE = 120
"""Pixels of 10 m."""
OFFSET = 1000
TILE, CORNER = "T32UPU", (600_000, 5_400_000)
VEGETATION, SHADOW, CLOUD = 4, 3, 9


@dataclass(frozen=True)
class Day:
    """One pass over the place."""

    sensed: str
    """Date and time, as the names have it."""
    clouds: float
    """Share of the place under clouds."""
    light: float

    @property
    def name(self) -> str:
        """Of the product, without .SAFE."""
        return f"S2A_MSIL2A_{self.sensed}_N0510_R065_{TILE}_{self.sensed[:8]}T170000"


DAYS = (Day("20240514T102031", 0.08, 1.0), Day("20240603T102031", 0.95, 0.97), Day("20240613T102031", 0.0, 1.04))


def make_safes(folder: Path) -> list[Path]:
    """Write the products to `folder`; their paths, in the order of their days. Again gives the same bytes."""
    ground = halve(render((2 * SIDE, 2 * SIDE), seed=3))
    return [_write(folder / f"{day.name}.SAFE", day, ground, seed) for seed, day in enumerate(DAYS)]


def _write(safe: Path, day: Day, ground: NDArray[np.uint16], seed: int) -> Path:
    """The metadata come last: without them a folder is no product."""
    cover, classes = _sky(day, seed)
    granule = f"GRANULE/L2A_{TILE}_A046448_{day.sensed}/IMG_DATA"
    files = []
    for band, values in zip(BANDS, ground, strict=True):
        lit = cover * (6500 + values / 4) + (1 - cover) * day.light * values + OFFSET
        files.append(f"{granule}/R10m/{TILE}_{day.sensed}_{band}_10m")
        write_sample_jp2(safe / f"{files[-1]}.jp2", np.rint(lit).astype(np.uint16), 10.0, CORNER)
    files.append(f"{granule}/R20m/{TILE}_{day.sensed}_SCL_20m")
    write_sample_jp2(safe / f"{files[-1]}.jp2", classes, 20.0, CORNER)
    write_atomic(safe / Path(granule).parent / "MTD_TL.xml", _TILE.encode())
    write_atomic(safe / "MTD_MSIL2A.xml", "".join(_product(day, files)).encode())
    return safe


def _sky(day: Day, seed: int) -> tuple[Floats, NDArray[np.uint8]]:
    """How dense clouds are, 0 to 1, at 10 m, and the scene classification at 20 m."""
    noise = fractal((SIDE // 2, SIDE // 2), 1.6, 6, np.random.default_rng([seed, 9]))
    cloudy = noise > (np.quantile(noise, 1 - day.clouds) if day.clouds else np.inf)
    classes = np.where(np.roll(cloudy, (5, -4), (0, 1)), SHADOW, VEGETATION)
    cover = ndimage.gaussian_filter(cloudy.repeat(2, 0).repeat(2, 1).astype(np.float32), 1.5)
    return cover, np.where(cloudy, CLOUD, classes).astype(np.uint8)


def _product(day: Day, files: list[str]) -> Iterator[str]:
    """MTD_MSIL2A.xml, with what a reader needs of it."""
    time = f"{day.sensed[:4]}-{day.sensed[4:6]}-{day.sensed[6:8]}T10:20:31.024Z"
    bands = ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B10", "B11", "B12")
    yield f"""<?xml version="1.0" encoding="UTF-8"?>
<!-- A landscape drawn by srcore, in the form of a product of Copernicus. -->
<n1:Level-2A_User_Product xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/User_Product_Level-2A.xsd">
<n1:General_Info><Product_Info><PRODUCT_START_TIME>{time}</PRODUCT_START_TIME><PRODUCT_STOP_TIME>{time}</PRODUCT_STOP_TIME>
<PRODUCT_URI>{day.name}.SAFE</PRODUCT_URI><PROCESSING_LEVEL>Level-2A</PROCESSING_LEVEL>
<PROCESSING_BASELINE>05.10</PROCESSING_BASELINE><Datatake><SPACECRAFT_NAME>Sentinel-2A</SPACECRAFT_NAME>
<SENSING_ORBIT_NUMBER>65</SENSING_ORBIT_NUMBER></Datatake><Product_Organisation><Granule_List>
<Granule granuleIdentifier="{TILE}">
"""
    yield from (f"<IMAGE_FILE>{file}</IMAGE_FILE>\n" for file in files)
    yield """</Granule></Granule_List></Product_Organisation></Product_Info><Product_Image_Characteristics>
<QUANTIFICATION_VALUES_LIST><BOA_QUANTIFICATION_VALUE unit="none">10000</BOA_QUANTIFICATION_VALUE>
</QUANTIFICATION_VALUES_LIST><BOA_ADD_OFFSET_VALUES_LIST>
"""
    yield from (f'<BOA_ADD_OFFSET band_id="{i}">-{OFFSET}</BOA_ADD_OFFSET>\n' for i in range(len(bands)))
    yield "</BOA_ADD_OFFSET_VALUES_LIST><Spectral_Information_List>\n"
    yield from (f'<Spectral_Information bandId="{i}" physicalBand="{band}"/>\n' for i, band in enumerate(bands))
    yield f"""</Spectral_Information_List></Product_Image_Characteristics></n1:General_Info>
<n1:Quality_Indicators_Info><Cloud_Coverage_Assessment>{100 * day.clouds:.1f}</Cloud_Coverage_Assessment>
</n1:Quality_Indicators_Info></n1:Level-2A_User_Product>
"""


_TILE = f"""<?xml version="1.0" encoding="UTF-8"?>
<n1:Level-2A_Tile_ID xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/S2_PDI_Level-2A_Tile_Metadata.xsd">
<n1:Geometric_Info><Tile_Geocoding><HORIZONTAL_CS_CODE>EPSG:32632</HORIZONTAL_CS_CODE>
<Geoposition resolution="10"><ULX>{CORNER[0]}</ULX><ULY>{CORNER[1]}</ULY></Geoposition></Tile_Geocoding>
<Tile_Angles><Mean_Sun_Angle><ZENITH_ANGLE>31.2</ZENITH_ANGLE><AZIMUTH_ANGLE>156.4</AZIMUTH_ANGLE></Mean_Sun_Angle>
</Tile_Angles></n1:Geometric_Info></n1:Level-2A_Tile_ID>
"""
