"""What the pipeline keeps of the network's speed, on one core: `python -m benchmarks.throughput [--quick]`.

    raw      the network on a tile as large as the plan's core, with the halo's arithmetic taken out: what a pass over
             the same pixels without any overlap would take, by the backend that the run chose
    store    UPSCALE: tile store to SR store, encoded as the product's blocks, overviews and checksums included
    file     file to published product: all stages, verified, with report and receipt

Each run is a process of its own, pinned to a core, with the environment of a worker; runs alternate, and the figures
are medians of CPU seconds. `nearest-x2` computes next to nothing: what the pipeline itself costs.
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
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from rich.table import Table

from benchmarks import out
from benchmarks.raw import alternated, convolution_flops
from srcore.checkpoints import Architecture, Spec, locate
from srcore.dispatch.cluster import ALLOCATOR
from srcore.engine.backends import build
from srcore.models import Edsr
from srcore.models.mixed import Mixed
from srcore.samples import make_large
from srcore.weights import load_generator, save_checkpoint

MODELS = {"srcore-x2": 2048, "edsr-16x64": 2048, "nearest-x2": 4096}
"""Models and the side of the scene that each gets: some tens of seconds of one core."""
ROUNDS = 2
STAGES = ("plan", "ingest", "upscale", "export", "validate")


def run(quick: bool = False, rounds: int = ROUNDS) -> list[dict[str, Any]]:
    """One row a model."""
    with tempfile.TemporaryDirectory() as folder:
        _baseline(Path(folder) / "edsr-16x64")
        for side in set(MODELS.values()):
            make_large(Path(folder) / f"{_side(side, quick)}.tif", _side(side, quick), bands=1)
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in MODELS}
        for _ in range(1 if quick else rounds):
            for name, side in MODELS.items():
                model = str(Path(folder) / name) if name.startswith("edsr") else name
                found[name].append(_child(folder, model, _side(side, quick)))
    return [_row(name, _side(side, quick), found[name]) for name, side in MODELS.items()]


def _side(side: int, quick: bool) -> int:
    return side // 4 if quick else side


def _baseline(folder: Path) -> None:
    """EDSR-baseline's depth and width with fresh weights: as slow as the trained one, its residual as small."""
    torch.manual_seed(0)
    generator = Edsr(2, 64, 16, bias=True)
    generator.tail.weight.data *= 0.1
    params = {"scale": 2, "width": 64, "blocks": 16, "bias": True}
    spec = Spec(
        name="edsr-16x64",
        architecture=Architecture(name="edsr", params=params),
        scale=(2, 2),
        halo=(generator.halo,) * 2,
        precision="bfloat16",
        activation_bytes_px=600,
    )
    save_checkpoint(folder, spec, generator, "# Fresh weights, for a benchmark\n")


def _row(name: str, side: int, runs: list[dict[str, Any]]) -> dict[str, Any]:
    megapixels = side * side / 1e6
    stages = {stage: median(one["cpu_s"][stage] for one in runs) for stage in STAGES}
    row: dict[str, Any] = {
        "model": name,
        "side": side,
        "backend": runs[0]["backend"],
        "precision": runs[0]["precision"],
        "core": runs[0]["core"],
        "redundancy": runs[0]["redundancy"],
        "cpu_s": stages,
        "store_mpx_s": megapixels / stages["upscale"],
        "file_mpx_s": megapixels / sum(stages.values()),
    }
    if raw := [one["raw_mpx_s"] for one in runs if one["raw_mpx_s"]]:
        row["raw_mpx_s"] = median(raw)
        row["store_of_raw"] = row["store_mpx_s"] / row["raw_mpx_s"]
        row["file_of_raw"] = row["file_mpx_s"] / row["raw_mpx_s"]
    return row


def _child(folder: str, model: str, side: int) -> dict[str, Any]:
    core = str(min(os.sched_getaffinity(0)))
    command = [sys.executable, "-m", "benchmarks.throughput", "--child", core, folder, model, str(side)]
    variables = {**os.environ, **ALLOCATOR, "OMP_NUM_THREADS": "1", "SRCORE_CACHE": folder}
    found = subprocess.run(command, env=variables, check=True, stdout=subprocess.PIPE)
    answer: dict[str, Any] = json.loads(found.stdout.splitlines()[-1])
    return answer


def measure(folder: Path, model: str, side: int) -> dict[str, Any]:
    """One scene from file to product in this process, and the raw speed of its network beside it."""
    from srcore.dispatch import Workers
    from srcore.run.direct import direct_job
    from srcore.run.scene import run_scene

    torch.set_num_threads(1)
    cpu_s: dict[str, float] = {}

    def timed(name: str, stage: Callable[[Any], Any]) -> Any:
        started = time.process_time()
        result = stage(lambda done, total: None)
        cpu_s[name] = time.process_time() - started
        return result

    # a tiny run before: imports and the choice of the backend are no work of the scene
    tiny = folder / "tiny.tif"
    if not tiny.exists():
        make_large(tiny, 128, bands=1)
    job = direct_job(str(tiny), folder / "tiny-sr.tif", model=model, overwrite=True)
    run_scene(job, Workers(0))
    job = direct_job(str(folder / f"{side}.tif"), folder / "sr.tif", model=model, overwrite=True)
    receipt = run_scene(job, Workers(0), timed)
    assert receipt is not None
    facts = receipt.parameters
    raw = _raw(model, facts["backend"], facts["precision"], max(facts["core"]))
    return {"cpu_s": cpu_s, "raw_mpx_s": raw, **{k: facts[k] for k in ("backend", "precision", "core", "redundancy")}}


def _raw(model: str, backend: str, precision: Any, core: int) -> float | None:
    """LR megapixels a CPU second of the network alone; None for one that is not worth the question."""
    generator = load_generator(locate(model))[1]
    if not isinstance(generator, Edsr):
        return None
    network = build(generator, backend, precision, torch.device("cpu"))
    side = core + 2 * generator.halo
    values = torch.from_numpy(np.random.default_rng(0).random((1, 1, side, side), np.float32))
    seconds = alternated({"pass": lambda: network(values)}, 2)["pass"]
    counted = generator if (precision, backend) == ("float32", "eager") else Mixed(generator, torch.bfloat16)
    overlap = convolution_flops(counted, side) / (_flops_px(counted) * core * core)
    return core * core / 1e6 / seconds * overlap


def _flops_px(generator: torch.nn.Module) -> int:
    """Multiplications and additions an LR pixel where nothing is computed twice; every layer works at LR resolution."""
    return sum(2 * layer.weight.numel() for layer in generator.modules() if isinstance(layer, torch.nn.Conv2d))


_SHARES = (("raw_mpx_s", 3), ("store_of_raw", 2), ("file_of_raw", 2))


def table(rows: list[dict[str, Any]]) -> Table:
    """For people."""
    result = Table(
        "model",
        "scene",
        "backend",
        "core",
        "computed / owned",
        "raw",
        "store",
        "of raw",
        "file",
        "of raw",
        title="LR megapixels a CPU second, one core",
    )
    for row in rows:
        shares = [f"{row[key]:.{digits}f}" if key in row else "" for key, digits in _SHARES]
        result.add_row(
            row["model"],
            f"{row['side']}^2",
            f"{row['backend']} {row['precision']}",
            "x".join(map(str, row["core"])),
            f"{row['redundancy']:.3f}",
            shares[0],
            f"{row['store_mpx_s']:.3f}",
            shares[1],
            f"{row['file_mpx_s']:.3f}",
            shares[2],
        )
    return result


def main() -> None:
    """Print the table; with --json write the same figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.throughput", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="scenes of a sixteenth, one round")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child is not None:
        core, folder, model, side = arguments.child
        os.sched_setaffinity(0, {int(core)})
        print(json.dumps(measure(Path(folder), model, int(side))))
        return
    rows = run(arguments.quick)
    out.print(table(rows))
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
