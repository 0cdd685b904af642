"""Cross-validation: each fold judged on what it did not see, resumed after a kill, told in numbers and on a page."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from flows.cli import main
from srcore.errors import StoreError
from srcore.training.config import TrainConfig, read_config
from srcore.training.fit import folds as module
from srcore.training.fit.folds import cross_validate
from srcore.training.fit.loop import fit

Recipe = Callable[..., TrainConfig]
Write = Callable[..., Path]


@pytest.fixture
def archive(tmp_path: Path, write_raster: Write, texture: np.ndarray, recipe: Recipe) -> Recipe:
    """A recipe on three places."""
    for name in ("alps_0", "alps_1", "andes_0", "<b>"):
        write_raster(tmp_path / "data" / f"{name}.tif", texture[:1])
    (tmp_path / "data" / "scene_a.tif").unlink()
    return recipe


def test_a_killed_cross_validation_goes_on(archive: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    config = archive(steps=2)
    trained: list[str] = []

    def dies(recipe: TrainConfig, **how: Any) -> Any:
        if len(trained) == 1:
            raise KeyboardInterrupt
        trained.append(recipe.name)
        return fit(recipe, **how)

    monkeypatch.setattr(module, "fit", dies)
    with pytest.raises(KeyboardInterrupt):
        cross_validate(config, 3)
    with pytest.raises(StoreError, match="holds a cross-validation"):
        cross_validate(config, 3)
    monkeypatch.setattr(module, "fit", lambda recipe, **how: trained.append(recipe.name) or fit(recipe, **how))
    for other in (config.model_copy(update={"steps": 3}), config.model_copy(update={"seed": 4})):
        with pytest.raises(StoreError, match="folds of another recipe"):
            cross_validate(other, 3, resume=True)
    found = cross_validate(config, 3, resume=True)
    assert trained == ["tiny-fold-1", "tiny-fold-2", "tiny-fold-3"]
    assert sorted(place.place for fold in found.folds for place in fold.places) == ["<b>", "alps", "andes"]
    gains = [fold.gain.mean for fold in found.folds]
    assert found.mean == pytest.approx(np.mean(gains))
    assert found.deviation == pytest.approx(np.std(gains, ddof=1))
    folder = config.output / "folds"
    assert json.loads((folder / "folds.json").read_text())["gain"]["scenes"] == 3
    page = (folder / "folds.html").read_text()
    assert "SR as published: 1 step of back-projection, no filters." in page
    assert "&lt;b&gt;" in page
    assert "<b>" not in page
    assert read_config(folder / "1/recipe.yaml").held_out == tuple(place.place for place in found.folds[0].places)


@pytest.mark.parametrize(
    ("wanted", "told"), [("1", "two folds or more"), ("4", "too few places for 4 folds"), ("x", "integer")]
)
def test_bad_folds_end_with_status_2(
    wanted: str,
    told: str,
    archive: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(archive().model_dump(mode="json")))
    monkeypatch.setattr("sys.argv", ["srcore", "train", str(tmp_path / "recipe.yaml"), "--folds", wanted])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert told in error
    assert "Traceback" not in error
    assert not (tmp_path / "run" / "folds").exists()
