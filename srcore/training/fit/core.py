"""One step of training, and all that it changes. torch and numpy only: it runs wherever they do.

`fit.loop` drives it with Lightning; `fit.bare` without, on a machine that has nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel

from srcore.errors import CheckpointError, TrainingError
from srcore.models import Generator
from srcore.models.backprojection import MARGIN_PX, back_project
from srcore.models.blocks import centre_crop
from srcore.models.discriminator import Discriminator
from srcore.radiometry import slice_weights
from srcore.training.losses import content_loss

if TYPE_CHECKING:
    from srcore.training.config import TrainConfig

Backward = Callable[[Tensor], Any]


@dataclass
class State:
    """All that a run needs for going on as if it had not been broken off."""

    generator: Generator
    average: AveragedModel
    """Exponential moving average of the weights: what is shipped."""
    optimiser: torch.optim.Optimizer
    critic: Discriminator | None = None
    critic_optimiser: torch.optim.Optimizer | None = None
    step: int = 0
    """Steps done."""
    best: float = math.inf
    """Least validation loss so far."""
    waited: int = 0
    """Validations since then."""
    forward: nn.Module = field(init=False)
    """The generator, compiled where the recipe asks for it."""

    def __post_init__(self) -> None:
        self.forward = self.generator

    @property
    def averaged(self) -> Generator:
        """The generator with the averaged weights."""
        return cast(Generator, self.average.module)

    def parts(self) -> dict[str, Any]:
        """What has a `state_dict`, by name."""
        parts = {
            "generator": self.generator,
            "average": self.average,
            "optimiser": self.optimiser,
            "critic": self.critic,
            "critic_optimiser": self.critic_optimiser,
        }
        return {name: part for name, part in parts.items() if part is not None}

    def saved(self) -> dict[str, Any]:
        """Tensors and numbers, for `torch.save`."""
        numbers = {"step": self.step, "best": self.best, "waited": self.waited}
        return {name: part.state_dict() for name, part in self.parts().items()} | numbers

    def restore(self, saved: dict[str, Any], where: str) -> None:
        """Bring the state to what `saved` gave; CheckpointError, naming `where`, when it is of another recipe."""
        try:
            for name, part in self.parts().items():
                part.load_state_dict(saved[name])
            self.step, self.best, self.waited = saved["step"], saved["best"], saved["waited"]
        except (RuntimeError, KeyError, ValueError) as error:
            raise CheckpointError(f"{where} does not fit the recipe", str(error), "start a new run") from error

    def to(self, device: torch.device) -> None:
        """Move networks and the optimisers' moments; changes the tensors in place, as the optimisers need."""
        for part in (self.generator, self.average, self.critic):
            if part is not None:
                part.to(device)
        for optimiser in (self.optimiser, self.critic_optimiser):
            for moments in optimiser.state.values() if optimiser else ():
                for name, value in moments.items():
                    # Adam counts its steps on the CPU.
                    if isinstance(value, Tensor) and name != "step":
                        moments[name] = value.to(device)


def new_state(generator: Generator, config: TrainConfig) -> State:
    """The state before the first step."""

    def update(averaged: list[Tensor], current: list[Tensor], count: int) -> None:
        # A short memory at first, so that the random start is forgotten soon.
        decay = min(config.ema_decay, (1 + int(count)) / (10 + int(count)))
        torch._foreach_lerp_(averaged, current, 1 - decay)

    average = AveragedModel(generator, multi_avg_fn=update)  # type: ignore[arg-type]
    state = State(generator, average, _optimiser(generator, config))
    if config.adversarial is not None:
        state.critic = Discriminator(generator.bands, config.adversarial.width)
        rate = config.adversarial.learning_rate
        state.critic_optimiser = torch.optim.Adam(state.critic.parameters(), rate, betas=(0.5, 0.99))
    if config.compile:
        state.forward = torch.compile(generator)  # type: ignore[assignment]
    return state


def _optimiser(generator: Generator, config: TrainConfig) -> torch.optim.Optimizer:
    parameters, decay = list(generator.parameters()), config.weight_decay
    if config.optimiser == "sgd":
        return torch.optim.SGD(parameters, momentum=0.9, weight_decay=decay)
    kind = torch.optim.AdamW if config.optimiser == "adamw" else torch.optim.Adam
    return kind(parameters, betas=(0.9, 0.99), weight_decay=decay)


def learning_rate(step: int, config: TrainConfig) -> float:
    """Linear warm-up, then half a cosine down to 1 % of the top rate at the last step."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    done = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return config.learning_rate * (0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2)


def advance(
    state: State,
    lr: Tensor,
    hr: Tensor,
    config: TrainConfig,
    precision: torch.dtype,
    backward: Backward = Tensor.backward,
) -> dict[str, float]:
    """One step on a batch; gives its losses by name, `loss` first.

    TrainingError when a number ends: then nothing was changed by this step's generator.
    """
    for group in state.optimiser.param_groups:
        group["lr"] = learning_rate(state.step, config)
    lr = lr.contiguous(memory_format=state.generator.memory_format)
    with torch.autocast(lr.device.type, dtype=precision, enabled=precision != torch.float32):
        sr: Tensor = state.forward(lr)
    sr = published(state.generator, sr, lr, config)
    hr = within(hr, state.generator.scales, config)
    loss = content_loss(config.losses, sr, hr)
    losses = {"loss": loss}
    if state.critic is not None and config.adversarial is not None and state.step >= config.adversarial.start:
        fooled = _fooled(state.critic, sr, hr, config)
        losses |= {"loss": loss + config.adversarial.weight * fooled, "content": loss, "adversarial": fooled}
    values = _step(state, state.optimiser, state.generator, losses, config, backward)
    if "adversarial" in losses:
        values |= _teach(state, sr.detach(), hr, config, backward)
    state.average.update_parameters(state.generator)
    state.step += 1
    return values


def published(generator: Generator, sr: Tensor, lr: Tensor, config: TrainConfig) -> Tensor:
    """SR after the recipe's steps of back-projection, without the margin that these need: see `within`.

    `sr` (N, B, core x scale, ...), `lr` (N, B, core + 2 halo, ...).
    """
    if not config.back_projection:
        return sr
    by_profile = config.slice_profile != "box"
    profile = slice_weights(generator.scales[0]).tolist() if by_profile else ()
    return back_project(sr, centre_crop(lr, generator.halo, generator.axes), None, config.back_projection, profile)


def within(hr: Tensor, scales: Sequence[int], config: TrainConfig) -> Tensor:
    """The part of hr (N, B, core x scale, ...) that is left of an SR after the recipe's steps of back-projection."""
    step = MARGIN_PX * (1 + (config.slice_profile != "box"))
    for axis, scale in enumerate(scales, 2):
        margin = config.back_projection * step * scale
        hr = hr.narrow(axis, margin, hr.shape[axis] - 2 * margin)
    return hr


def _fooled(critic: Discriminator, sr: Tensor, hr: Tensor, config: TrainConfig) -> Tensor:
    """The generator's loss: small when the critic takes SR for HR."""
    critic.requires_grad_(False)
    fake = critic(sr)
    if config.adversarial is not None and config.adversarial.kind == "hinge":
        loss = -fake.mean()
    else:
        loss = _relative(critic(hr), fake, -1)
    critic.requires_grad_(True)
    return cast(Tensor, loss)


def _teach(state: State, sr: Tensor, hr: Tensor, config: TrainConfig, backward: Backward) -> dict[str, float]:
    """A step of the critic, in float32, with R1: the squared gradient of its logits on real patches."""
    critic, settings = state.critic, config.adversarial
    if critic is None or settings is None or state.critic_optimiser is None:
        return {}
    hr = hr.detach().requires_grad_(settings.r1 > 0)
    real, fake = critic(hr), critic(sr)
    if settings.kind == "hinge":
        loss = functional.relu(1 - real).mean() + functional.relu(1 + fake).mean()
    else:
        loss = _relative(real, fake, 1)
    if settings.r1 > 0:
        (slope,) = torch.autograd.grad(real.sum(), hr, create_graph=True)
        loss = loss + settings.r1 / 2 * slope.square().flatten(1).sum(1).mean() / real[0].numel()
    return _step(state, state.critic_optimiser, critic, {"critic": loss}, config, backward)


def _relative(real: Tensor, fake: Tensor, sign: int) -> Tensor:
    """Relativistic average loss (Jolicoeur-Martineau 2018, arXiv:1807.00734): the critic's with sign 1.

    Each is judged against the mean of the others, so that both sides always have a slope.
    """
    above, below = sign * (real - fake.mean()), sign * (fake - real.mean())
    return (functional.softplus(-above).mean() + functional.softplus(below).mean()) / 2


def _step(
    state: State,
    optimiser: torch.optim.Optimizer,
    network: nn.Module,
    losses: dict[str, Tensor],
    config: TrainConfig,
    backward: Backward,
) -> dict[str, float]:
    """Backward through the first of `losses`, clip, and let the optimiser step; gives all as numbers."""
    optimiser.zero_grad()
    backward(next(iter(losses.values())))
    values = {name: float(loss.detach()) for name, loss in losses.items()}
    norm = float(nn.utils.clip_grad_norm_(network.parameters(), config.clip_norm))
    if not all(map(math.isfinite, (*values.values(), norm))):
        first, value = next(iter(values.items()))
        raise TrainingError(
            f"training stopped at step {state.step}",
            f"{first} {value}, gradient norm {norm}",
            f"lower learning_rate or check the data; the checkpoint saved last is in {config.output}",
        )
    optimiser.step()
    return values


def steps_left(state: State, config: TrainConfig) -> range:
    """The numbers of the steps that are still to do."""
    return range(state.step, config.steps)
