"""From one work store to the product: assembled from the store's chunks, and by GDAL's COG driver.

    python -m benchmarks.export [--size 8192] [--bands 3] [--repeats 3]

Draws a uint16 scene of BANDS x SIZE x SIZE pixels (and one of a quarter of the side, for the memory), stores it as
UPSCALE does, and exports it in processes of their own, in turn. 'GDAL' is a tiled base and the COG driver's copy, with
the driver's own overviews and nothing checked: what a script would do.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio.windows import Window as GdalWindow
from rich.table import Table

from benchmarks import out
from srcore.layout import ProductPaths, Scratch
from srcore.samples import make_large
from srcore.storage.cog import verify_cog, write_cog
from srcore.storage.scene import read_header
from srcore.storage.work.scene_plan import ScenePlan
from srcore.storage.work.tile_store import TileStore
from srcore.tiling import TilePlan
from srcore.treatment import Treatment

SCALE, CORE = 2, 512


def build(folder: Path, size: int, bands: int) -> dict[str, float]:
    """A work store of a drawn scene whose SR is `size` pixels wide; gives what storing the SR cost.

    The LR beneath is nodata-free and its tiles are blank: nothing here reads them.
    """
    drawn, lr = folder / "drawn.tif", folder / "lr.tif"
    make_large(drawn, size, bands)
    make_large(lr, size // SCALE, bands)
    header = read_header([lr], "raster")
    tiles = TilePlan(header.grid.shape, (CORE, CORE), (0, 0), (SCALE, SCALE))
    plan = ScenePlan(
        dataset="",
        scene="drawn",
        header=header,
        sources=(),
        model=folder,
        model_digest="",
        tiles=tiles,
        precision="auto",
        device="cpu",
        backend="auto",
        product=ProductPaths(folder, "product.tif"),
        scratch=Scratch(folder / "work"),
        configuration="benchmark",
        validate=True,
        outputs=(),
        treatment=Treatment(),
    )
    plan.scratch.done.mkdir(parents=True)
    plan.save()
    store, seconds = TileStore(plan), 0.0
    store.create()
    blank = np.zeros((bands, *tiles.tile_shape), header.dtype)
    with rasterio.open(drawn) as source, rasterio.open(lr) as low:
        for tile in tiles:
            sums = store.lr.write(tile, blank, low.read(window=GdalWindow.from_slices(*tile.core)) > 0)
            block = source.read(window=GdalWindow.from_slices(*tiles.window_hr(tile)))
            started = time.process_time()
            store.write_sr(tile, block, sums)
            seconds += time.process_time() - started
    drawn.unlink()
    return {"store_cpu_s": seconds, "store_cpu_s_per_mpx": seconds / (bands * size**2 / 1e6)}


def _assemble(store: TileStore, target: Path) -> None:
    write_cog(target, store.encoded())


def _verify(store: TileStore, target: Path) -> None:
    verify_cog(target, store.encoded())


def _gdal(store: TileStore, target: Path) -> None:
    """A tiled base window by window, then the COG driver with its own overviews, one thread."""
    sr: Any = store.images["sr"].full
    base, side = target.with_suffix(".base.tif"), CORE * SCALE
    profile = {
        "driver": "GTiff",
        "tiled": True,
        "blockxsize": 512,
        "blockysize": 512,
        "compress": "zstd",
        "zstd_level": 1,
        "predictor": 2,
        "interleave": "pixel",
        "bigtiff": "yes",
        "nodata": 0,
    }
    count, height, width = sr.shape
    with rasterio.Env(GDAL_CACHEMAX=64 << 20, GDAL_NUM_THREADS="1"):
        with rasterio.open(base, "w", count=count, height=height, width=width, dtype=sr.dtype, **profile) as to:
            for row in range(0, height, side):
                for col in range(0, width, side):
                    block: NDArray[Any] = sr[:, row : row + side, col : col + side]
                    to.write(block, window=GdalWindow(col, row, block.shape[2], block.shape[1]))
        rasterio.shutil.copy(
            base,
            target,
            driver="COG",
            COMPRESS="ZSTD",
            LEVEL="1",
            PREDICTOR="YES",
            BIGTIFF="YES",
            OVERVIEW_RESAMPLING="AVERAGE",
            NUM_THREADS="1",
        )
    base.unlink()


WAYS: dict[str, Callable[[TileStore, Path], None]] = {
    "assembled": _assemble,
    "assembled, verified": _verify,
    "GDAL": _gdal,
}
"""'verified' reads back what the way above it wrote."""


def child(way: str, folder: Path) -> dict[str, float]:
    """One way, in this process."""
    store = TileStore(ScenePlan.load(folder / "work" / "plan.json"))
    target = folder / f"{way.split(',')[0]}.tif"
    wall, cpu = time.monotonic(), time.process_time()
    WAYS[way](store, target)
    return {
        "wall_s": time.monotonic() - wall,
        "cpu_s": time.process_time() - cpu,
        "peak_mib": _high_water_mib(),
        "file_mib": target.stat().st_size / 2**20,
    }


def _high_water_mib() -> float:
    """Peak RSS of this process; `getrusage` would count the parent's before the exec."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def run(size: int = 8192, bands: int = 3, repeats: int = 3) -> dict[str, Any]:
    """Medians of every way at `size`, and of the assembled ones at a quarter of it."""
    figures: dict[str, Any] = {"size": size, "bands": bands, "repeats": repeats}
    for side in (size // 4, size):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            figures[f"{side}"] = build(folder, side, bands)
            rows: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
            for _ in range(repeats):
                for way in WAYS:
                    rows[way].append(_spawned(way, folder))
            figures[f"{side}"]["ways"] = {
                way: {key: median(row[key] for row in found) for key in found[0]} for way, found in rows.items()
            }
    return figures


def _spawned(way: str, folder: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.export", "--child", way, "--folder", str(folder)]
    found: dict[str, float] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return found


def table(figures: dict[str, Any]) -> Table:
    """For people."""
    size, bands = figures["size"], figures["bands"]
    small, large = figures[f"{size // 4}"]["ways"], figures[f"{size}"]["ways"]
    result = Table(
        "way",
        "CPU s",
        "wall s",
        "GDAL's CPU / this",
        "peak MiB",
        f"peak MiB at {size // 4}",
        "file MiB",
        title=f"export of {bands} x {size}^2 uint16 from one store",
    )
    for way, row in large.items():
        ratio = large["GDAL"]["cpu_s"] / row["cpu_s"]
        result.add_row(
            way,
            f"{row['cpu_s']:.2f}",
            f"{row['wall_s']:.2f}",
            f"{ratio:.1f}",
            f"{row['peak_mib']:.0f}",
            f"{small[way]['peak_mib']:.0f}",
            f"{row['file_mib']:.0f}",
        )
    return result


def main() -> None:
    """Print the table, and write the figures to benchmarks-export.json."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.export", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=8192)
    parser.add_argument("--bands", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--child", choices=list(WAYS), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        print(json.dumps(child(given.child, given.folder)))
        return
    figures = {
        "machine": platform.machine(),
        "python": platform.python_version(),
        **run(given.size, given.bands, given.repeats),
    }
    out.print(table(figures))
    out.print(f"storing the SR: {figures[str(given.size)]['store_cpu_s_per_mpx']:.4f} CPU s an HR megapixel")
    path = Path("benchmarks-export.json")
    path.write_text(json.dumps(figures, indent=1) + "\n")
    out.print(f"figures: {path}")


if __name__ == "__main__":
    main()
