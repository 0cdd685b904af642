"""A promotion: which products it makes due under each value of `reprocess`, in which words, and a rollback."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
import torch

from srcore.catalog import load_catalog
from srcore.dispatch import Workers
from srcore.registry.mlflow_store import open_registry
from srcore.run.champion import DAY_NS, NEW_DAYS
from srcore.run.dataset import run_dataset
from srcore.run.outcome import Outcome
from srcore.run.scene import run_scene
from srcore.run.states import SceneState, scene_states
from srcore.weights import load_generator, save_checkpoint
from tests.training.retrain_cases import draw_archive, register_tiny

pytest.importorskip("mlflow", reason="the registry needs MLflow (extra: train)")


@pytest.fixture
def catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three published scenes, of which one has an old file, by the first version of tiny."""
    monkeypatch.setenv("SRCORE_REGISTRY", f"sqlite:///{tmp_path}/registry/registry.db")
    monkeypatch.setenv("SRCORE_CACHE", str(tmp_path / "cache"))
    register_tiny(tmp_path)
    path = draw_archive(tmp_path, count=3, side=64)
    path.write_text(path.read_text().replace("    retrain:", "    products: [cog]\n    retrain:"))
    old = time.time_ns() - (NEW_DAYS + 1) * DAY_NS
    os.utime(tmp_path / "lr/a_0.tif", ns=(old, old))
    assert {one.result for one in night(path)} <= {"published", "degraded"}
    return path


def night(catalog: Path, *, outdated: bool = False) -> list[Outcome]:
    return run_dataset(catalog, "drawn", lambda job: run_scene(job, Workers(0)), outdated=outdated)


def promote(folder: Path) -> None:
    """A second version, hardly another."""
    spec, generator = load_generator(folder / "tiny")
    torch.nn.init.constant_(generator.tail.weight, 1e-6)  # type: ignore[union-attr, arg-type]
    save_checkpoint(folder / "other", spec, generator, "")
    version = open_registry().register(folder / "other", "tiny")
    open_registry().promote("tiny", version.version, who="me", why="a test")


def states(catalog: Path, reprocess: str) -> dict[str, SceneState]:
    lines = [line for line in catalog.read_text().splitlines() if "reprocess" not in line]
    at = next(index for index, line in enumerate(lines) if line.startswith("    model:"))
    catalog.write_text("\n".join([*lines[:at], f"    reprocess: {reprocess}", *lines[at:]]))
    return {one.scene: one for one in scene_states(load_catalog(catalog), "drawn")}


def test_a_promotion_makes_due_what_reprocess_says(catalog: Path, tmp_path: Path) -> None:
    assert [one.due for one in scene_states(load_catalog(catalog), "drawn")] == [False] * 3
    promote(tmp_path)
    due = {word: sum(one.due for one in states(catalog, word).values()) for word in ("never", "new", "all")}
    assert due == {"never": 0, "new": 2, "all": 3}
    now = "made by version 1 of tiny@champion, which is version 2 now"
    found = states(catalog, "new")
    assert (found["a_0"].state, found["a_0"].reason.split("; ", 1)[1]) == (
        "published",
        f"{now}: it stays (reprocess: new)",
    )
    assert (found["b_1"].state, found["b_1"].reason) == ("changed", f"{now} (reprocess: new)")
    assert {one.outdated for one in states(catalog, "never").values()} == {True}


def test_never_leaves_products_and_new_scenes_are_the_new_champions(catalog: Path, tmp_path: Path) -> None:
    promote(tmp_path)
    (tmp_path / "lr/c_9.tif").write_bytes((tmp_path / "lr/a_2.tif").read_bytes())
    with (tmp_path / "lr/b_1.tif").open("ab") as file:
        file.write(b"\0")
    made = {one.scene: one.receipt for one in night(catalog) if one.receipt is not None}
    assert {scene: one.parameters["model_version"] for scene, one in made.items()} == {"b_1": "2", "c_9": "2"}
    assert [one.result for one in night(catalog)] == ["up to date"] * 4
    open_registry().rollback("tiny")
    stays = [one.reason for one in scene_states(load_catalog(catalog), "drawn")]
    assert ["version 2 of tiny@champion, which is version 1 now" in reason for reason in stays] == [
        False,
        False,
        True,
        True,
    ]
    made = {one.scene: one.receipt for one in night(catalog, outdated=True) if one.receipt is not None}
    assert {scene: one.parameters["model_version"] for scene, one in made.items()} == {"b_1": "1", "c_9": "1"}


def test_what_is_no_promotion_makes_due_as_it_did(catalog: Path, tmp_path: Path) -> None:
    promote(tmp_path)
    text = catalog.read_text()
    catalog.write_text(text.replace("    model:", "    back_projection: 2\n    model:"))
    assert {one.reason for one in scene_states(load_catalog(catalog), "drawn")} == {
        "the model or the configuration changed"
    }
    catalog.write_text(
        text.replace("model: tiny@champion", "model: bicubic-x2").replace("    retrain:", "    # retrain:")
    )
    assert all(one.due for one in scene_states(load_catalog(catalog), "drawn"))
