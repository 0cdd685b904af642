"""Slices that overlap: what back-projection and checks take a thick one for, and that it brings HU back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from scipy import ndimage

from srcore.checkpoints import locate, read_spec
from srcore.checks.blocks import by_profile
from srcore.dispatch import Workers
from srcore.errors import PlanError
from srcore.models.backprojection import back_project, profile_down
from srcore.models.blocks import CubicUpsample
from srcore.radiometry import slice_weights
from srcore.registry.references import resolve
from srcore.run.direct import direct_job
from srcore.run.scene import run_scene
from srcore.samples.phantom import draw, thick
from srcore.treatment import Treatment


def test_the_weights_are_near_those_of_a_scanner() -> None:
    measured = np.array([0.0227, 0.0670, 0.1282, 0.1797, 0.2048, 0.1797, 0.1282, 0.0670, 0.0227])
    assert np.abs(slice_weights(5) - measured).max() < 0.005
    for scale in range(1, 9):
        weights = slice_weights(scale)
        assert len(weights) == scale + 2 * (scale // 2)
        assert weights.sum() == pytest.approx(1)
        assert np.allclose(weights, weights[::-1])
    assert slice_weights(1).tolist() == [1.0]


@pytest.mark.parametrize("scale", [(5, 1, 1), (2, 2, 2), (3, 1, 2), (4, 1, 1)])
def test_what_a_slice_sees_is_by_the_distance_of_middles(scale: tuple[int, int, int]) -> None:
    step, weights = scale[0], slice_weights(scale[0])
    sr = np.random.default_rng(0).normal(size=tuple(6 * s for s in scale))
    planar = sr.reshape(6 * step, 6, scale[1], 6, scale[2]).mean(axis=(2, 4))
    # by the distance of the middles of thin slices j from that of the thick one i
    expected = np.zeros((6, 6, 6))
    for i in range(6):
        away = np.abs(np.arange(6 * step) - ((i + 0.5) * step - 0.5))
        expected[i] = np.einsum("j,jyx->yx", np.where(away < step, np.cos(np.pi * away / (2 * step)) ** 2, 0), planar)
    expected /= step
    ours = profile_down(torch.from_numpy(sr)[None, None], scale, weights.tolist())[0, 0].numpy()
    assert np.allclose(ours, expected[1:-1, 1:-1, 1:-1])
    reach = step // 2
    part = sr[step - reach : 5 * step + reach][None]
    assert np.allclose(by_profile(part, np.ones(part.shape, np.bool_), scale)[0], expected[1:-1])


def test_steps_bring_back_what_the_slices_saw() -> None:
    rng = np.random.default_rng(1)
    lr = torch.from_numpy(ndimage.gaussian_filter(rng.normal(size=(30, 22, 22)), 1.5))[None, None]
    weights, off = slice_weights(5).tolist(), []
    for steps in (1, 3):
        margin = 2 * steps
        blurred = torch.from_numpy(ndimage.zoom(lr[0, 0].numpy(), (5, 1, 1), order=1, grid_mode=True, mode="nearest"))
        inside = slice(8 - margin, 22 + margin)
        near = lr[:, :, inside, 6 - margin : 16 + margin, 6 - margin : 16 + margin]
        fine = blurred[5 * (8 - margin) : 5 * (22 + margin), 6 - margin : 16 + margin, 6 - margin : 16 + margin]
        sr = back_project(fine[None, None], near, None, steps, weights)
        assert sr.shape == (1, 1, 70, 10, 10)
        apart = profile_down(sr, (5, 1, 1), weights) - lr[:, :, 9:21, 7:15, 7:15]
        off.append(float(apart.square().mean().sqrt()))
    assert off[1] < 0.5 * off[0]


def run(folder: Path, name: str, model: str = "cubic-z5", **options: Any) -> tuple[dict[str, Any], np.ndarray]:
    job = direct_job(
        str(folder / "lr.nii"), folder / f"{name}.nii", model=model, validate=False, privacy="public", **options
    )
    receipt = run_scene(job, Workers(0))
    assert receipt is not None
    return {one["id"]: one["value"] for one in receipt.checks}, np.asarray(nibabel.load(folder / f"{name}.nii").dataobj)


def test_hu_of_a_body_are_kept_by_the_profile_tiled_and_whole(tmp_path: Path) -> None:
    truth = draw((60, 40, 48))
    nibabel.save(nibabel.Nifti1Image(thick(truth).T, np.diag([1.0, 1, 5, 1])), tmp_path / "lr.nii")
    _, plain = run(tmp_path, "box", back_projection=4, outputs=())
    profile, sr = run(tmp_path, "cos2", back_projection=4, slice_profile="cos2", outputs=())
    error = [float(np.sqrt(np.mean((one.T - truth.astype(float)) ** 2))) for one in (plain, sr)]
    assert error[1] < error[0]
    assert profile["consistency.rmse"] < 12
    assert abs(profile["tissue.bone_mean"]) < 10
    _, tiled = run(tmp_path, "tiled", back_projection=4, slice_profile="cos2", outputs=(), tile=16, block=16)
    assert np.array_equal(sr, tiled)
    # by the profile the SR of plain means is no LR
    seen = [thick(np.asarray(one.T, np.int16)).astype(float) - thick(truth) for one in (plain, sr)]
    assert np.sqrt(np.mean(seen[1] ** 2)) < 0.5 * np.sqrt(np.mean(seen[0] ** 2))


def test_a_checkpoint_says_edge_and_profile_and_the_catalog_wins(tmp_path: Path) -> None:
    spec = json.loads((locate("cubic-z5") / "config.json").read_text())
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/config.json").write_text(json.dumps({**spec, "edge": "repeat", "slice_profile": "cos2"}))
    lr = np.random.default_rng(3).integers(0, 900, (4, 40, 36)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(lr.T, np.diag([1.0, 1, 5, 1])), tmp_path / "lr.nii")
    mine = str(tmp_path / "mine")
    _, unsaid = run(tmp_path, "unsaid", mine, outputs=())
    _, said = run(tmp_path, "said", mine, slice_profile="cos2", outputs=(), tile=16, block=16)
    _, box = run(tmp_path, "box", mine, slice_profile="box", outputs=())
    assert np.array_equal(unsaid, said)  # tiled and whole alike
    assert not np.array_equal(unsaid, box)
    # the end slice again beyond the end: the cubic ends where it began
    network, ends = run(tmp_path, "alone", mine, back_projection=0, outputs=())[1].T, CubicUpsample((5, 1, 1))
    wide = torch.from_numpy(np.pad(lr.astype(np.float32), 2, mode="symmetric"))[None, None]
    assert np.array_equal(network, np.rint(ends(wide)[0, 0].numpy()).clip(0))  # no amount below 0 in, none out
    assert read_spec(tmp_path / "mine").digest != read_spec(locate("cubic-z5")).digest


def test_what_a_dataset_says_of_the_profile_makes_nothing_due_that_is_the_same() -> None:
    unsaid, box, cos2 = Treatment(), Treatment(slice_profile="box"), Treatment(slice_profile="cos2")
    assert unsaid.changed() == box.changed() == unsaid.for_model("box").changed() == {}
    assert unsaid.for_model("box", 3).changed() == {"back_projection": 3}
    assert Treatment(back_projection=1).for_model("box", 3).changed() == {}
    assert unsaid.for_model("cos2") == cos2 == cos2.for_model("box")
    assert box.for_model("cos2") == box
    assert cos2.changed() == {"slice_profile": "cos2", "back_projection": 3}
    assert Treatment(back_projection=1).changed() == {}
    assert Treatment(slice_profile="cos2", back_projection=1).steps == 1
    assert [one.steps for one in (unsaid, box, cos2)] == [1, 1, 3]


@pytest.mark.parametrize(
    ("name", "steps"),
    [("srcore-volume-x2", 3), ("srcore-volume-z5", None), ("cubic-z5", None), ("srcore-x2", None)],
)
def test_slices_that_are_made_twice_finer_get_three_steps(name: str, steps: int | None) -> None:
    spec = read_spec(locate(name))
    assert spec.usual_steps == steps
    assert resolve(name).usual_steps == steps
    assert spec.model_copy(update={"training": {"back_projection": 1}}).usual_steps is None


def test_a_model_that_makes_no_slices_has_no_profile(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(np.zeros((20, 20, 4), np.int16), np.eye(4)), tmp_path / "lr.nii")
    job = direct_job(str(tmp_path / "lr.nii"), tmp_path / "sr.nii", model="bicubic-x2", slice_profile="cos2")
    with pytest.raises(PlanError, match="makes no slices between those of the LR"):
        run_scene(job, Workers(0))


def test_the_model_for_thick_slices_keeps_hu_by_itself_and_tiled(tmp_path: Path) -> None:
    truth = draw((30, 40, 44))
    nibabel.save(nibabel.Nifti1Image(thick(truth).T, np.diag([1.0, 1, 5, 1])), tmp_path / "lr.nii")
    checks, whole = run(tmp_path, "whole", "srcore-volume-z5", outputs=())
    _, tiled = run(tmp_path, "tiled", "srcore-volume-z5", outputs=(), tile=16, block=16)
    assert np.array_equal(whole, tiled)
    assert checks["consistency.rmse"] < 8
    _, cubic = run(tmp_path, "cubic", slice_profile="cos2", outputs=())
    error = [float(np.sqrt(np.mean((one.T - truth.astype(float)) ** 2))) for one in (cubic, whole)]
    assert error[1] < error[0]
