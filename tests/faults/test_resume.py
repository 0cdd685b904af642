"""A run that was killed goes on where it was: at most the tiles in flight are done again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from srcore.dispatch import WINDOW, Workers
from srcore.errors import PlanError
from srcore.run.direct import direct_job
from srcore.run.scene import run_scene
from srcore.storage.archive.publish import Receipt
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
