"""A scene's life as a state machine: whatever happens in whatever order, P1 to P5 of docs/faults.md hold."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.faults import archive
from tests.faults.conftest import Injected
from tests.faults.crash import forked
from tests.faults.points import Fault, Points

MODELS = ("nearest-x2", "bicubic-x2")
SEEDS = (1, 2)
POINTS = 230
"""A little more than a run has: some faults come too late to strike."""
COMPARED = (".tif", ".png", ".report.json")
"""The STAC item names its source's time, the receipt also its path."""


def files(folder: Path) -> dict[str, bytes]:
    found = archive.published(folder)
    return {Path(name).name: data for name, data in found.items() if name.endswith(COMPARED)}


class SceneLife(RuleBasedStateMachine):
    """Runs, faults and changes of one scene; the expected product of every source and model is known."""

    right: dict[tuple[int, str], dict[str, bytes]] = {}  # noqa: RUF012  shared by all examples, on purpose
    injected: Counter[str] = Counter()  # noqa: RUF012

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="srcore-life-"))
        self.seed, self.model = SEEDS[0], MODELS[0]
        self.published = False
        self._lay_out()
        if not self.right:
            self._learn()

    def _lay_out(self) -> None:
        path = archive.write_scene(self.folder / "in" / "scene.tif", seed=self.seed)
        os.utime(path, (1e9 + self.seed, 1e9 + self.seed))
        self.catalog = archive.write_catalog(self.folder, model=self.model)

    def _learn(self) -> None:
        for self.seed in SEEDS:
            for self.model in MODELS:
                self._lay_out()
                archive.run(self.catalog)
                self.right[self.seed, self.model] = files(self.folder)
                archive.reset(self.folder)
        self.seed, self.model = SEEDS[0], MODELS[0]
        self._lay_out()

    @rule(force=st.booleans())
    def run(self, force: bool) -> None:
        """P2: whatever happened before, a run ends in the same bytes; P5: then the receipt says so."""
        [outcome] = archive.run(self.catalog, force=force)
        assert outcome.ok, outcome
        assert files(self.folder) == self.right[self.seed, self.model]
        assert archive.leftovers(self.folder) == []
        [again] = archive.run(self.catalog)
        assert again.result == "up to date"

    @rule(at=st.integers(1, POINTS), fault=st.sampled_from(("kill", "full")), force=st.booleans())
    def break_run(self, at: int, fault: Fault, force: bool) -> None:
        def broken() -> str:
            points = Points(self.folder / "store", at, fault)
            points.install()
            return archive.run(self.catalog, force=force)[0].code

        told = forked(broken)
        assert told in (None, "", "DISK_FULL")
        self.injected["state machine: " + ("killed" if fault == "kill" else "disk full")] += 1
        archive.later(self.folder)

    @rule(seed=st.sampled_from(SEEDS))
    def change_source(self, seed: int) -> None:
        self.seed = seed
        self._lay_out()

    @rule(model=st.sampled_from(MODELS))
    def change_model(self, model: str) -> None:
        self.model = model
        self._lay_out()

    @precondition(lambda self: any(self.folder.glob("store/fields/.scratch/*/*")))
    @rule(seed=st.integers(0, 1000), how=st.sampled_from(("flip", "cut", "empty", "remove")))
    def damage_the_work(self, seed: int, how: str) -> None:
        chance = random.Random(seed)
        work = sorted(path for path in (self.folder / "store/fields/.scratch").rglob("*") if path.is_file())
        path = chance.choice(work)
        data = bytearray(path.read_bytes())
        if how == "flip" and data:
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        path.write_bytes({"cut": data[: len(data) // 2], "empty": b""}.get(how, data))
        if how == "remove":
            path.unlink()
        archive.later(self.folder)
        self.injected["state machine: damaged work"] += 1

    @rule()
    def lose_the_product(self) -> None:
        (self.folder / "store/fields/products/scene/scene.tif").unlink(missing_ok=True)

    @invariant()
    def nothing_wrong_is_seen(self) -> None:
        """P1: every file under a published name is complete, and with a receipt they belong together."""
        if not hasattr(self, "folder"):
            return
        found = files(self.folder)
        wrong = [name for name, data in found.items() if all(right[name] != data for right in self.right.values())]
        receipt = self.folder / "store/fields/products/scene/scene.receipt.json"
        if receipt.exists() and "scene.tif" in found and found not in self.right.values():
            wrong.append(f"files of two runs under one receipt: {sorted(found)}")
        assert not wrong

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder, ignore_errors=True)


@pytest.mark.slow
def test_the_life_of_a_scene(injected: Injected) -> None:
    torch.set_num_threads(1)
    run_state_machine_as_test(
        SceneLife,
        settings=settings(
            max_examples=6,
            stateful_step_count=12,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    for kind, count in SceneLife.injected.items():
        injected(kind, count)
