"""LPIPS says what it lacks, and asks no network for it."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from srcore.checks import perceptual
from srcore.checks.patches import Patch
from srcore.checks.perceptual import ALEXNET, distance, lpips_checks


def patch(bands: int = 3, hr: bool = True) -> Patch:
    rng = np.random.default_rng(0)
    around, fine = rng.normal(100, 20, (bands, 40, 40)), rng.normal(100, 20, (bands, 72, 72))
    return Patch((0.5, 0.5), tuple(range(bands)), around, fine, 2, 1.0, fine + 1 if hr else None)


class Euclidean(torch.nn.Module):
    """Stands for the network where it is not installed: the same arguments, a distance that can be foretold."""

    def __init__(self, net: str, verbose: bool) -> None:
        super().__init__()

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        assert a.shape == b.shape
        assert a.shape[:2] == (1, 3)
        assert a.abs().max() <= 1
        return (a - b).square().mean()


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A package of that name, and the cache in which its network would lie."""
    package = ModuleType("lpips")
    package.__dict__["LPIPS"] = Euclidean
    monkeypatch.setitem(sys.modules, "lpips", package)
    monkeypatch.setattr(perceptual, "find_spec", lambda name: object())
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    perceptual._network.cache_clear()
    return tmp_path / "checkpoints" / ALEXNET


def test_it_says_that_the_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perceptual, "find_spec", lambda name: None)
    (check,) = lpips_checks([patch()], {})
    assert (check.id, check.passed, check.value) == ("reference.lpips", True, "not measured")
    assert "lpips is not installed" in check.basis


def test_it_never_fetches_the_network(installed: Path) -> None:
    (check,) = lpips_checks([patch()], {})
    assert ALEXNET in check.basis


def test_without_the_truth_it_is_silent() -> None:
    assert lpips_checks([patch(hr=False)], {}) == []


@pytest.mark.parametrize("bands", [1, 2, 3, 4])
def test_any_band_count_is_shown_as_three(installed: Path, bands: int) -> None:
    installed.parent.mkdir()
    installed.write_bytes(b"")
    ours, bicubic = lpips_checks([patch(bands)], {})
    assert 0 < ours.value < bicubic.value
    one = patch(bands).sr
    assert distance(one, one) == 0
