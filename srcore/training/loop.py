"""The training loop: Adam on L1, warm-up and cosine, averaged weights, going on after a break."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from srcore.checkpoints import Spec, locate
from srcore.errors import CheckpointError, TrainingError
from srcore.models import Generator
from srcore.training.card import model_card
from srcore.training.config import TrainConfig, data_folder
from srcore.training.evaluate import Score, evaluate, sensor_means
from srcore.training.hardware import choose_device, choose_precision
from srcore.training.pairs import Geometry, draw_batch, load_planes
from srcore.training.progress import Progress
from srcore.training.state import State, load_state, new_state, save_state
from srcore.weights import build, describe, load_generator, save_checkpoint

log = logging.getLogger(__name__)


def train(config: TrainConfig, *, resume: bool = False) -> Path:
    """Train by the recipe; gives the checkpoint folder: config.json, model.safetensors, README.md, state.pt.

    The checkpoint is rewritten every `save_every` steps from the averaged weights. `resume` goes on from the
    state in the folder, to the same result as an unbroken run. TrainingError when the loss is not a number:
    the checkpoint saved last stays.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    device = choose_device(config.device)
    precision = choose_precision(config.precision, device)
    generator = build(_spec(config)).to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if config.start_from:
        take_over(generator, config.start_from)
    state = new_state(generator, config.ema_decay)
    if resume:
        load_state(config.output, state, device)
    geometry = Geometry(config.core_px, generator.halo, generator.scale)
    planes = load_planes(data_folder(config.data), config.sources, geometry.window_hr)
    log.info("%d planes on %s in %s", len(planes), device, precision)
    with Progress(config.name, config.steps, state.step, config.log_every) as progress:
        while state.step < config.steps:
            lr, hr = draw_batch(planes, geometry, config, state.step)
            loss = _step(state, lr.to(device), hr.to(device), config, precision)
            progress.advance(loss)
            if state.step % config.save_every == 0 or state.step == config.steps:
                _save(config, state)
    _score(config, state)
    return config.output


def take_over(generator: Generator, reference: str) -> int:
    """Copy every tensor of the checkpoint `reference` that fits in name and shape; gives how many parameters did.

    A body trained at one scale is a good start at another (Lim et al. 2017, section 4.2). CheckpointError when
    nothing fits.
    """
    theirs = load_generator(locate(reference))[1].state_dict()
    ours = generator.state_dict()
    fitting = {name: t for name, t in theirs.items() if name in ours and ours[name].shape == t.shape}
    if not fitting:
        raise CheckpointError(f"{reference} is no start for this architecture", "no tensor fits in name and shape",
                              "start from another checkpoint, or from none")  # fmt: skip
    generator.load_state_dict(fitting, strict=False)
    return sum(tensor.numel() for tensor in fitting.values())


def learning_rate(step: int, config: TrainConfig) -> float:
    """Linear warm-up, then half a cosine down to 1 % of the top rate at the last step."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    done = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return config.learning_rate * (0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2)


def _step(state: State, lr: Tensor, hr: Tensor, config: TrainConfig, precision: torch.dtype) -> float:
    """One step of Adam; gives the L1 loss in network values."""
    for group in state.optimiser.param_groups:
        group["lr"] = learning_rate(state.step, config)
    lr = lr.contiguous(memory_format=torch.channels_last)
    with torch.autocast(lr.device.type, dtype=precision, enabled=precision != torch.float32):
        sr = state.generator(lr)
    loss = functional.l1_loss(sr, hr)
    state.optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    value = float(loss.detach())
    norm = float(torch.nn.utils.clip_grad_norm_(state.generator.parameters(), config.clip_norm))
    if not (math.isfinite(value) and math.isfinite(norm)):
        raise TrainingError(
            f"training stopped at step {state.step}",
            f"loss {value}, gradient norm {norm}",
            f"lower learning_rate or check the data; the checkpoint saved last is in {config.output}",
        )
    state.optimiser.step()
    state.average.update_parameters(state.generator)
    state.step += 1
    return value


def _spec(config: TrainConfig) -> Spec:
    recipe = config.model_dump(mode="json", exclude={"name", "output", "architecture", "licence", "limits"})
    return describe(config.name, config.architecture, licence=config.licence, training=recipe)


def _save(config: TrainConfig, state: State, scores: list[Score] | None = None) -> None:
    """Write state and checkpoint; with the validation scores when there are any."""
    spec = _spec(config).model_copy(update={"metrics": sensor_means(scores or [])})
    save_state(config.output, state)
    save_checkpoint(config.output, spec, state.averaged, model_card(config, spec, state.step))


def _score(config: TrainConfig, state: State) -> None:
    if config.validation is not None:
        _save(config, state, evaluate(config.output, data_folder(config.validation)))
