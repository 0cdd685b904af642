"""Augmentation: it changes a pair as one."""

from __future__ import annotations

import numpy as np
import torch

from srcore.training.data.augment import draw_turn, radiometric


def test_turn_gives_the_eight_views_of_a_square() -> None:
    patch = np.arange(9).reshape(1, 3, 3)
    rng = np.random.default_rng(0)
    views = {draw_turn(patch.shape, rng)(patch).tobytes() for _ in range(200)}
    expected = {np.rot90(p, k).copy().tobytes() for p in (patch[0], patch[0, :, ::-1]) for k in range(4)}
    assert views == expected


def test_a_volume_turns_about_its_axis_and_keeps_the_shape_of_its_slices() -> None:
    patch = np.arange(24).reshape(1, 2, 3, 4)
    rng = np.random.default_rng(0)
    views = [draw_turn(patch.shape, rng)(patch) for _ in range(100)]
    assert {view.shape for view in views} == {patch.shape}
    assert len({view.tobytes() for view in views}) == 8  # half turns, mirrors, and the order of the slices


def test_gain_and_offset_are_one_for_both_images_and_within_their_ranges() -> None:
    flat = torch.tensor([0.0, 1.0]).reshape(2, 1, 1, 1)
    rng = np.random.default_rng(0)
    for _ in range(100):
        ones = torch.ones(2, 1, 4, 4)
        lr, hr = radiometric(flat * ones, flat * torch.ones(2, 1, 8, 8), (0.5, 2.0), (-0.1, 0.1), rng)
        assert torch.equal(lr[:, :, :1, :1], hr[:, :, :1, :1])
        assert lr[0].abs().max() <= 0.1
        assert 0.4 <= lr[1].min() <= 2.1
