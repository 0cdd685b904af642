"""Gates on held-out scenes: the same figures as in a product's receipt, and what one of them means for a challenger."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from srcore.dispatch import Workers
from srcore.limits import Changes
from srcore.memory.checked import checked
from srcore.memory.whole import PUBLISHED, open_whole
from srcore.report.evaluation import Stop
from srcore.run.direct import direct_job
from srcore.run.scene import run_scene
from srcore.storage.whole_images import read_image
from srcore.training.judge.compare import Candidate, load_candidates
from srcore.training.judge.gates import stops
from srcore.training.judge.rule import Compared, decide
from srcore.weights import load_generator, save_checkpoint
from tests.training.retrain_cases import draw_archive, save_tiny


@pytest.fixture
def candidates(tmp_path: Path) -> tuple[Candidate, Candidate]:
    """Tiny, and the same with noise in its last layer, as champion and challenger of three drawn scenes."""
    save_tiny(tmp_path)
    draw_archive(tmp_path, count=3, side=128)
    spec, generator = load_generator(tmp_path / "tiny")
    torch.manual_seed(1)
    torch.nn.init.normal_(generator.tail.weight, 0, 0.3)  # type: ignore[union-attr, arg-type]
    save_checkpoint(tmp_path / "noisy", spec, generator, "")
    champion, challenger = load_candidates({"champion": tmp_path / "tiny", "challenger": tmp_path / "noisy"})
    return champion, challenger


@pytest.mark.parametrize("nodata", [None, 0])
def test_what_is_checked_in_memory_is_what_validate_says_of_the_product(
    candidates: tuple[Candidate, Candidate], tmp_path: Path, nodata: int | None, write_raster: object
) -> None:
    values = read_image(tmp_path / "lr/a_0.tif").values.copy()
    values[0, 3:20, 5:9] = 0
    path = write_raster(tmp_path / "scene.tif", values, nodata)  # type: ignore[operator]
    job = direct_job(str(path), tmp_path / "sr/sr.tif", model=str(tmp_path / "noisy"), validate=False)
    receipt = run_scene(job, Workers(0))
    assert receipt is not None
    engine = open_whole(candidates[1].spec, candidates[1].generator)
    ours = {one.id: one for one in checked(engine, read_image(path), PUBLISHED.treatment, {}).checks}
    theirs = {
        one["id"]: one for one in receipt.checks if one["id"] in ours and not one["id"].startswith(("grid", "wald"))
    }
    assert len(theirs) >= 20
    for name, one in theirs.items():
        assert (ours[name].kind, ours[name].passed, ours[name].state) == (one["kind"], one["passed"], one["state"]), (
            name
        )
        if isinstance(one["value"], float):
            assert ours[name].value == pytest.approx(one["value"], rel=1e-3, abs=1e-4), name
    left_out = {one["id"] for one in receipt.checks if one["kind"] == "GATE"} - set(ours)
    assert not {name for name in left_out if not name.startswith(("file", "drift", "stac", "denoise"))}


def find(candidates: tuple[Candidate, Candidate], folder: Path, changes: Changes) -> tuple[Stop, ...]:
    return stops(candidates, folder / "hr", folder / "lr", PUBLISHED, changes)


def test_a_gate_that_only_the_challenger_does_not_pass_is_held_against_it(
    candidates: tuple[Candidate, Candidate], tmp_path: Path
) -> None:
    assert find(candidates[:1] * 2, tmp_path, {}) == ()
    lr = read_image(tmp_path / "lr/a_0.tif")
    beyond = [
        next(
            check.value
            for check in checked(open_whole(one.spec, one.generator), lr, PUBLISHED.treatment, {}).checks
            if check.id == "detail.most"
        )
        for one in candidates
    ]
    assert beyond[0] < beyond[1]
    between = {"detail.most": {"gate": float(np.mean(beyond))}}
    found = [one for one in find(candidates, tmp_path, between) if one.gate == "detail.most"]
    assert [(one.scene, one.before) for one in found] == [("a_0.tif", False), ("a_2.tif", False), ("b_1.tif", False)]
    assert found[0].told.startswith(f"detail.most is {beyond[1]:.4g}")
    both = [one for one in find(candidates, tmp_path, {"detail.most": {"gate": 0.0}}) if one.gate == "detail.most"]
    assert [one.before for one in both] == [True] * 3, "such a scene is stopped whoever makes it"


def test_one_stopped_product_keeps_the_best_challenger_out() -> None:
    scenes = [Compared(f"s{index}", f"p{index}", 1.0 + index / 100, 2.0) for index in range(12)]
    assert decide(scenes, 1).promoted
    verdict = decide(scenes, 1, stopped={"s3": "seams.step is 4 x, its limit 3", "s5": "another"})
    assert not verdict.promoted
    assert "its product of s3 would be stopped by a gate (seams.step is 4 x, its limit 3), and 1 more" in verdict.reason
    assert verdict.judged, "such a try is spent"


def test_where_the_true_hr_does_not_pass_a_gate_that_is_said(
    candidates: tuple[Candidate, Candidate], tmp_path: Path, write_raster: object
) -> None:
    hr = read_image(tmp_path / "lr/a_0.tif").values
    blurred = ndimage.gaussian_filter(hr.astype(float), (0, 3, 3))
    height, width = hr.shape[1] // 2, hr.shape[2] // 2
    lr = blurred.reshape(len(hr), height, 2, width, 2).mean((2, 4)).astype(hr.dtype)
    for name, values in (("hr", hr), ("measured", lr)):
        write_raster(tmp_path / f"blurred/{name}/a.tif", values)  # type: ignore[operator]
    found = stops(candidates, tmp_path / "blurred/hr", tmp_path / "blurred/measured", PUBLISHED, {})
    [ratio] = [one for one in found if one.gate == "consistency.ratio"]
    assert "the true HR does not pass it either" in ratio.told
