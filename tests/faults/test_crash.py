"""The crash sweep over a tiny run: a fault at every point, nothing wrong to be seen, and the same bytes in the end."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.faults.conftest import Injected

Sweep = tuple[subprocess.Popen[bytes], Path]
"""The process, and the file that it writes to."""

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
def sweeps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Sweep]]:
    """Each sweep, started."""
    running: dict[str, Sweep] = {}
    for name, options in SWEEPS.items():
        folder = tmp_path_factory.mktemp("sweep")
        command = [sys.executable, "-m", "tests.faults.crash", str(folder), *options]
        told = folder / "told"
        with open(told, "wb") as out:
            running[name] = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT), told
        for together in AT_ONCE:
            if name == together[-1]:
                _wait([running[one] for one in together])
    yield running
    for process, _ in running.values():
        process.kill()
        process.wait()


def _wait(sweeps: list[Sweep]) -> None:
    for process, _ in sweeps:
        try:
            process.wait(timeout=400)
        except subprocess.TimeoutExpired:
            process.kill()


def found(sweep: Sweep) -> dict[str, Any]:
    process, out = sweep
    assert process.returncode == 0, out.read_text()[-4000:]
    told: dict[str, Any] = json.loads(out.read_text().splitlines()[-1])
    return told


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in SWEEPS if name != "control"])
def test_a_fault_at_any_point_lets_nothing_wrong_be_seen_and_loses_nothing(
    name: str, sweeps: dict[str, Sweep], injected: Injected
) -> None:
    told = found(sweeps[name])
    injected(name, told["injected"], told["wrong"])
    assert set(told["kinds"]) == KINDS
    if name == "killed":
        assert told["injected"] == told["points"]
    assert told["injected"] >= (8 if "replaced" in name else 150)


@pytest.mark.slow
def test_a_run_that_writes_straight_to_its_names_does_not_pass(sweeps: dict[str, Sweep]) -> None:
    told = found(sweeps["control"])
    assert told["injected"] >= 8
    assert len(told["wrong"]) >= told["injected"] // 2, told
    assert any("does not fit its outputs" in line for line in told["wrong"])
