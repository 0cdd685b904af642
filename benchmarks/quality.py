"""Quality of models against bicubic on scenes that they were not trained on: `make bench-quality`.

In two forms: the network alone, which the literature reports, and what a run publishes of it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from markupsafe import Markup
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Column, Table

from srcore.checkpoints import builtin_names, locate, read_spec
from srcore.engine import Engine
from srcore.engine.backends import Precision, installed
from srcore.memory.whole import NETWORK_ALONE, PUBLISHED, Form, super_resolved
from srcore.metrics import crop_border, luma, psnr, ssim
from srcore.radiometry import percentile_normalisation, quantise
from srcore.report.figures import Point, pareto_figure, standalone
from srcore.storage.whole_images import Image, images_below, read_bands
from srcore.training.config import data_folder
from srcore.training.judge.compare import Candidate, estimate, speed
from srcore.training.judge.evaluate import Score, enlarge_planes, evaluate, sensor_means, shrink_planes
from srcore.weights import load_generator

TRAINING = Path("trainset/train")
VALIDATION = Path("trainset/val")
PHOTOGRAPHS = Path("data/sr_benchmarks")
SETS = ("Set5", "Set14")
FORMS = {"network alone": NETWORK_ALONE, "published": PUBLISHED}
Tables = Mapping[str, Mapping[str, Sequence[Score]]]
"""By set, then by form."""


def main() -> None:
    """Print the tables; with --json write the same figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    parser.add_argument(
        "--model",
        nargs="+",
        default=shipped(),
        help="built-in names or checkpoint folders (default: all trained that ship)",
    )
    parser.add_argument(
        "--precision",
        default="float32",
        choices=("float32", "bfloat16", "int8"),
        help="what the generator computes in (default float32)",
    )
    parser.add_argument("--backend", default="", help="by what; default: the first that is installed")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    parser.add_argument("--pareto", type=Path, help="draw quality over speed into this file (.svg)")
    arguments = parser.parse_args()
    console = Console()
    results = []
    for model in arguments.model:
        tables = score(model, arguments.precision, arguments.backend)
        for name, forms in tables.items():
            console.print(table_of(f"{model} in {arguments.precision} on {name}", forms))
        results.append(facts_of(model, arguments.precision, tables))
    console.print(summary(results))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")
    if arguments.pareto:
        arguments.pareto.write_text(standalone(pareto(results)))


def shipped() -> list[str]:
    """The trained models that ship, but for those with benchmarks of their own: guided ones and thick slices."""
    specs = map(read_spec, map(locate, builtin_names()))
    return [spec.name for spec in specs if spec.weights_sha256 and spec.zoom == 1 and len(set(spec.scale)) == 1]


def score(model: str, precision: Precision, backend: str) -> dict[str, dict[str, list[Score]]]:
    """Scores on the validation scenes and, for planes, on the photographs of the literature."""
    folder = locate(model)
    engine = in_precision(folder, precision, backend)
    scenes = data_folder(VALIDATION)
    tables = {"val": {name: evaluate(folder, scenes, form, engine) for name, form in FORMS.items()}}
    for photographs in SETS if len(engine.spec.scale) == 2 else ():
        images = data_folder(PHOTOGRAPHS / photographs)
        tables[photographs] = {name: score_photographs(engine, images, form) for name, form in FORMS.items()}
    return tables


def facts_of(model: str, precision: str, tables: Tables) -> dict[str, Any]:
    """What is written of a model: every scene, means with the interval of the gain, size and speed."""
    candidate = Candidate(model, *load_generator(locate(model)))
    sets = {
        name: {
            form: {
                "judged": str(FORMS[form].of(candidate.spec)),
                "scenes": [asdict(s) for s in scores],
                "means": sensor_means(scores),
                "gain": asdict(estimate([s.psnr - s.psnr_bicubic for s in scores])),
            }
            for form, scores in forms.items()
        }
        for name, forms in tables.items()
    }
    parameters = sum(parameter.numel() for parameter in candidate.generator.parameters())
    return {
        "model": model,
        "scale": list(candidate.spec.scale),
        "parameters": parameters,
        "precision": precision,
        "speed": asdict(speed(candidate)),
        "sets": sets,
    }


def summary(results: Sequence[Mapping[str, Any]]) -> Table:
    """Two rows a model: the network alone, and what is published."""
    table = Table(
        Column("model", no_wrap=True),
        "parameters",
        "LR MP a CPU s",
        "form",
        "val: PSNR",
        "gain (95 % interval)",
        *(f"{name}: PSNR (gain)" for name in SETS),
        title="models",
    )
    for row in results:
        for index, form in enumerate(FORMS):
            sets = [row["sets"][name][form] for name in ("val", *SETS) if name in row["sets"]]
            val, *photographs = (found["means"]["mean"] for found in sets)
            gain = sets[0]["gain"]
            facts = (row["model"], f"{row['parameters']:,}", f"{row['speed']['lr_mpx_s']:.3f}")
            table.add_row(
                *(("", "", "") if index else facts),
                form,
                f"{val['psnr']:.2f}",
                f"{gain['mean']:+.2f} ({gain['low']:+.2f} to {gain['high']:+.2f})",
                *(f"{m['psnr']:.2f} ({m['psnr'] - m['psnr_bicubic']:+.2f})" for m in photographs),
            )
    return table


def pareto(results: Sequence[Mapping[str, Any]]) -> Markup:
    """Gain of what is published on the validation scenes, and its interval, over speed; models of one scale compete."""
    points = [
        Point(
            row["model"],
            row["speed"]["lr_mpx_s"],
            gain["mean"],
            gain["low"],
            gain["high"],
            f"{len(row['scale'])}-D x{row['scale'][-1]}",
        )
        for row in results
        for gain in [row["sets"]["val"]["published"]["gain"]]
    ]
    return pareto_figure("pareto", points, "dB over plain interpolation")


def table_of(title: str, forms: Mapping[str, Sequence[Score]]) -> Table:
    """Every scene, then every sensor's mean, then the mean of all scenes; PSNR and SSIM of both forms and bicubic."""
    table = Table(Column("scene", no_wrap=True), title=title)
    for figure in ("PSNR", "SSIM"):
        for form in (*forms, "bicubic"):
            table.add_column(f"{figure} {form}")
    for form in forms:
        table.add_column(f"gain {form}")
    for rows in zip(*forms.values(), strict=True):
        table.add_row(rows[0].scene, *_cells([asdict(row) for row in rows]))
    table.add_section()
    means = [sensor_means(scores) for scores in forms.values()]
    for group in means[0]:
        table.add_row(f"mean of {group}" if group != "mean" else "mean of all", *_cells([one[group] for one in means]))
    return table


def _cells(forms: Sequence[Mapping[str, Any]]) -> list[str]:
    psnr_cells = [*(f"{one['psnr']:.2f}" for one in forms), f"{forms[0]['psnr_bicubic']:.2f}"]
    ssim_cells = [*(f"{one['ssim']:.4f}" for one in forms), f"{forms[0]['ssim_bicubic']:.4f}"]
    return [*psnr_cells, *ssim_cells, *(f"{one['psnr'] - one['psnr_bicubic']:+.2f}" for one in forms)]


def in_precision(folder: Path, precision: Precision, backend: str) -> Engine:
    """The engine of a checkpoint by a backend; int8 is calibrated on training scenes."""
    spec, generator = load_generator(folder)
    device = torch.device("cpu")
    chosen = backend or (installed(generator, device, precision) or ["openvino"])[0]
    samples = calibration(generator.halo) if precision == "int8" else ()
    return Engine(spec, generator, device, precision, chosen, samples)


def calibration(halo_px: int, count: int = 16) -> list[torch.Tensor]:
    """Network values (1, 1, Y, X) of LR tiles from scenes that are not among the held-out ones."""
    side = 160 + 2 * halo_px
    tiles: list[torch.Tensor] = []
    for path in images_below(data_folder(TRAINING)):
        plane = np.asarray(read_bands(path)[0], np.float64)
        if plane.ndim == 2 and min(plane.shape) >= 2 * side and np.ptp(plane) > 0:
            lr = shrink_planes(plane[None, : 2 * side, : 2 * side], 2)
            tiles.append(torch.from_numpy(percentile_normalisation([lr]).apply(lr))[None])
    step = max(1, len(tiles) // count)
    return tiles[::step][:count]


def score_photographs(engine: Engine, images: Path, form: Form = NETWORK_ALONE) -> list[Score]:
    """Scores on the Y of every 8-bit photograph in `images`, as papers on super-resolution report them."""
    return [_score_photograph(path, engine, form, images.name) for path in sorted(images.glob("*.png"))]


def _score_photograph(path: Path, engine: Engine, form: Form, group: str) -> Score:
    """Y of 8 bits is shrunk without rounding, brought back, rounded: as SRCNN and its successors do."""
    scale = engine.spec.scale[-1]
    bands = np.asarray(read_bands(path))
    height, width = (length - length % scale for length in bands.shape[-2:])
    rgb = np.broadcast_to(bands, (3, *bands.shape[1:]))  # a grey photograph has R = G = B
    truth = np.rint(luma(rgb[:, :height, :width]))[None]  # (1, Y, X)
    lr = shrink_planes(truth, scale)
    sr = super_resolved(engine, Image(lr, np.ones(lr.shape, np.bool_), (None,)), form.treatment)
    figures = [*_on_luma(truth, sr, scale), *_on_luma(truth, enlarge_planes(lr, scale), scale)]
    return Score(path.name, group, len(bands), *figures)


def _on_luma(truth: NDArray[Any], sr: NDArray[Any], border_px: int) -> tuple[float, float]:
    a, b = (crop_border(y, border_px)[0] for y in (truth, quantise(sr, np.dtype(np.uint8))))
    return psnr(a, b, 255), ssim(a, b, 255)


if __name__ == "__main__":
    main()
