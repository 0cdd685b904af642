"""Validation on patches of other places, the same at every time: which weights are the best, and how they look.

In the network's own numbers, after as many steps of back-projection as the recipe trains with: what is trained is what
is measured, and a patch has no scene around it to be normalised by. What is published of it, `srcore.training.judge`
says at the end.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from glob import escape
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from srcore.errors import SourceError
from srcore.models import Generator
from srcore.models.backprojection import MARGIN_PX
from srcore.models.blocks import centre_crop
from srcore.storage.whole_images import images_below
from srcore.training.config import Source, TrainConfig, data_folder
from srcore.training.data.batches import Geometry, Plane, draw_batch
from srcore.training.data.guided import coarse
from srcore.training.data.pairs import load_planes
from srcore.training.data.places import held_sources
from srcore.training.data.resize import enlarge
from srcore.training.fit.core import State, published, within
from srcore.training.losses import content_loss

log = logging.getLogger(__name__)

PATCHES = 64
PLAIN_HALO = 2
"""LR pixels that bicubic sees on each side; every generator sees as many or more."""
SHOWN = 4
"""Patches in the log's sample image."""


class Validation:
    """Fixed patches, evenly from all files below the recipe's validation folder, or of the places it holds out.

    A generator of a smaller halo than the geometry's is measured on the same patches.
    """

    def __init__(self, config: TrainConfig, geometry: Geometry, bands: int) -> None:
        self.config, self.geometry = config, geometry
        plain = {"batch": PATCHES, "gain": (1.0, 1.0), "offset": (0.0, 0.0), "seed": 0, "band_shuffle": False}
        planes = _planes(*_files(config, len(geometry.scales)), geometry, bands)
        self.lr, hr = draw_batch(planes, geometry, config.model_copy(update=plain), step=0)
        self.hr = within(hr, geometry.scales, config)

    @property
    def plain(self) -> str:
        """What `gains` are over."""
        return "bicubic" if len(self.geometry.scales) == 2 else "trilinear"

    def better(self, state: State, logger: Any = None) -> bool:
        """Measure the averaged weights; True when they are the best so far. Counts what the state waited."""
        sr = self._restored(state.averaged)
        loss = float(content_loss(self.config.losses, sr, self.hr))
        if logger is not None:
            psnr = -10 * torch.log10(functional.mse_loss(sr, self.hr))
            logger.log_metrics({"validation": loss, "validation_psnr": float(psnr)}, state.step)
            if self.hr.ndim == 4:
                logger.experiment.add_image("LR, SR, HR", self._picture(sr), state.step)
        found = loss < state.best
        state.best, state.waited = (loss, 0) if found else (state.best, state.waited + 1)
        return found

    def gains(self, generator: Generator) -> list[float]:
        """dB of PSNR over bicubic (trilinear, for volumes), patch by patch."""
        ours, theirs = (
            (sr - self.hr).square().flatten(1).mean(1).double().clamp_min(1e-12)
            for sr in (self._restored(generator), self._plain())
        )
        gains: list[float] = (10 * torch.log10(theirs / ours)).tolist()
        return gains

    def _plain(self) -> Tensor:
        """Bicubic (trilinear, for volumes) of all patches, as large as `hr`."""
        geometry = self.geometry
        if geometry.zoom > 1:
            return centre_crop(enlarge(coarse(self.lr, geometry.zoom), geometry.zoom), geometry.halo)
        plain = centre_crop(self.lr, self.geometry.halo - PLAIN_HALO, len(self.geometry.scales))
        if len(self.geometry.scales) == 2:
            plain = torch.cat([enlarge(band, self.geometry.scales[0]) for band in torch.split(plain, 1, 1)], 1)
        else:
            sizes = [n * s for n, s in zip(plain.shape[2:], self.geometry.scales, strict=True)]
            plain = functional.interpolate(plain, sizes, mode="trilinear")
        for axis, scale in enumerate(self.geometry.scales, 2):
            plain = plain.narrow(axis, PLAIN_HALO * scale, self.geometry.cores[axis - 2] * scale)
        return within(plain, geometry.scales, self.config)

    def _restored(self, generator: Generator) -> Tensor:
        """SR of all patches, as large as `hr`."""
        device = next(generator.parameters()).device
        lr = centre_crop(self.lr, self.geometry.halo - generator.halo, generator.axes)
        with torch.inference_mode():
            sr = torch.cat([generator(part.to(device)).cpu() for part in torch.split(lr, 8)])
        return published(generator, sr, lr, self.config)

    def _picture(self, sr: Tensor) -> Tensor:
        """(1, Y, X) in 0 to 1: a row a patch, first band, LR enlarged by repetition."""
        lr = centre_crop(self.lr[:SHOWN, :1], self.geometry.halo + self.config.back_projection * MARGIN_PX)
        shown = [functional.interpolate(lr, sr.shape[2:]), sr[:SHOWN, :1], self.hr[:SHOWN, :1]]
        return torch.cat([torch.cat(list(part), -2) for part in shown], -1).clamp(0, 1)


def _files(config: TrainConfig, axes: int) -> tuple[Path, list[Source]]:
    """The folder of the files to validate on, and each as a source of its own."""
    if config.held_out:
        return data_folder(config.data), held_sources(config)
    folder = data_folder(config.validation) if config.validation else config.data
    paths = images_below(folder, axes)
    return folder, [Source(files=escape(str(path.relative_to(folder))), share=1) for path in paths]


def _planes(folder: Path, sources: Sequence[Source], geometry: Geometry, bands: int) -> list[Plane]:
    """All files with room for a patch, each with the same chance; SourceError when there is none."""
    found: list[Plane] = []
    refused: SourceError | None = None
    for source in sources:
        try:
            found += load_planes(folder, [source], geometry, bands)
        except SourceError as error:
            log.warning("not validated on: %s", error)
            refused = error
    if not found:
        raise refused or SourceError("no image to validate on", str(folder), "correct `validation` in the recipe")
    total = sum(plane.chance for plane in found)
    return [replace(plane, chance=plane.chance / total) for plane in found]
