"""The crash sweep over a tiny run: a fault at every point, nothing wrong to be seen, and the same bytes in the end."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future

import pytest

from tests.faults.conftest import SWEEPS, Injected, Told

KINDS = {"open", "write", "fsync", "rename", "link", "remove", "mkdir", "rmdir"}


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in SWEEPS if name != "control"])
def test_a_fault_at_any_point_lets_nothing_wrong_be_seen_and_loses_nothing(
    name: str, sweeps: Mapping[str, Future[Told]], injected: Injected
) -> None:
    told = sweeps[name].result()
    injected(f"run {name}", told["injected"], told["wrong"])
    assert set(told["kinds"]) == KINDS
    if name == "killed":
        assert told["injected"] == told["points"]
    assert told["injected"] >= (8 if "while" in name else 150)


@pytest.mark.slow
def test_a_run_that_writes_straight_to_its_names_does_not_pass(sweeps: Mapping[str, Future[Told]]) -> None:
    told = sweeps["control"].result()
    assert told["injected"] >= 8
    assert len(told["wrong"]) >= told["injected"] // 2, told
    assert any("does not fit its outputs" in line for line in told["wrong"])
