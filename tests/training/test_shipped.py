"""The recipes that ship: one for every family of generators, each of which trains."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from flows.cli import app
from srcore.models import GENERATORS
from srcore.training.config import RECIPES, Source, read_config, recipe_at
from srcore.training.data.batches import draw_batch
from srcore.training.fit.core import advance
from srcore.training.fit.loop import prepare
from srcore.training.shipped import shipped

NAMES = sorted(path.stem for path in RECIPES.glob("*.yaml"))


def test_every_family_that_learns_has_a_recipe() -> None:
    families = {read_config(path).architecture.name for path in RECIPES.glob("*.yaml")}
    assert families == set(GENERATORS) - {"bicubic", "cubic", "nearest"}


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_recipe_trains(
    name: str, tmp_path: Path, write_raster: Callable[..., Path], texture: np.ndarray
) -> None:
    """Two steps of it on a drawn image, by its own network, losses, degradation and critic."""
    config = read_config(RECIPES / f"{name}.yaml")
    volume = config.architecture.name in ("edsr-volume", "slices")
    if volume:
        values = np.random.default_rng(0).integers(0, 900, (60, 60, 60)).astype(np.int16)
        nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "drawn.nii.gz")
    else:
        bands = 3 if config.architecture.name == "guided" else 1
        write_raster(tmp_path / "drawn.tif", np.tile(texture[:1], (bands, 4, 4)))
    few = {"steps": 2, "batch": 2, "core_px": 4 if volume else 8, "precision": "float32", "start_from": None}
    critic = config.adversarial and config.adversarial.model_copy(update={"start": 0})
    own = {"data": tmp_path, "sources": (Source(files="drawn*", share=1),), "adversarial": critic}
    config = config.model_copy(update={**few, **own})
    state, planes, geometry = prepare(config)
    before = {name: value.clone() for name, value in state.generator.state_dict().items()}
    for step in range(2):
        losses = advance(state, *draw_batch(planes, geometry, config, step), config, torch.float32)
        assert np.isfinite(losses["loss"])
    assert any(not torch.equal(value, before[name]) for name, value in state.generator.state_dict().items())
    assert ("critic" in losses) == (config.adversarial is not None)


@pytest.mark.nightly
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("shared_data")
def test_a_shipped_recipe_finds_patches_in_all_its_images(name: str) -> None:
    """Its own sources, at the size that it trains at: a patch as large as its generator sees has to fit into each."""
    config = read_config(RECIPES / f"{name}.yaml").model_copy(update={"start_from": None})
    _, planes, _ = prepare(config)
    assert len(planes) >= len(config.sources)


def test_costs_are_counted() -> None:
    """One 3 x 3 convolution of 1 to 1 channel is 18 operations a pixel; srcore-x2 is 18 times its weights and more."""
    found = {one.config.name: one for one in shipped()}
    assert set(found) == set(NAMES)
    one = found["srcore-x2"]
    assert one.parameters == 271_728
    assert isinstance(one.config.core_px, int)
    steps = one.config.steps * one.config.batch
    lr_px = (one.config.core_px, one.config.core_px + 2 * 15)
    least, most = (2 * one.parameters * side**2 * steps * 3 for side in lr_px)
    assert least < one.operations < most


def test_the_list_names_each_with_its_purpose() -> None:
    told = CliRunner(env={"COLUMNS": "60"}).invoke(app, ["train", "--list"])
    assert told.exit_code == 0
    rows = [line.split("\t") for line in told.output.splitlines()[1:-1]]  # into a pipe: a cell a fact
    assert [row[0] for row in rows] == NAMES
    assert all(len(row) == 4 and "core hours" in row[2] and all(row) for row in rows)
    assert "+1.18 dB" in told.output


def test_a_recipe_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert recipe_at(Path("srcore-x2")) == RECIPES / "srcore-x2.yaml"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "srcore-x2").write_text("mine")
    assert recipe_at(Path("srcore-x2")) == Path("srcore-x2")
    assert recipe_at(Path("nothing")) == Path("nothing")
