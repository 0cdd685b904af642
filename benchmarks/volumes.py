"""What a volume of many slices takes: peak memory and time of whole runs, beside one of a quarter of the slices.

    python -m benchmarks.volumes [--side 256] [--slices 600] [--model cubic] [--output sr.nii] [--rows FILE]
        [--share 0.1]

Draws an int16 volume of SLICES x SIDE x SIDE voxels and one of a quarter of the slices, and enlarges each 2,2,2 in a
process of its own, the tiles in it too: plan to receipt, with checks, planes and page. `cubic` has learned nothing; any
other is a reference, as srcore-volume-x2. Projected is what a dry run says of memory. Seconds are the process's own of
the CPU, so that other work on the machine counts little.

Each row is printed as it comes. With `--rows` it is kept in FILE, too, as a line of JSON, and not measured again.
With `--share` the larger run ends when so much of its tiles is done: UPSCALE is then projected by those, the stages
behind it by the smaller run, and its peak is that of what was done.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from srcore.checkpoints import read_spec
from srcore.dispatch import Workers
from srcore.grid import Grid
from srcore.progress import Progress
from srcore.run.direct import direct_job
from srcore.run.scene import run_scene
from srcore.stages.needs import slab_bytes, worker_bytes
from srcore.stages.plan import plan_scene
from srcore.storage.band import Band
from srcore.storage.header import Header
from srcore.storage.nifti.door import write_volume

NULL = {
    "name": "cubic-volume-x2",
    "architecture": {"name": "cubic", "params": {"scale": [2, 2, 2]}},
    "kind": "volume",
    "scale": [2, 2, 2],
    "halo": [2, 2, 2],
    "normalise": "none",
    "weights_sha256": None,
}


class Drawn:
    """A volume that is never in memory: noise on waves, the same at each call."""

    def __init__(self, slices: int, side: int) -> None:
        self.shape = (1, slices, side, side)
        y, x = np.mgrid[:side, :side] / side
        self.plane = 400 * np.sin(9 * x) * np.cos(7 * y)

    def __getitem__(self, key: Any) -> Any:
        band, depth, *rest = key
        first, last, _ = depth.indices(self.shape[1])
        planes = [self._plane(place) for place in range(first, last)]
        return np.stack(planes)[None][(band, slice(None), *rest)]

    def _plane(self, place: int) -> Any:
        grain = np.random.default_rng(place).normal(0, 20, self.plane.shape)
        return np.rint(self.plane * np.cos(place / 23) + grain).astype(np.int16)


def draw(path: Path, slices: int, side: int) -> None:
    """Write the volume."""
    affine = ((0.0, 0.0, -0.7, 0.0), (0.0, -0.7, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0))
    header = Header("drawn", Grid((slices, side, side), affine), "int16", (Band(str(path), 1, "HU"),), "none")
    write_volume(path, header, (1, 1, 1), Drawn(slices, side))


class Enough(Exception):  # noqa: N818 - no error, but an end
    """So much as was asked for is done."""


@dataclass
class Clock:
    """CPU seconds of each stage as it is called; ends the run when `share` of the tiles is done."""

    share: float = 1.0
    seconds: dict[str, float] = field(default_factory=dict)
    done: float = 0.0
    """Of the tiles."""

    def __call__(self, name: str, work: Callable[[Progress], Any]) -> Any:
        started = time.process_time()

        def progress(done: int, of: int) -> None:
            if name != "upscale":
                return
            self.done = done / of
            if done and self.done >= self.share < 1:
                raise Enough

        try:
            return work(progress)
        finally:
            self.seconds[name] = time.process_time() - started


def one(source: Path, target: Path, model: str, share: float) -> dict[str, Any]:
    """One run in this process: peak in MiB, what the plan projects, CPU seconds by stage, and how much was done."""
    job = direct_job(str(source), target, model=model, validate=False)
    plan, clock = plan_scene(job, 0), Clock(share)
    with suppress(Enough):
        assert run_scene(job, Workers(0), clock) is not None
    [line] = [text for text in Path("/proc/self/status").read_text().splitlines() if text.startswith("VmHWM")]
    return {
        "peak_mib": int(line.split()[1]) / 1024,
        "projected_mib": (worker_bytes(read_spec(plan.model), plan.header, plan.tiles) + slab_bytes(plan)) / 2**20,
        "megavoxels": float(np.prod(plan.tiles.shape)) / 1e6,
        "tiles": len(plan.tiles),
        "done": clock.done,
        "cpu_s": clock.seconds,
    }


def measured(folder: Path, asked: argparse.Namespace, slices: int, share: float) -> dict[str, Any]:
    """The figures of a run in a process of its own."""
    model = asked.model
    if model == "cubic":
        model = str(folder / "null")
        (folder / "null").mkdir(exist_ok=True)
        (folder / "null/config.json").write_text(json.dumps(NULL))
    source, target = folder / f"{slices}.nii", folder / f"{slices}" / asked.output
    draw(source, slices, asked.side)
    target.parent.mkdir()
    command = [sys.executable, "-m", "benchmarks.volumes", "--one", str(source), str(target), model, str(share)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    shutil.rmtree(target.parent)
    source.unlink()
    return dict(json.loads(done.stdout.splitlines()[-1]))


def whole_seconds(found: dict[str, Any], smaller: dict[str, Any] | None) -> float:
    """CPU seconds of a run, of one that ended early with what was left: UPSCALE by its tiles, stages by `smaller`."""
    seconds = dict(found["cpu_s"])
    if found["done"] < 1 and smaller is not None:
        times = found["megavoxels"] / smaller["megavoxels"]
        behind = {name: value * times for name, value in smaller["cpu_s"].items() if name not in seconds}
        seconds |= {"upscale": seconds["upscale"] / found["done"], **behind}
    return sum(seconds.values())


def line(slices: int, found: dict[str, Any], smaller: dict[str, Any] | None) -> str:
    """A row of the table."""
    peak = f"{found['peak_mib']:,.0f} MiB"
    if smaller is not None:
        peak += f" ({found['peak_mib'] / smaller['peak_mib']:.2f})"
    early = "" if found["done"] == 1 else f", projected: ended at {found['done']:.1%} of {found['tiles']} tiles"
    seconds = whole_seconds(found, smaller)
    stages = ", ".join(f"{name} {value:,.0f}" for name, value in found["cpu_s"].items())
    each = f"{seconds / found['megavoxels']:.1f}"
    return f"| {slices} | {peak} | {found['projected_mib']:,.0f} MiB | {seconds:,.0f}{early} | {each} | {stages} |"


def main() -> None:
    """The table, as Markdown."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--slices", type=int, default=600)
    parser.add_argument("--model", default="cubic")
    parser.add_argument("--output", default="sr.nii")
    parser.add_argument("--rows", type=Path)
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--one", nargs=4)
    asked = parser.parse_args()
    if asked.one:
        source, target, model, share = asked.one
        print(json.dumps(one(Path(source), Path(target), model, float(share))))
        return
    kept = (
        [json.loads(text) for text in asked.rows.read_text().splitlines()] if asked.rows and asked.rows.exists() else []
    )
    print("| slices | peak | projected | CPU s | a megavoxel | stages |\n|---|---|---|---|---|---|", flush=True)
    smaller = None
    for slices, share in ((asked.slices // 4, 1.0), (asked.slices, asked.share)):
        what = {name: getattr(asked, name) for name in ("side", "model", "output")} | {"slices": slices, "share": share}
        found = next((row["found"] for row in kept if row["what"] == what), None)
        if found is None:
            with tempfile.TemporaryDirectory() as name:
                found = measured(Path(name), asked, slices, share)
            if asked.rows:
                with asked.rows.open("a") as file:
                    file.write(json.dumps({"what": what, "found": found}) + "\n")
        print(line(slices, found, smaller), flush=True)
        if smaller is None:
            times = asked.slices / slices
            print(
                f"projected for {asked.slices} slices: {times * whole_seconds(found, None):,.0f} CPU s", file=sys.stderr
            )
        smaller = found


if __name__ == "__main__":
    main()
