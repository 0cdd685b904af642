"""Tiled against untiled on a real scene of odd size: the largest difference for several cores, in float32.

python -m benchmarks.tiles
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from benchmarks import out, shared
from srcore.checkpoints import locate
from srcore.engine import Engine, open_engine
from srcore.models.halo import probe
from srcore.storage.scene import open_scene, read_header
from srcore.tiling import TilePlan

CORES = (64, 96, 128, 200)
SCENE = "data/satellite/landsat8_elkton/L8-B8-Elkton-VA.tiff"


def run(model: str = "srcore-x2") -> list[dict[str, Any]]:
    """One row a core: tiles, redundancy and the largest difference to the scene in one piece, in network values."""
    header = read_header([shared() / SCENE], "raster")
    with open_scene(header) as reader:
        scene, _ = reader.read(tuple(slice(0, n) for n in header.grid.shape))
    values = ((scene.astype(np.float64) - 6686) / (33649 - 6686)).astype(np.float32)
    engine = open_engine(locate(model), "cpu", "float32")
    halo = engine.spec.halo[-1]
    whole = engine.run(np.pad(values, [(0, 0), (halo, halo), (halo, halo)], mode="reflect"))
    rows: list[dict[str, Any]] = []
    for core in (*CORES, max(header.grid.shape)):
        plan = TilePlan(header.grid.shape, (core, core), engine.spec.halo, engine.spec.scale)
        difference = float(np.abs(tiled(engine, plan, values) - whole).max())
        rows.append({"core": core, "tiles": len(plan), "redundancy": plan.redundancy, "max_abs": difference})
    rows.append({"core": "probe, halo - 1", "tiles": 0, "redundancy": 0.0, "max_abs": probe(engine.exact, halo - 1)})
    return rows


def tiled(engine: Engine, plan: TilePlan, scene: NDArray[np.float32]) -> NDArray[np.float32]:
    """The SR (C, *shape * scale) of a scene (C, *shape), tile by tile."""
    sr = np.empty((len(scene), *plan.shape_hr), np.float32)
    for tile in plan:
        block = engine.run(scene[np.ix_(np.arange(len(scene)), *plan.sources(tile))])
        window = plan.window_hr(tile)
        sr[(slice(None), *window)] = block[(slice(None), *(slice(w.stop - w.start) for w in window))]
    return sr


def table(rows: list[dict[str, Any]]) -> Table:
    """For people."""
    result = Table(
        "core", "tiles", "redundancy", "max abs difference", title=f"tiled against untiled, {Path(SCENE).name}"
    )
    for row in rows:
        result.add_row(str(row["core"]), str(row["tiles"]), f"{row['redundancy']:.3f}", f"{row['max_abs']:.2g}")
    return result


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    out.print(table(run()))
