"""Back-projection: what it gives back, and that no tile border shows in it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch

from srcore.catalog.dataset import Dataset
from srcore.checkpoints import BUILTIN
from srcore.engine import BlockFacts, Engine, open_engine, super_resolve
from srcore.models.backprojection import MARGIN_PX, back_project, linear_up, mean_down
from srcore.models.blocks import centre_crop
from srcore.radiometry import Normalisation, fill_invalid
from srcore.tiling import TilePlan
from srcore.treatment import Treatment


def noise(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_up_and_down_keep_constants_and_pixel_areas(scale: int) -> None:
    assert torch.allclose(linear_up(torch.full((1, 1, 6, 5), 7.0), (scale, scale)), torch.tensor(7.0))
    ramp = torch.arange(9, dtype=torch.float64).expand(1, 1, 7, 9)
    assert torch.allclose(mean_down(linear_up(ramp, (scale, scale)), (scale, scale)), centre_crop(ramp, 1))
    expected = torch.nn.functional.interpolate(noise(1, 1, 8, 9), scale_factor=scale, mode="bilinear")
    assert torch.allclose(linear_up(noise(1, 1, 8, 9), (scale, scale)), centre_crop(expected, scale))


@pytest.mark.parametrize("scale", [2, 3])
def test_every_step_brings_the_mean_of_the_sr_closer_to_the_lr(scale: int) -> None:
    errors = []
    for steps in range(5):
        margin = steps * MARGIN_PX
        lr, sr = noise(1, 1, 30, 30), 1.1 * noise(1, 1, 30 * scale, 30 * scale) + 0.2
        lr, sr = centre_crop(lr, 4 - margin), centre_crop(sr, (4 - margin) * scale)
        found = back_project(sr, lr, None, steps)
        assert found.shape == (1, 1, 22 * scale, 22 * scale)
        errors.append(float((mean_down(found, (scale, scale)) - centre_crop(lr, margin)).pow(2).mean().sqrt()))
    assert all(b < 0.7 * a for a, b in pairwise(errors)), errors


def test_a_bias_of_the_generator_is_gone_after_one_step() -> None:
    lr = noise(1, 1, 12, 12)
    truth = linear_up(torch.nn.functional.pad(lr, (1, 1, 1, 1), mode="reflect"), (2, 2))
    biased = back_project(truth + 5, lr, None, 1)
    assert torch.allclose(biased, back_project(truth, lr, None, 1))


def test_invalid_pixels_correct_nothing() -> None:
    lr, sr = noise(1, 1, 12, 12), noise(1, 1, 24, 24)
    valid = torch.ones(1, 1, 12, 12, dtype=torch.bool)
    valid[..., 5:9, 4:8] = False
    wild = torch.where(valid, lr, torch.tensor(1e6, dtype=torch.float64))
    assert torch.equal(back_project(sr, wild, valid, 2), back_project(sr, lr, valid, 2))
    assert float((back_project(sr, wild, valid, 2) - centre_crop(sr, 4)).abs().max()) < 10


class Biased(torch.nn.Module):
    """A generator that shifts every value."""

    def __init__(self, inner: torch.nn.Module, bias: float) -> None:
        super().__init__()
        self.inner, self.bias = inner, bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x) + self.bias


def biased(name: str) -> Engine:
    engine = open_engine(BUILTIN / name, "cpu", "float32")
    engine.generator = engine.exact = Biased(engine.exact, 0.05)  # type: ignore[assignment]
    return engine


@pytest.mark.parametrize(("core", "steps"), [(8, 4), (16, 1), (23, 2)])
@pytest.mark.parametrize("volume", [False, True])
def test_tiled_is_untiled_with_holes_at_the_borders_of_tiles(
    core: int, steps: int, volume: bool, landscape: Callable[..., np.ndarray]
) -> None:
    engine = biased("bicubic-x2")
    scene = landscape(2, (41, 37)).astype(np.float32)
    valid = np.random.default_rng(0).random(scene.shape) > 0.2
    if volume:
        scene, valid = scene[:, None].repeat(3, 1), valid[:, None].repeat(3, 1)
    scene = fill_invalid(scene, valid)

    def run(size: int) -> np.ndarray:
        axes = scene.ndim - 1
        scale = engine.spec.scale_for(axes)
        halo = [h + steps * (s > 1) for h, s in zip(engine.spec.halo_for(axes), scale, strict=True)]
        plan = TilePlan(scene.shape[1:], (2, size, size)[-axes:], tuple(halo), scale)
        facts = BlockFacts(
            Normalisation((300.0,) * 2, (4000.0,) * 2), "float32", (None, None), Treatment(back_projection=steps)
        )
        out = np.empty((2, *plan.shape_hr), np.float32)
        for tile in plan:
            index = plan.sources(tile)
            near = [
                i[h - m : len(i) - h + m] for i, h, m in zip(index, halo, [steps * (s > 1) for s in scale], strict=True)
            ]
            block = super_resolve(
                engine,
                scene[np.ix_(range(2), *index)],
                valid[(slice(None), *tile.core)],
                facts,
                valid[np.ix_(range(2), *near)],
            )
            out[(slice(None), *plan.window_hr(tile))] = block
        return out

    assert np.abs(run(core) - run(48)).max() <= 4000 * 2e-6


def test_the_sr_stays_inside_its_dtype_and_off_nodata(landscape: Callable[..., np.ndarray]) -> None:
    tile = landscape(1, (40, 40), "uint8")
    tile[:, 10:30, 10:30] = 255
    facts = BlockFacts(Normalisation((0.0,), (255.0,)), "uint8", (0.0,), Treatment(back_projection=2))
    block = super_resolve(biased("bicubic-x2"), tile, np.ones((1, 32, 32), bool), facts)
    assert block.dtype == np.uint8
    assert block.min() > 0
    assert (block[0, 20:40, 20:40] >= 250).all()


@pytest.mark.parametrize("steps", [-1, 5, True, "2"])
def test_the_catalog_takes_0_to_4_steps(steps: object) -> None:
    entry = {"kind": "raster", "source": "*.tif", "model": "srcore-x2"}
    assert Dataset(**entry, back_projection=4).back_projection == 4
    with pytest.raises(ValueError, match="back_projection"):
        Dataset(**entry, back_projection=steps)
