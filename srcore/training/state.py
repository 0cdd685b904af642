"""The state of a training run on disk, and the checkpoint that comes out of it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from srcore.errors import CheckpointError
from srcore.models import Generator

STATE = "state.pt"


@dataclass
class State:
    """All that a run needs for going on as if it had not been broken off."""

    generator: Generator
    average: AveragedModel
    """Exponential moving average of the weights: what is shipped."""
    optimiser: torch.optim.Adam
    step: int = 0
    """Steps done."""

    @property
    def averaged(self) -> Generator:
        """The generator with the averaged weights."""
        return cast(Generator, self.average.module)


def new_state(generator: Generator, ema_decay: float) -> State:
    """The state before the first step."""

    def update(averaged: list[Tensor], current: list[Tensor], count: int) -> None:
        # A short memory at first, so that the random start is forgotten soon.
        decay = min(ema_decay, (1 + int(count)) / (10 + int(count)))
        torch._foreach_lerp_(averaged, current, 1 - decay)

    average = AveragedModel(generator, multi_avg_fn=update)  # type: ignore[arg-type]
    return State(generator, average, torch.optim.Adam(generator.parameters(), betas=(0.9, 0.99)))


def save_state(folder: Path, state: State) -> None:
    """Write the state into `folder`: whole, or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{STATE}.partial"
    torch.save(
        {
            "generator": state.generator.state_dict(),
            "average": state.average.state_dict(),
            "optimiser": state.optimiser.state_dict(),
            "step": state.step,
        },
        partial,
    )
    os.replace(partial, folder / STATE)


def load_state(folder: Path, state: State, device: torch.device) -> None:
    """Bring `state` to what was saved in `folder`; CheckpointError when there is none or it is of another model."""
    path = folder / STATE
    try:
        saved = torch.load(path, map_location=device, weights_only=True)
        state.generator.load_state_dict(saved["generator"])
        state.average.load_state_dict(saved["average"])
        state.optimiser.load_state_dict(saved["optimiser"])
    except FileNotFoundError as error:
        raise CheckpointError("no run to go on with", str(path), "start it without resume") from error
    except (RuntimeError, KeyError) as error:
        raise CheckpointError(f"{path} does not fit the recipe", str(error), "start a new run") from error
    state.step = saved["step"]
