"""The figures that the rule looks at: the truth is never worse than anything, whatever the sensor did to the LR."""

import numpy as np
import pytest
from scipy import ndimage

from srcore.checkpoints import CHALLENGER, CHAMPION
from srcore.report.evaluation import Evaluation, Method, SceneFigures
from srcore.storage.whole_images import Image
from srcore.training.judge.compare import _figures, averaged_off, summarised
from srcore.training.judge.evaluate import ImagePair, interpolated
from srcore.training.judge.rule import Verdict, decide
from srcore.training.judge.scores import compared
from srcore.training.pairs.find import Pair

SCALES = (2, 2)


def blurred_pair(seed: int) -> ImagePair:
    """A scene of two bands under a sensor whose blur is twice that of averaging."""
    rng = np.random.default_rng(seed)
    hr = ndimage.gaussian_filter(rng.normal(size=(2, 96, 96)), (0, 1.2, 1.2))
    hr = (5000 + 9000 * hr).clip(0).astype(np.uint16)
    lr = ndimage.gaussian_filter(hr.astype(float), (0, 1.4, 1.4)).reshape(2, 48, 2, 48, 2).mean((2, 4))
    lr = np.rint(lr).astype(np.uint16)
    return ImagePair(hr, Image(lr, np.ones(lr.shape, bool), None))


def judged(known: float, gain: float) -> tuple[Evaluation, Verdict]:
    """A champion between bicubic (`known` 0) and the truth (1), the true HR times `gain` as the challenger."""
    scenes, pairs = [], {}
    for number in range(12):
        pair, name = blurred_pair(number), f"scene{number}"
        plain = interpolated(pair.lr, SCALES)
        sr = np.rint(pair.hr * gain).astype(np.uint16)
        champion = np.rint(plain + known * (pair.hr - plain.astype(float))).astype(np.uint16)
        ways = {"bicubic": plain, CHAMPION: champion, CHALLENGER: sr}
        by = {way: _figures(pair, values, SCALES) for way, values in ways.items()}
        scenes.append(SceneFigures(f"{name}.tif", name, by))
        pairs[name] = Pair(name, (), (), (), None, (), held=True, place=f"place{number}")
    methods = [Method(name) for name in ("bicubic", CHAMPION, CHALLENGER)]
    found = summarised(("", "", ""), methods, scenes)
    return found, decide(compared(found, pairs), attempt=1)


def test_the_truth_is_promoted_under_a_blur_that_sets_it_apart_from_the_lr() -> None:
    found, verdict = judged(0.0, 1.0)
    one = found.scenes[0].by
    assert one[CHALLENGER].reflectance > one[CHAMPION].reflectance + 0.002  # against the LR the truth is the worse
    assert one[CHALLENGER].radiometry == one[CHALLENGER].spectra == 0
    assert verdict.promoted, verdict.reason


def test_another_radiometry_is_kept_out_by_its_figure() -> None:
    _, verdict = judged(0.9, 1.02)
    assert verdict.mean_db is not None
    assert verdict.mean_db > 0.05  # better by PSNR alone
    assert not verdict.promoted
    assert "radiometry may be worse by" in verdict.reason


def test_averaged_off_is_the_mean_difference_in_spans_and_the_angle_of_the_spectra() -> None:
    hr = np.stack([np.tile([0, 0, 100, 100], (4, 1)), np.full((4, 4), 50)]).astype(float)
    assert averaged_off(hr, hr, (2, 2, 2)) == (0, 0)
    radiometry, spectra = averaged_off(hr, hr + np.array([10, 0])[:, None, None], (2, 2, 2))
    assert radiometry == pytest.approx((0.1 + 0) / 2)
    left, right = np.degrees(np.arctan2(50, [10, 110]) - np.arctan2(50, [0, 100]))
    assert spectra == pytest.approx((abs(left) + abs(right)) / 2)
    checkers = np.indices((4, 4)).sum(axis=0) % 2 * 6 - 3
    assert averaged_off(hr, hr + checkers, (2, 2, 2)) == (0, 0)  # detail alone is neither
    volume = np.arange(64.0).reshape(1, 4, 4, 4)
    span = np.subtract(*np.percentile(volume, (98, 2)))
    assert averaged_off(volume, volume + 1, (1, 2, 2, 2))[0] == pytest.approx(1 / span)
