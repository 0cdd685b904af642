"""Validation patches: what they are measured against, for networks of any halo."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch

from srcore.models import Edsr
from srcore.models.edsr_volume import EdsrVolume
from srcore.training.config import TrainConfig
from srcore.training.data.batches import Geometry
from srcore.training.fit.validation import PATCHES, Validation

Recipe = Callable[..., TrainConfig]


def silent(network: torch.nn.Module) -> None:
    """Leave of a residual network its interpolation."""
    for part in network.parameters():
        torch.nn.init.zeros_(part)


@pytest.mark.parametrize("blocks", [0, 2])
def test_a_network_that_adds_nothing_gains_nothing_over_bicubic(recipe: Recipe, tmp_path: Path, blocks: int) -> None:
    network = Edsr(scale=2, width=4, blocks=blocks)
    silent(network)
    deepest = Edsr(scale=2, width=4, blocks=4)
    config = recipe(validation=str(tmp_path / "data"))
    gains = Validation(config, Geometry(12, deepest.halo, (2, 2)), 1).gains(network)
    assert len(gains) == PATCHES
    assert gains == pytest.approx([0.0] * PATCHES, abs=1e-3)


def test_volumes_are_measured_against_trilinear(recipe: Recipe, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(size=(40, 40, 40)).cumsum(0).cumsum(1).cumsum(2)
    nibabel.save(nibabel.Nifti1Image(noise.astype(np.float32), np.eye(4)), tmp_path / "data" / "mr.nii.gz")
    network = EdsrVolume(scale=[2, 2, 2], width=4, blocks=0)
    silent(network)
    validation = Validation(recipe(validation=str(tmp_path / "data")), Geometry(4, network.halo, (2, 2, 2)), 1)
    assert validation.plain == "trilinear"
    assert np.mean(validation.gains(network)) > 0  # cubic follows a smooth volume better than linear
