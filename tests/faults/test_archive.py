"""An archive of fifty scenes, ten of them broken in ten ways: forty published, ten in quarantine, nothing else."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from typer.testing import CliRunner

import srcore.run.dataset
import srcore.run.scene
from flows.cli import app
from srcore.catalog import load_catalog
from srcore.dispatch import Workers
from srcore.run.scene import run_scene
from srcore.run.states import scene_states
from tests.faults import archive
from tests.faults.conftest import Injected

SHAPE = (20, 24)


def rewrite(path: Path, change: Callable[[dict[str, Any]], None], values: np.ndarray | None = None) -> None:
    """The raster again, with another profile or other values."""
    with rasterio.open(path) as source:
        profile, kept = dict(source.profile), source.read()
    change(profile)
    kept = kept if values is None else values
    profile.update(count=len(kept), height=kept.shape[1], width=kept.shape[2], dtype=kept.dtype)
    path.unlink()
    with rasterio.open(path, "w", **profile) as target:
        target.write(kept)


def cut(path: Path, share: float) -> None:
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])


def swap_for_link(path: Path) -> None:
    outside = path.parent.parent / "outside.tif"
    path.rename(outside)
    path.symlink_to(outside)


def complex_numbers(path: Path) -> None:
    rewrite(path, lambda profile: profile.update(nodata=None), np.ones((1, *SHAPE), np.complex64))


def alpha_that_is_none(path: Path) -> None:
    values = np.zeros((4, *SHAPE), np.uint8)
    values[3, : SHAPE[0] // 5] = np.arange(SHAPE[1]) % 250 + 3
    rewrite(path, lambda profile: profile.update(photometric="RGB", alpha="YES", nodata=None), values)


def flipped_bit(path: Path) -> None:
    rewrite(path, lambda profile: profile.update(compress="deflate"))
    data = bytearray(path.read_bytes())
    with rasterio.open(path) as source:
        offset = int(source.tags(1, ns="TIFF").get("BLOCK_OFFSET_0_0", 0))
    data[(offset or len(data) // 2) + 40] ^= 16
    path.write_bytes(bytes(data))


BROKEN: dict[str, tuple[Callable[[Path], object], set[str]]] = {
    "no raster": (lambda path: path.write_text("<html>404 Not Found</html>"), {"NOT_SUPPORTED"}),
    "empty": (lambda path: path.write_bytes(b""), {"TRUNCATED"}),
    "cut at a tenth": (lambda path: cut(path, 0.1), {"TRUNCATED"}),
    "cut at a half": (lambda path: cut(path, 0.5), {"TRUNCATED"}),
    "a bit flipped": (flipped_bit, {"DAMAGED"}),
    "complex numbers": (complex_numbers, {"NOT_SUPPORTED"}),
    "alpha that is none": (alpha_that_is_none, {"ALPHA"}),
    "out of its folder": (swap_for_link, {"OUTSIDE"}),
    "a link to nothing": (lambda path: (path.unlink(), path.symlink_to("nothing")), {"NOT_READABLE"}),
    "changes while it is read": (lambda path: None, {"SOURCE_CHANGED"}),
}
"""What is done to a scene, and the codes that may follow."""


@pytest.fixture
def fifty(tmp_path: Path) -> Path:
    """The catalog of 50 scenes, s00 to s49; every fifth is broken."""
    for number in range(50):
        path = archive.write_scene(tmp_path / "in" / f"s{number:02}.tif", seed=number, shape=SHAPE)
        if number % 5 == 2:
            list(BROKEN.values())[number // 5][0](path)
    return archive.write_catalog(tmp_path, model="nearest-x2")


@pytest.mark.slow
def test_forty_are_published_and_ten_are_quarantined_with_their_codes(
    fifty: Path, tmp_path: Path, injected: Injected, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside, away, restless = "s37", "s42", "s47"

    def run_one(
        job: Any, workers: Workers, call: Any = srcore.run.scene.plain, until: str = "publish", **more: Any
    ) -> Any:
        def wrapped(name: str, stage: Any) -> Any:
            result = call(name, stage)
            if job.scene == restless and name == "upscale":
                archive.write_scene(job.paths[0], seed=99, shape=SHAPE)
            return result

        return run_scene(job, workers, wrapped, until, **more)

    monkeypatch.setattr(srcore.run.scene, "run_scene", run_one)
    command = ["run", archive.DATASET, "--catalog", str(fifty), "--workers", "0", "--json"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 1
    outcomes = {outcome["scene"]: outcome for outcome in json.loads(result.stdout)}
    assert len(outcomes) == 50
    codes = {f"s{5 * index + 2:02}": expected for index, (_, expected) in enumerate(BROKEN.values())}
    wrong = [
        f"{scene}: {found['result']} {found['code']} {found['message']}"
        for scene, found in outcomes.items()
        if (found["result"] in ("published", "degraded")) == (scene in codes)
        or (scene in codes and found["code"] not in codes[scene])
    ]
    injected("broken scene in an archive", len(BROKEN), wrong)
    store = tmp_path / "store" / archive.DATASET
    assert {path.name for path in (store / "products").iterdir()} == set(outcomes) - set(codes)
    assert {path.stem for path in (store / "quarantine").iterdir()} == set(codes)
    known = {
        "products",
        "quarantine",
        ".scratch",
        "index.html",
        "totals.json",
        "nights.json",
        "collection.json",
        "stac",
    }
    assert {path.name for path in store.iterdir()} <= known
    monkeypatch.undo()
    states = {state.scene: state for state in scene_states(load_catalog(fifty), archive.DATASET)}
    # what lies around a scene can be right in the next run: its disk, or the folders that may be read
    assert {scene for scene, state in states.items() if state.due} == {outside, away, restless}
    again = {outcome.scene: outcome for outcome in archive.run(fifty)}
    assert again[restless].ok
    assert sum(outcome.result == "up to date" for outcome in again.values()) == 40
    assert (again[away].result, again[away].code) == ("failed", "NOT_READABLE")  # perhaps its disk is back tomorrow
    assert (again[outside].result, again[outside].code) == ("failed", "OUTSIDE")
    assert sum(outcome.result == "quarantined" for outcome in again.values()) == 7


def record(tmp_path: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((tmp_path / "store/fields/quarantine/scene.json").read_text())
    return value


def test_a_record_says_what_where_on_which_input_and_how_often(tmp_path: Path) -> None:
    source = archive.write_scene(tmp_path / "in" / "scene.tif")
    good = source.read_bytes()
    source.write_bytes(b"not a raster")
    catalog = archive.write_catalog(tmp_path)
    assert not archive.run(catalog)[0].ok
    first = record(tmp_path)
    assert (first["code"], first["attempts"], first["retryable"]) == ("NOT_SUPPORTED", 1, False)
    assert first["sources"][0]["sha256"] == hashlib.sha256(b"not a raster").hexdigest()
    assert any("SourceError" in line for line in first["log"])
    assert archive.run(catalog)[0].result == "quarantined"  # it waits
    assert not archive.run(catalog, force=True)[0].ok
    assert record(tmp_path)["attempts"] == 2
    table = CliRunner().invoke(app, ["status", "--catalog", str(catalog), "--json"])
    [row] = json.loads(table.stdout)["scenes"]
    assert row["state"] == "quarantined"
    assert row["reason"].startswith("NOT_SUPPORTED: ")
    assert row["reason"].endswith("(2 attempts)")
    os.utime(source, (1e9, 1e9))  # the same bytes
    assert archive.run(catalog)[0].result == "quarantined"
    source.write_bytes(good)
    assert archive.run(catalog)[0].ok
    assert archive.leftovers(tmp_path) == []


def test_what_can_pass_by_itself_is_due_again_and_counted(
    catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("srcore.stages.plan.free_bytes", lambda path: 10)
    for attempt in (1, 2):
        [outcome] = archive.run(catalog)
        assert outcome.code == "DISK_FULL"
        assert (record(tmp_path)["attempts"], record(tmp_path)["retryable"]) == (attempt, True)
    [state] = scene_states(load_catalog(catalog), archive.DATASET)
    assert (state.state, state.due) == ("quarantined", True)
    monkeypatch.undo()
    assert archive.run(catalog)[0].ok


STAGES = {"plan": "after it was planned", "ingest": "during the run", "validate": "during the run"}


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("change", ["rewritten", "removed"])
def test_a_source_that_changes_during_the_run_stops_it(
    stage: str, change: str, catalog: Path, tmp_path: Path, injected: Injected
) -> None:
    source = tmp_path / "in" / "scene.tif"

    def call(name: str, work: Any) -> Any:
        result = work(lambda done, total: None)
        if name == stage:
            source.unlink() if change == "removed" else archive.write_scene(source, seed=5, shape=(40, 67))
        return result

    [outcome] = srcore.run.dataset.run_dataset(catalog, archive.DATASET, lambda job: run_scene(job, Workers(0), call))
    injected(f"source {change} during the run", 1, list(archive.products(archive.published(tmp_path))))
    if change == "rewritten" or stage != "plan":
        assert outcome.code == "SOURCE_CHANGED"
        assert STAGES[stage] in outcome.message
    archive.write_scene(source, seed=5, shape=(40, 67))
    assert archive.run(catalog)[0].ok
    assert archive.leftovers(tmp_path) == []


def test_a_source_with_another_time_and_the_same_bytes_did_not_change(catalog: Path, tmp_path: Path) -> None:
    def call(name: str, work: Any) -> Any:
        result = work(lambda done, total: None)
        if name == "upscale":
            os.utime(tmp_path / "in" / "scene.tif", (1e9, 1e9))
        return result

    [outcome] = srcore.run.dataset.run_dataset(catalog, archive.DATASET, lambda job: run_scene(job, Workers(0), call))
    assert outcome.ok
