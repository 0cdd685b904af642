"""What is not imported before it is needed: the reason why help comes at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

SLOW = {"scipy", "torch", "prefect", "rasterio", "distributed", "zarr", "numpy", "skimage", "matplotlib", "rich"}
AT_THE_END = """
import atexit, sys
atexit.register(lambda: print(" ".join(sys.modules)))
from flows.cli import main
main()
"""
FIRST_TILE = """
import os, sys
from srcore.run import scene

def until_first_tile(plan, start, progress):
    from srcore.stages import upscale

    def compute(scene, blocks):
        next(blocks)
        print(" ".join(sys.modules), flush=True)
        os._exit(0)

    upscale._Scene.compute = compute
    return upscale.upscale(plan, start(), progress)

scene._upscale = until_first_tile
from flows.cli import main
main()
"""


def modules(code: str, *arguments: str, cwd: Path | None = None) -> set[str]:
    """The modules that a fresh Python has imported when `code` prints their names last."""
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True, cwd=cwd)
    return set(done.stdout.splitlines()[-1].split())


def test_importing_srcore_imports_nothing_slow() -> None:
    found = modules("import sys, srcore; print(' '.join(sys.modules))")
    assert "srcore" in found
    assert found & (SLOW | {"typer", "pydantic"}) == set()


@pytest.mark.parametrize(
    "arguments", [["--help"], ["upscale", "--help"], ["models", "--help"], ["explain", "LEASED", "--json"]]
)
def test_help_imports_nothing_slow(arguments: list[str]) -> None:
    found = modules(AT_THE_END, *arguments)
    assert "typer" in found
    assert found & SLOW == set()


@pytest.mark.slow
def test_the_first_tile_waits_for_no_scheduler_no_report_and_no_other_format(tmp_path: Path) -> None:
    profile = {"crs": "EPSG:32632", "transform": from_origin(6e5, 5e6, 10, 10), "dtype": "uint16"}
    with rasterio.open(
        tmp_path / "in.tif", "w", driver="GTiff", count=1, height=40, width=40, nodata=None, **profile
    ) as target:
        target.write(np.arange(1600, dtype=np.uint16).reshape(1, 40, 40))
    found = modules(FIRST_TILE, "upscale", "in.tif", "out.tif", "--workers", "0", cwd=tmp_path)
    assert {"torch", "rasterio", "zarr"} <= found
    unneeded = {"distributed", "dask", "prefect", "scipy.ndimage", "skimage", "matplotlib", "pystac", "jsonschema_rs"}
    assert (
        found & (unneeded | {"rich", "jinja2", "mlflow", "lightning", "pyproj", "torch._dynamo", "sympy", "nibabel"})
        == set()
    )


def test_a_look_at_a_dataset_imports_no_reader_of_pixels(tmp_path: Path) -> None:
    catalog = tmp_path / "data_catalog.yaml"
    (tmp_path / "a.tif").touch()
    catalog.write_text(
        "version: 1\nstore: ./store\ndatasets:\n  hills: {kind: raster, source: './*.tif', model: nearest-x2}\n"
    )
    found = modules(AT_THE_END, "status", "hills", "--catalog", str(catalog))
    assert "srcore.run.states" in found
    assert found & {"torch", "zarr", "scipy", "prefect", "distributed", "skimage", "matplotlib", "nibabel"} == set()
