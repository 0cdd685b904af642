"""A tiny archive, its store as bytes, and what must never be seen in it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.transform import Affine

from srcore.dispatch import Workers
from srcore.layout import ProductPaths
from srcore.run import scene
from srcore.run.dataset import run_dataset
from srcore.run.outcome import Outcome
from srcore.stages.plan import Job
from srcore.storage.archive.publish import Receipt, is_whole
from srcore.storage.remote.listing import forget_lists

DATASET = "fields"
TIMES = ("created", "seconds", "computing_s")
"""What of a receipt differs from run to run."""

SHAPE = (24, 38)
BLOCK = 32
"""SR pixels on each side of a block: SHAPE is two tiles, that make their parts of two overviews, and one made later."""

Files = Mapping[str, bytes]


def write_scene(path: Path, seed: int = 0, shape: tuple[int, int] = SHAPE, dtype: str = "uint16") -> Path:
    """A GeoTIFF with hills and a hole of nodata."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    values = 900 + 300 * np.sin(x / 5 + seed) + 200 * np.cos(y / 7) + 20 * rng.standard_normal(shape)
    values[3:7, 5:9] = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=1,
        height=shape[0],
        width=shape[1],
        dtype=dtype,
        nodata=0,
        crs="EPSG:32632",
        transform=Affine(10, 0, 600000, 0, -10, 5200000),
    ) as target:
        target.write(values[None].astype(dtype))
    return path


def write_catalog(folder: Path, **options: Any) -> Path:
    """A catalog of one dataset: in/*.tif, to store/."""
    lines = {"kind": "raster", "source": "./in/*.tif", "model": "bicubic-x2", "tile": 32, **options}
    catalog = folder / "data_catalog.yaml"
    text = "".join(f"    {key}: {value}\n" for key, value in lines.items())
    catalog.write_text(f"version: 1\nstore: ./store\ndatasets:\n  {DATASET}:\n{text}")
    return catalog


def run(catalog: Path, **options: Any) -> list[Outcome]:
    """A night in this process."""
    return run_dataset(catalog, DATASET, lambda job: run_scene(job, Workers(0)), **options)


def run_scene(job: Job, workers: Workers, *args: Any, **options: Any) -> Receipt | None:
    """A run in small blocks, so that a tiny scene has several tiles."""
    return scene.run_scene(replace(job, block=BLOCK), workers, *args, **options)


def reset(folder: Path) -> None:
    """Forget all that was made of the sources, and what was unpacked or fetched of them."""
    forget_lists()
    for made in ("store", "cache/products", "cache/remote"):
        shutil.rmtree(folder / made, ignore_errors=True)


def later(folder: Path) -> None:
    """An hour passes: what a dead run left is old."""
    for path in (*(folder / "store").rglob("*"), *(folder / "cache").glob("*/.*")):
        status = path.stat()
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns - 3600 * 10**9))


BROKEN_OFF = (".unpacking-*", ".part")
"""In the cache."""
COUNTS = ("products", "pixels", "tiles", "degraded", "held", "codes")
"""Of totals.json."""


def published(folder: Path) -> dict[str, bytes]:
    """Every file in the store that is not hidden, by its path; receipts and pages without their times."""
    store, files = folder / "store", {}
    for path in sorted(store.rglob("*")):
        relative = path.relative_to(store)
        if path.is_file() and not any(part.startswith(".") for part in relative.parts):
            data = path.read_bytes()
            if path.name.endswith(".receipt.json"):
                data = _timeless(data)
            elif path.name.endswith(".html"):
                data = re.sub(rb'<time .*?</time>|data-seconds="[\d.]*"', b"", data)
            elif path.name == "totals.json":  # the rest tells of times, and of the last night
                data = repr({key: json.loads(data)[key] for key in COUNTS}).encode()
            elif path.parent.name == "stac":  # when each item was written
                data = re.sub(rb'"written_ns": \d+', b"", data)
            files[str(relative)] = data
    return files


def _timeless(receipt: bytes) -> bytes:
    try:
        value = json.loads(receipt)
    except ValueError:
        return receipt
    # The page tells the times, so its checksum differs too.
    value["outputs"] = [output for output in value.get("outputs", []) if not output["name"].endswith(".html")]
    return json.dumps({key: part for key, part in value.items() if key not in TIMES}, sort_keys=True).encode()


def products(files: Files) -> Files:
    """Without the records of what failed, and the page of the dataset that tells of them."""
    return {name: data for name, data in files.items() if "/quarantine/" not in name and "/products/" in name}


def wrong_outputs(folder: Path, *right: Files) -> list[str]:
    """What stands under a published name and is in none of the `right` states, or does not fit its receipt."""
    found = products(published(folder))
    wrong = [name for name, data in found.items() if all(files.get(name) != data for files in right)]
    for name in found:
        if name.endswith(".receipt.json"):
            path = folder / "store" / name
            receipt = Receipt.load(path)
            product = ProductPaths(path.parent, f"{path.name.removesuffix('.receipt.json')}.tif")
            if receipt is None or not is_whole(product, receipt, thorough=True):
                wrong.append(f"{name} does not fit its outputs")
    return wrong


def leftovers(folder: Path) -> list[str]:
    """Hidden files in the store, and records of failures: none of them after a good night."""
    store = folder / "store"
    names = [path.relative_to(store) for path in store.rglob("*") if path.is_file()]
    left = [name for name in names if "quarantine" in name.parts[1:2] or any(p.startswith(".") for p in name.parts)]
    broken = [path for pattern in BROKEN_OFF for path in (folder / "cache").rglob(pattern)]
    return list(map(str, [*left, *broken]))


def digest(files: Files) -> str:
    """One line for many files."""
    return hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()
