"""The field's usual small experiment: T91 and 90 BSDS photographs for training, Set5 and Set14 for the score.

`SRCORE_DATA=<folder with data/> python -m benchmarks.research` says what this trainer and this generator reach where
the literature can be compared with. Its weights are never shipped: they would be no use for an archive, and not every
photograph of these sets has a licence.
"""

from __future__ import annotations

import argparse
import logging
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from torch import Tensor

from benchmarks.quality import PHOTOGRAPHS, SETS, score_photographs, table_of
from srcore.checkpoints import Architecture, Spec
from srcore.memory.whole import open_whole
from srcore.metrics import luma
from srcore.models import Generator
from srcore.storage.whole_images import write_bands
from srcore.training.config import TrainConfig, data_folder
from srcore.training.data.batches import Geometry
from srcore.training.fit.loop import train
from srcore.training.judge.evaluate import sensor_means
from srcore.weights import build, load_generator

PHOTOGRAPHS_TO_TRAIN_ON = Path("data/train")
ARCHITECTURES = {
    "small": Architecture(name="edsr", params={"scale": 2, "width": 48, "blocks": 6, "bias": True}),
    "edsr-baseline": Architecture(name="edsr", params={"scale": 2, "width": 64, "blocks": 16, "bias": True}),
}


def main() -> None:
    """Train, or go on, then print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.research", description=__doc__)
    parser.add_argument("--network", choices=ARCHITECTURES, default="small", help="272 K or 1.4 M parameters")
    parser.add_argument("--steps", type=int, default=5600)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--output", type=Path, default=Path("runs/research"))
    parser.add_argument("--resume", action="store_true", help="go on where an interrupted run stood")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    config = recipe(arguments)
    if not arguments.resume:
        prepare(config)
    started = time.monotonic()
    train(config, resume=arguments.resume)
    minutes = (time.monotonic() - started) / 60
    spec, generator = load_generator(config.output)
    console = Console()
    for name in SETS:
        plain, averaged = (
            score_photographs(open_whole(spec, one), data_folder(PHOTOGRAPHS / name))
            for one in (generator, SelfEnsemble(generator))
        )
        console.print(table_of(name, {"network alone": plain}))
        means = [sensor_means(scores)["mean"]["psnr"] for scores in (plain, averaged)]
        console.print(f"{name}: {means[0]:.2f} dB, with self-ensemble {means[1]:.2f} dB")
    console.print(f"{arguments.network}, {config.steps} steps, seed {config.seed}, {minutes:.0f} minutes")


class SelfEnsemble(Generator):
    """The mean of what a generator makes of the eight flips and turns of an image (Lim et al. 2017, "EDSR+")."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator, self.scale, self.halo = generator, generator.scale, generator.halo

    def forward(self, x: Tensor) -> Tensor:
        total = torch.zeros(())
        for quarters in range(4):
            for flip in ([], [-1]):
                sr = self.generator(torch.rot90(x, quarters, (-2, -1)).flip(flip).contiguous())
                total = total + torch.rot90(sr.flip(flip), -quarters, (-2, -1))
        return total / 8


def recipe(arguments: argparse.Namespace) -> TrainConfig:
    """What the literature does, as a recipe of ours: L1, Adam, cosine, 48-pixel patches, flips and turns."""
    return TrainConfig.model_validate(
        {
            "name": "research-x2",
            "data": (arguments.output / "photographs").resolve(),
            "output": arguments.output / "checkpoint",
            "architecture": ARCHITECTURES[arguments.network],
            "sources": [{"files": "t91/*.tif", "share": 5.4}, {"files": "bsds500_train/*.tif", "share": 13.9}],
            "steps": arguments.steps,
            "batch": arguments.batch,
            "core_px": 48,
            "learning_rate": 1e-3,
            "warmup_steps": 200,
            "ema_decay": 0.999,
            "gain": (0.9, 1.1),
            "offset": (-0.05, 0.05),
            "seed": arguments.seed,
            "threads": 1,
        }
    )


def prepare(config: TrainConfig) -> None:
    """Write Y of BT.601 of every photograph, not rounded; small ones grow to a patch by reflection at their edges."""
    generator = build(Spec(name=config.name, architecture=config.architecture, scale=(1, 1), halo=(0, 0)))
    least = Geometry(config.core_px, generator.halo, generator.scales).window_hr
    for path in sorted(data_folder(PHOTOGRAPHS_TO_TRAIN_ON).rglob("*.[jp][pn]g")):
        with Image.open(path) as image:
            y = luma(np.moveaxis(np.asarray(image.convert("RGB")), -1, 0))
        missing = [max(0, side - size) for side, size in zip(least, y.shape, strict=True)]
        grown = np.pad(y, [(0, pixels) for pixels in missing], mode="symmetric").astype(np.float32)[None]
        write_bands(config.data / path.parent.name / f"{path.stem}.tif", grown, np.ones(grown.shape, bool))


if __name__ == "__main__":
    main()
