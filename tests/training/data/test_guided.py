"""Pairs for guided generators: which band meets which guides, and that LR and guides are what the truth would give."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.ma as ma
import pytest
import rasterio
import torch
from pydantic import ValidationError
from scipy import ndimage

from srcore.errors import SourceError
from srcore.models.guided import Guided
from srcore.shift import beside
from srcore.training.config import RECIPES, TrainConfig, read_config
from srcore.training.data.batches import Geometry, Plane, draw_batch
from srcore.training.data.guided import coarse, drawn_bands, with_guides
from srcore.training.data.pairs import load_planes
from srcore.training.fit.loop import train
from srcore.weights import load_generator
from tests.storage.providers.products import write

HALO = 18
GEOMETRY = Geometry(core=16, halo=HALO, scale=(1, 1), zoom=2)


def recipe(folder: Path, **changed: object) -> TrainConfig:
    return TrainConfig.model_validate(
        {
            "name": "tiny-guided",
            "data": str(folder),
            "output": str(folder / "run"),
            "sources": [{"files": "*_20m.tif", "share": 1, "guides": ["_20m", "_10m"]}],
            "architecture": {"name": "guided", "params": {"width": 8, "blocks": 1, "windows": [3, 5]}},
            "degradation": {"kind": "sensor", "mtf": [0.3, 0.3]},
            "gain": [1.0, 1.0],
            "offset": [0.0, 0.0],
            "steps": 3,
            "batch": 4,
            "core_px": 16,
            "threads": 1,
            "precision": "float32",
            "device": "cpu",
            **changed,
        }
    )


def ground(side: int) -> np.ndarray:
    noise = np.random.default_rng(2).normal(size=(side, side))
    return np.asarray(3000 + 2500 * ndimage.gaussian_filter(noise, 1.5))


def archive(folder: Path) -> Path:
    """A place at 10 m and at 20 m."""
    fine = ground(160)
    write(folder / "place_10m.tif", np.stack([fine, 9000 - fine]).astype(np.uint16), 10)
    shrunk = fine.reshape(80, 2, 80, 2).mean(axis=(1, 3))
    write(folder / "place_20m.tif", np.stack([shrunk, 0.5 * shrunk, 8000 - shrunk]).astype(np.uint16), 20)
    return folder


def test_coarse_bands_meet_fine_guides_and_with_shuffle_any_meets_any() -> None:
    rng = np.random.default_rng(0)
    plain = [drawn_bands(5, 2, 2, rng, shuffle=False) for _ in range(50)]
    assert {one[0] for one in plain} == {0, 1, 2}
    assert {frozenset(one[1:]) for one in plain} == {frozenset((3, 4))}
    mixed = [drawn_bands(5, 2, 3, rng, shuffle=True) for _ in range(300)]
    assert {one[0] for one in mixed} == set(range(5))
    assert all(one[0] not in one[1:] for one in mixed)
    assert drawn_bands(2, 0, 3, rng, shuffle=False)[1:] in ([1, 1, 1], [0, 0, 0])


def test_a_batch_is_lr_with_repeated_pixels_guides_and_the_band_itself(tmp_path: Path) -> None:
    config = recipe(archive(tmp_path))
    planes = load_planes(tmp_path, config.sources, GEOMETRY, 3)
    assert [(plane.values.shape, plane.guides) for plane in planes] == [((5, 80, 80), 2)]
    for step in range(3):
        x, hr = draw_batch(planes, GEOMETRY, config, step)
        assert x.shape[0] == 4
        assert x.shape[2:] == (16 + 2 * HALO,) * 2
        assert hr.shape == (4, 1, 16, 16)
        np.testing.assert_array_equal(x[:, 0, ::2, ::2], x[:, 0, 1::2, 1::2])
        lr = coarse(x, 2)[:, 0, HALO // 2 : HALO // 2 + 8, HALO // 2 : HALO // 2 + 8]
        means = hr[:, 0].reshape(4, 8, 2, 8, 2).mean(dim=(2, 4))
        assert float((lr - means).abs().mean()) < 0.5 * float((means - means.mean()).abs().mean())
        again = draw_batch(planes, GEOMETRY, config, step)
        torch.testing.assert_close(x, again[0])


def test_guides_lie_where_the_bands_lie_nested_or_half_a_pixel_inside() -> None:
    fine = ground(240)
    hr = fine.reshape(60, 4, 60, 4).mean(axis=(1, 3))[None]
    nested = fine.reshape(120, 2, 120, 2).mean(axis=(1, 3))[None]
    inside = ndimage.uniform_filter(fine, 2)[2::2, 2::2][None]  # its centres are corners of the nested grid
    for guide in (nested, inside):
        stack = with_guides(ma.masked_array(hr), ma.masked_array(guide), 2, "place")
        assert stack.shape == (2, 60, 60)
        seen, wanted = (band - band.mean() for band in (np.asarray(stack[1], float), hr[0]))
        shift = beside(seen / np.abs(wanted).max(), wanted / np.abs(wanted).max())
        assert shift is not None
        assert np.hypot(*shift) <= 0.02
    with pytest.raises(SourceError, match="do not lie on its grid"):
        with_guides(ma.masked_array(hr), ma.masked_array(nested[:, :-1]), 2, "place")
    hidden = np.zeros(nested.shape, bool)
    hidden[0, 10, 11] = True
    stack = with_guides(ma.masked_array(hr), ma.masked_array(nested, hidden), 2, "place")
    assert ma.getmaskarray(stack)[1].sum() == 1
    assert ma.getmaskarray(stack)[1, 5, 5]


def test_one_band_alone_has_no_guide(tmp_path: Path) -> None:
    write(tmp_path / "one_20m.tif", ground(80).astype(np.uint16), 20)
    config = recipe(tmp_path, sources=[{"files": "one_20m.tif", "share": 1}])
    with pytest.raises(SourceError, match="has no guide"):
        load_planes(tmp_path, config.sources, GEOMETRY, 3)


@pytest.mark.parametrize("wrong", [{"back_projection": 1}, {"held_out": ["place"]}, {"adversarial": {}}])
def test_a_recipe_asks_for_nothing_that_a_guided_generator_does_not_have(
    tmp_path: Path, wrong: dict[str, object]
) -> None:
    with pytest.raises(ValidationError, match="guided generator"):
        recipe(tmp_path, **wrong)


def test_training_lowers_the_loss_and_leaves_a_checkpoint_that_says_what_it_takes(tmp_path: Path) -> None:
    config = recipe(archive(tmp_path), steps=12, learning_rate=2e-3, warmup_steps=1, log_every=12)
    folder = train(config)
    spec, generator = load_generator(folder)
    assert isinstance(generator, Guided)
    assert (spec.zoom, spec.scale, spec.bands) == (2, (1, 1), "any")
    card = (folder / "README.md").read_text()
    assert "guides" in card
    assert "Single-image" not in card


def test_the_shipped_recipe_trains_on_nothing_that_it_is_judged_by() -> None:
    config = read_config(RECIPES / "srcore-guided-x2.yaml")
    assert not any("/val/" in source.files for source in config.sources)
    assert config.architecture.params["zoom"] == 2


def test_planes_know_their_guides_in_a_pack(tmp_path: Path) -> None:
    from srcore.training.fit.bare import pack, unpack
    from srcore.training.fit.loop import prepare

    config = recipe(archive(tmp_path))
    state, planes, _ = prepare(config)
    pack(tmp_path / "pack", config, planes, state)
    _, found, _ = unpack(tmp_path / "pack")
    assert isinstance(found[0], Plane)
    assert found[0].guides == 2
    with rasterio.open(tmp_path / "place_20m.tif") as file:
        np.testing.assert_array_equal(found[0].values[:3], file.read())
