"""The laws of single families: what they must not depend on, and when they say nothing."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from scipy import ndimage

from srcore.checks import Check, Report, judge
from srcore.checks.blocks import MARGIN_PX, Block, bicubic, over_pixels
from srcore.checks.differences import over_squares
from srcore.checks.drift import drift_checks
from srcore.checks.geometry import Place
from srcore.checks.spread import BandSpread
from srcore.checks.suite import Scene, Suite
from srcore.checks.wald import wald_checks
from srcore.grid import Grid
from srcore.limits import LIMITS, Limit
from srcore.tiling import TilePlan

SPREAD = [BandSpread(True, 9216, 9000.0, 3000.0, 9000.0, 30000.0, 1.0, 0.0)] * 2
IDENTITY = ((0.0, 1.0, 0.0), (-1.0, 0.0, 0.0))


def picture(bands: int, shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = ndimage.gaussian_filter(rng.standard_normal((bands, *shape)), (0, 1.5, 1.5))
    return np.rint(np.clip(9000 + 9000 * values, 500, 60000)).astype(np.uint16)


def blocks(lr: np.ndarray, sr: np.ndarray, valid: np.ndarray, core: int) -> Iterator[Block]:
    plan = TilePlan(lr.shape[1:], (core, core), (MARGIN_PX,) * 2, (2, 2))
    for tile in plan:
        around = lr[np.ix_(range(len(lr)), *plan.sources(tile))]
        rows, cols = (w.stop - w.start + 2 * MARGIN_PX for w in tile.core)
        at, at_hr = (slice(None), *tile.core), (slice(None), *plan.window_hr(tile))
        up = valid.repeat(2, 1).repeat(2, 2)
        yield Block(tile.core, around[:, :rows, :cols], valid[at], sr[at_hr], up[at_hr], (2, 2))


def suite_of(lr: np.ndarray, sr: np.ndarray, core: int, valid: np.ndarray | None = None) -> dict[str, Check]:
    grid = Grid(lr.shape[1:], IDENTITY, None)
    scene = Scene(Place(grid), Place(grid.scaled((2, 2))), (2, 2), len(lr), "uint16", "uint16", (core, core), True)
    suite = Suite(scene, LIMITS)
    for block in blocks(lr, sr, np.ones(lr.shape, bool) if valid is None else valid, core):
        suite.add(block)
    return {check.id: check for check in suite.checks()}


def enlarged(lr: np.ndarray) -> np.ndarray:
    return np.rint(bicubic(np.pad(lr, [(0, 0), (2, 2), (2, 2)], mode="reflect"), 2)).astype(np.uint16)


def test_figures_do_not_depend_on_the_cut() -> None:
    lr = picture(2, (150, 131))
    valid = np.random.default_rng(1).random(lr.shape) > 0.1
    sr = (1.01 * enlarged(lr)).astype(np.uint16)
    several, one = suite_of(lr, sr, 64, valid), suite_of(lr, sr, 200, valid)
    for name in ("values.mean", "values.clipped", "consistency.ratio", "spectral.angle", "detail.beyond"):
        assert several[name].value == pytest.approx(one[name].value, rel=1e-5, abs=1e-9), name
    assert several["values.mean"].value == pytest.approx(0.01, rel=0.1)


def test_bicubic_against_itself_is_1_and_lies_where_it_lies() -> None:
    lr = picture(2, (260, 260))
    found = suite_of(lr, enlarged(lr), 64)
    assert found["consistency.ratio"].value == pytest.approx(1, abs=0.01)
    assert found["detail.least"].value == pytest.approx(1, abs=0.02)
    assert found["registration.shift"].value == 0
    assert found["seams.step"].value < 1.3


def test_the_mean_of_bicubic_needs_no_bicubic() -> None:
    lr = picture(1, (40, 44))
    [block] = blocks(lr, enlarged(lr), np.ones(lr.shape, bool), 64)
    expected = over_pixels(block.bicubic, (2, 2), np.add) / 4
    np.testing.assert_allclose(block.averaged_bicubic, expected, rtol=1e-5)


@pytest.mark.parametrize("shift", [(0.5, 0.0), (0.0, -1.0), (0.7, 0.7)])
def test_a_shift_is_measured(shift: tuple[float, float]) -> None:
    lr = picture(1, (200, 200))
    sr = ndimage.shift(enlarged(lr).astype(float), (0, *shift), order=3, mode="nearest").astype(np.uint16)
    assert suite_of(lr, sr, 64)["registration.shift"].value == pytest.approx(np.hypot(*shift), abs=0.06)


def test_where_there_is_no_texture_registration_and_detail_say_nothing() -> None:
    lr = np.full((1, 100, 100), 500, np.uint16)
    found = suite_of(lr, enlarged(lr), 64)
    assert (found["registration.shift"].kind, found["registration.shift"].value) == ("INFO", "not measured")
    assert Report(tuple(found.values())).verdict == "published"


def test_a_block_that_was_not_written_is_found() -> None:
    lr = picture(1, (256, 256))
    sr = enlarged(lr)
    sr[:, 128:256, 256:384] = 1
    assert not suite_of(lr, sr, 64)["values.flat"].passed


@pytest.mark.parametrize(
    ("limit", "value", "kind", "passed"),
    [
        (Limit(1.0, 2.0), 0.5, "WARN", True),
        (Limit(1.0, 2.0), 1.5, "WARN", False),
        (Limit(1.0, 2.0), 2.5, "GATE", False),
        (Limit(1.0, 2.0), float("nan"), "GATE", False),
        (Limit(gate=0.0), 0.0, "GATE", True),
        (Limit(), 7.0, "INFO", True),
        (Limit(0.9, at_least=True), 0.8, "WARN", False),
        (Limit(0.9, at_least=True), 1.8, "WARN", True),
    ],
)
def test_judgement(limit: Limit, value: float, kind: str, passed: bool) -> None:
    check = judge({"a": limit}, "a", value, "", "")
    assert (check.kind, check.passed) == (kind, passed)


def test_drift_is_seen_against_the_last_products_and_not_before_there_are_some() -> None:
    rng = np.random.default_rng(0)
    history = [{"consistency.ratio": float(value)} for value in rng.normal(0.4, 0.02, 30)]

    def drift(value: float, past: int) -> list[Check]:
        return drift_checks([judge(LIMITS, "consistency.ratio", value, "", "")], history[:past], LIMITS)

    assert [check.passed for check in drift(0.42, 30)] == [True]
    assert [check.passed for check in drift(0.8, 30)] == [False]
    assert drift(0.8, 7) == []


def test_the_self_test_knows_bicubic_from_something_worse() -> None:
    from srcore.checks.patches import Patch

    lr = picture(2, (96, 96)).astype(float)
    patch = Patch((0.5, 0.5), (0, 1), np.pad(lr, [(0, 0), (2, 2), (2, 2)], mode="reflect"), enlarged(lr), (2, 2), 1.0)

    def run(coarse: np.ndarray) -> np.ndarray:
        return bicubic(np.pad(coarse, [(0, 0), (2, 2), (2, 2)], mode="reflect"), 2)

    same = {check.id: check for check in wald_checks([patch], run, SPREAD, LIMITS)}
    assert same["wald.gain"].value == pytest.approx(0, abs=1e-9)
    assert same["wald.gain"].passed
    worse = {check.id: check for check in wald_checks([patch], lambda c: np.roll(run(c), 1, 2), SPREAD, LIMITS)}
    assert not worse["wald.gain"].passed
    assert worse["wald.ssim"].value < same["wald.ssim"].value
    assert wald_checks([patch], "no time", SPREAD, LIMITS)[0].basis == "no time"


@pytest.mark.parametrize("shape", [(1, 128, 192), (2, 64, 64), (1, 3, 64, 128), (2, 130, 64), (1, 64, 61), (1, 5, 7)])
@pytest.mark.parametrize("operation", [np.add, np.minimum, np.maximum])
def test_squares_of_any_size_are_what_each_square_gives(shape: tuple[int, ...], operation: np.ufunc) -> None:
    values = np.random.default_rng(3).standard_normal(shape)
    found = over_squares(values, 64, operation)
    for band, row, col in np.ndindex(*found.shape):
        square = values[band, ..., 64 * row : 64 * row + 64, 64 * col : 64 * col + 64]
        assert found[band, row, col] == pytest.approx(operation.reduce(square, axis=None), abs=1e-9)
