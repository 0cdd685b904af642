"""Retraining end to end on drawn scenes: a better challenger is promoted and used, a worse one is kept out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from flows.cli import main
from flows.retrain import in_words, retrain_dataset
from srcore.catalog import load_catalog
from srcore.checkpoints import BUILTIN, read_spec
from srcore.dispatch import Workers
from srcore.errors import CatalogError, SourceError, StoreError
from srcore.registry.mlflow_store import open_registry
from srcore.registry.references import resolve
from srcore.report.evaluation import Figures, Method, SceneFigures, Speed
from srcore.run.direct import direct_job
from srcore.run.scene import run_scene
from srcore.run.states import scene_states
from srcore.storage.disk.records import read_sealed, write_sealed
from srcore.training import promote
from srcore.training.judge.compare import summarised
from srcore.training.judge.rule import decide
from srcore.training.judge.scores import compared, speed_ratio
from srcore.training.pairs.find import Pair
from srcore.training.round import Round, lay_out
from srcore.weights import load_generator, save_checkpoint
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
    return partial(draw_archive, tmp_path)


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
    assert (decision.pairs, decision.held, decision.places, decision.attempt) == (20, 10, 10, 1)
    assert decision.reason.endswith("10 held-out places, try 1), and nothing is worse than its margin")
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
    learned = read_sealed(tmp_path / "archive/drawn/retrain/learned.json")["scenes"]
    assert len(learned) == decision.pairs - decision.held
    [change] = open_registry().history("tiny")
    assert (change.what, change.before, change.after, change.who) == ("promote", "1", "2", "retrain")
    assert change.why == f"drawn: {decision.reason}"
    assert open_registry().rollback("tiny").version == "1"


def test_one_that_is_no_better_is_kept_out_with_the_reason(archive: Callable[..., Path], tmp_path: Path) -> None:
    catalog = archive(steps=2, rate=1e-7, measured=False)
    text = catalog.read_text()
    catalog.write_text(text.replace("    model:", "    back_projection: 2\n    sharpen: 0.1\n    model:"))
    decision = retrain_dataset(catalog, "drawn")
    assert not decision.promoted
    assert "but more than 0.05 dB are asked" in decision.reason
    assert decision.attempt == 1
    versions = {one.version: one.aliases for one in open_registry().versions("tiny")}
    assert versions == {"1": ("champion",), "2": ("challenger",)}
    assert resolve("tiny@champion").version == "1"
    page = Path(decision.page).read_text()
    assert "Kept out:" in page
    assert "Judged as published: 2 steps of back-projection, sharpen 0.1." in page


def test_what_the_champion_knows_is_replayed_beside_what_is_new(archive: Callable[..., Path]) -> None:
    """A promotion remembers what was learned; the next round mixes it with new scenes by the share asked for."""
    work = lay_out(load_catalog(archive(more=", replay: 0.3")), "drawn")
    names = sorted(pair.scene for pair in work.pairs if not pair.held)
    promote.collect(work, lambda *_: None)
    alone = promote._replayed(work)
    assert [source.files for source in alone.sources] == ["new/hr/*"]
    write_sealed(work.learned, {"scenes": names[:2]})
    shutil.rmtree(work.folder)
    promote.collect(work, lambda *_: None)
    mixed = promote._replayed(work)
    assert [(source.files, source.share, source.lr) for source in mixed.sources] == [
        ("known/hr/*", 0.3, "known/lr"),
        ("new/hr/*", 0.7, "new/lr"),
    ]
    known = {path.stem for path in (work.folder / "pairs/train/known/hr").iterdir()}
    assert known == set(names[:2])
    assert {path.stem for path in (work.folder / "pairs/train/new/hr").iterdir()} == set(names[2:])


def test_a_challenger_learns_as_its_champion_did(archive: Callable[..., Path], tmp_path: Path) -> None:
    """How LR is made, and what stands behind the generator, are the champion's unless the recipe says otherwise."""
    folder = resolve("tiny@champion").folder
    spec = json.loads((folder / "config.json").read_text())
    blur = [{"kind": "sensor", "share": 1.0, "mtf": [0.2, 0.3], "noise": [0.0, 0.01], "shift": 0.0}]
    spec["training"] |= {"degradation": blur, "back_projection": 1}
    (folder / "config.json").write_text(json.dumps(spec))
    catalog = archive(measured=False)
    recipe = lay_out(load_catalog(catalog), "drawn").recipe
    assert (recipe.back_projection, recipe.degradation[0].mtf) == (1, (0.2, 0.3))
    with (tmp_path / "recipe.yaml").open("a") as file:
        file.write("degradation: {kind: box}\n")
    assert lay_out(load_catalog(catalog), "drawn").recipe.degradation[0].kind == "box"


def test_the_held_out_places_stay_held_out(archive: Callable[..., Path]) -> None:
    first = {pair.scene for pair in lay_out(load_catalog(archive(count=6)), "drawn").pairs if pair.held}
    later = lay_out(load_catalog(archive(count=24)), "drawn").pairs
    held = {pair.scene: pair.place for pair in later if pair.held}
    assert (len(first), len(held), len(set(held.values()))) == (3, 10, 10)
    assert first < set(held)
    newest = lay_out(load_catalog(archive(count=24, more=", scenes: 5")), "drawn").pairs
    assert {pair.scene for pair in newest if pair.held} == set(held), "what judges does not depend on what is new"


def test_few_places_train_and_do_not_promote(archive: Callable[..., Path]) -> None:
    decision = retrain_dataset(archive(count=12, steps=2), "drawn")
    assert not decision.promoted
    assert decision.reason == "not enough places for try 1: 6 of 10"
    assert decision.attempt == 0, "and no try is spent"


def test_scenes_without_a_place_are_told_before_the_training(archive: Callable[..., Path], tmp_path: Path) -> None:
    catalog = archive(count=12, crs=None)
    with pytest.raises(SourceError, match="no scene has a CRS: say what of a file's path is its place"):
        lay_out(load_catalog(catalog), "drawn")
    assert not (tmp_path / "archive/drawn/retrain/split.json").exists(), "nothing is decided for good"
    work = lay_out(load_catalog(archive(count=12, crs=None, more=", place: '_([0-9]+)'")), "drawn")
    assert len({pair.place for pair in work.pairs if pair.held}) == 6


def test_a_round_that_was_killed_goes_on(archive: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = archive(count=8, steps=4, rate=1e-7)

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


GOOD = [0.3, 0.4, 0.35, 0.3, 0.2, 0.4, 0.35, 0.25]


@pytest.mark.parametrize(
    ("gains", "promoted", "why"),
    [
        ({"a": GOOD, "b": GOOD}, True, "nothing is worse than its margin"),
        ({"a": [*GOOD, *[-0.4] * 6], "b": GOOD}, False, "the low end has to be above 0"),
        ({"a": [0.9] * 14, "b": [-0.15]}, False, "but sensor b loses 0.150 dB: at most 0.1 are allowed"),
        ({"a": [float("nan"), *GOOD], "b": GOOD}, False, "the gain on a_0.tif is no score: nan"),
        ({"a": GOOD}, False, "not enough places for try 1: 8 of 10"),
    ],
)
def test_the_rule_on_an_evaluation(gains: dict[str, list[float]], promoted: bool, why: str) -> None:
    scenes = [
        SceneFigures(
            f"{sensor}_{index}.tif",
            sensor,
            {"bicubic": Figures(29, 0.8), "champion": Figures(30, 0.8), "challenger": Figures(30 + gain, 0.8)},
        )
        for sensor, values in gains.items()
        for index, gain in enumerate(values)
    ]
    methods = [Method("bicubic"), Method("champion", "x"), Method("challenger", "y")]
    pairs = {
        one.scene[:-4]: Pair(one.scene[:-4], (), (), (), None, (), True, f"around {one.scene[:-4]}") for one in scenes
    }
    found = decide(compared(summarised(("", "", ""), methods, scenes), pairs), 1)
    assert (found.promoted, why in found.reason) == (promoted, True), found


def test_speed_is_that_of_the_models_and_not_of_a_busy_machine(archive: Callable[..., Path]) -> None:
    spec = read_spec(BUILTIN / "srcore-x2")
    timed = summarised(
        ("", "", ""),
        [
            Method("champion", speed=Speed(2.0, "eager", "bfloat16")),
            Method("challenger", speed=Speed(1.0, "eager", "float32")),
        ],
        [SceneFigures("a.tif", "a", {"champion": Figures(30, 0.8), "challenger": Figures(31, 0.8)})],
    )
    slow = spec.model_copy(update={"precision": "float32"})
    assert spec.precision == "bfloat16"
    assert speed_ratio(timed, spec, spec) == speed_ratio(timed, slow, spec) == 1.0
    assert speed_ratio(timed, spec, slow) == 0.5


def test_a_champion_that_changed_meanwhile_is_not_replaced(
    archive: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    catalog = archive(count=8, steps=2)
    fit = promote.fit

    def meanwhile(work: Round, progress: promote.Progress) -> Path:
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


def test_too_few_pairs_are_told_in_one_line(archive: Callable[..., Path]) -> None:
    with pytest.raises(SourceError, match="too few pairs to retrain on; found 3 scenes"):
        retrain_dataset(archive(count=3), "drawn")


def test_one_bad_pair_stops_nothing(
    archive: Callable[..., Path], tmp_path: Path, write_raster: Callable[..., Path]
) -> None:
    catalog = archive(count=12, steps=2)
    pairs = lay_out(load_catalog(catalog), "drawn").pairs
    held, trained = ([pair.scene for pair in pairs if pair.held is side] for side in (True, False))
    shutil.rmtree(tmp_path / "archive")
    short, large, flat, empty = trained[:4]
    bad: dict[str, tuple[np.ndarray, dict[str, object]]] = {
        short: (np.zeros((1, 110, 96), np.uint16), {}),
        large: (np.zeros((1, 192, 192), np.uint16), {}),
        flat: (np.full((1, 96, 96), 7, np.uint16), {}),
        empty: (np.zeros((1, 96, 96), np.uint16), {"nodata": 0}),
        held[0]: (np.full((1, 96, 96), 7, np.uint16), {}),
    }
    for index, (scene, (values, options)) in enumerate(bad.items()):
        values[0, 0, 0] += np.uint16(index if scene in (short, large) else 0)
        write_raster(tmp_path / "hr" / f"{scene}.tif", values, **options)
    (tmp_path / "hr" / f"{trained[4]}.tif").write_bytes(b"no raster")
    decision = retrain_dataset(catalog, "drawn")
    assert decision.code == "", decision.reason
    told = decision.left_out
    assert told[short].startswith("NOT_A_MULTIPLE")
    assert "the model's scale asks for 2 x 2" in told[large]
    assert "the HR is one number in every band" in told[flat]
    assert "the HR is nodata alone" in told[empty]
    assert told[trained[4]].startswith("NOT_SUPPORTED")
    assert len(told) >= 5


def test_a_round_that_fails_is_recorded_and_not_repeated(
    archive: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = archive(count=8, steps=50, rate=1e30)
    decision = retrain_dataset(catalog, "drawn")
    assert (decision.promoted, decision.code) == (False, "TRAINING_FAILED")
    assert "training stopped at step" in decision.reason
    assert [one.version for one in open_registry().versions("tiny")] == ["1"]
    monkeypatch.setattr(promote, "fit", None)  # would be called
    again = retrain_dataset(catalog, "drawn")
    assert again.repeated
    assert "nothing new since" in in_words(again)
    assert "training stopped" in in_words(again)


def test_a_challenger_that_makes_no_numbers_is_kept_out(
    archive: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = promote.fit

    def diverged(work: Round, progress: promote.Progress) -> Path:
        folder = fit(work, progress)
        spec, generator = load_generator(folder)
        torch.nn.init.constant_(generator.tail.weight, float("nan"))  # type: ignore[union-attr, arg-type]
        save_checkpoint(folder, spec, generator, "")
        return folder

    monkeypatch.setattr(promote, "fit", diverged)
    decision = retrain_dataset(archive(count=8, steps=2), "drawn")
    assert (decision.promoted, decision.code, decision.challenger) == (False, "DIVERGED", "")
    assert decision.reason.startswith("DIVERGED: the challenger diverged; found numbers up to nan spans of its input")


def test_a_registry_that_would_not_take_the_challenger_is_told_before_the_training(
    archive: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = archive(count=8)
    resolve("tiny@champion")
    database = tmp_path / "registry/registry.db"
    database.rename(tmp_path / "away.db")
    monkeypatch.setattr(promote, "collect_pairs", None)  # would be called
    with pytest.raises(StoreError, match="was there, and is gone"):
        retrain_dataset(catalog, "drawn")
    database.write_bytes(b"not a database" * 100)
    with pytest.raises(StoreError, match="is damaged"):
        retrain_dataset(catalog, "drawn")


def test_scenes_smaller_than_a_patch_are_told(archive: Callable[..., Path], tmp_path: Path) -> None:
    catalog = archive(count=8)
    (tmp_path / "recipe.yaml").write_text("core_px: 64\n")
    with pytest.raises(SourceError, match=r"too few pairs to train on.*too small for a training patch"):
        retrain_dataset(catalog, "drawn")
    assert "too small" in in_words(retrain_dataset(catalog, "drawn")), "and is not tried again"
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
    archive(count=8, steps=2, rate=1e-7)
    monkeypatch.setattr("sys.argv", ["srcore", "retrain", "drawn", "--catalog", str(catalog), "--json"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert json.loads(capsys.readouterr().out)["promoted"] is False
