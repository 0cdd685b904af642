"""The loop: it learns, goes on after a break as if there had been none, and stops when numbers end."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from srcore.checkpoints import SPEC, WEIGHTS, read_spec
from srcore.errors import CheckpointError, TrainingError
from srcore.models import Edsr
from srcore.training import loop, pairs
from srcore.training.config import TrainConfig
from srcore.training.evaluate import evaluate
from srcore.training.loop import learning_rate, train
from srcore.weights import load_generator

WIDE = {"name": "edsr", "params": {"scale": 2, "width": 16, "blocks": 1, "bias": False}}

Recipe = Callable[..., TrainConfig]


def losses_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage().split(",")[0] for record in caplog.records if "loss" in record.getMessage()]


def test_it_overfits_one_image(recipe: Recipe) -> None:
    config = recipe(
        steps=150, batch=4, learning_rate=5e-3, core_px=24, save_every=150, ema_decay=0.9, architecture=WIDE
    )
    (score,) = evaluate(train(config), config.data)
    assert score.psnr > score.psnr_bicubic + 0.5
    assert score.sensor == "scene"
    assert score.bands == 2


def test_a_resumed_run_equals_an_unbroken_one(recipe: Recipe, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    whole = train(recipe(output=str(tmp_path / "whole")))
    expected = losses_in(caplog)
    caplog.clear()
    broken = recipe(output=str(tmp_path / "broken"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "draw_batch", stop_at(5, pairs.draw_batch))
        with pytest.raises(KeyboardInterrupt):
            train(broken)
    caplog.clear()
    train(broken, resume=True)
    assert losses_in(caplog) == expected[2:]  # steps 5 to 8: the state of step 4 was the last on disk
    assert (whole / WEIGHTS).read_bytes() == (broken.output / WEIGHTS).read_bytes()


def stop_at(step: int, draw: Callable[..., object]) -> Callable[..., object]:
    def stopping(*args: object) -> object:
        if args[-1] == step:
            raise KeyboardInterrupt
        return draw(*args)

    return stopping


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = recipe()
    draw = pairs.draw_batch

    def poisoned(*args: object) -> tuple[torch.Tensor, torch.Tensor]:
        lr, hr = draw(*args)  # type: ignore[arg-type]
        return (lr * math.nan if args[-1] == 6 else lr), hr

    monkeypatch.setattr(loop, "draw_batch", poisoned)
    with pytest.raises(TrainingError, match=r"stopped at step 6; found loss nan"):
        train(config)
    _, generator = load_generator(config.output)
    assert all(torch.isfinite(p).all() for p in generator.parameters())
    assert "4 of 8 steps" in (config.output / "README.md").read_text()


def test_the_checkpoint_tells_what_it_is(recipe: Recipe, tmp_path: Path) -> None:
    config = recipe(attribution="Made by hand.", limits="None known.", validation=str(tmp_path / "data"))
    folder = train(config)
    spec = read_spec(folder)
    assert spec.scale == (2, 2)
    assert spec.halo == (5, 5)
    assert spec.training["steps"] == 8
    assert spec.metrics["mean"]["scenes"] == 1
    card = (folder / "README.md").read_text()
    assert "Made by hand." in card
    assert "| mean |" in card
    assert "None known." in card
    assert str(tmp_path) not in (folder / SPEC).read_text().replace(str(config.data), "")


def test_resume_without_a_state_or_with_another_architecture_is_refused(recipe: Recipe) -> None:
    with pytest.raises(CheckpointError, match="no run to go on with"):
        train(recipe(), resume=True)
    train(recipe(steps=1))
    with pytest.raises(CheckpointError, match="does not fit the recipe"):
        train(recipe(architecture=WIDE), resume=True)


def test_the_learning_rate_warms_up_and_ends_low(recipe: Recipe) -> None:
    config = recipe(steps=100, warmup_steps=10, learning_rate=1e-3)
    rates = [learning_rate(step, config) for step in range(100)]
    assert rates[0] == pytest.approx(1e-4)
    assert max(rates) == pytest.approx(1e-3) == rates[10]
    assert rates[9] <= rates[10]
    assert np.all(np.diff(rates[10:]) < 0)
    assert rates[-1] < 2e-5


def test_bfloat16_leaves_the_cubic_base_in_float32(recipe: Recipe) -> None:
    generator = load_generator(train(recipe(steps=1, precision="bfloat16")))[1]
    for parameter in generator.parameters():
        torch.nn.init.zeros_(parameter)
    x = torch.rand(1, 1, 20, 20) * 1000
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.inference_mode():
        mixed = generator(x)
    with torch.inference_mode():
        assert torch.equal(mixed, generator(x))


def test_the_base_runs_on_the_meta_device_that_knows_no_autocast() -> None:
    assert Edsr(blocks=1).to("meta")(torch.empty(1, 1, 20, 20, device="meta")).shape == (1, 1, 20, 20)
