"""A power cut at any point: what was told to be done is not lost, nothing wrong is seen, the next run ends well.

A kill keeps what the system has in memory, so the crash sweep proves nothing about fsync; this does.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.faults.conftest import Injected
from tests.faults.lost import Disk, Step

SCENARIOS = {"published": 3500, "replaced": 3500, "removed": 350, "direct": 3500, "volume": 2000, "series": 2000}
"""And how many states of the disk there are at least."""
NEEDED = {
    "published": {"fsync .", "fsync fields", "fsync fields/products", "fsync fields/products/scene"},
    "replaced": {"fsync fields/products/scene", "fsync fields/.scratch/scene/*/staged/.scene.receipt.json.*.part"},
    "removed": {"fsync fields/products/scene", "fsync fields/retired"},
    "direct": {"fsync .", "fsync new"},
    "volume": {"fsync .", "fsync .sr.srcore/*/staged/sr.nii.gz"},
    "series": {"fsync .", "fsync .sr.srcore/*/staged/sr"},
}
"""Syncs without which something is lost or wrong: had the model no teeth, it would miss none."""


def swept(folder: Path, *options: str) -> Sequence[dict[str, Any]]:
    command = [sys.executable, "-m", "tests.faults.power", str(folder), *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=3000)
    assert done.returncode == 0, done.stderr[-4000:]
    found = [json.loads(line) for line in done.stdout.splitlines()]
    for told in found:
        print(f"{told['scenario']}: {told['steps']} steps, {told['syncs']} fsyncs, {told['states']} states, ", end="")
        print(f"{told['next runs']} next runs, {len(told['wrong'])} wrong; {told['wrong without syncs']} without fsync")
    return found


def check(told: dict[str, Any], injected: Injected) -> None:
    injected(f"power cut, {told['scenario']}", told["states"] + told["next runs"], told["wrong"])
    assert told["model is true"], "with nothing lost the model is the disk"
    assert told["states"] >= SCENARIOS[told["scenario"]]
    assert told["wrong without syncs"] >= 10, "a run that syncs nothing must be found wrong"


@pytest.mark.slow
def test_a_power_cut_at_any_point_loses_nothing_that_was_told(tmp_path: Path, injected: Injected) -> None:
    daily = [name for name in SCENARIOS if name != "series"]
    found = swept(tmp_path, "--next", "2", "--only", *daily)
    assert [told["scenario"] for told in found] == daily
    for told in found:
        check(told, injected)


@pytest.mark.nightly
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_each_power_cut_of_many_is_got_over_and_each_sync_counts(
    scenario: str, tmp_path: Path, injected: Injected
) -> None:
    [told] = swept(tmp_path, "--next", "150", "--needed", "--only", scenario)
    check(told, injected)
    assert set(told["needed"]) >= NEEDED[scenario]


def written(*, file: bool, folder: bool) -> Disk:
    """a.part is made, written and renamed to a; one of both is synced, or none."""
    disk = Disk({}, {})
    disk.do(Step("create a.part", {(0, "a.part"): 1}, {1: b""}))
    disk.do(Step("write", contents={1: b"data"}))
    disk.do(Step("fsync a.part", synced=1 if file else -1))
    disk.do(Step("rename a", {(0, "a"): 1, (0, "a.part"): None}))
    disk.do(Step("fsync .", synced=0 if folder else -1))
    return disk


def test_the_disk_of_the_model_keeps_what_was_synced_and_forgets_what_was_not() -> None:
    def nothing_pending(disk: Disk) -> Any:
        return disk.tree([False] * len(disk.pending), "lost")

    assert nothing_pending(written(file=True, folder=True)) == {"a": b"data"}
    assert nothing_pending(written(file=False, folder=True)) == {"a": b""}
    assert nothing_pending(written(file=True, folder=False)) == {}
    torn = written(file=False, folder=False)
    assert torn.tree([True, True], "torn") == {"a": b"da"}
    assert torn.tree([True, False], "zeros") == {"a.part": bytes(4)}
    assert torn.tree([False, True], "kept") == {"a": b"data"}  # the later name alone: the earlier one is not missed


def test_a_file_that_moves_to_another_folder_is_never_in_none() -> None:
    disk = Disk({(0, "from"): 1, (0, "to"): 2, (1, "a"): 3}, {3: b"data"})
    disk.folders = {0, 1, 2}
    disk.do(Step("rename to/a", {(2, "a"): 3, (1, "a"): None}))
    both, moved, stays = {"from": None, "from/a": b"data", "to": None, "to/a": b"data"}, {"from": None}, {"to": None}
    moved, stays = moved | {"to": None, "to/a": b"data"}, stays | {"from": None, "from/a": b"data"}
    trees = [disk.tree([first, second], "lost") for first in (True, False) for second in (True, False)]
    assert all(tree in (both, moved, stays) for tree in trees)
    disk.do(Step("fsync to", synced=2))
    assert disk.tree([False] * len(disk.pending), "lost") == both
    disk.do(Step("fsync from", synced=1))
    assert disk.tree([], "lost") == moved
