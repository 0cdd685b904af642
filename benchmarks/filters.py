"""What `denoise` and `sharpen` give on held-out scenes, through the whole path: `python -m benchmarks.filters`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from srcore.dispatch import Workers
from srcore.radiometry import quantise
from srcore.run.direct import direct_job
from srcore.run.scene import run_scene
from srcore.storage.archive.publish import Receipt
from srcore.storage.whole_images import read_bands
from srcore.training.config import data_folder
from srcore.training.judge.evaluate import filled, quality, shrink_planes, whole_pixels

SCENES = (
    "drone_brighton_DJI_0025_0",
    "landsat_LC08_L2SP_218074_20190130_ms",
    "naip_m_3708035_ne_17_1-2",
    "neon_BART_041",
)
"""One held-out scene of each sensor."""
SIDE_PX, BANDS = 320, 1
"""HR pixels along a scene, and bands of it, that are used."""
NOISE = (0.0, 0.03, 0.06, 0.12)
"""Deviation of the noise that is added, over the LR's span from its 2nd to its 98th percentile."""
DENOISE, SHARPEN = (0.0, 0.5, 1.0), (0.0, 0.1, 0.2, 0.5, 1.0, 2.0)
CHECKS = ("consistency.ratio", "seams.step", "detail.most", "detail.beyond")


def main() -> None:
    """Print both tables; with --json write every product's figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.filters", description=__doc__)
    parser.add_argument("--model", default="srcore-x2")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    arguments = parser.parse_args()
    rows = [row for name in SCENES for row in measure(name, arguments.model)]
    console = Console(width=140)
    console.print(denoise_table(rows), sharpen_table(rows))
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")


def measure(name: str, model: str) -> list[dict[str, Any]]:
    """Figures of every product of one scene."""
    hr = whole_pixels(filled(read_bands(data_folder(Path("trainset/val/optical")) / f"{name}.tif")), (2, 2))
    hr = hr[:BANDS, :SIDE_PX, :SIDE_PX]
    lr = shrink_planes(hr, 2)
    rows = []
    for noise in NOISE:
        noisy = with_noise(lr, noise)
        rows += [row_of(name, hr, noisy, model, noise=noise, denoise=amount) for amount in DENOISE]
    return rows + [row_of(name, hr, lr, model, sharpen=amount) for amount in SHARPEN]


def with_noise(lr: NDArray[Any], share: float) -> NDArray[Any]:
    """White noise with such a share of each band's span as its deviation, the same at every call."""
    low, high = np.percentile(lr, (2, 98), axis=(1, 2), keepdims=True)
    return quantise(lr + np.random.default_rng(1).normal(0, 1, lr.shape) * share * (high - low), lr.dtype)


def row_of(name: str, hr: NDArray[Any], lr: NDArray[Any], model: str, **options: float) -> dict[str, Any]:
    """One product against its truth, and what its checks said; gates are told, but stop nothing."""
    filters: dict[str, Any] = {key: value for key, value in options.items() if key != "noise"}
    with TemporaryDirectory() as folder:
        source, output = Path(folder) / "lr.tif", Path(folder) / "sr.tif"
        profile = {"driver": "GTiff", "count": len(lr), "height": lr.shape[1], "width": lr.shape[2], "dtype": lr.dtype}
        with rasterio.open(source, "w", **profile, crs="EPSG:32632", transform=(1, 0, 0, 0, -1, 0)) as target:
            target.write(lr)
        fixed: dict[str, Any] = {
            "validate": False,
            "tile": 128,
            "precision": "float32",
            "backend": "eager",
            "outputs": ("cog",),
        }
        job = direct_job(str(source), output, model=model, **fixed, **filters)
        receipt = run_scene(job, Workers(0))
        with rasterio.open(output) as product:
            sr = product.read()
    found = facts_of(receipt)
    psnr = fmean(quality(truth[None], test[None], (2, 2))[0] for truth, test in zip(hr, sr, strict=True))
    return {"scene": name, **options, "psnr": round(psnr, 3), **found}


def facts_of(receipt: Receipt | None) -> dict[str, Any]:
    """Verdict, failed checks, and the values of CHECKS."""
    if receipt is None:
        return {}
    values = {check["id"]: check["value"] for check in receipt.checks}
    failed = [check["id"] for check in receipt.checks if not check["passed"]]
    return {"verdict": receipt.verdict, "failed": failed, **{name: values.get(name) for name in CHECKS}}


def denoise_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Mean PSNR of all scenes by noise and amount."""
    table = Table(
        "noise, of the span", *(f"denoise {amount:g}" for amount in DENOISE), title="PSNR in dB, mean of the scenes"
    )
    for noise in NOISE:
        cells = [
            fmean(row["psnr"] for row in rows if row.get("noise") == noise and row["denoise"] == amount)
            for amount in DENOISE
        ]
        table.add_row(f"{noise:.0%}", *(f"{cell:.2f}" for cell in cells))
    return table


def sharpen_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Mean PSNR by amount, the largest value of each check, and how many products are stopped."""
    table = Table("sharpen", "PSNR dB", *CHECKS, "degraded", "stopped", title="largest value of any scene")
    for amount in SHARPEN:
        of = [row for row in rows if row.get("sharpen") == amount]
        worst = [max((row[name] for row in of if isinstance(row[name], float)), default=0.0) for name in CHECKS]
        verdicts = [row["verdict"] for row in of]
        table.add_row(
            f"{amount:g}",
            f"{fmean(row['psnr'] for row in of):.2f}",
            *(f"{value:.3g}" for value in worst),
            str(verdicts.count("degraded")),
            str(verdicts.count("quarantined")),
        )
    return table


if __name__ == "__main__":
    main()
