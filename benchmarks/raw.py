"""The network alone on one core: LR megapixels a CPU second of every backend, beside the ceiling of a convolution.

    python -m benchmarks.raw [--quick] [--json FILE]

Runs in processes of their own, pinned to a core, with the environment of a worker, and once more with the default
allocator. Candidates take turns; the figures are medians. `of peak` is the arithmetic of the network's convolutions
as they are computed (halo included) over that of one large convolution in the same run and precision.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from rich.table import Table
from torch import nn
from torch.nn import functional

from benchmarks import out
from srcore.checkpoints import locate
from srcore.dispatch.cluster import ALLOCATOR
from srcore.engine.backends import Precision, build, installed
from srcore.engine.gate import compare, texture
from srcore.models import Edsr, Generator
from srcore.models.mixed import Mixed
from srcore.weights import load_generator

CPU = torch.device("cpu")
CORES, QUICK_CORES = (256, 512, 1024), (256,)
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16", "int8")
HEAVY_FLOPS = 1.5e12
"""A pass of more is timed once, and not at all in float32."""


def networks() -> dict[str, Edsr]:
    """The generator that ships, and one of EDSR-baseline's depth and width with fresh weights."""
    torch.manual_seed(0)
    shipped = load_generator(locate("srcore-x2"))[1]
    assert isinstance(shipped, Edsr)
    return {"srcore-x2": shipped, "EDSR 16 x 64": Edsr(2, 64, 16, bias=True).eval()}


def measure(quick: bool, only_eager: bool = False) -> list[dict[str, Any]]:
    """One row a network, core, precision and backend; and the ceilings. Runs in the child process."""
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    for name, generator in list(networks().items())[: 1 if quick else None]:
        for core in QUICK_CORES if quick else CORES:
            rows += _rows(name, generator, core, only_eager)
    return rows


def _rows(name: str, generator: Edsr, core: int, only_eager: bool) -> list[dict[str, Any]]:
    side = core + 2 * generator.halo
    values = torch.from_numpy(np.random.default_rng(0).random((1, 1, side, side), np.float32))
    rows: list[dict[str, Any]] = []
    passes: dict[tuple[str, str], Callable[[], object]] = {}
    for precision, backend in _candidates(generator, only_eager):
        flops = convolution_flops(_counted(generator, precision, backend), side)
        heavy = flops > HEAVY_FLOPS
        if heavy and precision == "float32":
            continue
        network = build(generator, backend, precision, CPU, _samples(generator))
        found = compare(generator, network, CPU)
        passes[precision, backend] = _pass(network, values)
        rows.append(
            {
                "network": name,
                "core": core,
                "precision": precision,
                "backend": backend,
                "flops": flops,
                "rms_dn": found.rms_dn,
                "heavy": heavy,
            }
        )
    ceilings = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    everything: dict[Any, Callable[[], object]] = {
        **passes,
        **{("peak", key): _ceiling(dtype) for key, dtype in ceilings.items()},
    }
    seconds = alternated(everything, 1 if any(row["heavy"] for row in rows) else 3)
    for row in rows:
        taken = seconds[row["precision"], row["backend"]]
        row["lr_mpx_s"] = core * core / 1e6 / taken
        row["peak_gflops"] = (
            PEAK_FLOPS / seconds["peak", "float32" if row["precision"] == "float32" else "bfloat16"] / 1e9
        )
        row["of_peak"] = row["flops"] / taken / 1e9 / row["peak_gflops"]
    return rows


def _candidates(generator: Edsr, only_eager: bool) -> list[tuple[Precision, str]]:
    if only_eager:
        return [("bfloat16", "eager")]
    return [(precision, backend) for precision in PRECISIONS for backend in installed(generator, CPU, precision)]


def _samples(generator: Edsr) -> list[torch.Tensor]:
    plane = texture(256 + 2 * generator.halo)
    low, high = np.percentile(plane, (2, 98))
    return [torch.from_numpy(((plane - low) / (high - low)).astype(np.float32))[None, None]]


def _counted(generator: Edsr, precision: Precision, backend: str) -> Generator:
    """The convolutions that are computed: the generator's own, or those of its other form."""
    return generator if (precision, backend) == ("float32", "eager") else Mixed(generator, torch.bfloat16)


def convolution_flops(generator: Generator, side: int) -> float:
    """Multiplications and additions of all convolution layers in a pass of (1, 1, side, side)."""
    total = 0.0

    def count(layer: nn.Module, _inputs: Any, result: torch.Tensor) -> None:
        nonlocal total
        assert isinstance(layer, nn.Conv2d)
        total += 2 * result.numel() * layer.in_channels * layer.kernel_size[0] * layer.kernel_size[1]

    hooks = [layer.register_forward_hook(count) for layer in generator.modules() if isinstance(layer, nn.Conv2d)]
    with torch.inference_mode():
        generator(torch.zeros(1, 1, 64 + 2 * generator.halo, 64 + 2 * generator.halo))
        small, total = total, 0.0
        generator(torch.zeros(1, 1, 128 + 2 * generator.halo, 128 + 2 * generator.halo))
        middle, total = total, 0.0
        generator(torch.zeros(1, 1, 192 + 2 * generator.halo, 192 + 2 * generator.halo))
    for hook in hooks:
        hook.remove()
    # A polynomial of second degree in the side, by Newton's differences.
    step = (side - 2 * generator.halo - 64) / 64
    return small + step * (middle - small) + step * (step - 1) / 2 * (total - 2 * middle + small)


PEAK_CHANNELS, PEAK_SIDE = 128, 258
PEAK_FLOPS = 2 * PEAK_CHANNELS**2 * 9 * (PEAK_SIDE - 2) ** 2


def _ceiling(dtype: torch.dtype) -> Callable[[], object]:
    x = torch.rand(1, PEAK_CHANNELS, PEAK_SIDE, PEAK_SIDE).to(dtype).contiguous(memory_format=torch.channels_last)
    kernel = torch.rand(PEAK_CHANNELS, PEAK_CHANNELS, 3, 3).to(dtype).contiguous(memory_format=torch.channels_last)
    return lambda: functional.conv2d(x, kernel)


def _pass(network: Generator, values: torch.Tensor) -> Callable[[], object]:
    return lambda: network(values)


def alternated(passes: dict[Any, Callable[[], object]], rounds: int) -> dict[Any, float]:
    """Median CPU seconds of each pass, in turns, after one that prepares it."""
    times: dict[Any, list[float]] = {key: [] for key in passes}
    with torch.inference_mode():
        for each in passes.values():
            each()
        for _ in range(rounds):
            for key, each in passes.items():
                started = time.process_time()
                each()
                times[key].append(time.process_time() - started)
    return {key: median(several) for key, several in times.items()}


def run(quick: bool = False) -> dict[str, Any]:
    """The rows under a worker's environment, and those of eager under the default allocator."""
    return {"worker": _child(quick, ALLOCATOR), "default_allocator": _child(quick, {}, "--only-eager")}


def _child(quick: bool, variables: dict[str, str], *options: str) -> list[dict[str, Any]]:
    core = str(min(os.sched_getaffinity(0)))
    command = [sys.executable, "-m", "benchmarks.raw", "--child", core, *options, *(["--quick"] if quick else [])]
    inherited = {key: value for key, value in os.environ.items() if key not in ALLOCATOR}
    found = subprocess.run(
        command, env={**inherited, "OMP_NUM_THREADS": "1", **variables}, check=True, stdout=subprocess.PIPE
    )
    rows: list[dict[str, Any]] = json.loads(found.stdout.splitlines()[-1])
    return rows


def table(figures: dict[str, Any]) -> Table:
    """For people."""
    result = Table(
        "network",
        "core",
        "precision",
        "backend",
        "LR MP/CPU s",
        "of peak",
        "peak GFLOP/s",
        "DN rms",
        title="the network alone, one core",
    )
    for row in figures["worker"]:
        result.add_row(*_cells(row))
    for row in figures["default_allocator"]:
        result.add_row(*_cells({**row, "backend": "eager, default allocator"}))
    return result


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        row["network"],
        str(row["core"]),
        row["precision"],
        row["backend"],
        f"{row['lr_mpx_s']:.3f}",
        f"{row['of_peak']:.2f}",
        f"{row['peak_gflops']:.0f}",
        f"{row['rms_dn']:.3f}",
    )


def main() -> None:
    """Print the table; with --json write the same figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.raw", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the small network at the smallest core only")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--only-eager", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child is not None:
        os.sched_setaffinity(0, {arguments.child})
        print(json.dumps(measure(arguments.quick, arguments.only_eager)))
        return
    figures = run(arguments.quick)
    out.print(table(figures))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
