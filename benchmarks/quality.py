"""Quality of a model against bicubic on scenes that it was not trained on: `python -m benchmarks.quality`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Column, Table

from srcore.checkpoints import locate
from srcore.engine.backends import Precision, build, installed
from srcore.metrics import crop_border, luma, psnr, ssim
from srcore.models import Generator
from srcore.radiometry import percentile_normalisation, quantise
from srcore.storage.patches import is_image, read_bands
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

TRAINING = Path("trainset/train")
VALIDATION = Path("trainset/val")
PHOTOGRAPHS = Path("data/sr_benchmarks")
SETS = ("Set5", "Set14")


def main() -> None:
    """Print the tables; with --json write the same figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    parser.add_argument("--model", default="srcore-x2", help="built-in name or checkpoint folder (default srcore-x2)")
    parser.add_argument("--precision", default="float32", choices=("float32", "bfloat16", "int8"),
                        help="what the generator computes in (default float32)")  # fmt: skip
    parser.add_argument("--backend", default="", help="by what; default: the first that is installed")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    arguments = parser.parse_args()
    folder = locate(arguments.model)
    generator = in_precision(folder, arguments.precision, arguments.backend)
    console = Console()
    tables = {"val": evaluate(folder, data_folder(VALIDATION), generator)}
    for name in SETS:
        tables[name] = score_photographs(generator, data_folder(PHOTOGRAPHS / name))
    for name, scores in tables.items():
        console.print(table_of(f"{arguments.model} in {arguments.precision} on {name}", scores))
    if arguments.json:
        figures = {
            name: {"scenes": [asdict(s) for s in scores], "means": sensor_means(scores)}
            for name, scores in tables.items()
        }
        facts = {"model": arguments.model, "precision": arguments.precision, "sets": figures}
        arguments.json.write_text(json.dumps(facts, indent=2) + "\n")


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


def in_precision(folder: Path, precision: Precision, backend: str) -> Generator:
    """The generator of a checkpoint as a backend computes it; int8 is calibrated on training scenes."""
    _, generator = load_generator(folder)
    device = torch.device("cpu")
    chosen = backend or (installed(generator, device, precision) or ["openvino"])[0]
    samples = calibration(generator.halo) if precision == "int8" else ()
    return build(generator, chosen, precision, device, samples)


def calibration(halo_px: int, count: int = 16) -> list[torch.Tensor]:
    """Network values (1, 1, Y, X) of LR tiles from scenes that are not among the held-out ones."""
    side = 160 + 2 * halo_px
    tiles: list[torch.Tensor] = []
    for path in sorted(path for path in data_folder(TRAINING).rglob("*") if is_image(path)):
        plane = np.asarray(read_bands(path)[0], np.float64)
        if plane.ndim == 2 and min(plane.shape) >= 2 * side and np.ptp(plane) > 0:
            lr = shrink_planes(plane[None, : 2 * side, : 2 * side], 2)
            tiles.append(torch.from_numpy(percentile_normalisation([lr]).apply(lr))[None])
    step = max(1, len(tiles) // count)
    return tiles[::step][:count]


def score_photographs(generator: Generator, images: Path) -> list[Score]:
    """Scores on the Y of every 8-bit photograph in `images`, as papers on super-resolution report them."""
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
