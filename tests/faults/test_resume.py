"""A run that was killed goes on where it was: at most the tiles in flight are done again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch

from srcore.checkpoints import Architecture
from srcore.dispatch import WINDOW, Workers
from srcore.errors import PlanError
from srcore.job import Job
from srcore.progress import Progress
from srcore.run.direct import direct_job
from srcore.run.scene import run_scene
from srcore.storage.archive.publish import Receipt
from srcore.weights import build, describe, save_checkpoint
from tests.conftest import ROOT
from tests.faults import archive
from tests.faults.conftest import Injected

KILLED_AT = """
import os, signal, sys
from pathlib import Path
import srcore.stages.upscale
from srcore.run.direct import direct_job
from srcore.run.scene import run_scene
from srcore.dispatch import Workers

def main():
    srcore.stages.upscale.TASK_PIXELS = 1  # a task a tile: tiny tiles would otherwise be one task
    source, output, workers, at = sys.argv[1:]

    def call(name, stage):
        def progress(done, total):
            if name == "upscale" and done >= int(at):
                os.killpg(0, signal.SIGKILL)  # the flow process and its workers, as a power cut does
        return stage(progress)

    run_scene(direct_job(source, Path(output), model="bicubic-x2", tile=16, block=32), Workers(int(workers)), call)

if __name__ == "__main__":
    main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_a_kill_at_half_of_64_tiles_costs_the_tiles_in_flight(workers: int, tmp_path: Path, injected: Injected) -> None:
    source = archive.write_scene(tmp_path / "scene.tif", shape=(128, 128))
    output = tmp_path / "out" / "sr.tif"
    script = tmp_path / "killed.py"
    script.write_text(KILLED_AT)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(script), str(source), str(output), str(workers), "32"]
    killed = subprocess.run(command, env=environment, start_new_session=True, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-2000:]
    assert not output.exists()
    markers = {path: path.stat().st_mtime_ns for path in output.parent.glob(".sr.srcore/*/done/*.json")}
    assert len(markers) >= 32
    computed: list[int] = []

    def call(name: str, stage: object) -> object:
        result = stage(lambda done, total: None)  # type: ignore[operator]
        if name == "upscale":
            computed.append(result.computed)
            assert {path: path.stat().st_mtime_ns for path in markers} == markers  # none of them was done again
        return result

    receipt = run_scene(direct_job(str(source), output, model="bicubic-x2", tile=16, block=32), Workers(0), call)
    assert receipt is not None
    print(f"\n{workers} workers, killed at {len(markers)} of 64 tiles: {computed[0]} computed after that")
    assert computed[0] == 64 - len(markers)
    assert 32 <= len(markers) <= 32 + max(1, workers) * WINDOW
    whole = tmp_path / "whole" / "sr.tif"
    run_scene(direct_job(str(source), whole, model="bicubic-x2", tile=16, block=32), Workers(0))
    injected("flow process and workers killed", 1, [] if output.read_bytes() == whole.read_bytes() else ["other bytes"])


def test_a_product_that_was_being_published_is_not_somebody_elses_file(tmp_path: Path) -> None:
    source = archive.write_scene(tmp_path / "scene.tif")
    output = tmp_path / "out" / "sr.tif"
    job = direct_job(str(source), output, model="nearest-x2", tile=32)
    assert run_scene(job, Workers(0)) is not None
    expected = output.read_bytes()
    with pytest.raises(PlanError, match="exists"):
        run_scene(job, Workers(0))
    # as a kill between the last rename and the receipt leaves it
    job.product.receipt.unlink()
    with pytest.raises(PlanError, match="exists"):
        run_scene(job, Workers(0))
    job.scratch.mkdir(parents=True)
    names = [path.name for path in (*job.product.files, job.product.receipt)]
    (job.scratch / "publishing.json").write_text(json.dumps({"names": names}))
    assert run_scene(job, Workers(0)) is not None
    assert output.read_bytes() == expected
    assert not job.scratch.exists()
    # as a kill between the receipt and the clearing up leaves it
    job.scratch.mkdir(parents=True)
    (job.scratch / "publishing.json").write_text(json.dumps({"names": names}))
    with pytest.raises(PlanError, match="exists"):
        run_scene(job, Workers(0))
    assert not job.scratch.exists()
    assert Receipt.load(job.product.receipt) is not None
    assert json.loads(job.product.receipt.read_text())["outputs"]


def write_checkpoint(folder: Path, seed: int) -> Path:
    """A generator of random weights; those of another seed are another model of the same architecture."""
    torch.manual_seed(seed)
    spec = describe("tiny", Architecture(name="edsr", params={"scale": 2, "width": 8, "blocks": 1}))
    save_checkpoint(folder, spec, build(spec), "")
    return folder


@pytest.mark.parametrize("place", ["same place", "another"])
def test_a_run_never_goes_on_with_another_checkpoints_tiles(place: str, tmp_path: Path) -> None:
    """Two checkpoints of one architecture, in one folder one after the other or in two: halo, cut and names agree."""
    source = archive.write_scene(tmp_path / "scene.tif", shape=(64, 64))
    models = [tmp_path / "model" / (str(seed) if place == "another" else "") for seed in (1, 2)]

    def job(model: Path, output: str) -> Job:
        how: dict[str, Any] = {"tile": 16, "block": 32, "backend": "eager", "precision": "float32"}
        how |= {"validate": False, "outputs": ("cog",)}
        return direct_job(str(source), tmp_path / output, model=str(model), **how)

    def stop(name: str, stage: Callable[[Progress], Any]) -> Any:
        def progress(done: int, total: int) -> None:
            if name == "upscale" and done >= total // 2:
                raise KeyboardInterrupt

        return stage(progress)

    write_checkpoint(models[0], seed=1)
    with pytest.raises(KeyboardInterrupt):
        run_scene(job(models[0], "sr.tif"), Workers(0), stop)
    assert 8 <= len(list(tmp_path.glob(".sr.srcore/*/done/*.json"))) < 16
    write_checkpoint(models[1], seed=2)
    computed: list[int] = []

    def counted(name: str, stage: Callable[[Progress], Any]) -> Any:
        result = stage(lambda done, total: None)
        if name == "upscale":
            computed.append(result.computed)
        return result

    assert run_scene(job(models[1], "sr.tif"), Workers(0), counted) is not None
    assert computed == [16]
    run_scene(job(models[1], "alone.tif"), Workers(0))
    with rasterio.open(tmp_path / "sr.tif") as mixed, rasterio.open(tmp_path / "alone.tif") as alone:
        np.testing.assert_array_equal(mixed.read(), alone.read())
    write_checkpoint(tmp_path / "first", seed=1)
    run_scene(job(tmp_path / "first", "other.tif"), Workers(0))
    with rasterio.open(tmp_path / "alone.tif") as alone, rasterio.open(tmp_path / "other.tif") as other:
        assert (alone.read() != other.read()).mean() > 0.5, "had the tiles been mixed, it would show"
