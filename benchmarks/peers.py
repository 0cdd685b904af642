"""The same network through other people's tiling, on one core: `python -m benchmarks.peers [--side N]`.

In memory, one band of uint16 through srcore-x2, everything but the tiling the same: MONAI's sliding window as it comes
(float32) and on our bfloat16 network, a loop of tiles with ten pixels of context (as Real-ESRGAN's), dask's
map_overlap with the whole halo. File to file: opensr-utils, and GDAL's cubic warp as the floor. `off` is the largest
difference to the network's own result on the whole image, in DN of 10,000: what blending and short context cost.

MONAI and opensr-utils are installed into .peers by the first run; without them their rows are left out, and said so.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import rasterio
import torch
from numpy.typing import NDArray
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional

from benchmarks import out
from srcore.checkpoints import locate
from srcore.dispatch.cluster import ALLOCATOR
from srcore.engine import open_engine
from srcore.engine.backends import installed
from srcore.models import Generator
from srcore.samples import make_large
from srcore.tiling import TilePlan, chosen_tiles
from srcore.weights import load_generator

PLACE = Path(__file__).parent.parent / ".peers"
LIST = Path(__file__).parent / "peers.txt"
SPAN_DN = 10_000
TILE_PX, SHORT_PX = 400, 10
"""Real-ESRGAN's inference script: tiles as large as its users set them, and its tile_pad."""
Way = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Network values (Y, X) to (2 Y, 2 X)."""


class WholeImage(nn.Module):
    """The generator as others expect one: (N, C, y, x) to (N, C, 2 y, 2 x), padded by reflection, band by band."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator, self.halo = generator, generator.halo

    def forward(self, x: Tensor) -> Tensor:
        planes = x.reshape(-1, 1, *x.shape[-2:])
        sr: Tensor = self.generator(functional.pad(planes, (self.halo,) * 4, mode="reflect"))
        return sr.reshape(*x.shape[:2], *sr.shape[-2:])


def ways() -> dict[str, Way]:
    """Every way through the same network; `network` is the whole image in one piece, the truth of the others."""
    backend = installed(load_generator(locate("srcore-x2"))[1], torch.device("cpu"), "bfloat16")[0]
    fast = open_engine(locate("srcore-x2"), "cpu", "bfloat16", backend)
    exact = open_engine(locate("srcore-x2"), "cpu", "float32")
    found: dict[str, Way] = {
        "network, bfloat16": lambda x: _whole(fast.generator, x),
        "network, float32": lambda x: _whole(exact.generator, x),
        "srcore, bfloat16": lambda x: _tiled(fast.generator, x, None),
        "srcore, float32": lambda x: _tiled(exact.generator, x, None),
        "loop, 10 px of context, bfloat16": lambda x: _tiled(fast.generator, x, SHORT_PX),
        "map_overlap, whole halo, bfloat16": lambda x: _map_overlap(fast.generator, x),
    }
    try:
        from monai.inferers import SlidingWindowInferer
    except ImportError as error:
        out.print(f"MONAI is left out: {error}")
        return found
    plain = SlidingWindowInferer(roi_size=(256, 256), overlap=0.25)
    blended = SlidingWindowInferer(roi_size=(256, 256), overlap=0.25, mode="gaussian")
    found["MONAI as it comes, float32"] = lambda x: _monai(plain, exact.generator, x)
    found["MONAI, constant, bfloat16"] = lambda x: _monai(plain, fast.generator, x)
    found["MONAI, gaussian, bfloat16"] = lambda x: _monai(blended, fast.generator, x)
    return found


def _through(network: Callable[[Tensor], Tensor], x: NDArray[np.float32]) -> NDArray[np.float32]:
    """(y, x) through a network of (1, 1, y, x)."""
    with torch.inference_mode():
        sr: NDArray[np.float32] = network(torch.from_numpy(np.ascontiguousarray(x))[None, None])[0, 0].numpy()
    return sr


def _whole(generator: Generator, x: NDArray[np.float32]) -> NDArray[np.float32]:
    return _through(WholeImage(generator), x)


def _tiled(generator: Generator, x: NDArray[np.float32], context_px: int | None) -> NDArray[np.float32]:
    """Tile by tile with the whole halo as the pipeline cuts them; with less context, as a loop of tiles does."""
    halo = generator.halo
    plan = TilePlan(x.shape, (TILE_PX,) * 2, (halo if context_px is None else context_px,) * 2, (2, 2))
    if context_px is None:
        plan = chosen_tiles(plan, 1, lambda tiles: True)
    sr = np.empty(plan.shape_hr, np.float32)
    for tile in plan:
        block = x[np.ix_(*plan.sources(tile))][plan.clipped(tile, plan.halo)]
        if context_px is None:
            sr[plan.window_hr(tile)] = _through(generator, block)
        else:
            cut = slice(2 * context_px, -2 * context_px)
            sr[plan.window_hr(tile)] = _whole(generator, block)[cut, cut]
    return sr


def _map_overlap(generator: Generator, x: NDArray[np.float32]) -> NDArray[np.float32]:
    import dask.array as da

    halo, core = generator.halo, 512
    tiles = da.from_array(x, chunks=core)  # type: ignore[no-untyped-call]

    around = da.overlap.overlap(tiles, depth=halo, boundary="reflect")  # type: ignore[no-untyped-call]
    sizes = tuple(tuple(2 * n for n in axis) for axis in tiles.chunks)
    return np.asarray(
        around.map_blocks(partial(_through, generator), chunks=sizes, dtype=np.float32).compute(
            scheduler="single-threaded"
        )
    )


def _monai(inferer: Any, generator: Generator, x: NDArray[np.float32]) -> NDArray[np.float32]:
    return _through(lambda image: inferer(image, WholeImage(generator)), x)


def in_memory(side: int, rounds: int) -> list[dict[str, Any]]:
    """One row a way: LR megapixels a CPU second, and how far off. Runs in the child process."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        make_large(Path(folder) / "scene.tif", side, bands=1)
        with rasterio.open(Path(folder) / "scene.tif") as scene:
            x = (scene.read(1) / np.float32(SPAN_DN)).astype(np.float32)
    several = ways()
    truth = {key: several[f"network, {key}"](x) for key in ("bfloat16", "float32")}
    seconds: dict[str, list[float]] = {name: [] for name in several}
    off: dict[str, float] = {}
    for _ in range(rounds):
        for name, way in several.items():
            started = time.process_time()
            sr = way(x)
            seconds[name].append(time.process_time() - started)
            off[name] = float(np.abs(sr - truth[name.rpartition(", ")[2]]).max()) * SPAN_DN
    return [
        {"way": name, "lr_mpx_s": side * side / 1e6 / median(several), "off_dn": off[name]}
        for name, several in seconds.items()
    ]


def files(side: int) -> list[dict[str, Any]]:
    """File to file: CPU seconds of a process that starts, reads, computes and writes a product."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        peers, scene = [sys.executable, "-m", "benchmarks.peers"], str(folder / "scene.tif")
        make_large(Path(scene), side, bands=4)
        commands = {
            "srcore, file to verified COG": [
                sys.executable,
                "-m",
                "flows.cli",
                "upscale",
                scene,
                str(folder / "srcore.tif"),
                "--workers",
                "0",
            ],
            "opensr-utils as it comes, float32": [*peers, "--opensr", scene, str(folder / "plain.tif"), "float32"],
            "opensr-utils, our network in bfloat16": [*peers, "--opensr", scene, str(folder / "ours.tif"), "bfloat16"],
            "GDAL cubic, file to file": [*peers, "--cubic", scene, str(folder / "cubic.tif")],
        }
        for way, command in commands.items():
            before = os.times()
            failed = subprocess.run(command, env=_environment(), stdout=subprocess.DEVNULL).returncode
            after = os.times()
            taken = after.children_user + after.children_system - before.children_user - before.children_system
            if failed:
                out.print(f"{way} is left out: it ended with {failed}")
                continue
            rows.append({"way": way, "lr_mpx_s": 4 * side * side / 1e6 / taken, "cpu_s": taken})
    return rows


def opensr(source: str, target: str, precision: str) -> None:
    """opensr-utils with the same weights and its defaults: as torch loads them, or in our form and precision."""
    from opensr_utils import super_resolve

    torch.set_num_threads(1)
    network = WholeImage(open_engine(locate("srcore-x2"), "cpu", precision).generator)
    super_resolve(source, network, target, factor=2, device="cpu", overwrite=True)


def cubic(source: str, target: str) -> None:
    """GDAL's cubic resampling into a COG: no network, the least that a product of this size costs."""
    with rasterio.open(source) as scene:
        bands = scene.read(
            out_shape=(scene.count, 2 * scene.height, 2 * scene.width), resampling=rasterio.enums.Resampling.cubic
        )
        profile = {
            "driver": "COG",
            "height": bands.shape[1],
            "width": bands.shape[2],
            "count": len(bands),
            "dtype": bands.dtype,
            "crs": scene.crs,
            "compress": "zstd",
            "predictor": 2,
            "transform": scene.transform @ rasterio.Affine.scale(0.5),
        }
    with rasterio.open(target, "w", **profile) as product:
        product.write(bands)


def _environment() -> dict[str, str]:
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH", ""), str(PLACE)]))
    return {**os.environ, **ALLOCATOR, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, "PYTHONWARNINGS": "ignore"}


def install() -> None:
    """The peers into a folder of their own, once; what cannot be had is left out."""
    if PLACE.exists():
        return
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(PLACE), "-r", str(LIST)]
    if subprocess.run(command).returncode:
        out.print("the peers cannot be installed here: their rows are left out")


def run(side: int = 1024, rounds: int = 3) -> dict[str, Any]:
    """Both tables' figures."""
    install()
    command = [sys.executable, "-m", "benchmarks.peers", "--child", str(side), str(rounds)]
    found = subprocess.run(command, env=_environment(), check=True, stdout=subprocess.PIPE, text=True)
    *said, figures = found.stdout.splitlines()
    for line in said:
        out.print(line)
    return {"memory": json.loads(figures), "files": files(side)}


def table(figures: dict[str, Any]) -> Table:
    """For people."""
    result = Table("way", "LR MP/CPU s", "of the network", "off, DN of 10,000", title="one network, one core")
    speed = {row["way"]: row["lr_mpx_s"] for row in figures["memory"]}
    for row in figures["memory"]:
        network = speed[f"network, {row['way'].rpartition(', ')[2]}"]
        result.add_row(row["way"], f"{row['lr_mpx_s']:.3f}", f"{row['lr_mpx_s'] / network:.2f}", f"{row['off_dn']:.2g}")
    result.add_section()
    for row in figures["files"]:
        result.add_row(row["way"], f"{row['lr_mpx_s']:.3f}", "", "")
    return result


def main() -> None:
    """Print the table; with --json write the same figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--side", type=int, default=1024, help="LR pixels along the scene")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    for hidden, count in (("--child", 2), ("--opensr", 3), ("--cubic", 2)):
        parser.add_argument(hidden, nargs=count, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(in_memory(*map(int, arguments.child))))
    elif arguments.opensr:
        opensr(*arguments.opensr)
    elif arguments.cubic:
        cubic(*arguments.cubic)
    else:
        figures = run(arguments.side, arguments.rounds)
        out.print(table(figures))
        if arguments.json:
            arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
