"""What a night costs before its first scene, and what one due scene costs among many: files opened, seconds, memory.

    python -m benchmarks.nights [--scenes 100 1000 10000] [--prefect] [--json FILE]

One tiny scene is published; its product is then linked under as many names as asked for, each with a receipt of its
own. What is opened is counted by Python's audit hook: those counts are the same on every machine, and are what
`tests/run/test_scale.py` holds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks import out
from srcore.layout import DatasetPaths
from srcore.storage.archive.publish import Receipt
from srcore.storage.disk.records import json_bytes

DATASET = "many"
COUNTED = {"open": "files", "os.listdir": "folders", "os.scandir": "folders"}
"""Events of the audit hook, and what they are counted as."""


class Opened:
    """What was opened and listed while it was counted."""

    def __init__(self) -> None:
        self.files: Counter[str] = Counter()
        self.folders: Counter[str] = Counter()

    def below(self, folder: Path) -> tuple[int, int]:
        """Files opened and folders listed in a folder and all below it."""
        start = f"{folder}{os.sep}"
        files, folders = (
            sum(count for path, count in counts.items() if f"{path}{os.sep}".startswith(start))
            for counts in (self.files, self.folders)
        )
        return files, folders


_COUNTING: list[Opened] = []


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if _COUNTING and event in COUNTED and arguments and isinstance(arguments[0], str | bytes | os.PathLike):
        for counted in _COUNTING:
            getattr(counted, COUNTED[event])[os.fsdecode(arguments[0])] += 1


@contextmanager
def counted() -> Iterator[Opened]:
    """Counts what this process opens meanwhile."""
    if not _HOOKED:
        sys.addaudithook(_hear)  # for good: a hook cannot be taken away
        _HOOKED.append(True)
    opened = Opened()
    _COUNTING.append(opened)
    try:
        yield opened
    finally:
        _COUNTING.remove(opened)


_HOOKED: list[bool] = []


def make_store(folder: Path, scenes: int) -> Path:
    """A catalog of one dataset of published scenes; gives its path. One is made, the others are links to its files."""
    from srcore.dispatch import Workers
    from srcore.run.dataset import run_dataset
    from srcore.run.scene import run_scene

    write_source(folder / "in" / "s00000.tif")
    catalog = folder / "data_catalog.yaml"
    catalog.write_text(
        f"version: 1\nstore: ./store\ndatasets:\n  {DATASET}:\n    kind: raster\n    source: ./in/*.tif\n"
        "    model: bicubic-x2\n    tile: 32\n"
    )
    [made] = run_dataset(catalog, DATASET, lambda job: run_scene(job, Workers(0)))
    if made.receipt is None:
        raise SystemExit(made.message)
    for number in range(1, scenes):
        _link(folder, made.receipt, f"s{number:05d}", number)
    return catalog


def write_source(path: Path) -> None:
    """A GeoTIFF of 24 x 38 pixels."""
    import numpy as np
    import rasterio
    from rasterio.transform import Affine

    y, x = np.mgrid[:24, :38]
    values = 900 + 300 * np.sin(x / 5) + 200 * np.cos(y / 7) + 20 * np.random.default_rng(0).standard_normal(y.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    profile: dict[str, Any] = {"driver": "GTiff", "count": 1, "height": 24, "width": 38, "dtype": "uint16"}
    place = {"crs": "EPSG:32632", "transform": Affine(10, 0, 600000, 0, -10, 5200000)}
    with rasterio.open(path, "w", **profile, **place) as target:
        target.write(values[None].astype("uint16"))


def _link(folder: Path, receipt: Receipt, scene: str, number: int) -> None:
    """The source and the product of a receipt under another name."""
    products = DatasetPaths(folder / "store" / DATASET).products
    (products / scene).mkdir()
    [source] = receipt.sources
    path = Path(source.path).with_name(f"{scene}.tif")
    os.link(source.path, path)
    outputs = []
    for output in receipt.outputs:
        name = output.name.replace(receipt.scene, scene)
        os.link(products / receipt.scene / output.name, products / scene / name)
        outputs.append(replace(output, name=name))
    created = (datetime.fromisoformat(receipt.created) - timedelta(minutes=number)).astimezone(UTC)
    record = replace(
        receipt,
        scene=scene,
        sources=(replace(source, path=str(path)),),
        outputs=tuple(outputs),
        created=created.isoformat(timespec="seconds"),
    )
    (products / scene / f"{scene}.receipt.json").write_bytes(json_bytes(record.__dict__ | _plain(record)))


def _plain(record: Receipt) -> dict[str, Any]:
    return {
        "sources": [source.__dict__ for source in record.sources],
        "outputs": [output.__dict__ for output in record.outputs],
    }
