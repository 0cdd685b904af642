"""Retraining end to end on drawn scenes: a better challenger is promoted and used, a worse one is kept out."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flows.cli import main
from flows.retrain import in_words, retrain_dataset
from srcore.catalog import load_catalog
from srcore.dispatch import Workers
from srcore.errors import CatalogError, GridError, SourceError
from srcore.registry.mlflow_store import open_registry
from srcore.registry.references import resolve
from srcore.report.evaluation import Figures, Method, SceneFigures
from srcore.run.dataset import scene_states
from srcore.run.direct import direct_job
from srcore.run.scene import run_scene
from srcore.training import promote
from srcore.training.judge.compare import summarised
from srcore.training.promote import judge, lay_out
from tests.training.retrain_cases import Write, draw_archive, register_tiny

pytest.importorskip("mlflow", reason="the registry needs MLflow (extra: train)")


@pytest.fixture(autouse=True)
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry whose only model, tiny, is hardly more than cubic convolution."""
    monkeypatch.setenv("SRCORE_REGISTRY", f"sqlite:///{tmp_path}/registry/registry.db")
    monkeypatch.setenv("SRCORE_CACHE", str(tmp_path / "cache"))
    register_tiny(tmp_path)


@pytest.fixture
def archive(tmp_path: Path, write_raster: Write) -> Callable[..., Path]:
    """Six scenes of texture with their LR, and the catalog on them."""
    return partial(draw_archive, tmp_path, write_raster)


def upscaled(folder: Path) -> Any:
    job = direct_job(
        str(folder / "lr" / "a_0.tif"), folder / "out" / "sr.tif", model="tiny@champion", overwrite=True, validate=False
    )
    return run_scene(job, Workers(0))


def test_a_better_challenger_is_promoted_and_used(archive: Callable[..., Path], tmp_path: Path) -> None:
    catalog = archive()
    before = upscaled(tmp_path)
    decision = retrain_dataset(catalog, "drawn")
    assert decision.promoted, decision.reason
    assert (decision.pairs, decision.held) == (6, 2)
    after = upscaled(tmp_path)
    assert after.model_digest == resolve("tiny@champion").digest != before.model_digest
    assert after.parameters["model_reference"] == "tiny@champion"
    assert (before.parameters["model_version"], after.parameters["model_version"]) == ("1", "2")
    states = scene_states(load_catalog(catalog), "drawn")
    assert {(state.job.model.registered, state.job.model.version) for state in states} == {("tiny@champion", "2")}
    page = Path(decision.page).read_text()
    assert "Promoted:" in page
    assert "challenger over champion" in page
    assert "Judged as published: 1 step of back-projection, no filters." in page
    assert "http" not in page.replace("http-equiv", "")
    assert not (tmp_path / "archive/drawn/.retrain").exists()
    again = retrain_dataset(catalog, "drawn")
    assert again.repeated
    assert "nothing new" in in_words(again)
    assert open_registry().rollback("tiny").version == "1"


def test_one_that_is_no_better_is_kept_out_with_the_reason(archive: Callable[..., Path], tmp_path: Path) -> None:
    catalog = archive(steps=2, rate=1e-7, measured=False)
    text = catalog.read_text()
    catalog.write_text(text.replace("    model:", "    back_projection: 2\n    sharpen: 0.1\n    model:"))
    decision = retrain_dataset(catalog, "drawn")
    assert not decision.promoted
    assert "the low end has to be 0.05 dB or more" in decision.reason
    versions = {one.version: one.aliases for one in open_registry().versions("tiny")}
    assert versions == {"1": ("champion",), "2": ("challenger",)}
    assert resolve("tiny@champion").version == "1"
    page = Path(decision.page).read_text()
    assert "Kept out:" in page
    assert "Judged as published: 2 steps of back-projection, sharpen 0.1." in page


def test_the_held_out_scenes_stay_held_out(archive: Callable[..., Path]) -> None:
    first = {pair.scene for pair in lay_out(load_catalog(archive(count=6)), "drawn").pairs if pair.held}
    later = lay_out(load_catalog(archive(count=12, more=", hold_out: 0.5")), "drawn").pairs
    assert len(first) == 2
    assert len(later) == 8  # the newest
    assert all(pair.held for pair in later if pair.scene in first)
    assert sum(pair.held for pair in later) >= 3


def test_a_round_that_was_killed_goes_on(archive: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = archive(steps=4, rate=1e-7)

    def ends(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(promote, "assess", ends)
        with pytest.raises(KeyboardInterrupt):
            retrain_dataset(catalog, "drawn")
    work = lay_out(load_catalog(catalog), "drawn")
    assert (work.recipe.output / "state.pt").exists()
    assert not work.record.exists()
    monkeypatch.setattr(promote, "collect_pairs", ends)  # what is there is not made again
    assert not retrain_dataset(catalog, "drawn").promoted


@pytest.mark.parametrize(
    ("gains", "promoted", "why"),
    [
        ({"a": [0.3, 0.4], "b": [0.35, 0.3]}, True, "no sensor worse"),
        ({"a": [0.3, -0.4], "b": [0.35, 0.3]}, False, "the low end has to be 0.05 dB or more"),
        ({"a": [0.9, 0.9, 0.9], "b": [-0.15]}, False, "but b loses 0.150 dB: at most 0.1 are allowed"),
        ({"a": [-0.01, -0.01]}, False, "the low end"),
    ],
)
def test_the_rule(gains: dict[str, list[float]], promoted: bool, why: str) -> None:
    scenes = [
        SceneFigures(
            f"{sensor}_{index}",
            sensor,
            {"bicubic": Figures(29, 0.8), "champion": Figures(30, 0.8), "challenger": Figures(30 + gain, 0.8)},
        )
        for sensor, values in gains.items()
        for index, gain in enumerate(values)
    ]
    methods = [Method("bicubic"), Method("champion", "x"), Method("challenger", "y")]
    settings = promote.Retrain(at_least_db=0.05, at_most_worse_db=0.1)
    found = judge(summarised(("", "", ""), methods, scenes), settings)
    assert (found[0], why in found[1]) == (promoted, True), found


def test_a_champion_that_changed_meanwhile_is_not_replaced(
    archive: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    catalog = archive()
    fit = promote.fit

    def meanwhile(work: promote.Round, progress: promote.Progress) -> Path:
        folder = fit(work, progress)
        other = open_registry().register(tmp_path / "other")
        open_registry().promote("tiny", other.version)
        return folder

    register_tiny(tmp_path / "o")  # the same again: known
    (tmp_path / "o" / "tiny").rename(tmp_path / "other")
    spec = json.loads((tmp_path / "other" / "config.json").read_text())
    (tmp_path / "other" / "config.json").write_text(json.dumps({**spec, "precision": "bfloat16"}))  # another digest
    monkeypatch.setattr(promote, "fit", meanwhile)
    decision = retrain_dataset(catalog, "drawn")
    assert not decision.promoted
    assert "the champion became version 2 during the run" in decision.reason


def test_bad_pairs_are_told_in_one_line(archive: Callable[..., Path], tmp_path: Path, write_raster: Write) -> None:
    with pytest.raises(SourceError, match="too few pairs to retrain on; found 3 scenes"):
        retrain_dataset(archive(count=3), "drawn")
    catalog = archive()
    write_raster(tmp_path / "hr" / "a_0.tif", np.zeros((1, 130, 128), np.uint16))
    with pytest.raises(GridError, match="HR and LR of a_0 do not belong together; found HR 1 bands of 130 x 128"):
        retrain_dataset(catalog, "drawn")
    write_raster(tmp_path / "hr" / "a_0.tif", np.zeros((1, 256, 256), np.uint16))
    with pytest.raises(GridError, match="the model's scale asks for an HR of 128 x 128"):
        retrain_dataset(catalog, "drawn")


def test_scenes_smaller_than_a_patch_are_told(archive: Callable[..., Path], tmp_path: Path) -> None:
    catalog = archive()
    (tmp_path / "recipe.yaml").write_text("core_px: 64\n")
    with pytest.raises(SourceError, match="too small for a training patch"):
        retrain_dataset(catalog, "drawn")
    (tmp_path / "recipe.yaml").write_text("stepps: 64\n")
    with pytest.raises(CatalogError, match="stepps"):
        retrain_dataset(catalog, "drawn")
    (tmp_path / "recipe.yaml").write_text("data: elsewhere\n")
    with pytest.raises(CatalogError, match="says what the dataset says; found data"):
        retrain_dataset(catalog, "drawn")


def test_the_command_line(
    archive: Callable[..., Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = archive(count=3)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setattr("sys.argv", ["srcore", "retrain", "drawn", "--catalog", str(catalog)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("error: too few pairs")
    archive(steps=2, rate=1e-7)
    monkeypatch.setattr("sys.argv", ["srcore", "retrain", "drawn", "--catalog", str(catalog), "--json"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert json.loads(capsys.readouterr().out)["promoted"] is False
