"""Behind a night: the challenger in the shadow, and a champion that stops more than the one before it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from srcore.catalog import load_catalog
from srcore.checks import Report
from srcore.dispatch import Workers
from srcore.errors import SRError, TileError
from srcore.job import Job
from srcore.registry.mlflow_store import open_registry
from srcore.run.afterwards import with_afterwards
from srcore.run.dataset import run_dataset
from srcore.run.outcome import Outcome
from srcore.run.scene import rehearse, run_scene
from srcore.run.shadow import is_drawn
from srcore.storage.archive.champions import read_champions
from srcore.storage.archive.shadows import find_shadows
from srcore.weights import load_generator, save_checkpoint
from tests.training.retrain_cases import draw_archive, register_tiny

pytest.importorskip("mlflow", reason="the registry needs MLflow (extra: train)")


@pytest.fixture(autouse=True)
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry with tiny as the champion and, as the challenger, the same with noise in its last layer."""
    monkeypatch.setenv("SRCORE_REGISTRY", f"sqlite:///{tmp_path}/registry/registry.db")
    monkeypatch.setenv("SRCORE_CACHE", str(tmp_path / "cache"))
    register_tiny(tmp_path)
    spec, generator = load_generator(tmp_path / "tiny")
    torch.manual_seed(1)
    torch.nn.init.normal_(generator.tail.weight, 0, 0.1)  # type: ignore[union-attr, arg-type]
    save_checkpoint(tmp_path / "noisy", spec, generator, "")
    open_registry().name_challenger(open_registry().register(tmp_path / "noisy", "tiny"))


def archive(folder: Path, count: int, more: str, checks: str = "{}") -> Path:
    path = draw_archive(folder, count=count, side=64, more=more)
    path.write_text(
        path.read_text().replace("    retrain:", f"    products: [cog]\n    checks: {checks}\n    retrain:")
    )
    return path


def by_rehearsal(job: Job) -> Report:
    return rehearse(job, Workers(0))


def night(catalog: Path, look: object = by_rehearsal) -> list[Outcome]:
    def run() -> list[Outcome]:
        return run_dataset(catalog, "drawn", lambda job: run_scene(job, Workers(0)))

    return with_afterwards(load_catalog(catalog), "drawn", run, look)  # type: ignore[arg-type]


def notes(outcomes: list[Outcome]) -> list[Outcome]:
    return [one for one in outcomes if one.result == "note"]


def test_the_shadow_keeps_figures_and_publishes_nothing(tmp_path: Path) -> None:
    catalog = archive(tmp_path, 2, ", shadow: 1.0")
    outcomes = night(catalog)
    assert {one.receipt.parameters["model_version"] for one in outcomes if one.receipt} == {"1"}
    [note] = notes(outcomes)
    assert note.message.startswith("shadow of tiny version 2: 2 scenes in ")
    assert "against the champion: reference.gain -" in note.message
    store = tmp_path / "archive/drawn"
    kept = sorted(path.name for path in store.iterdir() if path.name != ".scratch")
    assert kept == ["champions.json", "index.html", "products", "shadow", "totals.json"]
    found = find_shadows(store / "shadow")
    assert {(one.scene, one.challenger, one.champion) for one in found} == {("a_0", "2", "1"), ("b_1", "2", "1")}
    for one in found:
        receipt = json.loads((store / f"products/{one.scene}/{one.scene}.receipt.json").read_text())
        before = {check["id"]: check["value"] for check in receipt["checks"]}
        assert one.figures["consistency.ratio"] == pytest.approx(
            before["consistency.ratio"] + one.differences["consistency.ratio"]
        )
        assert one.differences["reference.gain"] < -1, "noise"
    assert "In the shadow" in (store / "index.html").read_text()
    assert notes(night(catalog)) == [], "nothing was published, nothing is looked at"


def test_an_error_in_the_shadow_is_a_note_and_the_night_is_well(tmp_path: Path) -> None:
    def broken(job: Job) -> Report:
        raise TileError("tile 3 failed") if job.scene == "a_0" else ZeroDivisionError("by zero")

    outcomes = night(archive(tmp_path, 2, ", shadow: 1.0"), broken)
    assert all(one.ok for one in outcomes)
    assert [(one.code, one.message) for one in notes(outcomes)] == [
        ("TILE_FAILED", "no shadow of version 2 on a_0: tile 3 failed"),
        ("UNEXPECTED", "no shadow of version 2 on b_1: by zero"),
    ]
    assert not (tmp_path / "archive/drawn/.shadow").exists()


def test_without_a_share_or_a_challenger_there_is_no_shadow(tmp_path: Path) -> None:
    def never(job: Job) -> Report:
        raise SRError("asked")

    assert notes(night(archive(tmp_path, 1, ""), never)) == []
    open_registry().promote("tiny")
    (tmp_path / "archive/drawn/products/a_0/a_0.receipt.json").unlink()
    outcomes = night(archive(tmp_path, 1, ", shadow: 1.0"), never)
    assert outcomes[0].receipt is not None
    assert notes(outcomes) == []


def test_a_share_is_a_matter_of_bytes(tmp_path: Path) -> None:
    [receipt] = [one.receipt for one in night(archive(tmp_path, 1, "")) if one.receipt]
    drawn = [is_drawn(receipt, share / 100) for share in range(101)]
    assert (drawn[0], drawn[-1], drawn) == (False, True, sorted(drawn))
    many = [replace(receipt, sources=(replace(receipt.sources[0], sha256=str(index)),)) for index in range(2000)]
    assert sum(is_drawn(one, 0.1) for one in many) == pytest.approx(200, abs=45)
    renamed = replace(receipt, scene="other", sources=(replace(receipt.sources[0], path="/other.tif"),))
    assert is_drawn(renamed, 0.3) == is_drawn(receipt, 0.3)


def test_a_champion_that_stops_more_is_proposed_to_be_rolled_back(tmp_path: Path) -> None:
    strict = "{detail.most: {gate: 4.0}}"
    assert notes(night(archive(tmp_path, 5, "", strict))) == []
    open_registry().promote("tiny", who="me")
    for path in sorted((tmp_path / "lr").iterdir())[:5]:
        path.rename(path.with_name(f"new_{path.name}"))
    outcomes = night(tmp_path / "data_catalog.yaml")
    assert {one.code for one in outcomes if one.result == "failed"} == {"GATE_FAILED"}
    told = "champion 2 stops more than 1 did: 5 of 5 scenes against 0 of 5; srcore models rollback tiny"
    assert [one.message for one in notes(outcomes)] == [told]
    assert told in (tmp_path / "archive/drawn/index.html").read_text()
    assert open_registry().find("tiny", "champion").version == "2", "never by itself"  # type: ignore[union-attr]
    again = night(tmp_path / "data_catalog.yaml")
    assert "5 of 5" in notes(again)[0].message, "what is not tried is not counted twice"
    open_registry().rollback("tiny", who="me", why="gates")
    assert [one.result for one in night(tmp_path / "data_catalog.yaml")] == ["published"] * 5


def test_what_was_stopped_before_is_no_news_of_the_next_champion(tmp_path: Path) -> None:
    catalog = archive(tmp_path, 3, "", "{detail.most: {gate: 0.0}}")
    assert [one.code for one in night(catalog)] == ["GATE_FAILED"] * 3
    open_registry().promote("tiny", who="me")
    assert [one.code for one in night(catalog)] == ["GATE_FAILED"] * 3, "another champion tries them again"
    found = read_champions(tmp_path / "archive/drawn/champions.json")
    assert [(one.version, one.tried, one.stopped) for one in found.tallies] == [("1", 3, 3)]
