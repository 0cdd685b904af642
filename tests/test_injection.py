"""Detail of finer bands in a much coarser one: what the guided generator does before its network, wherever cut."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from srcore.injection import REACH_PX, SIDE, injected
from srcore.models.guided import Guided
from srcore.radiometry import enlarged

ZOOM = 6


def ground(seed: int, side: int = 30) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(side * ZOOM,) * 2)
    return np.asarray(3000 + 2500 * ndimage.gaussian_filter(noise, 3.0))


def drawn() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two coarse bands, two guides and the truth of the bands inside."""
    guides = np.stack([ground(0), ground(1)])
    truth = np.einsum("bg,gyx->byx", [[0.7, 0.2], [-0.4, 0.9]], guides) + 2000
    sigma = np.sqrt(-2 * np.log(0.3)) / np.pi * ZOOM
    blurred = np.stack([ndimage.gaussian_filter(one, sigma, mode="mirror") for one in truth])
    coarse = np.stack([one.reshape(30, ZOOM, 30, ZOOM)[:, 2:4, :, 2:4].mean(axis=(1, 3)) for one in blurred])
    edge = REACH_PX * ZOOM
    return coarse, guides, truth[:, edge:-edge, edge:-edge]


def test_mixtures_of_guides_are_found_again() -> None:
    coarse, guides, truth = drawn()
    plain = np.stack([enlarged(one, ZOOM) for one in coarse])[:, *[slice(REACH_PX * ZOOM, -REACH_PX * ZOOM)] * 2]
    found = injected(coarse, guides, ZOOM)
    assert found.shape == truth.shape
    assert np.std(found - truth) < 0.15 * np.std(plain - truth)


def test_it_is_the_guided_generator_without_its_network() -> None:
    coarse, guides, _ = drawn()
    way = Guided(zoom=ZOOM, width=1, blocks=0, windows=(SIDE,))
    stack = np.stack([coarse[0].repeat(ZOOM, 0).repeat(ZOOM, 1), *guides]) / 5000
    with torch.inference_mode():
        wanted = way.classical(torch.from_numpy(stack[None]).float())[0][0, 0].numpy() * 5000
    assert way.found_px == REACH_PX
    found = injected(coarse[:1], guides, ZOOM, ridge=1e-2)[0]  # its own is that, of all guides
    np.testing.assert_allclose(found, wanted, atol=3)


@pytest.mark.parametrize("start", [(0, 0), (3, 5), (7, 1)])
def test_a_window_has_the_bits_of_the_whole(start: tuple[int, int]) -> None:
    coarse, guides, _ = drawn()
    whole = injected(coarse, guides, ZOOM)
    y, x = start
    part = injected(
        coarse[:, y : y + 17, x : x + 21], guides[:, ZOOM * y : ZOOM * (y + 17), ZOOM * x : ZOOM * (x + 21)], ZOOM
    )
    inside = whole[:, ZOOM * y : ZOOM * y + part.shape[1], ZOOM * x : ZOOM * x + part.shape[2]]
    assert np.array_equal(part, inside)


def test_guides_without_detail_and_without_likeness_add_little() -> None:
    coarse, guides, _ = drawn()
    plain = np.stack([enlarged(one, ZOOM) for one in coarse])[:, *[slice(REACH_PX * ZOOM, -REACH_PX * ZOOM)] * 2]
    assert np.abs(injected(coarse, np.full_like(guides, 700.0), ZOOM) - plain).max() < 1e-6
    assert np.abs(injected(np.full_like(coarse, 1500.0), guides, ZOOM) - 1500).max() < 1e-6
    assert np.abs(injected(np.zeros_like(coarse), np.zeros_like(guides), ZOOM)).max() == 0
