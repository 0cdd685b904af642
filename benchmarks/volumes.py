"""What a volume of many slices takes: peak memory and time of whole runs, beside one of a quarter of the slices.

    python -m benchmarks.volumes [--side 256] [--slices 600] [--model cubic] [--output sr.nii]

Draws an int16 volume of SLICES x SIDE x SIDE voxels and one of a quarter of the slices, and enlarges each 2,2,2 in a
process of its own, the tiles in it too: plan to receipt, with checks, planes and page. `cubic` has learned nothing; any
other is a reference, as srcore-volume-x2. Projected is what a dry run says.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from benchmarks import out
from srcore.checkpoints import read_spec
from srcore.dispatch import Workers
from srcore.grid import Grid
from srcore.run.direct import direct_job
from srcore.run.scene import run_scene
from srcore.stages.needs import slab_bytes, worker_bytes
from srcore.stages.plan import plan_scene
from srcore.storage.header import Band, Header
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


def one(source: Path, target: Path, model: str) -> dict[str, float]:
    """One run in this process: peak in MiB, seconds, and what the plan projects."""
    job = direct_job(str(source), target, model=model, validate=False)
    plan = plan_scene(job, 0)
    started = time.monotonic()
    receipt = run_scene(job, Workers(0))
    assert receipt is not None
    [line] = [text for text in Path("/proc/self/status").read_text().splitlines() if text.startswith("VmHWM")]
    voxels = float(np.prod(plan.tiles.shape)) / 1e6
    return {
        "peak_mib": int(line.split()[1]) / 1024,
        "projected_mib": (worker_bytes(read_spec(plan.model), plan.header, plan.tiles) + slab_bytes(plan)) / 2**20,
        "seconds": time.monotonic() - started,
        "s_a_mvox": (time.monotonic() - started) / voxels,
        **{name: seconds for name, seconds in receipt.seconds.items()},
    }


def main() -> None:
    """The table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--slices", type=int, default=600)
    parser.add_argument("--model", default="cubic")
    parser.add_argument("--output", default="sr.nii")
    parser.add_argument("--one", nargs=3)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(one(Path(asked.one[0]), Path(asked.one[1]), asked.one[2])))
        return
    table = Table("slices", "peak MiB", "projected MiB", "s", "s a megavoxel", "stages, s")
    with tempfile.TemporaryDirectory() as name:
        folder, model = Path(name), asked.model
        if model == "cubic":
            (folder / "null").mkdir()
            (folder / "null/config.json").write_text(json.dumps(NULL))
            model = str(folder / "null")
        peaks = []
        for slices in (asked.slices // 4, asked.slices):
            source = folder / f"{slices}.nii"
            draw(source, slices, asked.side)
            command = [
                sys.executable,
                "-m",
                "benchmarks.volumes",
                "--one",
                str(source),
                str(folder / f"{slices}" / asked.output),
            ]
            (folder / f"{slices}").mkdir()
            done = subprocess.run([*command, model], check=True, capture_output=True, text=True)
            found = json.loads(done.stdout.splitlines()[-1])
            peaks.append(found["peak_mib"])
            stages = ", ".join(f"{stage} {found[stage]:.0f}" for stage in ("ingest", "upscale", "export", "validate"))
            cells = ("peak_mib", "projected_mib", "seconds", "s_a_mvox")
            table.add_row(str(slices), *(f"{found[cell]:.{2 if cell == 's_a_mvox' else 0}f}" for cell in cells), stages)
            source.unlink()
        out.print(table)
        out.print(f"{peaks[1] / peaks[0]:.2f} of the memory for four times the slices")


if __name__ == "__main__":
    main()
