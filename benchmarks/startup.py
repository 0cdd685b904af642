"""How long a user waits before anything happens: help, status, and the first tile of a small scene.

    python -m benchmarks.startup [--repeats 9] [--json FILE]

Processes of their own, in turns, the least of several: CPU seconds (user and system), since the machine may be busy,
and wall seconds beside them. One thread, as a worker has it: idle threads of torch spin, and count as CPU. The first
tile of `srcore upscale --workers 0` is there when it was read and goes into the network: the scene is planned, cut and
stored, the checkpoint loaded, its halo proved and its backend gated by then.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks import out
from srcore.samples import make_archive

HELP_S, FIRST_TILE_S = 0.2, 1.5
"""What may be spent, on a free machine: on help, and before the first tile beyond torch's import."""
FIRST_TILE = """
import os
from srcore.run import scene

def until_first_tile(plan, start, progress):
    from srcore.stages import upscale

    def compute(scene, blocks):
        next(blocks)
        os._exit(0)

    upscale._Scene.compute = compute
    return upscale.upscale(plan, start(), progress)

scene._upscale = until_first_tile
from flows.cli import main
main()
"""
CATALOG = Path(__file__).parent.parent / "data_catalog.yaml"
SCENE = "incoming/sample/lr/plain-20240611.tif"

Seconds = dict[str, float]
"""cpu and wall."""


def run(repeats: int = 9) -> dict[str, Any]:
    """Least CPU and wall seconds of each, and how they stand to what is allowed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / CATALOG.name).write_bytes(CATALOG.read_bytes())
        make_archive(folder / "incoming" / "sample")
        found: dict[str, list[Seconds]] = {}
        for _ in range(repeats):
            for what, arguments in commands().items():
                found.setdefault(what, []).append(_timed([sys.executable, *arguments], folder))
    least = {what: {key: min(one[key] for one in several) for key in several[0]} for what, several in found.items()}
    beyond = least["upscale, first tile"]["cpu"] - least["import torch"]["cpu"]
    return {
        "seconds": least,
        "repeats": repeats,
        "help_of_goal": least["srcore --help"]["cpu"] / HELP_S,
        "first_tile_beyond_torch_s": beyond,
        "first_tile_of_goal": beyond / FIRST_TILE_S,
    }


def commands() -> dict[str, list[str]]:
    """What is measured, and the arguments of Python for it."""
    return {
        "python": ["-c", ""],
        "import srcore": ["-c", "import srcore"],
        "srcore --help": ["-m", "flows.cli", "--help"],
        "srcore status": ["-m", "flows.cli", "status"],
        "import numpy": ["-c", "import numpy"],
        "import torch": ["-c", "import torch"],
        "upscale, first tile": ["-c", FIRST_TILE, "upscale", SCENE, "sr.tif", "--workers", "0", "--overwrite"],
    }


def _timed(command: list[str], folder: Path) -> Seconds:
    path = os.pathsep.join(filter(None, (str(CATALOG.parent), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "SRCORE_CACHE": str(folder / "cache")}
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    wall, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"cpu": after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, "wall": wall}


def table(figures: dict[str, Any]) -> Table:
    """For people."""
    result = Table("", "CPU s", "wall s", "of import torch", title=f"start-up, the least of {figures['repeats']}")
    torch = figures["seconds"]["import torch"]["cpu"]
    for what, one in figures["seconds"].items():
        result.add_row(what, f"{one['cpu']:.3f}", f"{one['wall']:.3f}", f"{one['cpu'] / torch:.2f}")
    result.add_section()
    beyond = figures["first_tile_beyond_torch_s"]
    result.add_row("help, of what it may take", f"{figures['help_of_goal']:.2f}")
    result.add_row("first tile beyond torch", f"{beyond:.3f}", "", f"{beyond / torch:.2f}")
    result.add_row("the same, of what it may take", f"{figures['first_tile_of_goal']:.2f}")
    return result


def main() -> None:
    """Print the table; write the figures where asked."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.startup", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    figures = {"machine": platform.machine(), "python": platform.python_version(), **run(given.repeats)}
    out.print(table(figures))
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
