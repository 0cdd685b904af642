"""The recipes that ship: what each is for, what it costs and what it gained."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from srcore.models import GENERATORS
from srcore.training.config import RECIPES, TrainConfig, read_config
from srcore.training.data.batches import geometry_of

BACKWARD = 2
"""Times the operations of a forward pass that its gradient takes: one convolution by the weights, one by the input."""


@dataclass(frozen=True)
class Shipped:
    """One recipe."""

    path: Path
    config: TrainConfig
    parameters: int
    """Of the generator in its form for training."""
    operations: int
    """Multiplications and additions of the whole training: convolutions and matrix products, forward and backward."""


def shipped() -> Iterator[Shipped]:
    """Those of `srcore/training/recipes`, by name; nothing is computed but shapes."""
    for path in sorted(RECIPES.glob("*.yaml"), key=lambda one: one.stem):
        config = read_config(path)
        with torch.device("meta"):
            generator = GENERATORS[config.architecture.name](**config.architecture.params)
            sides = [core + 2 * generator.halo for core in geometry_of(config, generator).cores]
            lr = torch.empty(1, generator.bands, *sides)
            with FlopCounterMode(display=False) as counted, torch.no_grad():
                generator(lr)
        forward = counted.get_total_flops() * config.batch * config.steps
        numbers = sum(parameter.numel() for parameter in generator.parameters())
        yield Shipped(path, config, numbers, forward * (1 + BACKWARD))
