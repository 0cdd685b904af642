"""Evaluation: every kind of file is scored in the form that is published, and the field's baseline comes out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from scipy import ndimage

from benchmarks.quality import PHOTOGRAPHS, score_photographs, table_of
from srcore.checkpoints import Architecture, Spec
from srcore.errors import SourceError
from srcore.memory.whole import NETWORK_ALONE, PUBLISHED, Form, open_whole
from srcore.training.config import data_folder
from srcore.training.judge.compare import evaluate_candidates, load_candidates
from srcore.training.judge.evaluate import Score, evaluate, image_pair, restored, score, sensor_means
from srcore.treatment import Treatment
from srcore.weights import build, describe, load_generator, save_checkpoint


@pytest.fixture
def bicubic(tmp_path: Path) -> Path:
    """A checkpoint folder of the cubic generator."""
    spec = Spec(
        name="bicubic", architecture=Architecture(name="bicubic", params={"scale": 2}), scale=(2, 2), halo=(2, 2)
    )
    save_checkpoint(tmp_path / "bicubic", spec, build(spec), "")
    return tmp_path / "bicubic"


def test_bicubic_scores_as_bicubic(
    bicubic: Path, tmp_path: Path, write_raster: Callable[..., Path], texture: np.ndarray
) -> None:
    write_raster(tmp_path / "data" / "deep" / "s2_a.tif", texture[:, :91, :], nodata=0)
    write_raster(tmp_path / "data" / "l8_b.tif", (texture[:1] // 256).astype(np.uint8))
    rows = evaluate(bicubic, tmp_path / "data", NETWORK_ALONE)
    assert [(row.scene, row.sensor, row.bands) for row in rows] == [("s2_a.tif", "s2", 2), ("l8_b.tif", "l8", 1)]
    for row in rows:
        assert row.psnr == pytest.approx(row.psnr_bicubic, abs=0.1)  # they treat the edge differently
        assert 0.3 < row.ssim_bicubic < 1
    table = table_of("x", {"network alone": rows, "published": evaluate(bicubic, tmp_path / "data")})
    assert "mean of s2" in "".join(str(cell) for cell in table.columns[0].cells)
    alone, published, plain = (list(column.cells) for column in table.columns[1:4])
    # Back-projection gives a generator of interpolation what it does not have by itself.
    assert all(float(a) + 0.2 < float(p) for a, p in zip(alone, published, strict=True))
    assert [float(a) for a in alone] == pytest.approx([float(b) for b in plain], abs=0.1)


def test_means_of_sensors_and_of_all() -> None:
    rows = [
        Score("a", "s2", 1, 30, 0.9, 29, 0.8),
        Score("b", "s2", 1, 32, 0.9, 29, 0.8),
        Score("c", "l8", 1, 40, 1, 39, 1),
    ]
    means = sensor_means(rows)
    assert list(means) == ["l8", "s2", "mean"]
    assert means["s2"]["psnr"] == 31
    assert means["mean"]["psnr"] == 34
    assert means["mean"]["scenes"] == 3
    assert sensor_means([]) == {}


def test_a_folder_without_images_is_refused(bicubic: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no image to evaluate on"):
        evaluate(bicubic, tmp_path / "bicubic")


def test_bicubic_on_set5_is_the_published_figure(bicubic: Path) -> None:
    try:
        images = data_folder(PHOTOGRAPHS / "Set5")
    except SourceError as absent:
        pytest.skip(str(absent))
    torch.set_num_threads(1)
    mean = sensor_means(score_photographs(open_whole(*load_generator(bicubic)), images))["mean"]
    assert mean["psnr_bicubic"] == pytest.approx(33.66, abs=0.01)
    assert mean["ssim_bicubic"] == pytest.approx(0.9299, abs=0.0001)


@pytest.mark.parametrize(
    ("name", "params"),
    [("unet", {"width": 4, "levels": 2}), ("swinir", {"width": 8, "depths": [2], "heads": 2}),
     ("edsr", {"width": 4, "blocks": 1, "bands": 2})],
)  # fmt: skip
def test_grids_and_many_bands_are_scored(
    name: str, params: dict[str, Any], tmp_path: Path, write_raster: Callable[..., Path], texture: np.ndarray
) -> None:
    spec = describe("tiny", Architecture(name=name, params=params))
    generator = build(spec)
    for part in generator.parameters():
        torch.nn.init.zeros_(part)
    save_checkpoint(tmp_path / "model", spec, generator, "")
    write_raster(tmp_path / "data" / "s2_a.tif", texture[:, :91, :77])
    (row,) = evaluate(tmp_path / "model", tmp_path / "data", NETWORK_ALONE)
    assert row.psnr == pytest.approx(row.psnr_bicubic, abs=0.2)  # nothing but the cubic base


def test_volumes_are_scored_against_trilinear(
    tmp_path: Path, write_raster: Callable[..., Path], texture: np.ndarray
) -> None:
    spec = describe("tiny", Architecture(name="edsr-volume", params={"scale": [2, 1, 2], "width": 2, "blocks": 0}))
    generator = build(spec)
    for part in generator.parameters():
        torch.nn.init.zeros_(part)
    save_checkpoint(tmp_path / "model", spec, generator, "")
    write_raster(tmp_path / "data" / "s2_a.tif", texture)  # no volume: left out
    fine = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(41, 30, 21)), 1.2)
    nibabel.save(nibabel.Nifti1Image((1000 + 900 * fine).astype(np.int16), np.eye(4)), tmp_path / "data" / "ct_a.nii")
    (row,) = evaluate(tmp_path / "model", tmp_path / "data")
    assert row.sensor == "ct"
    assert row.psnr > row.psnr_bicubic + 0.5  # cubic is better than linear
    assert row.psnr_bicubic > 15


def test_what_is_too_small_to_be_judged_is_left_out_by_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, write_raster: Callable[..., Path], texture: np.ndarray
) -> None:
    spec = describe("slices", Architecture(name="edsr-volume", params={"scale": [5, 1, 1], "width": 2, "blocks": 0}))
    save_checkpoint(tmp_path / "slices", spec, build(spec), "")
    noise = np.random.default_rng(0).normal(1000, 90, (30, 31, 20)).astype(np.int16)
    folder = tmp_path / "volumes"
    folder.mkdir()
    nibabel.save(nibabel.Nifti1Image(noise[..., :11], np.eye(4)), folder / "mr_thin.nii")  # ten slices are border
    nibabel.save(nibabel.Nifti1Image(noise[:20], np.eye(4)), folder / "mr_narrow.nii")  # 10 px are left of 20
    with pytest.raises(SourceError, match=r"mr_narrow\.nii is too small to be judged") as caught:
        evaluate(tmp_path / "slices", folder)
    assert caught.value.code == "PAIR_TOO_SMALL"
    nibabel.save(nibabel.Nifti1Image(noise, np.eye(4)), folder / "mr_thick.nii")
    (row,) = evaluate(tmp_path / "slices", folder)
    assert row.scene == "mr_thick.nii"
    assert "mr_thin.nii is too small to be judged; found 11 x 31 x 30 px" in caplog.text
    found = evaluate_candidates(load_candidates({"slices": tmp_path / "slices"}), folder, timed=False)
    assert {*found.left_out} == {"mr_thin.nii", "mr_narrow.nii"}

    spec = describe("planes", Architecture(name="edsr", params={"width": 2, "blocks": 0}))
    save_checkpoint(tmp_path / "planes", spec, build(spec), "")
    write_raster(tmp_path / "data" / "s2_a.tif", texture[:, :40, :14])  # 10 px are left
    write_raster(tmp_path / "data" / "s2_one.tif", texture[:, :1, :1])
    write_raster(tmp_path / "data" / "s2_b.tif", texture[:, :40, :16])
    (row,) = evaluate(tmp_path / "planes", tmp_path / "data", NETWORK_ALONE)
    assert row.scene == "s2_b.tif"


def test_an_lr_with_holes_is_judged_as_it_is_published(
    bicubic: Path, tmp_path: Path, write_raster: Callable[..., Path], texture: np.ndarray
) -> None:
    """What is invalid decides nothing: neither the normalisation, nor the figures by the number that stands for it."""
    lr = texture.reshape(2, 48, 2, 48, 2).mean((2, 4)).astype(np.uint16)
    rows = {}
    for number in (0, 65535):
        holed = lr.copy()
        holed[:, :20, :30] = number
        path = write_raster(tmp_path / f"hr{number}" / "s2_a.tif", texture)
        write_raster(tmp_path / f"lr{number}" / "s2_a.tif", holed, nodata=number)
        engine = open_whole(*load_generator(bicubic))
        pair = image_pair(path, engine, PUBLISHED.treatment, tmp_path / f"lr{number}")
        sr = restored(engine, pair.lr, PUBLISHED.treatment)
        assert not {0, 65535} & {*np.unique(sr)}
        assert (np.abs(sr[:, :40, :60].astype(float) - texture[:, :40, :60]).max() > 1000).all()
        rows[number] = score(path, engine, tmp_path / f"lr{number}")
    assert rows[0] == rows[65535]
    # A number that only the dataset knows means the same.
    write_raster(tmp_path / "lr7" / "s2_a.tif", holed)
    named = Form(Treatment(nodata=65535))
    assert score(tmp_path / "hr0" / "s2_a.tif", engine, tmp_path / "lr7", form=named) == rows[0]
    assert score(tmp_path / "hr0" / "s2_a.tif", engine, tmp_path / "lr7").psnr < rows[0].psnr - 3
