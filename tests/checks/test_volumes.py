"""Volumes whose slices are made finer: right products pass, and each planted fault is found by its own check."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from srcore.checks import Check
from srcore.checks.blocks import MARGIN_PX, Block, by_profile, mirrored
from srcore.checks.geometry import Place, check_place
from srcore.checks.spread import BandSpread
from srcore.checks.suite import Scene, Suite
from srcore.checks.volumes.place import PlaceCheck
from srcore.grid import Grid
from srcore.limits import LIMITS
from srcore.models.blocks import cubic_weights
from srcore.samples.phantom import draw, thick
from srcore.tiling import TilePlan

Array = NDArray[Any]
Volume = NDArray[np.int16]
CORE = (8, 32, 32)


def judged(lr: Array, sr: Array, scale: tuple[int, int, int], profile: bool = False) -> dict[str, Check]:
    """The suite's findings, in blocks of CORE; of whole numbers as HU."""
    grid = Grid(lr.shape, ((0, 0, 1, 0), (0, 1, 0, 0), (float(scale[0]), 0, 0, 0)))
    own = ((float(lr.min()), float(lr.max())),)
    places = Place(grid), Place(grid.scaled(scale))
    facts = (scale, 1, str(lr.dtype), str(sr.dtype), CORE, True)
    hounsfield = (1.0, 0.0) if lr.dtype.kind == "i" else None
    suite = Suite(Scene(*places, *facts, own=own, hounsfield=hounsfield, by_profile=profile), LIMITS)
    core = tuple(min(a, b) for a, b in zip(CORE, lr.shape, strict=True))
    plan = TilePlan(lr.shape, core, (0, MARGIN_PX, MARGIN_PX), scale)
    for tile in plan:
        sizes = [w.stop - w.start for w in tile.core]
        around = lr[np.ix_(*plan.sources(tile))][
            tuple(slice(0, n + 2 * h) for n, h in zip(sizes, plan.halo, strict=True))
        ]
        depth, rows, columns = plan.window_hr(tile)
        fine = sr[depth, rows, columns][None]
        near = np.clip(np.arange(depth.start - scale[0] // 2, depth.stop + scale[0] // 2), 0, len(sr) - 1)
        wide = sr[near][:, rows, columns][None]
        seen = by_profile(wide, np.ones(wide.shape, bool), scale) if profile else None
        valid = np.ones((1, *sizes), bool)
        suite.add(Block(tile.core, around[None], valid, fine, np.ones(fine.shape, bool), scale, None, seen))
    return {one.id: one for one in suite.checks()}


BODY = draw((120, 64, 72))
CASES: dict[str, tuple[Volume, Volume, tuple[int, int, int], bool]] = {
    "5,1,1": (thick(BODY), BODY, (5, 1, 1), True),
    "2,2,2": (np.rint(BODY.reshape(60, 2, 32, 2, 36, 2).mean((1, 3, 5))).astype(np.int16), BODY, (2, 2, 2), False),
}
OURS = ("consistency.ratio", "registration.shift", "slices.step", "values.reach")


def changed(sr: Volume, at: int, by: float) -> Volume:
    out = sr.copy()
    out[at] += np.int16(by)
    return out


def scaled_along(sr: Volume) -> Volume:
    """As align_corners makes it: the ends stay, what lies between is stretched."""
    at = np.linspace(-1, len(sr), len(sr))
    return np.asarray(sr[np.clip(np.rint(at), 0, len(sr) - 1).astype(int)])


FAULTS: dict[str, tuple[Callable[[Volume], Volume], str]] = {
    "a slice too high": (lambda sr: np.concatenate([sr[:1], sr[:-1]]), "registration.shift"),
    "a slice too low": (lambda sr: np.concatenate([sr[1:], sr[-1:]]), "registration.shift"),
    "a column to the right": (lambda sr: np.concatenate([sr[..., :1], sr[..., :-1]], -1), "registration.shift"),
    "a row down": (lambda sr: np.concatenate([sr[:, :1], sr[:, :-1]], 1), "registration.shift"),
    "stretched along the slices": (scaled_along, "registration.shift"),
    "a brighter slice": (lambda sr: changed(sr, 61, 20), "slices.step"),
    "a slice of another place": (lambda sr: np.concatenate([sr[:60], sr[48:49], sr[61:]]), "slices.step"),
    "blurred": (lambda sr: np.asarray(ndimage.gaussian_filter(sr, (5, 2, 2))), "consistency.ratio"),
    "one voxel of another scanner": (lambda sr: np.where(sr == sr.max(), 9000, sr).astype(np.int16), "values.reach"),
}


@pytest.mark.parametrize("name", list(CASES))
def test_the_truth_and_nearest_pass(name: str) -> None:
    lr, hr, scale, profile = CASES[name]
    plain = lr
    for axis, factor in enumerate(scale):
        plain = plain.repeat(factor, axis=axis)
    for sr, known in ((hr, profile), (plain, False)):
        found = judged(lr, sr, scale, known)
        assert [(one, found[one].value) for one in OURS if not found[one].passed] == []
        assert all(found[one].state == "measured" for one in OURS)
        assert found["registration.shift"].value < 0.1
        assert found["consistency.ratio"].value < 0.5
    assert found["consistency.rmse"].unit == "HU"
    assert "mm along" in found["registration.shift"].basis


@pytest.mark.parametrize("fault", list(FAULTS))
@pytest.mark.parametrize("name", list(CASES))
def test_a_fault_is_found_by_its_check(name: str, fault: str) -> None:
    lr, hr, scale, profile = CASES[name]
    plant, check = FAULTS[fault]
    found = judged(lr, plant(hr), scale, profile)[check]
    # a slice of the same anatomy 12 mm away is much like the right one: that is a warning
    assert found.kind == ("WARN" if fault == "a slice of another place" else "GATE"), found
    assert not found.passed


def test_a_shift_is_told_in_mm() -> None:
    lr, hr, scale, profile = CASES["5,1,1"]
    found = judged(lr, np.concatenate([hr[:1], hr[:-1]]), scale, profile)["registration.shift"]
    assert found.value == pytest.approx(1, abs=0.7)  # of the worst eighth
    assert "mm along slices" in found.basis


def test_thick_slices_without_a_profile_have_no_limit_of_consistency() -> None:
    lr, hr, scale, _ = CASES["5,1,1"]
    found = judged(lr, hr[::-1].copy(), scale)["consistency.ratio"]
    assert (found.kind, found.passed, found.limit) == ("INFO", True, None)
    assert found.value > 2


@pytest.mark.parametrize("moved", [0.0, 1.0])
def test_what_is_off_alike_in_neighbours_is_no_shift(moved: float) -> None:
    """Seven slices of texture, and as smooth a difference of a third of it: by chance it looks like a shift."""
    for seed in range(8):
        rng = np.random.default_rng(seed)
        lr, off = (ndimage.gaussian_filter(rng.normal(size=(7, 64, 64)), (1, 2, 2)) for _ in range(2))
        lr, off = 100 * lr / lr.std(), 35 * off / off.std()
        seen = lr + off - moved / 2 * np.gradient(lr, axis=1)
        around = np.pad(lr, ((0, 0), (3, 3), (3, 3)), mode="edge")[None]
        fine, core = np.zeros((1, 14, 128, 128)), tuple(slice(0, n) for n in lr.shape)
        check, everywhere = PlaceCheck(lr.shape, (2, 2, 2), (1.0, 1.0, 1.0)), np.ones((1, *lr.shape), bool)
        check.add(Block(core, around, everywhere, fine, np.ones(fine.shape, bool), (2, 2, 2), None, seen[None]))
        (found,) = check.checks(LIMITS, BandSpread(True, 1, 0.0, 100.0, 100.0, 100.0, 1.0, 0.0))
        assert (found.kind == "GATE") == bool(moved), found


def test_numbers_without_squares_have_no_place() -> None:
    check = PlaceCheck((4, 24, 24), (1, 2, 2), (1.0, 1.0, 1.0))
    lr = np.random.default_rng(0).normal(size=(1, 4, 24, 24)) * 1e160
    around = np.pad(lr, ((0, 0), (0, 0), (3, 3), (3, 3)), mode="edge")
    fine = lr.repeat(2, axis=2).repeat(2, axis=3) * (1 + 1e-16)
    valid = np.ones(lr.shape, bool)
    core = (slice(0, 4), slice(0, 24), slice(0, 24))
    with np.errstate(over="ignore", invalid="ignore"):  # as the suite does
        check.add(Block(core, around, valid, fine, np.ones(fine.shape, bool), (1, 2, 2)))
        band = BandSpread(False, 1, 0.0, 1e160, 1e160, 1e160, 1e150, 0.0)
        assert check.checks(LIMITS, band)[0].state == "not measured"


@pytest.mark.parametrize("fault", [None, "a brighter slice"])
def test_a_body_that_begins_at_once_is_no_fault_of_its_neighbours(fault: str | None) -> None:
    """Cubic slices ring beside the end of a body, where all is noise: no slice stands out but one that is wrong."""
    rng = np.random.default_rng(1)
    lr = rng.normal(0, 8, (14, 32, 32)) - 1000
    lr[4:10, 6:26, 6:26] += 1040
    lr = np.rint(lr).astype(np.int16)
    sr = np.rint(_cubic_slices(lr, 5)).astype(np.int16)
    sr = sr if fault is None else changed(sr, 36, 40)
    found = judged(lr, sr, (5, 1, 1), True)
    assert (found["slices.step"].value < 2.5) == (fault is None)
    assert found["registration.shift"].passed


@pytest.mark.parametrize("fault", [None, "a brighter slice"])
def test_what_a_network_makes_of_nothing_is_no_slice_that_stands_out(fault: str | None) -> None:
    """Floats with 0 outside of a body: around it the SR of one thin slice in five is 0.2 % of the range off 0."""
    rng = np.random.default_rng(2)
    lr = np.zeros((24, 32, 32), np.float32)
    lr[:, 8:24, 8:24] = rng.normal(0, 1, (24, 16, 16))
    sr = _cubic_slices(lr, 5).astype(np.float32)
    around = ndimage.binary_dilation(lr[0] != 0, iterations=5) & (lr[0] == 0)
    sr[42, around] += np.float32(0.002 * np.ptp(lr))
    if fault:
        sr[61] += np.float32(0.15 * np.ptp(lr))
    found = judged(lr, sr, (5, 1, 1), True)["slices.step"]
    assert (found.kind == "GATE" and not found.passed) if fault else found.passed


@pytest.mark.parametrize("fault", [None, "a brighter slice"])
def test_what_one_thin_slice_in_five_has_around_a_body_does_not_stand_out(fault: str | None) -> None:
    """Floats with 0 outside of a body: the SR's middle slice of each LR slice is 1 % of the range off 0 around it."""
    rng = np.random.default_rng(3)
    lr = np.zeros((24, 64, 64), np.float32)
    lr[:, 23:41, 23:41] = rng.normal(0, 1, (24, 18, 18))
    sr = _cubic_slices(lr, 5).astype(np.float32)
    around = ndimage.binary_dilation(lr[0] != 0, iterations=7) & (lr[0] == 0)
    sr[2::5, around] += np.float32(0.01 * np.ptp(lr))
    if fault:
        sr[61] += np.float32(0.03 * np.ptp(lr))
    assert judged(lr, sr, (5, 1, 1), True)["slices.step"].passed == (fault is None)


def _cubic_slices(lr: Volume, scale: int) -> NDArray[np.float64]:
    weights, ends = cubic_weights(scale), np.pad(lr.astype(np.float64), ((2, 2), (0, 0), (0, 0)), mode="reflect")
    phases = [sum(w * ends[k : k + len(lr)] for k, w in enumerate(row)) for row in weights]
    return np.stack(phases, axis=1).reshape(-1, *lr.shape[1:])


@pytest.mark.parametrize("repeats", [False, True])
def test_slices_beyond_an_end_are_those_of_the_mirrored_lr(repeats: bool) -> None:
    tiles = TilePlan((3, 4, 4), (3, 4, 4), (0, 0, 0), (5, 1, 1), mirrored=repeats)
    beyond = mirrored(np.array([-2, -1, 0, 14, 15, 16]), 15, tiles).tolist()
    assert beyond == ([1, 0, 0, 14, 14, 13] if repeats else [6, 5, 0, 14, 9, 8])


def test_corners_are_as_far_off_as_32_bits_leave_them() -> None:
    grid = Grid((8, 8, 8), ((0.0, 0, 0.4, -321.4), (0, 0.4, 0, 77.7), (1.0, 0, 0, -1443.3)))
    rounded = Grid(grid.shape, tuple(tuple(float(np.float32(n)) for n in row) for row in grid.scaled((5, 1, 1)).affine))
    rounded = Grid((40, 8, 8), rounded.affine)
    (found,) = [
        one for one in check_place(Place(grid.scaled((5, 1, 1))), Place(rounded), LIMITS) if "corners" in one.id
    ]
    assert found.passed
    assert found.value > 1e-4
