"""The model that ships: whole, documented, and worth its name."""

from __future__ import annotations

import pytest

from benchmarks.quality import PHOTOGRAPHS, score_photographs
from srcore.checkpoints import locate
from srcore.errors import SourceError
from srcore.training.config import RECIPES, data_folder, read_config
from srcore.training.evaluate import sensor_means
from srcore.weights import load_generator


def test_it_loads_and_was_made_by_the_shipped_recipe() -> None:
    folder = locate("srcore-x2")
    spec, generator = load_generator(folder)
    recipe = read_config(RECIPES / "srcore-x2.yaml")
    assert spec.architecture == recipe.architecture
    assert spec.halo == (generator.halo, generator.halo)
    assert spec.training["steps"] == recipe.steps
    assert [source["files"] for source in spec.training["sources"]] == [source.files for source in recipe.sources]


def test_its_card_carries_the_attribution_and_the_limits() -> None:
    card = (locate("srcore-x2") / "README.md").read_text()
    recipe = read_config(RECIPES / "srcore-x2.yaml")
    assert recipe.attribution.strip() in card
    assert recipe.limits.strip() in card


def test_it_beats_bicubic_on_photographs_it_never_saw() -> None:
    try:
        images = data_folder(PHOTOGRAPHS / "Set5")
    except SourceError as absent:
        pytest.skip(str(absent))
    mean = sensor_means(score_photographs(load_generator(locate("srcore-x2"))[1], images))["mean"]
    assert mean["psnr"] > mean["psnr_bicubic"] + 3
    assert mean["ssim"] > mean["ssim_bicubic"] + 0.02
