"""True, missing and made-up detail by sensor: `python -m benchmarks.correctness [--json FILE]`.

LR is the mean of 2 x 2 HR pixels on places that no training saw; the figures are those of `srcore.checks.opensr`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, astuple
from pathlib import Path
from typing import Any

import numpy as np
import numpy.ma as ma
import torch
from numpy.typing import NDArray
from rich.table import Table

from benchmarks import out, shared
from srcore.checkpoints import locate
from srcore.checks.blocks import average_down
from srcore.checks.opensr import OpenSr, compare
from srcore.engine import BlockFacts, Engine, open_engine, super_resolve
from srcore.radiometry import fill_invalid, percentile_normalisation
from srcore.samples.defects import hallucinated_texture
from srcore.storage.whole_images import read_bands
from srcore.treatment import Treatment

MODELS = ("srcore-x2", "srcore-x2-fast")
SIDE_PX = 384
"""HR pixels along the crop of a scene."""
SCENES = {
    "Sentinel-2": "satellite/*/val/*_10m.tif",
    "NAIP": "val/optical/naip_*.tif",
    "all of val": "val/optical/*.tif",
}
"""Sensor to its files below trainset."""
Figures = dict[str, dict[str, OpenSr]]
"""Sensor to generator to figures."""


def main() -> None:
    """Print the table; with --json write the same figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.correctness", description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    figures = run()
    out.print(table_of(figures))
    if arguments.json:
        plain = {sensor: {name: asdict(row) for name, row in rows.items()} for sensor, rows in figures.items()}
        arguments.json.write_text(json.dumps(plain, indent=1) + "\n")


def run() -> Figures:
    """Means over the scenes of a sensor."""
    trained, fast, plain = (open_engine(locate(name), "cpu", "float32") for name in (*MODELS, "bicubic-x2"))
    generators: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
        "bicubic": lambda lr: restored(plain, lr, 0),
        "srcore-x2": lambda lr: restored(trained, lr, 0),
        "srcore-x2, back-projected": lambda lr: restored(trained, lr, 1),
        "srcore-x2-fast, back-projected": lambda lr: restored(fast, lr, 1),
        "srcore-x2 with made-up texture": lambda lr: made_up(restored(trained, lr, 0)),
    }
    folder = shared() / "trainset"
    found = {sensor: sorted(folder.glob(files)) for sensor, files in SCENES.items()}
    rows = {path: scored(path, generators) for path in {path for paths in found.values() for path in paths}}
    return {
        f"{sensor} ({len(paths)})": {
            name: OpenSr(*np.mean([rows[path][name] for path in paths], axis=0)) for name in generators
        }
        for sensor, paths in found.items()
    }


def scored(
    path: Path, generators: Mapping[str, Callable[[NDArray[Any]], NDArray[Any]]]
) -> dict[str, tuple[float, ...]]:
    """The figures of one scene."""
    hr = crop(path)
    lr = stored(average_down(hr, (2, 2)), hr.dtype)
    return {name: astuple(compare(lr, generate(lr), hr)) for name, generate in generators.items()}


def stored(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """As a sensor of this dtype keeps them."""
    return (np.rint(values) if dtype.kind in "iu" else values).astype(dtype)


def crop(path: Path) -> NDArray[Any]:
    """The middle of a scene, (C, Y, X)."""
    bands = read_bands(path)
    values = fill_invalid(ma.getdata(bands), ~ma.getmaskarray(bands))
    top, left = ((n - min(n, SIDE_PX)) // 2 for n in values.shape[1:])
    side = min(*values.shape[1:], SIDE_PX) // 2 * 2
    return values[:4, top : top + side, left : left + side]


def restored(engine: Engine, lr: NDArray[Any], steps: int) -> NDArray[Any]:
    """The SR of a whole image (C, Y, X), as the pipeline makes it."""
    margin = engine.spec.halo[-1] + steps
    facts = BlockFacts(
        percentile_normalisation(list(lr)), lr.dtype.name, (None,) * len(lr), Treatment(back_projection=steps)
    )
    tile = np.pad(lr, [(0, 0), (margin, margin), (margin, margin)], mode="reflect")
    return super_resolve(engine, tile, np.ones(lr.shape, bool), facts)


def made_up(sr: NDArray[Any]) -> NDArray[Any]:
    """The SR with texture that no LR pixel sees."""
    return hallucinated_texture(sr, np.ones(sr.shape, bool))[0]


def table_of(figures: Figures) -> Table:
    """One row a sensor and generator."""
    columns = ("reflectance", "spectral, deg", "spatial, px", "synthesis", "hallucination", "omission", "improvement")
    table = Table("scenes", "generator", *columns)
    for sensor, rows in figures.items():
        for name, row in rows.items():
            values = (row.reflectance, row.spectral, row.spatial, row.synthesis)
            shares = (row.hallucination, row.omission, row.improvement)
            table.add_row(sensor, name, *(f"{v:.4f}" for v in values), *(f"{v:.3f}" for v in shares))
        table.add_section()
    return table


if __name__ == "__main__":
    main()
