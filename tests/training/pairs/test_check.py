"""Planted pairs: each wrong one is refused by its code or corrected, each right one is accepted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from srcore.errors import GridError
from srcore.grid import Grid
from srcore.training.pairs.check import Rules, check, ncc
from srcore.training.pairs.grids import nest
from srcore.training.pairs.sample import Sample, lay
from tests.training.pairs.drawn import FINE, ground, number, pair, sample, seen

RIGHT = {
    "plain": {},
    "bytes": {"dtype": np.uint8},
    "signed": {"dtype": np.int16},
    "floats": {"dtype": np.float32},
    "noise of 2 %": {"noise": 0.02},
    "a blurred sensor": {"lr_blur": 0.6},
    "odd sizes": {"shape": (61, 97)},
    "small": {"shape": (24, 24)},
    "factor 3": {"scale": 3, "shape": (48, 40)},
    "factor 4": {"scale": 4, "shape": (40, 48)},
    "another place": {"seed": 7, "noise": 0.01, "lr_blur": 0.5},
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_pair_is_accepted_as_it_is(name: str) -> None:
    one = pair(**RIGHT[name])
    verdict = check(one)
    assert verdict.refusal is None, verdict
    assert verdict.notes == ()
    assert np.array_equal(verdict.sample.hr, one.hr)
    assert abs(verdict.figures["shift_rows"]) < 0.05
    assert abs(verdict.figures["gain"] - 1) < 0.03


def _stretched(values: np.ndarray) -> np.ndarray:
    """The ground, drawn out to the right by 1 part in 40: what lies at the right edge is 4 HR px away."""
    return ndimage.affine_transform(values, [1.0, 1 / 1.025], order=1, mode="nearest")


def _jumped(values: np.ndarray) -> np.ndarray:
    """The right half shows what lies 3 HR px lower."""
    half = values.shape[1] // 2
    return np.hstack([values[:, :half], np.roll(values[:, half:], 3 * FINE, axis=0)])


def _with(one: Sample, *, hr: np.ndarray | None = None, lr: np.ndarray | None = None) -> Sample:
    return replace(one, **({} if hr is None else {"hr": hr}), **({} if lr is None else {"lr": lr}))


def _bicubic(one: Sample) -> np.ndarray:
    wide = ndimage.zoom(one.lr[0].astype(float), 2, order=3, grid_mode=True, mode="nearest")
    return np.rint(wide).astype(one.hr.dtype)[None]


def _hidden(one: Sample) -> Sample:
    valid = one.hr_valid.copy()
    valid[:, : int(valid.shape[1] * 0.6)] = False
    return replace(one, hr_valid=valid)


def _saturated(one: Sample) -> Sample:
    return _with(one, hr=np.minimum(one.hr, np.percentile(one.hr, 70).astype(one.hr.dtype)))


WRONG = {
    "5 LR px away": (lambda: pair(shift_hr_px=(10, 0)), "SHIFTED"),
    "5 LR px away on both axes": (lambda: pair(shift_hr_px=(-7, 8)), "SHIFTED"),
    "shift that grows": (lambda: pair(warp=_stretched, shape=(80, 96)), "SHIFT_VARIES"),
    "shift that jumps": (lambda: pair(warp=_jumped, shape=(96, 96)), "SHIFT_VARIES"),
    "gain 0.8 and offset 20": (lambda: _gained(pair(dtype=np.uint8), 0.8, 20), "OTHER_GAIN"),
    "offset of 10 % of the range": (lambda: _gained(pair(dtype=np.uint16), 1.0, 900), "OTHER_GAIN"),
    "another place": (lambda: _with(pair(0), hr=pair(1).hr), "UNLIKE"),
    "upside down": (lambda: _with(pair(0), hr=pair(0).hr[:, ::-1]), "UNLIKE"),
    "negative": (lambda: _with(pair(0), hr=(9040 - pair(0).hr).astype(np.uint16)), "UNLIKE"),
    "bicubic of the LR": (lambda: _with(pair(0), hr=_bicubic(pair(0))), "NO_DETAIL"),
    "nearest of the LR": (lambda: _with(pair(0), hr=pair(0).lr.repeat(2, 1).repeat(2, 2)), "NO_DETAIL"),
    "HR blurred by 2 px": (
        lambda: _with(pair(0), hr=ndimage.gaussian_filter(pair(0).hr, (0, 2, 2))),
        "NO_DETAIL",
    ),
    "saturated": (lambda: _saturated(pair(0)), "SATURATED"),
    "constant HR": (lambda: _with(pair(0), hr=np.full_like(pair(0).hr, 7)), "NO_CONTENT"),
    "constant LR": (lambda: _with(pair(0), lr=np.full_like(pair(0).lr, 7)), "NO_CONTENT"),
    "mostly nodata": (lambda: _hidden(pair(0)), "MOSTLY_NODATA"),
    "few pixels": (lambda: pair(shape=(16, 18)), "PAIR_TOO_SMALL"),
}


def _gained(one: Sample, gain: float, offset: float) -> Sample:
    return _with(one, hr=np.rint(one.hr * gain + offset).astype(one.hr.dtype))


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_pair_is_refused_by_its_code(name: str) -> None:
    make, code = WRONG[name]
    verdict = check(make())
    assert verdict.refusal is not None
    assert verdict.refusal.code == code, verdict
    assert verdict.figures


@pytest.mark.parametrize("hr_px", [(1.0, 0.0), (0.0, 3.0), (-3.0, 1.0), (0.5, -0.5)])
def test_a_shift_of_up_to_two_lr_px_is_moved_back_and_said(hr_px: tuple[float, float]) -> None:
    verdict = check(pair(shift_hr_px=hr_px, noise=0.005))
    assert verdict.refusal is None, verdict
    assert verdict.figures["shift_rows"] == pytest.approx(hr_px[0] / 2, abs=0.06)
    assert verdict.figures["shift_columns"] == pytest.approx(hr_px[1] / 2, abs=0.06)
    assert "moved back" in verdict.notes[0]
    again = check(verdict.sample)
    assert np.hypot(again.figures["shift_rows"], again.figures["shift_columns"]) < 0.08
    assert again.figures["ncc"] > 0.98


def test_gain_and_offset_are_fitted_where_that_is_asked_for() -> None:
    one = pair(dtype=np.uint16)
    verdict = check(_gained(one, 0.8, 200), Rules(fit=True))
    assert verdict.refusal is None
    assert verdict.figures["gain"] == pytest.approx(1 / 0.8, rel=0.02)
    assert np.abs(verdict.sample.hr.astype(float) - one.hr).mean() < 60  # of 9,000
    assert "fitted" in verdict.notes[-1]


def test_another_sensor_may_look_less_alike() -> None:
    one = _with(pair(noise=0.06), hr=pair().hr)
    assert 0.75 < (ncc(one.reduced[0], one.lr[0]) or 0) < 0.9
    assert (refusal := check(one).refusal) is not None
    assert refusal.code == "UNLIKE"
    assert check(one, Rules(sensor="other")).refusal is None


def _volume(seed: int, shift_hr_px: tuple[float, float] = (0.0, 0.0), upside_down: bool = False) -> Sample:
    """(1, z, y, x) of slices of one ground that changes slowly; scale 2 on all axes."""
    a, b = pair(seed, shift_hr_px=shift_hr_px), pair(seed + 1, shift_hr_px=shift_hr_px)
    share = np.linspace(0, 1, 16)[:, None, None]
    hr = a.hr[0] * (1 - share) + b.hr[0] * share
    lr = hr.reshape(8, 2, 80, 2, 72, 2).mean((1, 3, 5)) if shift_hr_px == (0, 0) else None
    if lr is None:
        fine = share.reshape(8, 2, 1, 1).mean(1)
        lr = a.lr[0] * (1 - fine) + b.lr[0] * fine
    if upside_down:
        hr = hr[:, ::-1]
    lr, hr = (np.rint(one)[None].astype(np.int16) for one in (lr, hr))
    return Sample(lr, np.ones(lr.shape, bool), hr, np.ones(hr.shape, bool), (2, 2, 2))


def test_volumes_are_checked_slice_by_slice() -> None:
    assert check(_volume(20)).refusal is None
    moved = check(_volume(20, (2.0, 0.0)))
    assert moved.refusal is None
    assert moved.figures["shift_rows"] == pytest.approx(1.0, abs=0.1)
    assert moved.sample.lr.shape == (1, 8, 79, 72)
    refusal = check(_volume(20, upside_down=True)).refusal
    assert refusal is not None
    assert refusal.code == "UNLIKE"


def test_half_of_nodata_hides_no_shift() -> None:
    one = pair(shift_hr_px=(3.0, 0.0), shape=(96, 96))
    valid = one.lr_valid.copy()
    valid[:, :, :40] = False
    verdict = check(replace(one, lr_valid=valid, lr=np.where(valid, one.lr, 0).astype(one.lr.dtype)))
    assert verdict.refusal is None
    assert verdict.figures["shift_rows"] == pytest.approx(1.5, abs=0.1)


# grids


def _grid(shape: tuple[int, int], pixel: float, corner: tuple[float, float], crs: str | None = "EPSG:32632") -> Grid:
    return Grid(shape, ((0.0, pixel, corner[0]), (-pixel, 0.0, corner[1])), crs)


NOWHERE = ((0.0, 1.0, 0.0), (1.0, 0.0, 0.0))


def test_nested_grids_are_taken_whole() -> None:
    found = nest(_grid((50, 40), 20, (0, 1000)), _grid((100, 80), 10, (0, 1000)))
    assert found.scale == (2, 2)
    assert found.window == (slice(0, 50), slice(0, 40))
    assert found.first == (0, 0)
    assert found.notes == ()


def test_landsats_15_m_band_begins_half_a_pixel_inside() -> None:
    found = nest(_grid((138, 626), 30, (0, 9000)), _grid((275, 1251), 15, (7.5, 9000 - 7.5)))
    assert found.scale == (2, 2)
    assert found.window == (slice(1, 137), slice(1, 625))
    assert found.first == (1.5, 1.5)
    assert found.offset == (-0.5, -0.5)
    assert "resampled" in found.notes[0]
    assert "138 x 626" in found.notes[1]


@pytest.mark.parametrize(
    ("lr", "hr", "scale", "covered"),
    [
        ((169, 186), (337, 371), 2, (168, 185)),
        ((362, 400), (723, 800), 2, (361, 400)),
        ((60, 60), (116, 116), 2, (58, 58)),
        ((60, 60), (120, 120), 2, (60, 60)),
    ],
)
def test_sizes_without_a_place_are_cropped_within_two_lr_px(
    lr: tuple[int, int], hr: tuple[int, int], scale: int, covered: tuple[int, int]
) -> None:
    found = nest(Grid(lr, NOWHERE), Grid(hr, NOWHERE), (scale, scale))
    assert tuple(one.stop - one.start for one in found.window) == covered
    assert "first corner" in found.notes[0]


@pytest.mark.parametrize(
    ("hr", "code"),
    [
        (_grid((100, 80), 10, (90000, 1000)), "DISJOINT"),
        (_grid((72, 58), 14, (0, 1000)), "NOT_A_MULTIPLE"),
        (_grid((150, 120), 20 / 3, (0, 1000)), "BAD_PAIR"),
        (Grid((80, 100), ((10.0, 0.0, 0.0), (0.0, -10.0, 1000.0)), "EPSG:32632"), "BAD_GRID"),
        (Grid((70, 40), NOWHERE), "NOT_A_MULTIPLE"),
    ],
)
def test_grids_that_do_not_fit_are_refused(hr: Grid, code: str) -> None:
    with pytest.raises(GridError) as refused:
        nest(_grid((50, 40), 20, (0, 1000)), hr, (2, 2))
    assert refused.value.code == code


def test_a_volume_may_have_another_ratio_in_z() -> None:
    lr, hr = Grid((10, 30, 30), ((0, 0, 2.0, 0), (0, 2.0, 0, 0), (5.0, 0, 0, 0))), None
    hr = Grid((50, 60, 60), ((0, 0, 1.0, 0), (0, 1.0, 0, 0), (1.0, 0, 0, 0)))
    assert nest(lr, hr).scale == (5, 2, 2)
    with pytest.raises(GridError) as refused:
        nest(lr, hr, (2, 2, 2))
    assert refused.value.code == "BAD_PAIR"


def test_an_hr_half_a_pixel_off_its_grid_is_laid_onto_it() -> None:
    """What the 15 m band sees, resampled, is what a nested band would have seen."""
    world, fine = ground(3, (120, 120)), (120, 120)
    nested = number(seen(world, FINE, fine), np.uint16)
    off = number(seen(world, FINE, fine, shift_px=(-0.5, -0.5)), np.uint16)
    values, valid = lay(off[None], np.ones((1, *fine), bool), (1.5, 1.5), (116, 116))
    assert valid.all()
    wanted = nested[2:118, 2:118].astype(float)
    error = np.sqrt(np.mean((values[0].astype(float) - wanted) ** 2))
    assert error < 0.01 * 9000
    assert error < 0.2 * np.sqrt(np.mean((off[2:118, 2:118].astype(float) - wanted) ** 2))
    verdict = check(sample(number(seen(world, 2 * FINE, (60, 60)), np.uint16)[1:59, 1:59], values[0], 2))
    assert verdict.refusal is None
    assert verdict.notes == ()


def test_laying_keeps_nodata_and_the_ends_of_the_numbers() -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(10, 1000, (1, 40, 40)).astype(np.uint16)
    valid = np.ones(values.shape, bool)
    valid[:, 10:12, 20:30] = False
    moved, seen_ = lay(np.where(valid, values, 0).astype(np.uint16), valid, (0.5, 0.0), (38, 40))
    assert not seen_[:, 9:12, 20:30].any()
    assert seen_[:, 13:].all()
    assert moved[seen_].min() >= 10
    assert moved.max() < 1000


def _body(seed: int, slices_hr_px: float, scale: tuple[int, int, int] = (2, 2, 2)) -> Sample:
    """A volume of 28 x 32 x 36 LR pixels; what its HR shows lies `slices_hr_px` of its slices further."""
    rng = np.random.default_rng(seed)
    fine = (28 * scale[0], 32 * scale[1], 36 * scale[2])
    wide = [n + 24 for n in fine]
    world = sum(weight * ndimage.gaussian_filter(rng.normal(size=wide), sigma) for sigma, weight in ((1, 2), (3, 30)))
    assert isinstance(world, np.ndarray)
    moved = ndimage.shift(world, (slices_hr_px, 0, 0), order=3)
    lr, hr = (values[12:-12, 12:-12, 12:-12] for values in (world, moved))
    lr = lr.reshape(28, scale[0], 32, scale[1], 36, scale[2]).mean((1, 3, 5))
    values = [(1000 + 400 * one).astype(np.int16)[None] for one in (lr, hr)]
    return Sample(values[0], np.ones(values[0].shape, bool), values[1], np.ones(values[1].shape, bool), scale)


@pytest.mark.parametrize("scale", [(2, 2, 2), (1, 2, 2)])
def test_a_shift_along_z_is_measured_and_moved_back(scale: tuple[int, int, int]) -> None:
    right = check(_body(30, 0.0, scale))
    assert right.refusal is None
    assert abs(right.figures["shift_slices"]) < 0.05
    assert right.notes == ()
    moved = check(_body(30, 1.5 * scale[0], scale))
    assert moved.refusal is None
    assert moved.figures["shift_slices"] == pytest.approx(1.5, abs=0.15)
    assert "moved back by +1.5" in moved.notes[0]
    assert " slices, " in moved.notes[0]
    first = [at * s for at, s in zip(moved.sample.cropped, scale, strict=True)]
    inside = [slice(at, at + n) for at, n in zip(first, moved.sample.hr.shape[1:], strict=True)]
    truth = _body(30, 0.0, scale).hr[(slice(None), *inside)].astype(float)
    assert np.abs(moved.sample.hr - truth)[..., 4:-4, 4:-4].mean() < 0.12 * truth.std()
    far = check(_body(30, 4.0 * scale[0], scale)).refusal
    assert far is not None
    assert (far.code, far.what[:19]) == ("SHIFTED", "the HR lies +4.00 s")


def test_of_few_slices_it_is_said_that_nothing_was_measured_along_z() -> None:
    one = _body(31, 0.0)
    few = Sample(one.lr[:, :12], one.lr_valid[:, :12], one.hr[:, :24], one.hr_valid[:, :24], one.scale)
    verdict = check(few)
    assert verdict.refusal is None
    assert verdict.notes == ("12 slices: no shift along z is looked for below 20",)
