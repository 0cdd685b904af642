"""A catalog of drawn scenes with their LR, and a registry whose only model, tiny, is hardly more than bicubic."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from affine import Affine
from scipy import ndimage

from srcore.checkpoints import Architecture
from srcore.registry.mlflow_store import open_registry
from srcore.weights import build, describe, save_checkpoint

Write = Callable[..., Path]
TINY = Architecture(name="edsr", params={"scale": 2, "width": 8, "blocks": 1})
RECIPE = """\
steps: {steps}
batch: 4
core_px: 16
learning_rate: {rate}
warmup_steps: 5
ema_decay: 0.9
precision: float32
device: cpu
threads: 1
"""
CATALOG = """\
version: 1
store: ./archive
datasets:
  drawn:
    kind: raster
    source: ./{lr}/*.tif
    {hr}
    model: tiny@champion
    retrain: {{recipe: ./recipe.yaml, scenes: 40{more}}}
"""


def register_tiny(folder: Path) -> None:
    """Register tiny, in the registry of the settings."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    spec = describe("tiny", TINY)
    generator = build(spec)
    torch.nn.init.zeros_(generator.tail.weight)  # type: ignore[union-attr, arg-type]
    save_checkpoint(folder / "tiny", spec, generator, "")
    open_registry(create=True).register(folder / "tiny")


def of_place(index: int, gsd: float) -> Affine:
    """Each scene some 50 km from the others."""
    return Affine(gsd, 0, 300000 + 50000 * (index % 8), 0, -gsd, 4000000 + 50000 * (index // 8))


def draw_archive(
    folder: Path,
    write: Write,
    steps: int = 60,
    rate: float = 4e-3,
    more: str = "",
    measured: bool = True,
    side: int = 96,
    count: int = 24,
) -> Path:
    """Scenes of texture, their LR, the recipe and the catalog; `write` writes (C, Y, X) to a path."""
    for index in range(count):
        noise = np.random.default_rng(index).normal(size=(1, side, side))
        hr = (10000 + 8000 * ndimage.gaussian_filter(noise, (0, 1.0, 1.0))).clip(0, 65535)
        name = f"{'ab'[index % 2]}_{index}.tif"
        write(folder / "hr" / name, hr.astype(np.uint16), transform=of_place(index, 5.0))
        lr = hr.reshape(1, side // 2, 2, side // 2, 2).mean((2, 4))
        write(folder / "lr" / name, lr.astype(np.uint16), transform=of_place(index, 10.0))
    (folder / "recipe.yaml").write_text(RECIPE.format(steps=steps, rate=rate))
    path = folder / "data_catalog.yaml"
    text = {"lr": "lr", "hr": "hr: ./hr"} if measured else {"lr": "hr", "hr": "bands: null"}
    path.write_text(CATALOG.format(**text, more=more))
    return path
