"""Validation on patches of other places, the same at every time: which weights are the best, and how they look."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from srcore.errors import SourceError
from srcore.models.blocks import centre_crop
from srcore.storage.patches import is_image, is_volume
from srcore.training.batches import Geometry, Plane, draw_batch
from srcore.training.config import Source, TrainConfig, data_folder
from srcore.training.core import State
from srcore.training.losses import content_loss
from srcore.training.pairs import load_planes

log = logging.getLogger(__name__)

PATCHES = 64
SHOWN = 4
"""Patches in the log's sample image."""


class Validation:
    """Fixed patches, evenly from all files below the recipe's validation folder."""

    def __init__(self, config: TrainConfig, geometry: Geometry, bands: int) -> None:
        self.config, self.geometry = config, geometry
        plain = {"batch": PATCHES, "gain": (1.0, 1.0), "offset": (0.0, 0.0), "seed": 0, "band_shuffle": False}
        folder = data_folder(config.validation) if config.validation else config.data
        planes = _planes(folder, geometry, bands)
        self.lr, self.hr = draw_batch(planes, geometry, config.model_copy(update=plain), step=0)

    def better(self, state: State, logger: Any = None) -> bool:
        """Measure the averaged weights; True when they are the best so far. Counts what the state waited."""
        device = next(state.averaged.parameters()).device
        with torch.inference_mode():
            sr = torch.cat([state.averaged(lr.to(device)).cpu() for lr in torch.split(self.lr, 8)])
        loss = float(content_loss(self.config.losses, sr, self.hr))
        if logger is not None:
            psnr = -10 * torch.log10(functional.mse_loss(sr, self.hr))
            logger.log_metrics({"validation": loss, "validation_psnr": float(psnr)}, state.step)
            if self.hr.ndim == 4:
                logger.experiment.add_image("LR, SR, HR", self._picture(sr), state.step)
        found = loss < state.best
        state.best, state.waited = (loss, 0) if found else (state.best, state.waited + 1)
        return found

    def _picture(self, sr: Tensor) -> Tensor:
        """(1, Y, X) in 0 to 1: a row a patch, first band, LR enlarged by repetition."""
        lr = centre_crop(self.lr[:SHOWN, :1], self.geometry.halo)
        shown = [functional.interpolate(lr, sr.shape[2:]), sr[:SHOWN, :1], self.hr[:SHOWN, :1]]
        return torch.cat([torch.cat(list(part), -2) for part in shown], -1).clamp(0, 1)


def _planes(folder: Path, geometry: Geometry, bands: int) -> list[Plane]:
    """All files with room for a patch, each with the same chance; SourceError when there is none."""
    fits = is_image if len(geometry.scales) == 2 else is_volume
    found: list[Plane] = []
    refused: SourceError | None = None
    for path in sorted(path for path in folder.rglob("*") if fits(path)):
        try:
            source = Source(files=str(path.relative_to(folder)), share=1)
            found += load_planes(folder, [source], geometry, bands)
        except SourceError as error:
            log.info("not validated on: %s", error)
            refused = error
    if not found:
        raise refused or SourceError("no image to validate on", str(folder), "correct `validation` in the recipe")
    total = sum(plane.chance for plane in found)
    return [replace(plane, chance=plane.chance / total) for plane in found]
