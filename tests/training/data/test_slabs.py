"""Patches of thin slabs: LR and HR lie where they should, ends are as a run makes them, whatever the scale."""

from __future__ import annotations

import numpy as np
import pytest

from srcore.radiometry import slice_weights
from srcore.training.config import Degradation
from srcore.training.data.augment import magnified
from srcore.training.data.batches import Geometry, Plane, _kernels
from srcore.training.data.slabs import slab_pair

COS2 = Degradation(kind="cos2")


def plane(values: np.ndarray, lr: np.ndarray | None = None) -> Plane:
    return Plane(values, None, (0.0,), (1.0,), 1.0, lr)


@pytest.mark.parametrize("scale", [(5, 1, 1), (2, 2, 2), (4, 1, 1), (3, 1, 2)])
def test_a_ramp_is_the_same_ramp_in_lr_and_hr(scale: tuple[int, int, int]) -> None:
    size = (60, 24, 24)
    ramps = np.stack(np.meshgrid(*map(np.arange, size), indexing="ij")).astype(np.float32)
    geometry, rng = Geometry((2, 3, 4), 3, scale, slab=True), np.random.default_rng(0)
    for axis, values in enumerate(ramps):
        for _ in range(8):
            kernels = _kernels(COS2, scale, rng)
            lr, hr = slab_pair(plane(values[None]), geometry, kernels, (2, 30), False, rng)
            assert lr.shape[1:] == (8, 9, 10)
            assert hr.shape[1:] == (2 * scale[0], 3 * scale[1], 4 * scale[2])
            core = lr[0, 3:5, 3:6, 3:7]
            means = hr[0].reshape(2, scale[0], 3, scale[1], 4, scale[2]).mean(axis=(1, 3, 5))
            assert np.allclose(core, means, atol=1e-3), axis


def test_ends_are_as_a_run_makes_them() -> None:
    values = np.random.default_rng(1).normal(size=(1, 40, 8, 8)).astype(np.float32)
    geometry, rng = Geometry((2, 8, 8), 5, (5, 1, 1), slab=True), np.random.default_rng(2)
    for repeats, seen in ((True, "aabbaabbaabb"), (False, "babababababa")):
        lr, _ = slab_pair(plane(values), geometry, _kernels(COS2, (5, 1, 1), rng), (2, 2), repeats, rng)
        ends = {"a": lr[0, 5], "b": lr[0, 6]}
        assert np.array_equal(lr[0], np.stack([ends[one] for one in seen]))


def test_lr_is_made_of_what_was_there_alone() -> None:
    values = np.random.default_rng(3).normal(size=(1, 19, 6, 6)).astype(np.float32)
    geometry, rng = Geometry((3, 6, 6), 2, (5, 1, 1), slab=True), np.random.default_rng(4)
    lr, hr = slab_pair(plane(values), geometry, _kernels(COS2, (5, 1, 1), rng), (3, 3), True, rng)
    assert np.array_equal(hr, values[:, 2:17])
    weights = slice_weights(5)
    expected = [np.tensordot(weights, values[0, 5 * i : 5 * i + 9], 1) for i in range(3)]
    assert np.allclose(lr[0, 2:5, 2:-2, 2:-2], expected, atol=1e-5)


@pytest.mark.parametrize("count", range(10, 16))
def test_a_volume_as_large_as_a_patch_is_large_enough(count: int) -> None:
    values = np.ones((1, count, 6, 6), np.float32) * np.arange(count, dtype=np.float32)[:, None, None]
    geometry, rng = Geometry((2, 6, 6), 2, (5, 1, 1), slab=True), np.random.default_rng(6)
    assert count >= geometry.window_hr[0]
    for _ in range(4):
        lr, hr = slab_pair(plane(values), geometry, _kernels(COS2, (5, 1, 1), rng), (2, 12), True, rng)
        means = hr[0].reshape(2, 5, 6, 6).mean(axis=1)
        assert np.abs(lr[0, 2:4, 2:-2, 2:-2] - means).max() < 0.5


@pytest.mark.parametrize("kind", ["cos2", "bicubic", "sensor"])
def test_an_image_of_no_more_than_the_core_is_enough(kind: str) -> None:
    for slices in (10, 11, 13):
        values = np.random.default_rng(6).normal(size=(1, slices, 8, 9)).astype(np.float32)
        geometry, rng = Geometry((2, 8, 8), 3, (5, 1, 1), slab=True), np.random.default_rng(7)
        kernels = _kernels(Degradation.model_validate({"kind": kind}), (5, 1, 1), rng)
        lr, hr = slab_pair(plane(values), geometry, kernels, (2, 12), True, rng)
        assert (lr.shape, hr.shape) == ((1, 8, 14, 14), (1, 10, 8, 8))


def test_two_measured_slices_are_enough() -> None:
    values = np.arange(10, dtype=np.float32)[None, :, None, None] * np.ones((1, 10, 8, 8), np.float32)
    measured = np.array([20.0, 70.0], np.float32)[None, :, None, None] * np.ones((1, 2, 8, 8), np.float32)
    geometry, rng = Geometry((2, 4, 4), 12, (5, 1, 1), slab=True), np.random.default_rng(5)
    lr, hr = slab_pair(plane(values, measured), geometry, _kernels(COS2, (5, 1, 1), rng), (2, 12), True, rng)
    assert lr[0, 12:14, 0, 0].tolist() == [20, 70]
    assert hr[0, :, 0, 0].tolist() == list(range(10))


def test_magnified_keeps_the_middle_and_stretches_a_ramp() -> None:
    ramp = np.tile(np.arange(32.0), (1, 2, 32, 1))
    found = magnified(ramp, 1.6)
    assert np.allclose(found[0, 0, 10, 8:24], 15.5 + (np.arange(8, 24) - 15.5) / 1.6, atol=1e-3)
    assert np.allclose(magnified(ramp, 1.0), ramp, atol=1e-3)
