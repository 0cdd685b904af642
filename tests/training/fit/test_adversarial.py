"""A critic on one small image: what it adds is texture, not collapse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage

from srcore.models import Edsr
from srcore.training.config import TrainConfig
from srcore.training.data.batches import Geometry, Plane, draw_batch
from srcore.training.fit.core import advance, new_state

STEPS = 150
GEOMETRY = Geometry(16, 7, 2)


@pytest.fixture(scope="module")
def plane() -> Plane:
    """Fine texture, most of whose detail no LR pixel can hold."""
    noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(1, 160, 160)), (0, 0.6, 0.6))
    return Plane((0.25 * noise / noise.std() + 0.5).astype(np.float32), None, (0.0,), (1.0,), 1.0)


PLAIN: dict[str, torch.Tensor] = {}
"""What the same run without a critic gives; made once."""


def trained(config: TrainConfig, plane: Plane) -> tuple[torch.Tensor, torch.Tensor]:
    """After STEPS, SR and HR of patches that it did not train on."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    state = new_state(Edsr(2, 16, 2), config)
    for step in range(STEPS):
        advance(state, *draw_batch([plane], GEOMETRY, config, step), config, torch.float32)
    lr, hr = draw_batch([plane], GEOMETRY, config.model_copy(update={"seed": 99, "batch": 16}), 0)
    with torch.inference_mode():
        return state.generator(lr), hr


def fine_energy(x: torch.Tensor) -> float:
    """Power at more than half of the Nyquist frequency."""
    power = torch.fft.rfft2(x - x.mean((-2, -1), keepdim=True)).abs().square()
    y, z = torch.fft.fftfreq(x.shape[-2])[:, None], torch.fft.rfftfreq(x.shape[-1])[None]
    return float((power * (torch.hypot(y, z.expand(len(y), -1)) > 0.25)).mean())


def diversity(x: torch.Tensor) -> float:
    """Mean difference between the images of a batch: 0 when all have become one."""
    return float((x[:, None] - x[None]).abs().mean())


@pytest.mark.parametrize("kind", ["relativistic", pytest.param("hinge", marks=pytest.mark.nightly)])
def test_training_on_one_image_does_not_collapse(kind: str, recipe: Callable[..., TrainConfig], plane: Plane) -> None:
    critic: dict[str, Any] = {"kind": kind, "weight": 0.4, "r1": 0.1, "width": 12, "learning_rate": 1e-3, "start": 30}
    common = {"steps": STEPS, "batch": 4, "learning_rate": 2e-3, "gain": (1, 1), "offset": (0, 0), "ema_decay": 0.9}
    plain, hr = (PLAIN.get(name) for name in ("sr", "hr"))
    if plain is None or hr is None:
        plain, hr = trained(recipe(**common), plane)
        PLAIN.update(sr=plain, hr=hr)
    sr, _ = trained(recipe(**common, adversarial=critic), plane)
    without, with_critic = (fine_energy(x) / fine_energy(hr) for x in (plain, sr))
    assert without < 0.3 < with_critic < 1.5
    assert 0.7 < diversity(sr) / diversity(hr) < 1.3
    assert float((sr - hr).abs().mean()) < 1.5 * float((plain - hr).abs().mean())
