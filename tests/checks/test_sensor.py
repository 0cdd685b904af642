"""Consistency where the generator takes the LR to come from a sensor: seen through optics, the SR gives the LR back."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from srcore.checks import Check
from srcore.checks.blocks import average_down
from srcore.checks.pair import validate_pair
from srcore.dispatch import Workers
from srcore.limits import LIMITS
from srcore.run.direct import direct_job
from srcore.run.scene import run_scene
from tests.checks.products import HR, Case, judged, texture

LEAST = 0.15
NEIGHBOURS = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]], float)


@dataclass(frozen=True)
class Seen(Case):
    """The LR of a sensor: the means of the HR, blurred on the LR's grid."""

    blur: float = 0.1

    @property
    def lr(self) -> np.ndarray:  # type: ignore[override]
        means = average_down(self.hr, self.scale).astype(float)
        near = NEIGHBOURS.reshape((1,) * (means.ndim - 2) + NEIGHBOURS.shape)
        rise = ndimage.convolve(means, near, mode="mirror")
        return np.asarray(means + self.blur * rise).astype(self.dtype)


def ground(sigma: float = 1.5) -> np.ndarray:
    return 2000 + 300 * texture((2, *HR), sigma)


def consistency(case: Case, sr: np.ndarray, least: float | None = LEAST) -> Check:
    return next(one for one in judged(case, sr, least).checks if one.id == "consistency.ratio")


@pytest.mark.parametrize(("blur", "contrast"), [(0.0, 0.71), (0.05, 0.57), (0.1, 0.42), (0.19, 0.17)])
def test_what_a_sensor_saw_is_consistent_and_the_contrast_is_found(blur: float, contrast: float) -> None:
    case = Seen(ground(), "float32", blur=blur)
    found = consistency(case, case.hr)
    assert found.passed
    assert float(found.value) < 0.01
    assert f"contrast {contrast:.2f} and more, of SR" in found.basis
    assert "mean of bicubic" in found.basis


def test_slices_of_a_volume_are_seen_likewise() -> None:
    case = Seen(ground()[None], "float32", scale=(1, 2, 2))
    assert float(consistency(case, case.hr).value) < 0.01
    assert float(consistency(case, case.hr, None).value) > 1


def test_without_a_sensor_the_same_product_is_stopped() -> None:
    case = Seen(ground(), "float32", blur=0.15)
    assert float(consistency(case, case.hr, None).value) > 2


@pytest.mark.parametrize("spoilt", [lambda sr: 1.1 * sr, lambda sr: sr + 100, lambda sr: np.roll(sr, 2, -1)])
def test_no_sensor_explains_another_gain_offset_or_place(spoilt: object) -> None:
    case = Seen(ground(), "float32", blur=0.1)
    assert not consistency(case, spoilt(case.hr).astype("float32")).passed  # type: ignore[operator]


def test_a_blur_beyond_those_of_the_training_is_not_taken_back() -> None:
    case = Seen(ground(), "float32", blur=0.24)
    assert float(consistency(case, case.hr).value) > 0.1
    assert float(consistency(case, case.hr, 0.01).value) < 0.01


def test_a_smoother_product_than_the_means_is_judged_by_the_plain_mean() -> None:
    case = Case(ground(), "float32")
    smooth = np.stack([ndimage.gaussian_filter(band, 1.5) for band in case.hr])
    mine, plain = consistency(case, smooth), consistency(case, smooth, None)
    assert float(mine.value) == pytest.approx(float(plain.value), rel=0.05)


def test_nothing_that_is_invalid_has_a_say() -> None:
    case = Seen(ground(), "float32")
    valid = np.ones(case.lr.shape, bool)
    valid[:, 20:40, 30:50] = False
    hidden = Seen(case.ground, "float32", valid=valid)
    sr = hidden.hr.copy()
    sr[:, 40:80, 60:100] = 0
    assert float(consistency(hidden, sr).value) < 0.01


def test_a_product_is_judged_alike_by_its_run_and_afterwards(tmp_path: Path, write_raster: Callable[..., Path]) -> None:
    """Afterwards by its receipt; a copy without one is a stranger's, and so is another file in its place."""
    lr = write_raster(Seen(ground()[:1], "uint16").lr, "lr.tif")
    job = direct_job(str(lr), tmp_path / "sr.tif", model="srcore-x2-sensor-fast")
    receipt = run_scene(job, Workers(0))
    assert receipt is not None
    of_run = next(check for check in receipt.checks if check["id"] == "consistency.ratio")
    assert "sensor's view" in str(of_run["basis"])

    def again(path: Path) -> Check:
        found = validate_pair(path, lr, LIMITS).checks
        return next(one for one in found if one.id == "consistency.ratio")

    assert again(job.product.data).basis == of_run["basis"]
    assert again(job.product.data).value == pytest.approx(of_run["value"], rel=0.1)  # in other blocks
    assert "mean of" in again(Path(shutil.copy(job.product.data, tmp_path / "copy.tif"))).basis
    with job.product.data.open("ab") as file:
        file.write(b"\0")
    assert "mean of" in again(job.product.data).basis
