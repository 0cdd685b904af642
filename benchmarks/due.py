"""What Prefect adds to a night of due scenes: to small ones, which share flow runs, and to a large one.

Part of `python -m benchmarks.nights`. Each figure comes from a process of its own, a night as a flow on a server of its
own, whose CPU does not count. Four sorts of night:

    free     scenes that cost nothing: what is left is the night itself, with Prefect and without
    small    real ones of 24 x 38 pixels through bicubic-x2
    own      the same, each as a flow run of its own, as if it were large: what that costs
    large    one scene; what of the night's time lies outside its five stages
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from flows import WAITING

LARGE_PX = 4096
"""Side of the large scene, of one band: the size that the other benchmarks call large."""
OWN = 20
"""Scenes of the night in which each has a flow run of its own."""


def make_due(folder: Path, scenes: int, shape: tuple[int, int, int] = (1, 24, 38), model: str = "bicubic-x2") -> Path:
    """A catalog of scenes that are all due; gives its path. They are links to one file."""
    import numpy as np
    import rasterio
    from rasterio.transform import Affine

    (folder / "in").mkdir(parents=True)
    y, x = np.mgrid[: shape[1], : shape[2]]
    noise = 20 * np.random.default_rng(0).standard_normal(shape)
    values = 900 + 300 * np.sin(x / 5) + 200 * np.cos(y / 7) + noise
    profile: dict[str, Any] = {"count": shape[0], "height": shape[1], "width": shape[2], "dtype": "uint16"}
    place = {"crs": "EPSG:32632", "transform": Affine(10, 0, 600000, 0, -10, 5200000)}
    first = folder / "in" / "s00000.tif"
    with rasterio.open(first, "w", driver="GTiff", **profile, **place) as target:
        target.write(values.astype("uint16"))
    for number in range(1, scenes):
        os.link(first, folder / "in" / f"s{number:05d}.tif")
    catalog = folder / "data_catalog.yaml"
    catalog.write_text(
        "version: 1\nstore: ./store\ndatasets:\n  many:\n    kind: raster\n    source: ./in/*.tif\n"
        f"    model: {model}\n"
    )
    return catalog


def night_of_due(catalog: Path, *, prefect: bool, sort: str) -> dict[str, Any]:
    """CPU and wall seconds of a night in which all is due, and how much of it lies outside the stages.

    Behind a night of one tiny scene, which imports what a night pays for once.
    """
    around = {"free": _free, "own": _all_large}.get(sort, nullcontext)
    with _server() if prefect else nullcontext(), around(), _stages_timed() as inside:
        run = _with_prefect if prefect else _without
        run(catalog if sort == "free" else make_due(catalog.parent / "warm", 1))
        inside[:] = [0.0, 0.0]
        cpu, wall = time.process_time(), time.monotonic()
        run(catalog)
        return {
            "cpu_s": time.process_time() - cpu,
            "wall_s": time.monotonic() - wall,
            "stages_cpu_s": inside[0],
            "stages_wall_s": inside[1],
        }


def _with_prefect(catalog: Path) -> None:
    from flows.nightly import nightly

    nightly(str(catalog), "many", return_state=True)


def _without(catalog: Path) -> None:
    from functools import partial

    from flows.interrupt import Reached
    from flows.nightly import _plain, run_night
    from srcore.run.dataset import Wanted

    run_night(catalog, "many", partial(_plain, Wanted(), Reached()))


@contextmanager
def _server() -> Iterator[None]:
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=180):
        yield


@contextmanager
def _free() -> Iterator[None]:
    """Scenes cost nothing meanwhile, and stay due."""
    from srcore.run import dataset
    from srcore.run.outcome import Outcome

    kept = dataset.run_due
    dataset.run_due = lambda catalog, state, run, *, force=False: Outcome(state.scene, "published")
    try:
        yield
    finally:
        dataset.run_due = kept


@contextmanager
def _all_large() -> Iterator[None]:
    """No scene is small meanwhile."""
    from srcore.run.night import turns

    kept, turns.SMALL_PIXELS = turns.SMALL_PIXELS, 0
    try:
        yield
    finally:
        turns.SMALL_PIXELS = kept


@contextmanager
def _stages_timed() -> Iterator[list[float]]:
    """CPU and wall seconds inside the five stages."""
    from srcore.run import scene

    inside, kept = [0.0, 0.0], scene._Stages._told

    def told(self: Any, name: str, stage: Callable[..., Any], progress: Any) -> Any:
        cpu, wall = time.process_time(), time.monotonic()
        try:
            return kept(self, name, stage, progress)
        finally:
            inside[0] += time.process_time() - cpu
            inside[1] += time.monotonic() - wall

    scene._Stages._told = told  # type: ignore[method-assign]
    try:
        yield inside
    finally:
        scene._Stages._told = kept  # type: ignore[method-assign]


def measured_due(scenes: int, sort: str, *, prefect: bool) -> dict[str, Any]:
    """The figures of one night, in a process of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        shape, model = ((1, LARGE_PX, LARGE_PX), "srcore-x2") if sort == "large" else ((1, 24, 38), "bicubic-x2")
        catalog = make_due(folder, scenes, shape, model)
        quiet = {**WAITING, **os.environ, "PREFECT_LOGGING_LEVEL": "ERROR", "SRCORE_WORKERS": "0"}
        command = [sys.executable, "-m", "benchmarks.due", str(catalog), sort, *(["--prefect"] if prefect else [])]
        told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=quiet).stdout
    return {"scenes": scenes, "prefect": prefect, "sort": sort, **json.loads(told.splitlines()[-1])}


def run_due(
    counts: Sequence[int] = (100, 1_000), small: Sequence[int] = (100,), own: int = OWN, large: bool = True
) -> list[dict[str, Any]]:
    """All of it: a minute for the free ones, half a second for each small scene, two minutes for the large one."""
    nights = [("free", count) for count in counts] + [("small", count) for count in small]
    nights += ([("own", own)] if own else []) + ([("large", 1)] if large else [])
    return [measured_due(count, sort, prefect=prefect) for sort, count in nights for prefect in (False, True)]


def main() -> None:
    """One night; `benchmarks.nights` starts it."""
    catalog, sort = Path(sys.argv[1]), sys.argv[2]
    found = night_of_due(catalog, prefect="--prefect" in sys.argv[3:], sort=sort)
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
