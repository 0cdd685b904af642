"""What the pages' commands and catalogs are run on: small inputs of our own, under the names that the pages use."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.transform import Affine

from srcore.samples.archive import halve
from srcore.samples.landscape import render
from srcore.samples.phantom import draw, thick
from tests.elsewhere import Elsewhere, item
from tests.storage.dicom.series import write_series
from tests.storage.providers.products import LANDSAT, NAME, make_landsat, make_safe, write

LEVEL_1 = LANDSAT.replace("L2SP", "L1TP")
HLS = "HLS.S30.T32TQM.2024153T103021.v2.0"
SAFE_BANDS = {"B02": 10, "B03": 10, "B04": 10, "B08": 10, "B11": 20}
SIDE = 60
BANDS_OF_LANDSAT = ("2", "3", "4", "5")


@cache
def ground(side: int = SIDE) -> NDArray[np.uint16]:
    """Four bands (C, Y, X) of a landscape as a sensor sees it: gates know what is none."""
    return halve(render((2 * side, 2 * side), seed=3))


def scene(path: Path, **facts: Any) -> Path:
    """A GeoTIFF of two bands, in Switzerland."""
    return write(path, ground()[:2], 10, (460_000.0, 5_242_000.0), **facts)


def safe(folder: Path) -> Path:
    """A SAFE folder with the bands that the pages ask for."""
    values = dict(zip(SAFE_BANDS, [*(ground() + 1000), halve(ground())[1] + 1000], strict=True))
    return make_safe(folder, SAFE_BANDS, values=values)


def landsat(folder: Path) -> Path:
    """Level 2, in a folder of its name."""
    values = dict(zip(BANDS_OF_LANDSAT, 8000 + 2 * ground(), strict=True))
    return make_landsat(folder / LANDSAT, bands=BANDS_OF_LANDSAT, values=values)


def landsat_1(folder: Path) -> Path:
    """Level 1 with its panchromatic band, whose grid begins half a pixel of its own inside."""
    fine = ground(2 * SIDE)
    shown = fine[:3].mean(axis=0)
    pan = np.rint((shown[1:, 1:] + shown[:-1, :-1] + shown[1:, :-1] + shown[:-1, 1:]) / 4).astype(np.uint16)
    values = dict(zip(BANDS_OF_LANDSAT, halve(fine), strict=True))
    made = make_landsat(folder / LEVEL_1, bands=BANDS_OF_LANDSAT, values=values | {"8": pan})
    for file in made.iterdir():
        text = file.read_bytes() if file.suffix == ".json" else None
        target = file.with_name(file.name.replace("L2SP", "L1TP").replace("_SR_B", "_B"))
        file.rename(target)
        if text is not None:
            target.write_bytes(text.replace(b"L2SP", b"L1TP").replace(b"_SR_B", b"_B"))
    return made


def hls(folder: Path) -> Path:
    """HLS with its mask."""
    for band in ("B02", "B03", "B04"):
        write(folder / HLS / f"{HLS}.{band}.tif", ground()[0].astype(np.int16), 30, nodata=-9999)
    write(folder / HLS / f"{HLS}.Fmask.tif", np.zeros((SIDE, SIDE), np.uint8), 30)
    return folder / HLS


def series(folder: Path) -> Path:
    """A series of CT in thin slices, of the drawn body."""
    return write_series(folder, draw((24, 28, 32)))


def wide(path: Path) -> None:
    """A scene of 4,800 x 3,400 pixels that lies around 8.5 E, 47.3 N, of which most is not there."""
    profile = {"driver": "GTiff", "count": 1, "height": 3400, "width": 4800, "dtype": "uint16", "crs": "EPSG:32632"}
    place = Affine(10, 0, 440_000, 0, -10, 5_256_000)
    options = {"tiled": True, "sparse_ok": True, "nodata": 0, "transform": place}
    with rasterio.open(path, "w", **profile, **options) as file:
        for column, row in ((2000, 1200), (4000, 2500)):
            window = rasterio.windows.Window(column, row, 512, 512)
            file.write(ground(512)[0], 1, window=window)


def source_of(folder: Path, entry: Mapping[str, Any], world: Elsewhere) -> None:
    """Draw what a dataset of the pages asks for, where it asks for it: on the disk, or on the server."""
    source = entry["source"]
    if isinstance(source, dict):
        _searched(folder, entry, world)
    elif "://" in source:
        bucket = re.sub(r"^s3:/|^https?://[^/]*", "", source)
        _on_disk(folder / "there", f"x{bucket}", entry)
        _upload(folder / "there/x", world)
    else:
        _on_disk(folder, source, entry)


def _on_disk(folder: Path, source: str, entry: Mapping[str, Any]) -> None:
    *above, last = source.rstrip("/").split("/")
    place = folder.joinpath(*above)
    kinds: dict[str, Callable[[Path], object]] = {"*.SAFE": safe, "LC0*": landsat, "HLS*": hls}
    if last in kinds:
        kinds[last](place)
    elif last == "{series}":
        series(place.parent / "p1/s1")
    else:
        _raster(folder, place, last, entry)


def _raster(folder: Path, place: Path, last: str, entry: Mapping[str, Any]) -> None:
    if "{band}" in last:
        for number, band in enumerate(entry["bands"]):
            write(place / last.replace("{scene}", "T32TQM").replace("{band}", band), ground()[number], 10)
    elif "mosaic" in entry:
        for number, name in enumerate(("N45E007_20240601.tif", "N45E007_20240703.tif")):
            write(place / name, ground()[number], 10, (400_000.0 + 300 * number, 5_000_040.0), nodata=0)
    elif "values" in entry:
        path = write(place / "scene_20240601_1.tif", ground(), 10)
        with rasterio.open(path, "r+") as file:
            file.descriptions = ("red", "green", "class", "nir")
            file.write(np.arange(SIDE * SIDE).reshape(SIDE, SIDE) // 900 * 7, 3)
    else:
        scene(place / last.replace("*", "one"))
        if isinstance(entry.get("hr"), str):
            hr = render((2 * SIDE, 2 * SIDE), seed=3)[:2]
            write(folder / entry["hr"] / last.replace("*", "one"), hr, 5, (460_000.0, 5_242_000.0))


def _upload(folder: Path, world: Elsewhere) -> None:
    for file in filter(Path.is_file, folder.rglob("*")):
        world.put(f"/{file.relative_to(folder)}", file.read_bytes())


def _searched(folder: Path, entry: Mapping[str, Any], world: Elsewhere) -> None:
    """An item whose assets have the names that the entry calls them by."""
    assets: dict[str, Any] = {}
    for number, name in enumerate(entry["bands"]):
        path = write(folder / f"there/{name}.tif", ground()[number], 10)
        assets[name] = {"href": world.put(f"/item/{name}.tif", path.read_bytes()), "roles": ["data"]}
    layer = write(folder / "there/SCL.tif", np.full((SIDE, SIDE), 4, np.uint8), 10)
    assets["SCL"] = {"href": world.put("/item/SCL.tif", layer.read_bytes())}
    world.items = [item(NAME, assets, world.address, **{"eo:cloud_cover": 5})]


def elsewhere(folder: Path, world: Elsewhere) -> None:
    """What the commands of `sources` fetch."""
    world.put("/scenes/alps.tif", scene(folder / "there/alps.tif").read_bytes())
    safe(folder / "there/bucket/sentinel-2/2024")
    _upload(folder / "there", world)
    image = {"image": {"href": f"{world.address}/scenes/alps.tif", "roles": ["data"]}}
    world.items = [item("ca_m_3712213", image, world.address)]


def study(folder: Path) -> None:
    """What the commands of `medical` name."""
    import nibabel

    series(folder / "study/series")
    write_series(folder / "study/scout", draw((3, 28, 32)), SeriesInstanceUID="1.2.3.9")
    affine = np.diag([1.0, 1.0, 5.0, 1.0])
    lower = thick(draw((60, 36, 40)))
    nibabel.save(nibabel.Nifti1Image(lower.T, affine), folder / "lr_5mm_lower.nii.gz")
