"""Training behind back-projection: what the losses see is what a run would write."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from srcore.models import Edsr
from srcore.models.backprojection import mean_down
from srcore.training.config import TrainConfig
from srcore.training.data.batches import draw_batch
from srcore.training.fit.core import advance, published, within
from srcore.training.fit.loop import prepare
from srcore.training.fit.validation import Validation


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_the_sr_and_the_hr_lie_on_the_same_pixels(steps: int, recipe: Callable[..., TrainConfig]) -> None:
    """An SR that has the LR's means is left as it is; one that has not comes nearer with every step."""
    generator, core, config = Edsr(scale=2, width=4, blocks=1), 12, recipe(back_projection=steps)
    lr = torch.rand(1, 1, core + 2 * generator.halo, core + 2 * generator.halo)
    true = lr[..., generator.halo : -generator.halo, generator.halo : -generator.halo].repeat_interleave(2, 2)
    true = true.repeat_interleave(2, 3)
    right = published(generator, true, lr, config)
    torch.testing.assert_close(right, within(true, (2, 2), config))
    off = published(generator, true + 0.5, lr, config)
    error = (mean_down(off, (2, 2)) - mean_down(right, (2, 2))).abs().max()
    assert float(error) == pytest.approx(0.5 if steps == 0 else 0, abs=1e-6)


def test_what_is_trained_is_what_is_published(recipe: Callable[..., TrainConfig]) -> None:
    """Under a blur, back-projection takes back what a generator that does not know of it has won."""
    blur = {"degradation": {"kind": "sensor", "mtf": [0.1, 0.1]}, "steps": 400, "learning_rate": 3e-3}
    blur |= {"gain": (1, 1), "offset": (0, 0), "ema_decay": 0.98}
    losses = {}
    for steps in (0, 1):
        config = recipe(**blur, back_projection=steps)
        state, planes, geometry = prepare(config)
        for step in range(config.steps):
            advance(state, *draw_batch(planes, geometry, config, step), config, torch.float32)
        lr, hr = draw_batch(planes, geometry, config.model_copy(update={"batch": 32}), 999)
        with torch.no_grad():
            sr = published(state.averaged, state.averaged(lr), lr, recipe(back_projection=1))
        losses[steps] = float((sr - within(hr, (2, 2), recipe(back_projection=1))).abs().mean())
    assert losses[1] < 0.85 * losses[0]


def test_a_validation_looks_at_the_same(recipe: Callable[..., TrainConfig]) -> None:
    config = recipe(back_projection=1, tensorboard=False)
    state, _, geometry = prepare(config)
    validation = Validation(config, geometry, 1)
    assert validation.hr.shape[-1] == 2 * (geometry.core - 2)
    assert len(validation.gains(state.averaged)) == 64
    assert validation.better(state)
