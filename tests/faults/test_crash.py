"""The crash sweep over a tiny run: a fault at every point, nothing wrong to be seen, and the same bytes in the end."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.faults.conftest import Injected

SWEEPS = {
    "killed": ["kill"],
    "disk full": ["full"],
    "killed while a product is replaced": ["kill", "--replace", "--only", "products"],
    "disk full while a product is replaced": ["full", "--replace", "--only", "products"],
    "control": ["kill", "--replace", "--control", "--only", "products"],
}
AT_ONCE = (("killed", "disk full"), tuple(SWEEPS)[2:])
"""Each sweep is a process of one thread; two cores do the long ones together."""
KINDS = {"open", "write", "fsync", "rename", "link", "remove", "mkdir", "rmdir", "block", "copy"}


@pytest.fixture(scope="module")
def sweeps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, subprocess.Popen[str]]]:
    """Each sweep, started."""
    running = {}
    for name, options in SWEEPS.items():
        folder = tmp_path_factory.mktemp("sweep")
        command = [sys.executable, "-m", "tests.faults.crash", str(folder), *options]
        running[name] = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for together in AT_ONCE:
            if name == together[-1]:
                _wait([running[one] for one in together])
    yield running
    for process in running.values():
        process.kill()
        process.communicate()


def _wait(processes: list[subprocess.Popen[str]]) -> None:
    for process in processes:
        try:
            process.wait(timeout=400)
        except subprocess.TimeoutExpired:
            process.kill()


def found(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, errors = process.communicate(timeout=10)
    assert process.returncode == 0, errors[-4000:]
    told: dict[str, Any] = json.loads(out)
    return told


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in SWEEPS if name != "control"])
def test_a_fault_at_any_point_lets_nothing_wrong_be_seen_and_loses_nothing(
    name: str, sweeps: dict[str, subprocess.Popen[str]], injected: Injected
) -> None:
    told = found(sweeps[name])
    injected(name, told["injected"], told["wrong"])
    assert set(told["kinds"]) == KINDS
    assert told["injected"] == (told["points"] if "replaced" not in name else told["injected"])
    assert told["injected"] >= (8 if "replaced" in name else 150)


@pytest.mark.slow
def test_a_run_that_writes_straight_to_its_names_does_not_pass(sweeps: dict[str, subprocess.Popen[str]]) -> None:
    told = found(sweeps["control"])
    assert told["injected"] >= 8
    assert len(told["wrong"]) >= told["injected"] // 2, told
    assert any("does not fit its outputs" in line for line in told["wrong"])
