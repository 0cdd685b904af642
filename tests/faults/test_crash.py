"""The crash sweep over a tiny run: a fault at every point, nothing wrong to be seen, and the same bytes in the end."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.conftest import SWEEPS, Injected, sweep

KINDS = {"open", "write", "fsync", "rename", "link", "remove", "mkdir", "rmdir"}
NIGHTLY = pytest.mark.nightly
SWEPT = [
    ("killed", 24),
    ("disk full", 24),
    ("killed while a product is replaced", 1),
    ("disk full while a product is replaced", 2),
    pytest.param("killed", 1, marks=NIGHTLY),
    pytest.param("disk full", 1, marks=NIGHTLY),
]
"""Sweeps, and every how many points they break a run: all points take minutes."""


@pytest.mark.slow
@pytest.mark.parametrize(("name", "every"), SWEPT)
def test_a_fault_at_any_point_lets_nothing_wrong_be_seen_and_loses_nothing(
    name: str, every: int, tmp_path: Path, injected: Injected
) -> None:
    told = sweep(tmp_path, name, every)
    injected(f"run {name}", told["injected"], told["wrong"])
    assert set(told["kinds"]) == KINDS
    if name == "killed":
        assert told["injected"] == -(-told["points"] // every)
    assert told["injected"] >= (8 if "while" in name else 150) // every


@pytest.mark.nightly
@pytest.mark.parametrize("name", [name for name in SWEEPS if ", of a " in name])
def test_a_fault_while_a_source_is_unpacked_or_fetched_leaves_nothing_and_loses_nothing(
    name: str, tmp_path: Path, injected: Injected
) -> None:
    told = sweep(tmp_path, name, 2)
    injected(f"run {name}", told["injected"], told["wrong"])
    assert told["injected"] >= 60


@pytest.mark.nightly
def test_a_run_that_writes_straight_to_its_names_does_not_pass(tmp_path: Path) -> None:
    told = sweep(tmp_path, "control")
    assert told["injected"] >= 8
    assert len(told["wrong"]) >= told["injected"] // 2, told
    assert any("does not fit its outputs" in line for line in told["wrong"])
