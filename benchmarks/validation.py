"""What the checks find and what they cost: `python -m benchmarks.validation`.

Good products: every readable raster of the imagery through the whole path; no gate may stop one. Defects: each of
twelve planted into the drawn scene and into real ones; its check must find it. Cost: CPU seconds of VALIDATE as a
share of all stages'.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rich.table import Table

from benchmarks import out, shared
from srcore.checks import Report
from srcore.checks.pair import validate_pair
from srcore.dispatch import Workers
from srcore.errors import SRError
from srcore.limits import LIMITS
from srcore.run.direct import direct_job
from srcore.run.scene import run_scene
from srcore.samples import make_archive
from srcore.samples.defects import DEFECTS

FILES: dict[str, tuple[str, ...]] = {
    "truncated block": ("file.blocks",),
    "swapped overview": ("file.overviews",),
}
PLACES = (
    "landsat8_elkton/L8-B8-Elkton-VA.tiff",
    "naip_nd/m_4709963_se_14_1_20090818.tif",
    "neon_OSBS_029.tif",
)


def main() -> None:
    """Print the tables; with --json write the figures too."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.validation", description=__doc__)
    parser.add_argument("--model", action="append", help="models of the good products (default srcore-x2, bicubic-x2)")
    parser.add_argument("--only", choices=("products", "defects"), help="one of the two tables")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    figures: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        if arguments.only != "defects":
            models = arguments.model or ["srcore-x2", "bicubic-x2"]
            figures["products"] = [row for model in models for row in products(Path(folder), model)]
            out.print(products_table(figures["products"]))
        if arguments.only != "products":
            figures["defects"] = defects(Path(folder))
            out.print(defects_table(figures["defects"]))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


def products(folder: Path, model: str) -> list[dict[str, Any]]:
    """Every raster of the imagery, and the drawn archive, super-resolved and judged."""
    paths = sorted((shared() / "data/satellite").rglob("*.tif*")) + make_archive(folder / "drawn")
    return [_product(path, folder / f"{path.stem}-{model}.tif", model) for path in paths]


def _product(source: Path, target: Path, model: str) -> dict[str, Any]:
    cpu: dict[str, float] = {}

    def call(name: str, stage: Callable[[Callable[[int, int], None]], Any]) -> Any:
        started = time.process_time()
        result = stage(lambda done, total: None)
        cpu[name] = time.process_time() - started
        return result

    row: dict[str, Any] = {"scene": source.stem, "model": model}
    try:
        receipt = run_scene(direct_job(str(source), target, model=model, validate=False), Workers(0), call)
    except SRError as error:
        return {**row, "refused": str(error)}
    assert receipt is not None
    failed = [check for check in receipt.checks if not check["passed"]]
    with rasterio.open(source) as lr:
        pixels = lr.count * lr.width * lr.height
    return {
        **row,
        "pixels": pixels,
        "verdict": receipt.verdict,
        "gates": [check["id"] for check in failed if check["kind"] == "GATE"],
        "warnings": [check["id"] for check in failed if check["kind"] == "WARN"],
        "validate_cpu_s": cpu["validate"],
        "run_cpu_s": sum(cpu.values()),
    }


def products_table(rows: list[dict[str, Any]]) -> Table:
    """One row a product, then the totals."""
    table = Table("scene", "model", "verdict", "gates", "warnings", "validate, % of CPU")
    done = [row for row in rows if "refused" not in row]
    for row in done:
        share = 100 * row["validate_cpu_s"] / row["run_cpu_s"]
        table.add_row(
            row["scene"],
            row["model"],
            row["verdict"],
            ", ".join(row["gates"]) or "-",
            ", ".join(row["warnings"]) or "-",
            f"{share:.1f}",
        )
    table.add_section()
    for model in sorted({row["model"] for row in done}):
        mine = [row for row in done if row["model"] == model]
        share = 100 * sum(row["validate_cpu_s"] for row in mine) / sum(row["run_cpu_s"] for row in mine)
        gates = sum(len(row["gates"]) > 0 for row in mine)
        table.add_row(f"{len(mine)} products", model, "", f"{gates} stopped", "", f"{share:.1f}")
    return table


def defects(folder: Path) -> list[dict[str, Any]]:
    """Twelve defects in the drawn scene and in PLACES: the values of their checks, and whether they were found."""
    drawn = folder / "drawn/lr/plain-20240611.tif"
    if not drawn.exists():
        make_archive(folder / "drawn")
    rows = []
    for lr in (drawn, *(shared() / "data/satellite" / place for place in PLACES)):
        sr = folder / f"{lr.stem}-bicubic-x2.tif"
        if not sr.exists():
            run_scene(direct_job(str(lr), sr, model="bicubic-x2", validate=False), Workers(0))
        rows += [_defect(name, lr, sr, folder / "planted.tif") for name in (*DEFECTS, *FILES)]
    return [row for row in rows if row]


def _defect(name: str, lr: Path, sr: Path, target: Path) -> dict[str, Any]:
    expected = DEFECTS[name][1] if name in DEFECTS else FILES[name]
    with rasterio.open(sr) as product:
        values, profile = product.read(), product.profile
        valid = product.read_masks() > 0
    if (name == "band swap" and len(values) < 2) or (name == "mask eroded by one" and valid.all()):
        return {}  # a scene in which this cannot happen
    if name == "truncated block":
        data = sr.read_bytes()
        target.write_bytes(data[: len(data) * 9 // 10])
    elif name == "swapped overview":
        _write(target, values[:, ::-1, ::-1], valid[:, ::-1, ::-1], profile)
        with rasterio.open(target, "r+") as product:
            product.build_overviews([2, 4], Resampling.average)
        with rasterio.open(target, "r+") as product:
            product.write(_with_nodata(values, valid, profile["nodata"]))
    else:
        _write(target, *DEFECTS[name][0](values, valid), profile)
    report: Report = validate_pair(target, lr, LIMITS)
    failed = {check.id: check for check in report.checks if not check.passed}
    return {
        "scene": lr.stem,
        "defect": name,
        "expected": expected,
        "found": bool(set(expected) & set(failed)),
        "by": {check.id: check.value for check in failed.values()},
        "verdict": report.verdict,
    }


def _write(target: Path, values: NDArray[Any], valid: NDArray[np.bool_], profile: dict[str, Any]) -> None:
    # Without the last two GDAL takes the fourth of four 8-bit bands for alpha.
    options = {
        **profile,
        "driver": "GTiff",
        "tiled": True,
        "blockxsize": 256,
        "blockysize": 256,
        "photometric": "minisblack",
        "alpha": "no",
    }
    with rasterio.open(target, "w", **options) as product:
        product.write(_with_nodata(values, valid, profile["nodata"]))


def _with_nodata(values: NDArray[Any], valid: NDArray[np.bool_], nodata: float | None) -> NDArray[Any]:
    return values if nodata is None else np.where(valid, values, nodata).astype(values.dtype)


def defects_table(rows: list[dict[str, Any]]) -> Table:
    """One row a defect and scene."""
    table = Table("defect", "scene", "its check", "found", "all that failed")
    for row in sorted(rows, key=lambda row: [*DEFECTS, *FILES].index(row["defect"])):
        table.add_row(
            row["defect"],
            row["scene"],
            ", ".join(row["expected"]),
            "yes" if row["found"] else "NO",
            ", ".join(f"{name} {_short(value)}" for name, value in row["by"].items()),
        )
    return table


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)[:40]


if __name__ == "__main__":
    main()
