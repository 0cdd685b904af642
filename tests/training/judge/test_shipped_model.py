"""The model that ships: whole, documented, and worth its name."""

from __future__ import annotations

import pytest

from benchmarks.quality import PHOTOGRAPHS, score_photographs
from srcore.checkpoints import builtin_names, locate, read_spec
from srcore.errors import SourceError
from srcore.memory.whole import open_whole
from srcore.training.config import RECIPES, data_folder, read_config
from srcore.training.judge.evaluate import sensor_means
from srcore.weights import load_generator

SHIPPED = [name for name in builtin_names() if read_spec(locate(name)).weights_sha256]


def test_every_trained_model_that_ships_has_its_recipe() -> None:
    assert {"srcore-x2", "srcore-x2-fast", "srcore-x4", "srcore-volume-x2"} <= set(SHIPPED)
    assert set(SHIPPED) <= {path.stem for path in RECIPES.glob("*.yaml")}


@pytest.mark.parametrize("name", SHIPPED)
def test_it_loads_and_was_made_by_the_shipped_recipe(name: str) -> None:
    folder = locate(name)
    spec, generator = load_generator(folder)
    recipe = read_config(RECIPES / f"{name}.yaml")
    assert spec.architecture == recipe.architecture
    assert set(spec.halo) == {generator.halo}
    assert spec.activation_bytes_px >= 400
    assert spec.training["steps"] == recipe.steps
    assert [source["files"] for source in spec.training["sources"]] == [source.files for source in recipe.sources]


@pytest.mark.parametrize("name", SHIPPED)
def test_its_card_carries_the_attribution_and_the_limits(name: str) -> None:
    card = (locate(name) / "README.md").read_text()
    recipe = read_config(RECIPES / f"{name}.yaml")
    assert recipe.attribution.strip() in card
    assert recipe.limits.strip() in card


@pytest.mark.parametrize("name", SHIPPED)
def test_it_was_better_than_interpolation_on_every_sensor(name: str) -> None:
    for sensor, figures in read_spec(locate(name)).metrics.items():
        assert figures["psnr"] > figures["psnr_bicubic"] + 0.4, sensor
        assert figures["ssim"] > figures["ssim_bicubic"], sensor


@pytest.mark.parametrize(("name", "gain"), [("srcore-x2", 3.0), ("srcore-x2-fast", 3.0), ("srcore-x4", 2.0)])
def test_it_beats_bicubic_on_photographs_it_never_saw(name: str, gain: float) -> None:
    try:
        images = data_folder(PHOTOGRAPHS / "Set5")
    except SourceError as absent:
        pytest.skip(str(absent))
    mean = sensor_means(score_photographs(open_whole(*load_generator(locate(name))), images))["mean"]
    assert mean["psnr"] > mean["psnr_bicubic"] + gain
    assert mean["ssim"] > mean["ssim_bicubic"] + 0.02
