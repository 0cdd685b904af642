"""True, missing and made-up detail of three generators: `python -m benchmarks.correctness`.

LR is the mean of 2 x 2 HR pixels on the validation places; the figures are those of `srcore.checks.opensr`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
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

SIDE_PX = 384
"""HR pixels along the crop of a scene."""


def main() -> None:
    """Print the table; with --json write the same figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.correctness", description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    figures = run()
    out.print(table_of(figures))
    if arguments.json:
        arguments.json.write_text(json.dumps({name: asdict(row) for name, row in figures.items()}, indent=1) + "\n")


def run() -> dict[str, OpenSr]:
    """Generator to its figures, mean of the scenes."""
    trained = open_engine(locate("srcore-x2"), "cpu", "float32")
    plain = open_engine(locate("bicubic-x2"), "cpu", "float32")
    generators: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
        "bicubic": lambda lr: restored(plain, lr, 0),
        "srcore-x2": lambda lr: restored(trained, lr, 0),
        "srcore-x2, back-projected": lambda lr: restored(trained, lr, 1),
        "srcore-x2 with made-up texture": lambda lr: made_up(restored(trained, lr, 0)),
    }
    rows: dict[str, list[tuple[float, ...]]] = {name: [] for name in generators}
    for path in sorted((shared() / "trainset/val/optical").glob("*.tif")):
        hr = crop(path)
        lr = np.rint(average_down(hr, (2, 2))).astype(hr.dtype)
        for name, generate in generators.items():
            rows[name].append(astuple(compare(lr, generate(lr), hr)))
    return {name: OpenSr(*np.mean(values, axis=0)) for name, values in rows.items()}


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


def table_of(figures: dict[str, OpenSr]) -> Table:
    """One row a generator."""
    table = Table(
        "generator",
        "reflectance",
        "spectral, deg",
        "spatial, px",
        "synthesis",
        "hallucination",
        "omission",
        "improvement",
    )
    for name, row in figures.items():
        table.add_row(
            name,
            f"{row.reflectance:.4f}",
            f"{row.spectral:.3f}",
            f"{row.spatial:.3f}",
            f"{row.synthesis:.4f}",
            f"{row.hallucination:.3f}",
            f"{row.omission:.3f}",
            f"{row.improvement:.3f}",
        )
    return table


if __name__ == "__main__":
    main()
