"""Retrain, promote, night, receipt, rollback: end to end on drawn scenes, with what the registry keeps of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image

from flows.retrain import retrain_dataset
from srcore.catalog import load_catalog
from srcore.checkpoints import read_spec
from srcore.dispatch import Workers
from srcore.engine import choose_precision
from srcore.errors import SourceError
from srcore.registry.mlflow_store import open_registry
from srcore.registry.references import resolve
from srcore.run.afterwards import with_afterwards
from srcore.run.dataset import run_dataset
from srcore.run.outcome import Outcome
from srcore.run.scene import rehearse, run_scene
from srcore.run.states import scene_states
from srcore.storage.archive.publish import Receipt
from srcore.storage.disk.files import sha256_file
from srcore.training.told import pictures
from tests.training.retrain_cases import draw_archive, register_tiny

pytest.importorskip("mlflow", reason="the registry needs MLflow (extra: train)")


@pytest.fixture(autouse=True)
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry whose only model, tiny, is hardly more than cubic convolution."""
    monkeypatch.setenv("SRCORE_REGISTRY", f"sqlite:///{tmp_path}/registry/registry.db")
    monkeypatch.setenv("SRCORE_CACHE", str(tmp_path / "cache"))
    register_tiny(tmp_path)


@pytest.fixture
def archive(tmp_path: Path) -> Callable[..., Path]:
    """Scenes of texture with their LR, each a place of its own, and the catalog on them."""

    def make(before: str = "", **options: object) -> Path:
        path = draw_archive(tmp_path, **options)  # type: ignore[arg-type]
        path.write_text(path.read_text().replace("    model:", f"    products: [cog]\n{before}    model:"))
        return path

    return make


def night(catalog: Path) -> list[Outcome]:
    run = partial(run_dataset, catalog, "drawn", lambda job: run_scene(job, Workers(0)), limit=4)
    return with_afterwards(load_catalog(catalog), "drawn", run, lambda job: rehearse(job, Workers(0)))


def receipts(outcomes: list[Outcome]) -> dict[str, Receipt]:
    return {one.scene: one.receipt for one in outcomes if one.receipt is not None}


def test_a_promotion_is_used_by_the_next_night_at_full_speed_and_rolled_back_by_one_command(
    archive: Callable[..., Path], tmp_path: Path
) -> None:
    catalog = archive("    reprocess: all\n", count=20)
    first = receipts(night(catalog))
    assert {one.parameters["model_version"] for one in first.values()} == {"1"}
    assert len(first) == 4
    seen: list[tuple[int, int]] = []

    def call(step: str, function: Callable[..., object]) -> object:
        return function(lambda done, of: seen.append((done, of)) if step == "fit" else None)

    decision = retrain_dataset(catalog, "drawn", call)
    assert decision.promoted, decision.reason
    assert decision.stopped == {}
    assert seen[:3] == [(1, 60), (2, 60), (3, 60)], "every step of the fit is told, for a bar with an ETA"
    second = receipts(night(catalog))
    champion = resolve("tiny@champion")
    told = {(one.parameters["model_version"], one.model_digest) for one in second.values()}
    assert told == {("2", champion.digest)}
    assert set(second) == set(first), "what the champion before made is due, by its key `reprocess`"
    spec = read_spec(champion.folder)
    assert spec.precision == "bfloat16", "what the numerics gate lets pass is written, or a night has half the speed"
    precision = choose_precision("auto", spec, torch.device("cpu"))
    assert {one.parameters["precision"] for one in second.values()} == {precision}
    gains = [{c["id"]: c["value"] for c in one.checks}["reference.gain"] for one in (first["a_0"], second["a_0"])]
    assert gains[1] > gains[0] + 0.5
    open_registry().rollback("tiny", who="me", why="a test")
    [promotion, rollback] = open_registry().history("tiny")
    assert (promotion.who, promotion.after, promotion.why.startswith("drawn: +")) == ("retrain", "2", True)
    assert (rollback.what, rollback.after, rollback.who, rollback.why) == ("rollback", "1", "me", "a test")
    again = {one.scene for one in scene_states(load_catalog(catalog), "drawn") if one.state == "changed"}
    assert again == set(first)
    catalog.write_text(catalog.read_text().replace("reprocess: all", "reprocess: never"))
    states = [one.state for one in scene_states(load_catalog(catalog), "drawn")]
    assert (states.count("published"), states.count("new")) == (4, 16)
    _check_run(tmp_path)


def _check_run(folder: Path) -> None:
    """The challenger's run in the registry: curve, recipe, digests, pictures."""
    registry = open_registry()
    version = registry.find("tiny", "2")
    assert version is not None
    run = registry.client.search_model_versions("name = 'tiny'")[0].run_id
    curve = registry.client.get_metric_history(run, "fit/loss")
    assert [one.step for one in curve] == [20, 40, 60]
    assert all(0 < one.value < 1 for one in curve)
    registry.fetch(version, folder / "got")
    kept = Path(registry.client.download_artifacts(run, "", str(folder)))
    recipe = yaml.safe_load((kept / "recipe.yaml").read_text())
    assert (recipe["steps"], recipe["core_px"], "data" in recipe) == (60, 16, False)
    data = json.loads((kept / "data.json").read_text())
    assert (len(data), sum(one["held_out"] for one in data.values())) == (20, 10)
    assert data["a_0"]["sha256"] == [sha256_file(folder / "lr/a_0.tif"), sha256_file(folder / "hr/a_0.tif")]
    pictures = sorted(kept.glob("pictures/*.png"))
    assert len(pictures) == 3
    assert {path.stem for path in pictures} <= {name for name, one in data.items() if one["held_out"]}
    with Image.open(pictures[0]) as opened:
        assert opened.width > 4 * 96


def test_a_gate_that_the_challengers_products_do_not_pass_keeps_it_out(archive: Callable[..., Path]) -> None:
    catalog = archive("    checks: {detail.most: {gate: 1.8}}\n", count=20)
    decision = retrain_dataset(catalog, "drawn")
    assert not decision.promoted
    scene, told = min(decision.stopped.items())
    assert told.startswith("detail.most is ")
    assert f"but its product of {scene} would be stopped by a gate ({told})" in decision.reason
    assert f"Not published: {scene}, gate {told}" in Path(decision.page).read_text()


def test_nothing_of_a_restricted_dataset_reaches_a_model_or_the_registry(
    archive: Callable[..., Path], tmp_path: Path
) -> None:
    catalog = archive("    privacy: restricted\n", count=8)
    with pytest.raises(SourceError) as refused:
        retrain_dataset(catalog, "drawn")
    assert refused.value.code == "RESTRICTED"
    assert [one.version for one in open_registry().versions("tiny")] == ["1"]
    entry = load_catalog(catalog).dataset("drawn")
    assert pictures(tmp_path / "tiny", tmp_path, entry) == {}, "and no picture of it could be drawn"
