"""A model that gets better, and one that gets worse, from scenes to products: `python -m benchmarks.rounds`.

Real imagery of the training set, one window of 192 px a place, each laid where it meets no other. The champion is
srcore-x2-fast with noise in its weights (a quarter of their spread), so that there is something to be gained. Every
line is a command that a user types, in a folder and with a registry of its own:

    retrain by a recipe that wrecks the weights             has to be kept out
    retrain by a sound recipe                               has to be promoted
    run                                                     a product by the new champion, its receipt says so
    models rollback, run                                    a product by the old one
    retrain in another folder, killed by -9 in FIT, again   the same challenger, byte by byte

With PREFECT_API_URL set the rounds are flow runs on that server.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from numpy.typing import NDArray
from rasterio.transform import Affine
from rich.table import Table

from benchmarks import out, shared
from srcore.checkpoints import locate
from srcore.storage.disk.records import read_sealed
from srcore.weights import load_generator, save_checkpoint

SIDE_PX = 192
NOISE = 0.25
FILES = (
    "train/optical/drone_*.tif",
    "train/optical/neon_*.tif",
    "train/optical/landsat_*_ms.tif",
    "train/optical/naip_*.tif",
    "val/optical/*.tif",
    "satellite/s2_native/*/*_10m.tif",
    "satellite/s2_rgbn10/*/*.tif",
    "satellite/landsat_ms/train/*.tif",
)
SOUND = {
    "steps": 300,
    "batch": 8,
    "core_px": 32,
    "learning_rate": 3e-4,
    "warmup_steps": 20,
    "ema_decay": 0.99,
    "threads": 1,
    "save_every": 50,
    "log_every": 50,
}
WRECKING = {**SOUND, "steps": 40, "learning_rate": 3e-2, "warmup_steps": 0, "ema_decay": 0.5}
CATALOG = """\
version: 1
store: ./store
datasets:
  real:
    kind: raster
    source: ./in/*.tif
    model: fast@champion
    retrain: {recipe: ./recipe.yaml}
"""


def main() -> None:
    """Print the table; with --json write the same lines."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rounds", description=__doc__)
    parser.add_argument("--json", type=Path, help="write the lines to this file")
    parser.add_argument("--keep", type=Path, help="work in this folder, and leave it")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        lines = list(run(arguments.keep or Path(scratch)))
    table = Table("what", "seconds", "what came of it")
    for what, seconds, told in lines:
        table.add_row(what, f"{seconds:.0f}", told)
    out.print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps(lines, indent=1) + "\n")


def run(folder: Path) -> Iterator[tuple[str, float, str]]:
    """What was done, its seconds, and what came of it."""
    first, second = folder / "first", folder / "second"
    places = lay_out(first)
    lay_out(second)
    yield f"{places} places", 0.0, f"champion: srcore-x2-fast with noise of {NOISE:g} in its weights"
    for home in (first, second):
        spec, generator = load_generator(locate("srcore-x2-fast"))
        torch.manual_seed(1)
        with torch.no_grad():
            for weights in generator.parameters():
                weights.add_(NOISE * weights.std(correction=0) * torch.randn_like(weights))
        save_checkpoint(home / "noisy", spec, generator, "srcore-x2-fast with noise in its weights")
        srcore(home, "models", "import", str(home / "noisy"), "--name", "fast")
    yield retrained(first, WRECKING, "retrain, a recipe that wrecks")
    yield retrained(first, SOUND, "retrain, a sound recipe")
    yield published(first, "the next run")
    started = time.monotonic()
    told = srcore(first, "models", "rollback", "fast", "--why", "to show it")
    yield "models rollback fast", time.monotonic() - started, told.strip()
    yield published(first, "the run behind it")
    yield killed(second)
    yield retrained(second, SOUND, "retrain again, from where it stood")
    yield "the challenger of both, byte by byte", 0.0, same(first, second)


def lay_out(folder: Path) -> int:
    """Write scenes and catalog below `folder`; gives the number of places."""
    found: dict[str, Path] = {}
    for pattern in FILES:
        for path in sorted((shared() / "trainset").glob(pattern)):
            place = re.sub(r"((_img|_IMG|_DJI)_\d+)?(_\d)?(-\d+)?(_10m|_ms)?$", "", path.stem)
            found.setdefault(re.sub(r"[^a-z0-9]", "", place.lower()), path)
    (folder / "in").mkdir(parents=True)
    windows = [values for path in found.values() if (values := window(path)) is not None]
    for index, values in enumerate(windows):
        write_scene(folder / "in" / f"place{index:02d}.tif", index, values)
    (folder / "data_catalog.yaml").write_text(CATALOG)
    return len(windows)


def window(path: Path) -> NDArray[Any] | None:
    """The middle of a scene's first three bands; None for what is too small, or of floats."""
    with rasterio.open(path) as file:
        if min(file.shape) < SIDE_PX or file.dtypes[0].startswith("float") or file.count < 3:
            return None
        corner = (file.width - SIDE_PX) // 2, (file.height - SIDE_PX) // 2
        return np.asarray(file.read([1, 2, 3], window=rasterio.windows.Window(*corner, SIDE_PX, SIDE_PX)))


def write_scene(path: Path, index: int, values: NDArray[Any]) -> None:
    """The window at a place of its own."""
    facts = {
        "driver": "GTiff",
        "count": len(values),
        "height": values.shape[1],
        "width": values.shape[2],
        "dtype": values.dtype,
        "crs": "EPSG:32633",
        "transform": Affine(10, 0, 500_000 + 20_000 * (index % 20), 0, -10, 5_000_000 + 20_000 * (index // 20)),
    }
    with rasterio.open(path, "w", **facts) as file:
        file.write(values)


def environment(folder: Path) -> dict[str, str]:
    """A registry and a cache of this folder's own."""
    own = {"SRCORE_REGISTRY": f"sqlite:///{folder}/registry.db", "SRCORE_CACHE": str(folder / "cache")}
    return {**os.environ, **own, "COLUMNS": "200"}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "srcore", *arguments]


def srcore(folder: Path, *arguments: str) -> str:
    """What a command prints; RuntimeError with its words when it fails."""
    done = subprocess.run(
        command(*arguments), cwd=folder, env=environment(folder), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"srcore {' '.join(arguments)} ended with {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout


def retrained(folder: Path, recipe: dict[str, Any], what: str) -> tuple[str, float, str]:
    """A round by a recipe, and its decision in words."""
    (folder / "recipe.yaml").write_text("".join(f"{key}: {value}\n" for key, value in recipe.items()))
    started = time.monotonic()
    srcore(folder, "retrain", "real")
    decision = decisions(folder)[-1]
    told = f"{'promoted' if decision['promoted'] else 'kept out'}: {decision['reason']}"
    return what, time.monotonic() - started, told


def decisions(folder: Path) -> list[dict[str, Any]]:
    """The records of all rounds, the newest last."""
    records = [read_sealed(path) for path in (folder / "store/real/retrain").glob("*.json") if len(path.stem) == 16]
    return sorted(records, key=lambda one: str(one["created"]))


def published(folder: Path, what: str) -> tuple[str, float, str]:
    """One scene more, and who made it by its receipt: the challenger of the last round, or its champion."""
    started = time.monotonic()
    before = set((folder / "store/real").rglob("*.receipt.json"))
    srcore(folder, "run", "real", "--limit", "1", "--workers", "0")
    [path] = set((folder / "store/real").rglob("*.receipt.json")) - before
    receipt, decision = json.loads(path.read_text()), decisions(folder)[-1]
    who = next((who for who in ("challenger", "champion") if receipt["model_digest"] in decision[who]), "a stranger")
    told = f"{receipt['verdict']} by {receipt['model']} {receipt['model_digest'][:12]}, the last round's {who}"
    return what, time.monotonic() - started, told


def killed(folder: Path) -> tuple[str, float, str]:
    """A sound round that is killed as soon as FIT has kept a state."""
    (folder / "recipe.yaml").write_text("".join(f"{key}: {value}\n" for key, value in SOUND.items()))
    started = time.monotonic()
    child = subprocess.Popen(
        command("retrain", "real"),
        cwd=folder,
        env=environment(folder),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    while child.poll() is None and not any((folder / "store/real").rglob("challenger/state.pt")):
        time.sleep(0.2)
    if child.poll() is not None:
        raise RuntimeError("the round ended before it could be killed")
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    return "retrain in another folder, kill -9 in FIT", time.monotonic() - started, "killed behind the first kept state"


def same(first: Path, second: Path) -> str:
    """Whether the last challengers of both are one."""
    ours, theirs = (decisions(folder)[-1]["challenger"].split(", ")[-1] for folder in (first, second))
    return f"{'the same' if ours == theirs else 'DIFFERENT'}: {ours[:12]} and {theirs[:12]}"


if __name__ == "__main__":
    main()
