"""Where the CPU of `srcore upscale` goes, room by room, from the start of Python to the receipt.

    python -m benchmarks.rooms [--case small network null bands] [--repeats 3] [--quick] [--json FILE]

Each run is the command line in a process of its own, one thread, without workers, medians of several. A room's seconds
are exclusive, and those of the thread that is in it: `rest` is what lies between them, and in threads of libraries.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from rich.table import Table

from benchmarks import out
from srcore.samples import make_large

CASES = {
    "small": ("srcore-x2", 512, 1),
    "network": ("srcore-x2", 2048, 1),
    "null": ("nearest-x2", 4096, 1),
    "bands": ("srcore-x2", 1024, 4),
}
"""Model, side of the drawn scene in LR pixels, bands."""
ROOMS = {
    "plan": ("srcore.run.scene:begin",),
    "ingest": ("srcore.run.scene:_ingest",),
    "proof, gate": ("srcore.engine.opening:prove", "srcore.engine.gate:compare"),
    "upscale": ("srcore.run.scene:_upscale",),
    "read": ("srcore.stages.upscale:_Scene.read",),
    "network": ("srcore.engine.batches:Batches.run",),
    "back-projection": ("srcore.engine.core:_back_projected",),
    "to DN": ("srcore.engine.core:_native",),
    "overviews": ("srcore.storage.cog.pyramid:halve", "srcore.storage.cog.pyramid:overview"),
    "statistics": ("srcore.storage.cog.statistics:Statistics.of",),
    "encode": ("srcore.storage.chunks.predictor:predict", "srcore.storage.chunks.predictor:encode_tile"),
    "store": ("srcore.stages.upscale:_Scene.write",),
    "export": ("srcore.run.scene:_export",),
    "verify": ("srcore.storage.cog.verify:verify_cog", "srcore.run.scene:check_verified"),
    "validate": ("srcore.run.scene:_validate",),
    "report": ("srcore.run.scene:_write_page", "srcore.report.painting:paint"),
    "STAC": (
        "srcore.storage.stac.item:build_item",
        "srcore.storage.stac.document:write_item",
        "srcore.storage.stac.document:tag_item",
    ),
    "digests": ("srcore.storage.disk.files:sha256_file",),
    "checksums": ("srcore.storage.chunks.arrays:checksum",),
    "publish": ("srcore.run.scene:publish", "srcore.run.scene:clear_scratch"),
}
"""A room, and the functions that it is; what is called within another one is its own."""
IMPORTS = ("import torch", "imports")
SHOWN = ("start", *IMPORTS, *ROOMS, "rest")
CHILD = """
import time
started = time.process_time()
from benchmarks.meter import ImportsMetered, Meter
import json, os
meter, begun = Meter(time.thread_time), time.process_time()
ImportsMetered(meter, json.loads(os.environ["SRCORE_ROOMS"]), ("torch",)).install()
from flows.cli import main
try:
    main()
except SystemExit as ended:
    assert not ended.code, ended.code
taken = started + time.process_time() - begun
print(json.dumps({"rooms": {"start": started, **meter.cpu}, "all": taken}))
"""


def measure(folder: Path, name: str, model: str) -> dict[str, float]:
    """CPU seconds by room of one run over folder/name.tif, and `all` of them."""
    variables = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, (str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH")))),
        "SRCORE_CACHE": str(folder / "cache"),
        "SRCORE_ROOMS": json.dumps(ROOMS),
    }
    command = ["upscale", str(folder / f"{name}.tif"), str(folder / "sr.tif"), "--model", model, "--overwrite"]
    told = subprocess.run(
        [sys.executable, "-c", CHILD, *command, "--workers", "0"],
        cwd=folder,
        env=variables,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    found = json.loads(told.splitlines()[-1])
    rooms: dict[str, float] = found["rooms"]
    return {**rooms, "rest": found["all"] - sum(rooms.values()), "all": found["all"]}


def run(cases: list[str] | None = None, repeats: int = 3, quick: bool = False) -> dict[str, dict[str, float]]:
    """Median CPU seconds of each case by room; cases alternate."""
    cases = cases or list(CASES)
    found: dict[str, list[dict[str, float]]] = {case: [] for case in cases}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_large(folder / "first.tif", 64, bands=1)
        for model in {CASES[case][0] for case in cases}:
            measure(folder, "first", model)  # a machine asks the numerics gate once
        for case in cases:
            _, side, bands = CASES[case]
            make_large(folder / f"{case}.tif", side // (4 if quick else 1), bands=bands)
        for _ in range(repeats):
            for case in cases:
                found[case].append(measure(folder, case, CASES[case][0]))
    rooms = (*SHOWN, "all")
    return {case: {room: median(one.get(room, 0.0) for one in runs) for room in rooms} for case, runs in found.items()}


def table(figures: dict[str, dict[str, float]]) -> Table:
    """For people."""
    heads = [f"{CASES[case][0]}, {CASES[case][2]} x {CASES[case][1]}^2" for case in figures]
    result = Table("CPU s", *heads, title="srcore upscale by room, one thread")
    for room in SHOWN:
        result.add_row(room, *[f"{one[room]:.2f}" for one in figures.values()])
    result.add_section()
    result.add_row("all in", *[f"{one['all']:.2f}" for one in figures.values()])
    return result


def main() -> None:
    """Print the table; write the figures where asked."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.rooms", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--case", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="scenes of a sixteenth")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    given = parser.parse_args()
    figures = run(given.case, given.repeats, given.quick)
    out.print(table(figures))
    out.print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
