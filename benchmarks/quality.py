"""Quality of a model against bicubic on scenes that it was not trained on: `python -m benchmarks.quality`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Column, Table

from srcore.checkpoints import locate
from srcore.metrics import crop_border, luma, psnr, ssim
from srcore.models import Generator
from srcore.radiometry import quantise
from srcore.storage.patches import read_bands
from srcore.training.config import data_folder
from srcore.training.evaluate import (
    Score,
    enlarge_planes,
    evaluate,
    restore,
    sensor_means,
    shrink_planes,
)
from srcore.weights import load_generator

VALIDATION = Path("trainset/val")
PHOTOGRAPHS = Path("data/sr_benchmarks")
SETS = ("Set5", "Set14")


def main() -> None:
    """Print the tables; with --json write the same figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    parser.add_argument("--model", default="srcore-x2", help="built-in name or checkpoint folder (default srcore-x2)")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    arguments = parser.parse_args()
    folder = locate(arguments.model)
    console = Console()
    tables = {"val": evaluate(folder, data_folder(VALIDATION))}
    for name in SETS:
        tables[name] = score_photographs(folder, data_folder(PHOTOGRAPHS / name))
    for name, scores in tables.items():
        console.print(table_of(f"{arguments.model} on {name}", scores))
    if arguments.json:
        figures = {
            name: {"scenes": [asdict(s) for s in scores], "means": sensor_means(scores)}
            for name, scores in tables.items()
        }
        arguments.json.write_text(json.dumps({"model": arguments.model, "sets": figures}, indent=2) + "\n")


def table_of(title: str, scores: Sequence[Score]) -> Table:
    """Every scene, then every sensor's mean, then the mean of all scenes."""
    table = Table(Column("scene", no_wrap=True), "PSNR", "bicubic", "gain", "SSIM", "bicubic", title=title)
    for s in scores:
        table.add_row(s.scene, *_cells(s.psnr, s.psnr_bicubic, s.ssim, s.ssim_bicubic))
    table.add_section()
    for group, m in sensor_means(scores).items():
        table.add_row(f"mean of {group}" if group != "mean" else "mean of all",
                      *_cells(m["psnr"], m["psnr_bicubic"], m["ssim"], m["ssim_bicubic"]))  # fmt: skip
    return table


def _cells(model: float, bicubic: float, model_ssim: float, bicubic_ssim: float) -> tuple[str, ...]:
    return f"{model:.2f}", f"{bicubic:.2f}", f"{model - bicubic:+.2f}", f"{model_ssim:.4f}", f"{bicubic_ssim:.4f}"


def score_photographs(model_folder: Path, images: Path) -> list[Score]:
    """Scores on the Y of every 8-bit photograph in `images`, as papers on super-resolution report them."""
    _, generator = load_generator(model_folder)
    return [_score_photograph(path, generator, images.name) for path in sorted(images.glob("*.png"))]


def _score_photograph(path: Path, generator: Generator, group: str) -> Score:
    """Y of 8 bits is shrunk without rounding, brought back, rounded: as SRCNN and its successors do."""
    scale = generator.scale
    bands = np.asarray(read_bands(path))
    height, width = (length - length % scale for length in bands.shape[-2:])
    rgb = np.broadcast_to(bands, (3, *bands.shape[1:]))  # a grey photograph has R = G = B
    truth = np.rint(luma(rgb[:, :height, :width]))[None]  # (1, Y, X)
    lr = shrink_planes(truth, scale)
    figures = [*_on_luma(truth, restore(lr, generator), scale), *_on_luma(truth, enlarge_planes(lr, scale), scale)]
    return Score(path.name, group, len(bands), *figures)


def _on_luma(truth: NDArray[Any], sr: NDArray[Any], border_px: int) -> tuple[float, float]:
    a, b = (crop_border(y, border_px)[0] for y in (truth, quantise(sr, np.dtype(np.uint8))))
    return psnr(a, b, 255), ssim(a, b, 255)


if __name__ == "__main__":
    main()
