"""True, missing and made-up detail: the corners of the definitions, and the order of three generators."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.ma as ma
import pytest
from scipy import ndimage

from srcore.checkpoints import BUILTIN
from srcore.checks.blocks import average_down
from srcore.checks.opensr import compare, scores
from srcore.engine import open_engine, plain_sr
from srcore.samples.defects import hallucinated_texture
from srcore.samples.landscape import render
from srcore.storage.whole_images import read_bands


@pytest.mark.parametrize(
    ("d_im", "d_om", "expected"),
    [(0.0, 1.0, (0, 1, 1)), (1.0, 0.0, (1, 0, 1)), (3.0, 3.0, (None, None, np.exp(-7.2)))],
)
def test_the_scores_at_the_corners_are_the_published_ones(
    d_im: float, d_om: float, expected: tuple[float | None, ...]
) -> None:
    found = scores(np.array(d_im), np.array(d_om))
    for value, wanted in zip(found, expected, strict=True):
        if wanted is not None:
            assert value == pytest.approx(wanted, abs=1e-12)
    assert found.argmin() == expected.index(min(value for value in expected if value is not None))


def test_the_truth_improves_the_enlarged_lr_omits_and_another_picture_hallucinates() -> None:
    hr = render((160, 160), 5)[:3]
    lr = average_down(hr, (2, 2))
    enlarged = np.stack([ndimage.zoom(band, 2, order=1, mode="grid-mirror", grid_mode=True) for band in lr])
    assert compare(lr, hr, hr).improvement == 1
    assert compare(lr, hr[:, ::-1, ::-1], hr).hallucination > 0.8
    shares = compare(lr, enlarged, hr)  # its histogram is matched: that alone moves some pixels
    assert shares.omission > 0.6
    assert shares.improvement + shares.omission + shares.hallucination == pytest.approx(1)


@pytest.mark.parametrize(
    "scene", ["drawn", "drone_brighton_DJI_0025_0.tif", "landsat_LC08_L2SP_218074_20190130_ms.tif"]
)
def test_bicubic_omits_the_trained_generator_improves_and_made_up_texture_is_seen(
    scene: str, request: pytest.FixtureRequest
) -> None:
    if scene == "drawn":
        hr = render((256, 256), 5)[:3].astype(np.uint16)
    else:
        path: Path = request.getfixturevalue("shared_data") / "trainset/val/optical" / scene
        hr = ma.getdata(read_bands(path))[:3, :256, :256]
    lr = average_down(hr, (2, 2))
    bicubic, trained = (
        plain_sr(open_engine(BUILTIN / name, "cpu", "float32"), lr) for name in ("bicubic-x2", "srcore-x2")
    )
    made_up = hallucinated_texture(trained, np.ones(trained.shape, bool))[0]
    a, b, c = (compare(lr, sr, hr) for sr in (bicubic, trained, made_up))
    assert b.improvement > a.improvement
    assert b.omission < a.omission
    assert c.hallucination > 1.15 * b.hallucination
    assert c.improvement < b.improvement
    assert c.synthesis > b.synthesis > a.synthesis
