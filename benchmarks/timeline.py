"""Where the time of a run goes, as a picture: `python -m benchmarks.timeline [--out docs/timeline.svg]`.

One drawn scene of 2,048 x 2,048 through srcore-x2 in this process, on one core: above the stages, below the three
steps of every tile in UPSCALE on their threads.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from matplotlib.figure import Figure

from benchmarks import out
from srcore.dispatch import Workers
from srcore.run.direct import direct_job
from srcore.run.scene import run_scene
from srcore.samples import make_large
from srcore.stages import upscale

Span = tuple[str, float, float]
"""What, from when to when, in seconds of the run."""
COLOURS = {
    "plan": "#888888",
    "ingest": "#5b8db8",
    "upscale": "#d9822b",
    "export": "#4f9d69",
    "validate": "#9b6bb3",
    "read": "#5b8db8",
    "compute": "#d9822b",
    "write": "#4f9d69",
}


def run(side: int = 2048, tile: int = 512) -> list[Span]:
    """The spans of a run: stages, and `read`, `compute` and `write` of every tile."""
    spans: list[Span] = []
    scene = upscale._Scene
    read, write, compute = scene.read, scene.write, scene.compute

    def noted(name: str, step: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            started = time.perf_counter()
            result = step(*arguments)
            spans.append((name, started, time.perf_counter()))
            return result

        return call

    def computed(self: Any, blocks: Iterator[Any]) -> Iterator[Any]:
        for result in compute(self, blocks):
            now = time.perf_counter()
            spans.append(("compute", now - result.seconds, now))
            yield result

    with (
        tempfile.TemporaryDirectory() as name,
        mock.patch.object(scene, "read", noted("read", read)),
        mock.patch.object(scene, "write", noted("write", write)),
        mock.patch.object(scene, "compute", computed),
    ):
        make_large(Path(name) / "scene.tif", side, bands=1)
        started = time.perf_counter()
        job = direct_job(str(Path(name) / "scene.tif"), Path(name) / "sr.tif", tile=tile)
        run_scene(job, Workers(0), lambda stage, call: noted(stage, call)(lambda done, total: None))
    return [(what, start - started, stop - started) for what, start, stop in spans]


def draw(spans: list[Span], path: Path) -> None:
    """The spans as an SVG."""
    figure = Figure((9, 2.6), layout="constrained")
    axes = figure.add_subplot()
    rows = {"stages": 3, "read": 2, "compute": 1, "write": 0}
    for what, start, stop in spans:
        row = rows.get(what, rows["stages"])
        axes.barh(row, stop - start, left=start, height=0.7, color=COLOURS[what], edgecolor="white", linewidth=0.4)
    taken = [f"{what} {stop - start:.1f} s" for what, start, stop in spans if what not in rows]
    axes.set_title(", ".join(taken), fontsize=9, loc="left")
    axes.set_yticks(list(rows.values()), list(rows))
    axes.set_xlabel("seconds")
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    figure.savefig(path, format="svg", metadata={"Date": None})


def main() -> None:
    """Draw the picture, and say how much of UPSCALE the generator computes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.timeline", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/timeline.svg"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    spans = run()
    draw(spans, arguments.out)
    total = {name: sum(stop - start for what, start, stop in spans if what == name) for name in COLOURS}
    out.print(f"{arguments.out}: the generator computes {total['compute'] / total['upscale']:.0%} of UPSCALE")


if __name__ == "__main__":
    main()
