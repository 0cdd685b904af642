"""A disk that really fills, under Zarr, too: nothing is published, one line says so, and the run goes on later."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.faults.conftest import Injected

ALONE = ["unshare", "-Urm"]
"""A mount namespace of our own, in which a user may mount a small disk."""


def may_mount() -> bool:
    command = [*ALONE, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.nightly
@pytest.mark.slow
def test_a_disk_that_fills_publishes_nothing_and_the_run_goes_on_when_there_is_space(
    tmp_path: Path, injected: Injected
) -> None:
    if not may_mount():
        pytest.skip("a small disk needs unshare and a tmpfs, which this system does not let users have")
    command = [*ALONE, sys.executable, "-m", "tests.faults.disk", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout.splitlines()[-1])
    injected("a real disk fills", told["injected"], told["wrong"])
    assert told["injected"] >= 10
