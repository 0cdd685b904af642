"""A catalog of drawn scenes with their LR, and a registry whose only model, tiny, is hardly more than bicubic."""

from __future__ import annotations

import atexit
import shutil
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import rasterio
import torch
from affine import Affine
from scipy import ndimage

from srcore.checkpoints import Architecture
from srcore.registry.identity import database_of
from srcore.registry.mlflow_store import Registry, open_registry
from srcore.settings import load_settings
from srcore.weights import build, describe, save_checkpoint

TINY = Architecture(name="edsr", params={"scale": 2, "width": 8, "blocks": 1})
RECIPE = """\
steps: {steps}
batch: 4
core_px: 16
learning_rate: {rate}
warmup_steps: 5
ema_decay: 0.9
precision: float32
device: cpu
threads: 1
"""
CATALOG = """\
version: 1
store: ./archive
datasets:
  drawn:
    kind: raster
    source: ./{lr}/*.tif
    {hr}
    model: tiny@champion
    retrain: {{recipe: ./recipe.yaml{more}}}
"""


def register_tiny(folder: Path) -> None:
    """Register tiny, in the registry of the settings; the checkpoint lies below the folder."""
    save_tiny(folder)
    database = database_of(load_settings().registry_uri)
    assert database is not None
    if not database.exists():  # MLflow takes seconds to make one
        database.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(_registry_of_tiny(), database)
    open_registry(create=True).register(folder / "tiny")


def save_tiny(folder: Path) -> None:
    """The checkpoint, always the same."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    spec = describe("tiny", TINY)
    generator = build(spec)
    torch.nn.init.zeros_(generator.tail.weight)  # type: ignore[union-attr, arg-type]
    save_checkpoint(folder / "tiny", spec, generator, "")


@cache
def _registry_of_tiny() -> Path:
    """Made once; registries that are copied from it keep their models in its folder, each in one of its own."""
    folder = Path(mkdtemp(prefix="registry-of-tiny-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    save_tiny(folder)
    Registry(f"sqlite:///{folder}/registry.db").register(folder / "tiny")
    return folder / "registry.db"


def draw_archive(
    folder: Path,
    steps: int = 60,
    rate: float = 4e-3,
    more: str = "",
    measured: bool = True,
    side: int = 96,
    count: int = 20,
    crs: str | None = "EPSG:32632",
) -> Path:
    """Scenes of texture, some 50 km apart (without a CRS: nowhere), their LR, the recipe and the catalog."""
    for index in range(count):
        noise = np.random.default_rng(index).normal(size=(1, side, side))
        hr = (10000 + 8000 * ndimage.gaussian_filter(noise, (0, 1.0, 1.0))).clip(0, 65535)
        lr = hr.reshape(1, side // 2, 2, side // 2, 2).mean((2, 4))
        for part, values, gsd in (("hr", hr, 5.0), ("lr", lr, 10.0)):
            corner = Affine.translation(300000 + 50000 * (index % 8), 4000000 + 50000 * (index // 8))
            path = folder / part / f"{'ab'[index % 2]}_{index}.tif"
            _write(path, values.astype(np.uint16), crs, corner @ Affine.scale(gsd, -gsd))
    (folder / "recipe.yaml").write_text(RECIPE.format(steps=steps, rate=rate))
    path = folder / "data_catalog.yaml"
    text = {"lr": "lr", "hr": "hr: ./hr"} if measured else {"lr": "hr", "hr": "bands: null"}
    path.write_text(CATALOG.format(**text, more=more))
    return path


def in_parts(catalog: Path) -> Path:
    """The same catalog, each of its scenes a mosaic of four parts; the scenes themselves go away."""
    text = catalog.read_text()
    folder = catalog.parent / ("lr" if "./lr/*.tif" in text else "hr")
    for path in sorted(folder.glob("*.tif")):
        with rasterio.open(path) as scene:
            half = scene.height // 2
            for row, column in ((0, 0), (0, half), (half, 0), (half, half)):
                corner = scene.transform @ Affine.translation(column, row)
                values = scene.read()[:, row : row + half, column : column + half]
                part = catalog.parent / f"parts/{path.stem}_{bool(row):d}{bool(column):d}.tif"
                _write(part, values, scene.crs, corner)
        path.unlink()
    mosaic = './parts/*.tif\n    mosaic: {group: "{scene}_??.tif", order: first}\n    values: continuous'
    catalog.write_text(text.replace(f"./{folder.name}/*.tif", mosaic))
    return catalog


def _write(path: Path, values: np.ndarray, crs: str | None, transform: Affine) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = dict(zip(("count", "height", "width"), values.shape, strict=True))
    profile = {"driver": "GTiff", "dtype": values.dtype, "crs": crs, "transform": transform, **shape}
    with rasterio.open(path, "w", **profile) as target:
        target.write(values)
