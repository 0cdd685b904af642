"""What the checks see of guided bands: the LR under its own optics, masks of both grids, and guides that are kept."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage

from srcore.checks import Check
from srcore.checks.blocks import MARGIN_PX, Block
from srcore.checks.geometry import Place
from srcore.checks.guided import GuidedSuite, averaged, coarse_block
from srcore.checks.suite import Scene
from srcore.grid import Grid
from srcore.limits import LIMITS, of_product, with_changes
from srcore.radiometry import enlarged
from srcore.training.data.degrade import optics, reduce

BOTH = [(sharpened, guided) for sharpened in (False, True) for guided in (False, True)]
SIDE = 96
"""LR pixels."""


def truth(side: int = 2 * (SIDE + 2 * MARGIN_PX + 4)) -> NDArray[np.float64]:
    noise = np.random.default_rng(5).normal(size=(side, side))
    return np.asarray(3000 + 2500 * ndimage.gaussian_filter(noise, 1.2))


def seen(fine: NDArray[np.float64]) -> NDArray[np.float64]:
    kernel = optics(0.3, 2)[None].double()
    return np.asarray(reduce(torch.from_numpy(fine)[None, None], [kernel, kernel])[0, 0].numpy())


def block(sr: NDArray[np.float64], guide: NDArray[np.float64] | None = None) -> tuple[Block, NDArray[np.float64]]:
    """A guide and a band of the whole scene; `sr` (2 SIDE, 2 SIDE)."""
    around = seen(truth()).repeat(2, 0).repeat(2, 1)
    fine = truth()[4:-4, 4:-4]
    wide = np.stack([fine, around])
    margin = 2 * MARGIN_PX
    inner = wide[:, margin:-margin, margin:-margin]
    product = np.stack([inner[0] if guide is None else guide, sr])
    near = wide[:, MARGIN_PX:-MARGIN_PX, MARGIN_PX:-MARGIN_PX]
    core = (slice(0, 2 * SIDE),) * 2
    valid = np.ones(inner.shape, bool)
    return Block(core, near, valid, product, valid.copy(), (1, 1)), wide


def judged(one: Block, wide: NDArray[np.float64]) -> dict[str, Check]:
    grid = Grid((2 * SIDE,) * 2, ((0.0, 10.0, 0.0), (-10.0, 0.0, 0.0)))
    place = Place(grid)
    scene = Scene(place, place, (1, 1), 2, "float64", "float64", (2 * SIDE,) * 2, True, (None, None), (True, False))
    suite = GuidedSuite(scene, LIMITS, Place(grid.coarser(2)), 2)
    suite.add(one, wide)
    return {check.id: check for check in suite.checks("none")}


def right() -> NDArray[np.float64]:
    margin = 2 * MARGIN_PX + 4
    return truth()[margin:-margin, margin:-margin]


def test_the_truth_is_consistent_under_the_optics_and_bicubic_is_the_yardstick() -> None:
    found = judged(*block(right()))
    assert float(found["consistency.ratio"].value) < 0.05
    assert found["consistency.ratio"].passed
    lr = seen(truth())[1:-1, 1:-1]
    cubic = enlarged(lr, 2)[4:-4, 4:-4]
    assert float(judged(*block(cubic))["consistency.ratio"].value) == pytest.approx(1, abs=1e-6)
    assert found["values.copied"].value == 0
    assert float(found["registration.shift"].value) < 0.05


def test_what_changes_the_radiometry_or_lies_beside_is_stopped() -> None:
    assert not judged(*block(right() * 1.1))["consistency.ratio"].passed
    moved = judged(*block(np.roll(right(), 1, axis=1)))
    assert not moved["registration.shift"].passed
    assert moved["registration.shift"].kind == "GATE"


def test_a_guide_that_was_touched_is_stopped() -> None:
    guide = right().copy()
    guide[7, 9] += 1
    found = judged(*block(right(), guide))["values.copied"]
    assert (found.passed, found.kind, found.value) == (False, "GATE", 1.0)


def test_masks_of_the_fine_grid_stay_right_or_wrong_on_the_coarse_one() -> None:
    one, wide = block(right())
    one.valid[1, 10:13, 20:24] = False  # of the LR pixels 5 and 6 one row and a half
    one.sr_valid[1, 10:13, 20:24] = False
    coarse = coarse_block(one.of([1]), wide[[1]], 2)
    assert not coarse.valid[0, 5:7, 10:12].any()
    assert np.count_nonzero(~coarse.valid) == 4
    assert coarse.mask_errors == 0
    one.sr_valid[1, 50, 60] = False
    assert coarse_block(one.of([1]), wide[[1]], 2).mask_errors == 1
    assert coarse.around.shape == (1, SIDE + 2 * MARGIN_PX, SIDE + 2 * MARGIN_PX)
    np.testing.assert_array_equal(coarse.lr[0], one.lr[1, ::2, ::2])


def test_a_filter_behind_guides_is_stopped_where_guides_alone_are_warned_of() -> None:
    limits = {key: with_changes(of_product(sharpened=key[0], guided=key[1]))["detail.beyond"] for key in BOTH}
    assert {key: (limit.warn, limit.gate) for key, limit in limits.items()} == {
        (False, False): (0.1, None),
        (True, False): (0.1, 0.1),
        (False, True): (0.3, None),
        (True, True): (0.3, 0.3),
    }


def test_the_picture_of_the_means_is_of_lr_pixels() -> None:
    one, _ = block(right())
    found = averaged(one, [1], 2)
    np.testing.assert_array_equal(found[0], one.sr[0])
    np.testing.assert_allclose(found[1, 4:6, 8:10], right()[4:6, 8:10].mean())
