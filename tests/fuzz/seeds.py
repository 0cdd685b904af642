"""Small files of every kind that srcore reads, whole: what the fuzz spoils. Each in a folder with its command."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import rasterio
import torch
from rasterio.control import GroundControlPoint
from rasterio.transform import Affine

from srcore.catalog import load_catalog
from srcore.checkpoints import Architecture
from srcore.dispatch import Workers
from srcore.run.audit import audit
from srcore.run.direct import direct_job
from srcore.run.scene import run_scene
from srcore.weights import build, describe, save_checkpoint
from tests.faults import archive

WORKERS = ("--workers", "0")


@dataclass(frozen=True)
class Seed:
    """Files of which one is spoiled, and the command lines that then meet it."""

    name: str
    make: Callable[[Path], None]
    targets: Sequence[str]
    """Which of the files are spoiled, by their paths in the folder."""
    commands: Sequence[Sequence[str]]
    """Run in the folder, in this order."""


def values(count: int, dtype: str, shape: tuple[int, int] = (40, 52)) -> np.ndarray:
    """(count, y, x) hills and noise."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    hills = 90 + 40 * np.sin(x / 5) + 30 * np.cos(y / 7) + np.random.default_rng(count).normal(0, 3, (count, *shape))
    return hills.astype(dtype) if dtype != "uint16" else (hills * 20).astype(dtype)


def write(path: Path, data: np.ndarray, driver: str = "GTiff", **options: Any) -> None:
    """A raster with a place, unless `options` say otherwise."""
    count, height, width = data.shape
    profile = {"crs": "EPSG:32632", "transform": Affine(10, 0, 6e5, 0, -10, 5e6), "dtype": data.dtype, **options}
    with rasterio.open(path, "w", driver=driver, count=count, height=height, width=width, **profile) as target:
        target.write(data)


def tiff(**options: Any) -> Callable[[Path], None]:
    """A TIFF whose pixels and layout `options` give."""
    count, dtype = options.pop("count", 1), options.pop("dtype", "uint16")
    return lambda folder: write(folder / "scene.tif", values(count, dtype), **options)


def masked(folder: Path) -> None:
    data = values(3, "uint8")
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        write(folder / "scene.tif", data)
        with rasterio.open(folder / "scene.tif", "r+") as target:
            target.write_mask(data[0] > 70)


def points(folder: Path) -> None:
    corners = [(0, 0), (0, 52), (40, 0), (40, 52)]
    gcps = [GroundControlPoint(row, col, 6e5 + 10 * col, 5e6 - 10 * row) for row, col in corners]
    data = values(1, "uint16")
    with rasterio.open(
        folder / "scene.tif", "w", driver="GTiff", count=1, height=40, width=52, dtype="uint16"
    ) as target:
        target.write(data)
        target.gcps = gcps, "EPSG:32632"


def beside(folder: Path) -> None:
    """A TIFF without a place, whose world file, projection, nodata and mask lie beside it."""
    write(folder / "scene.tif", values(1, "uint16"), crs=None, transform=None)
    (folder / "scene.tfw").write_text("10.0\n0.0\n0.0\n-10.0\n600005.0\n4999995.0\n")
    (folder / "scene.prj").write_text(rasterio.CRS.from_epsg(32632).to_wkt())
    (folder / "scene.tif.aux.xml").write_text(
        '<PAMDataset>\n  <PAMRasterBand band="1">\n    <Description>red</Description>\n'
        "    <NoDataValue>0</NoDataValue>\n    <Offset>-0.1</Offset>\n    <Scale>0.0001</Scale>\n"
        "    <UnitType>1</UnitType>\n  </PAMRasterBand>\n</PAMDataset>\n"
    )
    mask = np.full((1, 40, 52), 255, np.uint8)
    mask[:, 5:9, 5:20] = 0
    write(folder / "mask.tif", mask, crs=None, transform=None)
    with rasterio.open(folder / "mask.tif", "r+") as target:
        target.update_tags(INTERNAL_MASK_FLAGS_1="2")  # of all bands
    (folder / "mask.tif").rename(folder / "scene.tif.msk")


def product(folder: Path) -> None:
    """A COG of srcore's own: it is upscaled once more."""
    write(folder / "small.tif", values(1, "uint16"), nodata=0)
    run_scene(direct_job(str(folder / "small.tif"), folder / "made" / "scene.tif", model="nearest-x2"), Workers(0))
    shutil.move(folder / "made" / "scene.tif", folder / "scene.tif")
    shutil.rmtree(folder / "made")


def volume(name: str, version: int = 1) -> Callable[[Path], None]:
    """A NIfTI volume."""

    def make(folder: Path) -> None:
        data = np.random.default_rng(7).normal(90, 20, (14, 12, 5)).astype(np.int16)
        kind = nibabel.Nifti1Image if version == 1 else nibabel.Nifti2Image
        image = kind(data, np.diag([1.0, 1.0, 3.0, 1.0]))
        image.header.set_slope_inter(1.0, -20.0)
        nibabel.save(image, folder / name)

    return make


def checkpoint(folder: Path) -> None:
    write(folder / "scene.tif", values(1, "uint16"))
    torch.manual_seed(0)
    spec = describe("tiny", Architecture(name="edsr", params={"scale": 2, "width": 4, "blocks": 1}))
    save_checkpoint(folder / "model", spec, build(spec), "# tiny\n")


def dataset(folder: Path) -> None:
    """An archive with a product, and a scene whose record lies in quarantine."""
    archive.write_scene(folder / "in" / "scene.tif")
    (folder / "in" / "broken.tif").write_bytes(b"II*\0 and no more")
    archive.write_catalog(folder, model="nearest-x2")
    archive.run(folder / "data_catalog.yaml")
    audit(load_catalog(folder / "data_catalog.yaml"), archive.DATASET)
    (folder / "in" / "broken.tif").unlink()  # GDAL would open it before it writes over it
    archive.write_scene(folder / "in" / "broken.tif", seed=4)


def upscale(source: str, output: str, *options: str) -> tuple[tuple[str, ...], ...]:
    model = () if "--model" in options else ("--model", "nearest-x2")
    return (("upscale", source, f"out/{output}", *model, *WORKERS, *options),)


SCENE, CATALOG = upscale("scene.tif", "sr.tif"), ("--catalog", "data_catalog.yaml")
NIGHT = (("status", *CATALOG), ("run", archive.DATASET, *CATALOG, *WORKERS), ("audit", archive.DATASET, *CATALOG))
STORE = f"store/{archive.DATASET}"

SEEDS = (
    Seed("strips", tiff(nodata=0), ["scene.tif"], SCENE),
    Seed("tiles", tiff(count=3, dtype="uint8", tiled=True, blockxsize=16, blockysize=16), ["scene.tif"], SCENE),
    Seed("deflate", tiff(compress="deflate", predictor=2), ["scene.tif"], SCENE),
    Seed("lzw floats", tiff(dtype="float32", compress="lzw", predictor=3, nodata=-9999.0), ["scene.tif"], SCENE),
    Seed("zstd bands", tiff(count=3, compress="zstd", interleave="band"), ["scene.tif"], SCENE),
    Seed("jpeg", tiff(count=3, dtype="uint8", compress="jpeg", photometric="ycbcr"), ["scene.tif"], SCENE),
    Seed("packbits", tiff(dtype="uint8", compress="packbits"), ["scene.tif"], SCENE),
    Seed("big", tiff(BIGTIFF="YES"), ["scene.tif"], SCENE),
    Seed("big endian", tiff(ENDIANNESS="BIG"), ["scene.tif"], SCENE),
    Seed("doubles", tiff(dtype="float64"), ["scene.tif"], SCENE),
    Seed("alpha", tiff(count=4, dtype="uint8", alpha="yes"), ["scene.tif"], SCENE),
    Seed("mask", masked, ["scene.tif"], SCENE),
    Seed("control points", points, ["scene.tif"], SCENE),
    Seed("product", product, ["scene.tif"], SCENE),
    Seed(
        "beside", beside, ["scene.tfw", "scene.prj", "scene.tif.aux.xml", "scene.tif.aux.xml", "scene.tif.msk"], SCENE
    ),
    Seed(
        "png",
        lambda f: write(f / "scene.png", values(3, "uint8"), "PNG"),
        ["scene.png"],
        upscale("scene.png", "sr.tif"),
    ),
    Seed(
        "jpeg 2000",
        lambda f: write(f / "scene.jp2", values(1, "uint16"), "JP2OpenJPEG"),
        ["scene.jp2"],
        upscale("scene.jp2", "sr.tif"),
    ),
    Seed("volume", volume("scene.nii"), ["scene.nii"], upscale("scene.nii", "sr.nii.gz")),
    Seed("packed volume", volume("scene.nii.gz"), ["scene.nii.gz"], upscale("scene.nii.gz", "sr.nii")),
    Seed("volume 2", volume("scene.nii", version=2), ["scene.nii"], upscale("scene.nii", "sr.nii.gz")),
    Seed(
        "checkpoint",
        checkpoint,
        ["model/config.json", "model/config.json", "model/model.safetensors"],
        upscale("scene.tif", "sr.tif", "--model", "./model", "--backend", "eager", "--precision", "float32"),
    ),
    Seed("catalog", dataset, ["data_catalog.yaml"], (("catalog", "check", *CATALOG), *NIGHT)),
    Seed(
        "records",
        dataset,
        [f"{STORE}/products/scene/scene.receipt.json", f"{STORE}/quarantine/broken.json", f"{STORE}/audit.json"],
        NIGHT,
    ),
)
