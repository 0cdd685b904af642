"""Every real file of the shared imagery through `srcore upscale`: published or refused, and what was kept.

python -m benchmarks.archive [--model srcore-x2]
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from pathlib import Path
from typing import Any, Literal

import numpy as np
from rich.table import Table

from benchmarks import out, shared
from srcore.checks.geometry import corner_shift_px
from srcore.dispatch import Workers
from srcore.errors import SRError
from srcore.run.direct import direct_job
from srcore.run.scene import run_scene
from srcore.storage.scene import read_header


def run(model: str) -> list[dict[str, Any]]:
    """One row a file."""
    data = shared() / "data"
    files = sorted([*data.glob("satellite/**/*.tif*"), *data.glob("medical/**/*.nii.gz")])
    return [_one(path, model) for path in files]


def _one(path: Path, model: str) -> dict[str, Any]:
    kind: Literal["raster", "volume"] = "volume" if path.name.endswith(".gz") else "raster"
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / ("sr.nii.gz" if kind == "volume" else "sr.tif")
        row: dict[str, Any] = {"file": path.name}
        try:
            receipt = run_scene(direct_job(str(path), output, model=model), Workers(0))
        except SRError as error:
            return {**row, "result": f"refused, {error.code}: {error}"}
        lr, sr = read_header([path], kind), read_header([output], kind)
        expected = lr.grid.scaled((1,) * (len(lr.grid.shape) - 2) + (2, 2))
        bounds = float(np.abs(np.subtract(expected.bounds(), sr.grid.bounds())).max())
        return {
            **row,
            "shape": f"{len(lr.bands)}x" + "x".join(map(str, lr.grid.shape)),
            "dtype": lr.dtype,
            "nodata": lr.nodata,
            "twice the size": sr.grid.shape == expected.shape,
            "dtype, nodata kept": (sr.dtype, sr.nodata) == (lr.dtype, lr.nodata),
            "bounds off by": f"{bounds:.1g}",
            "corners off by px": f"{corner_shift_px(expected, sr.grid):.1g}",
            "COG": _is_cog(output) if kind == "raster" else "-",
            "result": receipt.verdict if receipt else "",
        }


def _is_cog(path: Path) -> bool:
    from rio_cogeo.cogeo import cog_validate

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        valid, _, _ = cog_validate(path, strict=True, quiet=True)
    return bool(valid)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.archive", description=__doc__)
    parser.add_argument("--model", default="srcore-x2")
    rows = run(parser.parse_args().model)
    columns = max(rows, key=len)
    table = Table(*columns, title="real files, upscaled")
    for row in rows:
        table.add_row(*(str(row.get(column, "")) for column in columns))
    out.print(table)


if __name__ == "__main__":
    main()
