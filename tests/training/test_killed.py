"""A round that is killed around its promotion: run again, what it leaves is whole, and nothing is done twice."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from flows.retrain import retrain_dataset
from srcore.catalog import load_catalog
from srcore.errors import StoreError
from srcore.registry.mlflow_store import Registry, open_registry
from srcore.report.evaluation import Evaluation, Figures, Method, SceneFigures
from srcore.storage.archive.ownership import mark_round
from srcore.storage.disk.records import read_sealed, write_sealed
from srcore.training import promote, told
from srcore.training.judge.compare import summarised
from srcore.training.judge.rule import Verdict
from srcore.training.round import Round, lay_out
from srcore.weights import build, describe, save_checkpoint
from tests.training.retrain_cases import TINY, draw_archive, register_tiny

pytest.importorskip("mlflow", reason="the registry needs MLflow (extra: train)")


class Dying:
    """Counts what changes the store or the registry, and ends the process before the one of that number, from 0."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.left, self.done = -1, 0
        for place, name in ((promote, "write_sealed"), (promote, "store_at"), (Registry, "promote")):
            patch.setattr(place, name, self._dying(getattr(place, name)))

    def _dying(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            if not self.left:
                raise KeyboardInterrupt
            self.left -= 1
            self.done += 1
            return real(*arguments, **more)

        return call


@pytest.fixture
def catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of eight drawn scenes; its rounds train and judge nothing: every champion gets a challenger, and that wins."""
    monkeypatch.setenv("SRCORE_REGISTRY", f"sqlite:///{tmp_path}/registry/registry.db")
    monkeypatch.setenv("SRCORE_CACHE", str(tmp_path / "cache"))
    register_tiny(tmp_path)
    monkeypatch.setattr(promote, "collect", lambda work, _: collected(work))
    monkeypatch.setattr(promote, "fit", lambda work, _: save_checkpoint(work.recipe.output, *other(work), ""))
    monkeypatch.setattr(promote, "assess", lambda work, _: evaluated())
    monkeypatch.setattr(promote, "judge", lambda work, evaluation, attempt: Verdict(True, "better", attempt, 10, 10))
    monkeypatch.setattr(told, "pictures", lambda *_: {})
    monkeypatch.setattr(promote, "evaluation_page", lambda *_: "")
    return draw_archive(tmp_path, count=8)


def collected(work: Round) -> None:
    mark_round(work.folder)
    write_sealed(work.folder / "pairs.json", {"left_out": {}, "corrected": {}})


def other(work: Round) -> tuple[Any, Any]:
    """The challenger of a round: another one for another champion."""
    torch.manual_seed(int(work.champion.version))
    spec = describe("tiny", TINY)
    return spec, build(spec)


def evaluated() -> Evaluation:
    figures = {"bicubic": Figures(29, 0.8), "champion": Figures(30, 0.8), "challenger": Figures(31, 0.8)}
    methods = [Method("bicubic"), Method("champion", "x"), Method("challenger", "y")]
    return summarised(("", "", ""), methods, [SceneFigures("a.tif", "a", figures)])


@pytest.mark.nightly
def test_killed_before_any_step_a_round_is_whole_when_it_runs_again(
    catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dying, root = Dying(monkeypatch), tmp_path / "archive/drawn"
    trained = sorted(pair.scene for pair in lay_out(load_catalog(catalog), "drawn").pairs if not pair.held)
    for step in range(20):
        shutil.rmtree(root / "retrain")
        dying.left, killed = step, False
        try:
            decision = retrain_dataset(catalog, "drawn")
        except KeyboardInterrupt:
            dying.left, killed = -1, True
            decision = retrain_dataset(catalog, "drawn")
        assert (decision.promoted, decision.attempt) == (True, 1)
        history = open_registry().history("tiny")
        assert [one.after for one in history] == [str(2 + i) for i in range(step + 1)], "each round promotes once"
        assert read_sealed(root / "retrain/learned.json")["scenes"] == trained
        assert len(read_sealed(root / "retrain/tries.json")["challengers"]) == 1
        assert not (root / "retrain/promoting.json").exists()
        assert not (root / ".retrain").exists()
        if not killed:
            break
    assert step == 7, "every write was a point"


def test_what_a_killed_promotion_taught_is_known_to_the_next_round_and_a_rollback_holds(
    catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dying = Dying(monkeypatch)
    first = lay_out(load_catalog(catalog), "drawn")
    dying.left = 4
    with pytest.raises(KeyboardInterrupt):
        retrain_dataset(catalog, "drawn")
    dying.left = -1
    assert open_registry().rollback("tiny").version == "1"
    assert not first.learned.exists()
    draw_archive(tmp_path, count=10)
    more = lay_out(load_catalog(catalog), "drawn")
    promote.settle(more)
    assert set(promote._known(more)) == {pair.scene for pair in first.pairs if not pair.held}
    assert promote.decided(more) is None, "of other pairs"
    assert promote.decided(first) is not None
    champion = open_registry().find("tiny", "champion")
    assert champion is not None
    assert champion.version == "1", "what a person took back stays so"


def test_a_damaged_word_of_a_promotion_is_told_and_ends_no_night(
    catalog: Path, caplog: pytest.LogCaptureFixture
) -> None:
    work = lay_out(load_catalog(catalog), "drawn")
    work.promoting.parent.mkdir(parents=True, exist_ok=True)
    work.promoting.write_text("{")
    promote.settle(work)
    assert "what its champion has learned from is not remembered: promoting.json cannot be read" in caplog.text
    assert not work.promoting.exists()


def test_damaged_tries_are_told_before_the_training(
    catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # the real COLLECT
    monkeypatch.setenv("SRCORE_REGISTRY", f"sqlite:///{tmp_path}/registry/registry.db")
    monkeypatch.setenv("SRCORE_CACHE", str(tmp_path / "cache"))
    work = lay_out(load_catalog(catalog), "drawn")
    work.tries.write_text("{}")
    with pytest.raises(StoreError, match=r"tries.json is damaged; .*restore it; without it, what earlier rounds did"):
        promote.collect(work, lambda *_: None)
