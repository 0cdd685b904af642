"""Throughput on a GPU: the network alone, and streamed from the host's memory and back.

    PYTHONPATH=. python benchmarks/gpu.py [--device cpu] [--quick] [--json FILE]

Needs torch and numpy only, so it runs on a bare machine. Weights are fresh: they do not matter for speed. `of ceiling`
is the arithmetic of the deep part's convolutions as they are computed (halo included) over that of one large
convolution of the same width in the same run and precision.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, cast

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from srcore.engine.batches import Batches
from srcore.engine.cuda import Aligned, Graphed
from srcore.engine.stream import Block, Numbers, Stream
from srcore.models import Edsr, Generator
from srcore.models.mixed import Deep, Mixed

SPAN_DN = 10_000.0


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    cores: tuple[int, ...]
    batches: tuple[int, ...]
    rounds: int
    blocks: int
    """Of each streamed run."""
    compiled: tuple[tuple[int, int], ...]
    """Cores and batches that are measured compiled, in bfloat16: each takes from seconds to a minute to compile."""
    precise: int
    """The core that is measured in float32 and tf32, which no run on a GPU takes."""


FULL = Size((256, 512, 1024, 2048), (1, 4, 16), 5, 24, ((256, 16), (1024, 4)), 1024)
QUICK = Size((32, 48), (1, 2), 1, 4, ((32, 1),), 48)
WIDEST = 16 * 1024 * 1024
"""LR pixels of a pass; larger cases are left out."""


def networks() -> dict[str, Edsr]:
    """Of the shapes that ship, and of EDSR-baseline's depth and width."""
    torch.manual_seed(0)
    return {
        "2 x 32": Edsr(2, 32, 2, bias=False).eval(),
        "6 x 48": Edsr(2, 48, 6, bias=False).eval(),
        "16 x 64": Edsr(2, 64, 16, bias=True).eval(),
    }


def built(generator: Edsr, precision: str, form: str, device: torch.device) -> Generator:
    """The generator on the device: precision float32, tf32 or bfloat16; form eager, compile or graphs."""
    mixed = Mixed(generator, torch.bfloat16 if precision == "bfloat16" else torch.float32).eval()
    if form != "eager":
        mixed.deep = Aligned(cast(Deep, mixed.deep))
    mixed.to(device)
    if form == "compile":
        mixed.deep = torch.compile(mixed.deep, dynamic=False)  # type: ignore[assignment]
    return Graphed(mixed) if form == "graphs" else mixed


def allow_tf32(precision: str) -> None:
    """tf32 is a setting of the process; float32 has to be protected from it."""
    torch.backends.cudnn.allow_tf32 = precision == "tf32"


def forms(device: torch.device) -> tuple[str, ...]:
    """What can be measured on this device."""
    return ("eager", "compile", "graphs") if device.type == "cuda" else ("eager",)


def cases(precision: str, form: str, size: Size) -> list[tuple[int, int]]:
    """Cores and batches of a precision and form."""
    if form == "compile":
        return list(size.compiled) if precision == "bfloat16" else []
    cores = size.cores if precision == "bfloat16" else (size.precise,)
    return [(core, batch) for core in cores for batch in size.batches]


def seconds(once: Callable[[], object], device: torch.device, rounds: int) -> float:
    """Median wall seconds of a call, after two that prepare it; the GPU is waited for."""
    times = []
    with torch.inference_mode():
        for index in range(rounds + 2):
            started = time.perf_counter()
            once()
            _wait(device)
            if index >= 2:
                times.append(time.perf_counter() - started)
    return median(times)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def ceiling(width: int, precision: str, device: torch.device, size: Size) -> float:
    """FLOP/s of one 3 x 3 convolution over as many pixels as the largest case has."""
    allow_tf32(precision)
    side = max(size.cores)
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    x = torch.rand(4, width, side, side, device=device, dtype=dtype).contiguous(memory_format=torch.channels_last)
    kernel = torch.rand(width, width, 3, 3, device=device, dtype=dtype).contiguous(memory_format=torch.channels_last)
    flops = 2.0 * 4 * width * width * 9 * (side - 2) ** 2
    return flops / seconds(lambda: functional.conv2d(x, kernel), device, size.rounds)


def convolution_flops(generator: Edsr, side: int) -> float:
    """Of the deep part, per plane (side, side), halo included."""
    deep = Mixed(generator, torch.bfloat16).deep.to("meta")
    total = 0.0

    def count(layer: nn.Module, _inputs: Any, result: torch.Tensor) -> None:
        nonlocal total
        assert isinstance(layer, nn.Conv2d)
        total += 2.0 * result.numel() * layer.in_channels * layer.kernel_size[0] * layer.kernel_size[1]

    for layer in deep.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(count)
    deep(torch.empty(1, 3, side, side, dtype=torch.bfloat16, device="meta"))
    return total


def raw(generator: Edsr, precision: str, device: torch.device, size: Size, top: float) -> Iterator[dict[str, Any]]:
    """A row a form, core and batch: LR megapixels of core a second, without any copy."""
    allow_tf32(precision)
    for form in forms(device):
        network = built(generator, precision, form, device)
        for core, batch in cases(precision, form, size):
            side = core + 2 * generator.halo
            if batch * side * side > WIDEST:
                continue
            x = torch.rand(batch, 1, side, side, device=device)
            try:
                taken = seconds(partial(network, x), device, size.rounds)
            except torch.OutOfMemoryError:
                yield {"form": form, "core": core, "batch": batch, "note": "out of memory"}
                continue
            yield {
                "form": form,
                "core": core,
                "batch": batch,
                "lr_mpx_s": batch * core * core / 1e6 / taken,
                "of_ceiling": batch * convolution_flops(generator, side) / taken / top,
            }


def streamed(generator: Edsr, device: torch.device, size: Size, case: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The raw case `case` in bfloat16 with uint16 blocks from host memory and back, copies overlapped or not."""
    core, bands = case["core"], case["batch"]
    side = core + 2 * generator.halo
    draw = np.random.default_rng(0)
    tiles = [draw.integers(0, 10_000, (bands, side, side), dtype=np.uint16) for _ in range(4)]
    valid = np.ones((bands, core, core), bool)
    blocks = [Block(tiles[index % len(tiles)], valid) for index in range(size.blocks)]
    numbers = Numbers((0.0,) * bands, (SPAN_DN,) * bands, "uint16", (0.0,) * bands, generator.scale, generator.halo)
    batches = Batches(device, (generator.halo,) * 2, (generator.scale,) * 2)
    batches.limit = bands
    network = built(generator, "bfloat16", case["form"], device)
    for overlap in (True, False) if device.type == "cuda" else (False,):
        stream = Stream(partial(batches.run, network=network), device, numbers, overlap)
        taken = seconds(lambda stream=stream: _drain(stream, blocks), device, max(2, size.rounds // 2))  # type: ignore[misc]
        rate = size.blocks * bands * core * core / 1e6 / taken
        yield {"overlap": overlap, "core": core, "bands": bands, "lr_mpx_s": rate, "of_raw": rate / case["lr_mpx_s"]}


def _drain(stream: Stream, blocks: list[Block]) -> None:
    for _ in stream.run(blocks):
        pass


def exactness(generator: Edsr, precision: str, device: torch.device, form: str) -> dict[str, Any]:
    """Largest difference of four tiles to the whole they were cut from, in DN of 10,000; 0 is what is wanted."""
    allow_tf32(precision)
    network, halo, core = built(generator, precision, form, device), generator.halo, 96
    whole = torch.rand(1, 1, 2 * core + 2 * halo, 2 * core + 2 * halo, device=device)
    with torch.inference_mode():
        expected = network(whole)
        rows = []
        for top in (0, core):
            cut = whole[:, :, top : top + core + 2 * halo]
            rows.append(torch.cat([network(cut[..., left : left + core + 2 * halo]) for left in (0, core)], dim=3))
        found = torch.cat(rows, dim=2)
    return {"precision": precision, "form": form, "max_dn": float((found - expected).abs().max()) * SPAN_DN}


def out_of_memory(generator: Edsr, device: torch.device) -> dict[str, Any]:
    """Batches on a device with little memory left: the batch that it came down to, and the difference it makes."""
    core, halo = 256, generator.halo
    slices = torch.rand(16, 1, core + 2 * halo, core + 2 * halo)
    batches = Batches(device, (halo,) * 2, (generator.scale,) * 2)
    batches.limit = 16
    network = built(generator, "bfloat16", "eager", device)
    expected = torch.cat([batches.run(one[None], network) for one in slices])
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(device).total_memory
    room = torch.cuda.memory_reserved(device) + 5 * 64 * 2 * core * core * 4
    torch.cuda.set_per_process_memory_fraction(min(1.0, room / total), device)
    try:
        found = batches.run(slices, network)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)
    return {"batch": 16, "came_down_to": batches.limit, "max_dn": float((found - expected).abs().max()) * SPAN_DN}


def run(device: torch.device, size: Size) -> dict[str, Any]:
    """All figures, by network."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    figures: dict[str, Any] = {"device": name, "torch": torch.__version__, "networks": {}}
    for label, generator in networks().items():
        rows: list[dict[str, Any]] = []
        for precision in ("float32", "tf32", "bfloat16") if device.type == "cuda" else ("float32", "bfloat16"):
            top = ceiling(generator.head.out_channels, precision, device, size)
            for row in raw(generator, precision, device, size, top):
                rows.append({"precision": precision, "ceiling_tflops": top / 1e12, **row})
                _say(label, rows[-1])
        halves = [row for row in rows if row["precision"] == "bfloat16" and "lr_mpx_s" in row]
        best = max(halves, key=lambda row: float(row["lr_mpx_s"]))
        figures["networks"][label] = {
            "raw": rows,
            "streamed": list(streamed(generator, device, size, best)),
            "exact": [
                exactness(generator, precision, device, form)
                for precision in ("float32", "bfloat16")
                for form in forms(device)
            ],
            "out_of_memory": out_of_memory(generator, device) if device.type == "cuda" else None,
        }
    return figures


def _say(label: str, row: dict[str, Any]) -> None:
    sys.stderr.write(f"{label} {row}\n")


def table(figures: dict[str, Any]) -> str:
    """For people, as Markdown."""
    lines = [f"{figures['device']}, torch {figures['torch']}"]
    for label, found in figures["networks"].items():
        heads = ("precision", "form", "core", "batch", "LR MP/s", "of ceiling", "ceiling TFLOP/s")
        lines += ["", f"### {label}", "", f"| {' | '.join(heads)} |", f"| {' | '.join('---' for _ in heads)} |"]
        for row in found["raw"]:
            rate = f"{row['lr_mpx_s']:.4g} | {row['of_ceiling']:.2f}" if "lr_mpx_s" in row else f"{row['note']} | "
            lines.append(
                f"| {row['precision']} | {row['form']} | {row['core']} | {row['batch']} | {rate} | "
                f"{row['ceiling_tflops']:.3g} |"
            )
        lines += ["", "| streamed | core | bands | LR MP/s | of raw |", "| --- | --- | --- | --- | --- |"]
        lines += [
            f"| {'overlapped' if row['overlap'] else 'in turn'} | {row['core']} | {row['bands']} | "
            f"{row['lr_mpx_s']:.4g} | {row['of_raw']:.2f} |"
            for row in found["streamed"]
        ]
        lines += [
            "",
            *(
                f"tiled against whole, {row['precision']} {row['form']}: {row['max_dn']:.4g} DN of 10,000"
                for row in found["exact"]
            ),
        ]
        if found["out_of_memory"]:
            short = found["out_of_memory"]
            lines.append(f"short of memory: batch 16 came down to {short['came_down_to']}, {short['max_dn']:.4g} DN")
    return "\n".join(lines)


def main() -> None:
    """Print the tables; with --json write the same figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--quick", action="store_true", help="small cases, to see that it works")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("no CUDA device; use --device cpu --quick to see that the benchmark works")
    figures = run(torch.empty(0, device=arguments.device).device, QUICK if arguments.quick else FULL)
    sys.stdout.write(table(figures) + "\n")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
