"""Detail of an HR: real detail is found, and nothing that was added to an enlarged HR is taken for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from srcore.training.pairs.check import LEAST_DETAIL, LEAST_TOLD, check
from srcore.training.pairs.detail import detail
from srcore.training.pairs.sample import Sample
from tests.training.pairs.drawn import pair

Added = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""From an enlarged image and numbers to what is added, in about 1."""


def _checkers(side: int) -> Added:
    return lambda values, _: np.add(*(one // side for one in np.indices(values.shape))) % 2 - 0.5


ADDED: dict[str, Added] = {
    "white noise": lambda values, numbers: numbers.normal(size=values.shape),
    "uniform noise": lambda values, numbers: 3.4 * (numbers.random(values.shape) - 0.5),
    "speckle": lambda values, numbers: numbers.normal(size=values.shape) * values / values.mean(),
    "noise of photons": lambda values, numbers: numbers.normal(size=values.shape) * np.sqrt(values / values.mean()),
    "salt": lambda values, numbers: 7.0 * (numbers.random(values.shape) < 0.02),
    "a checkerboard": _checkers(1),
    "a checkerboard of 3 px": _checkers(3),
    "a checkerboard and noise": lambda values, numbers: (
        _checkers(1)(values, numbers) + 0.5 * numbers.normal(size=values.shape)
    ),
}


def enlarged(seed: int, scale: int, order: int = 3) -> Sample:
    """A pair whose HR is its LR."""
    one = pair(seed, scale=scale, shape=(160 // scale, 144 // scale), dtype=np.float32)
    wide = ndimage.zoom(one.lr[0], scale, order=order, grid_mode=True, mode="nearest")
    return replace(one, hr=wide[None].astype(np.float32))


def strength(one: Sample) -> float:
    """The unit of the figures."""
    return float(np.sqrt(sum((np.diff(one.reduced[0], axis=axis) ** 2).mean() for axis in (0, 1))))


@pytest.mark.parametrize(
    ("name", "scale"),
    [(name, scale) for name in ADDED for scale in (2, 3) if (name, scale) != ("a checkerboard and noise", 3)],
)
def test_what_is_added_to_an_enlarged_hr_is_no_detail(name: str, scale: int) -> None:
    numbers = np.random.default_rng(scale)
    for seed, amount, order in ((0, 0.3, 3), (1, 0.8, 1)):
        one = enlarged(seed, scale, order)
        more = ADDED[name](one.hr[0], numbers) * amount * strength(one)
        fake = replace(one, hr=(one.hr + more).astype(np.float32))
        verdict = check(fake)
        assert verdict.refusal is not None, verdict.figures
        assert verdict.refusal.code == "NO_DETAIL"


def test_a_right_hr_under_some_noise_or_faint_lines_is_still_one() -> None:
    for kind, scale in ((2, 2), (3, 3), (4, 4)):
        one = pair(kind, scale=scale, shape=(160 // scale, 144 // scale), dtype=np.float32)
        numbers = np.random.default_rng(kind)
        for name in ("white noise", "a checkerboard"):
            more = ADDED[name](one.hr[0], numbers) * 0.1 * strength(one)
            verdict = check(replace(one, hr=(one.hr + more).astype(np.float32)))
            assert verdict.refusal is None, (scale, name, verdict)


def test_the_figures_of_planes_without_any() -> None:
    for plane in (np.zeros((48, 48)), np.indices((48, 48))[0].astype(float), np.full((40, 40), 1e30)):
        found = detail(plane, (2, 2))
        assert np.isfinite([found.beyond, found.told]).all()
        assert found.beyond < LEAST_DETAIL
        assert found.told < LEAST_TOLD


@pytest.mark.parametrize("shape", [(20, 80), (26, 22), (30, 126), (50, 1000)])
@pytest.mark.parametrize("scale", [(2, 2), (1, 2), (2, 1)])
def test_any_shape_has_finite_figures(shape: tuple[int, int], scale: tuple[int, int]) -> None:
    found = detail(np.random.default_rng(0).normal(size=shape), scale)
    assert np.isfinite([found.beyond, found.told]).all()


def test_a_change_of_unit_changes_nothing() -> None:
    one = pair(0, dtype=np.float32).hr[0].astype(np.float64)
    first, second = detail(one, (2, 2)), detail(1e4 * one + 7.0, (2, 2))
    assert np.allclose([first.beyond, first.told], [second.beyond, second.told], rtol=1e-5)
