"""Evaluation: figures of every method, paired gains with intervals, and a page that needs nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch

from flows.cli import main
from srcore.checkpoints import BUILTIN, Architecture
from srcore.errors import CheckpointError, SourceError, TrainingError
from srcore.memory.whole import NETWORK_ALONE, Form, open_whole
from srcore.report.evaluation import evaluation_page
from srcore.training.judge.compare import (
    Candidate,
    estimate,
    evaluate_candidates,
    load_candidates,
    refuse_diverged,
    speed,
)
from srcore.training.judge.evaluate import MOST_DB, evaluate, quality, score
from srcore.treatment import Treatment
from srcore.weights import build, describe, load_generator, save_checkpoint

Write = Callable[..., Path]


def test_the_interval_of_a_mean() -> None:
    values = list(np.random.default_rng(0).normal(1.0, 0.5, 40))
    found = estimate(values)
    half = 1.96 * 0.5 / np.sqrt(40)
    assert found.low == pytest.approx(found.mean - half, abs=0.05)
    assert found.high == pytest.approx(found.mean + half, abs=0.05)
    assert estimate(values) == found
    assert estimate([2.0]).low == estimate([2.0]).high == 2.0
    assert estimate([2.0, 2.0]).low == 2.0


def test_gains_are_paired_and_figures_those_of_evaluate(
    tmp_path: Path, write_raster: Write, texture: np.ndarray
) -> None:
    torch.set_num_threads(1)
    write_raster(tmp_path / "data" / "s2_a.tif", texture[:, :91, :], nodata=0)
    write_raster(tmp_path / "data" / "l8_b.tif", (texture[:1, :80, :80] // 256).astype(np.uint8))
    candidates = load_candidates({"fast": BUILTIN / "srcore-x2-fast", "plain": BUILTIN / "bicubic-x2"})
    found = evaluate_candidates(candidates, tmp_path / "data", timed=False)
    assert [method.name for method in found.methods] == ["bicubic", "fast", "plain"]
    for one, own in zip(found.scenes, evaluate(BUILTIN / "srcore-x2-fast", tmp_path / "data"), strict=True):
        assert (one.scene, one.sensor) == (own.scene, own.sensor)
        assert one.by["fast"].psnr == pytest.approx(own.psnr)
        assert one.by["bicubic"].ssim == pytest.approx(own.ssim_bicubic)
        shares = (one.by["fast"].improvement, one.by["fast"].omission, one.by["fast"].hallucination)
        assert sum(share or 0 for share in shares) == pytest.approx(1)
    assert found.form == "as published: 1 step of back-projection, no filters"
    alone = evaluate_candidates(candidates, tmp_path / "data", None, NETWORK_ALONE, timed=False)
    assert alone.form == "of the network alone, which is not what is published"
    assert [one.by["bicubic"] for one in alone.scenes] == [one.by["bicubic"] for one in found.scenes]
    for ours, theirs in zip(found.scenes, alone.scenes, strict=True):
        assert ours.by["plain"].psnr > theirs.by["plain"].psnr + 0.2
        assert ours.by["plain"].reflectance < 0.6 * theirs.by["plain"].reflectance  # nearer to its LR
    gain = found.gains["plain over fast"]
    assert gain.mean == pytest.approx(np.mean([one.by["plain"].psnr - one.by["fast"].psnr for one in found.scenes]))
    assert gain.low <= gain.mean <= gain.high
    assert set(found.sensors) == {"l8", "s2"}


def test_measured_lr_is_taken_by_name(tmp_path: Path, write_raster: Write, texture: np.ndarray) -> None:
    write_raster(tmp_path / "hr" / "s2_a.tif", texture)
    write_raster(tmp_path / "lr" / "s2_a.tif", texture.reshape(2, 48, 2, 48, 2).mean((2, 4)).astype(np.uint16))
    candidates = load_candidates({"bicubic-x2": BUILTIN / "bicubic-x2"})
    measured = evaluate_candidates(candidates, tmp_path / "hr", tmp_path / "lr", timed=False)
    made = evaluate_candidates(candidates, tmp_path / "hr", timed=False)
    assert measured.lr == "LR as measured."
    engine = open_whole(candidates[0].spec, candidates[0].generator)
    alone = score(tmp_path / "hr" / "s2_a.tif", engine, tmp_path / "lr")
    assert alone.psnr == pytest.approx(measured.means["bicubic-x2"]["psnr"].mean)
    assert alone.psnr_bicubic == pytest.approx(measured.means["bicubic"]["psnr"].mean)
    assert measured.means["bicubic"]["psnr"].mean != pytest.approx(made.means["bicubic"]["psnr"].mean, abs=0.01)
    write_raster(tmp_path / "lr" / "s2_a.tif", texture[:, :47, :48])
    with pytest.raises(SourceError, match="do not belong together"):
        evaluate_candidates(candidates, tmp_path / "hr", tmp_path / "lr", timed=False)


def test_volumes_go_against_trilinear(tmp_path: Path) -> None:
    spec = describe("tiny", Architecture(name="edsr-volume", params={"scale": [2, 1, 2], "width": 2, "blocks": 0}))
    save_checkpoint(tmp_path / "model", spec, build(spec), "")
    values = np.random.default_rng(0).integers(0, 1000, (40, 30, 20)).astype(np.int16)
    (tmp_path / "data").mkdir()
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "data" / "ct_a.nii")
    candidates = load_candidates({"tiny": tmp_path / "model"})
    found = evaluate_candidates(candidates, tmp_path / "data", timed=False)
    assert [method.name for method in found.methods] == ["trilinear", "tiny"]
    assert "improvement" not in found.means["tiny"]
    assert speed(candidates[0]).lr_mpx_s > 0
    with pytest.raises(CheckpointError, match="cannot be compared: another scale"):
        load_candidates({"a": BUILTIN / "srcore-x2", "b": BUILTIN / "srcore-x4"})


def test_the_command_prints_tables_json_and_a_page(
    tmp_path: Path,
    write_raster: Write,
    texture: np.ndarray,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_raster(tmp_path / "data" / "s2_<b>.tif", texture)
    write_raster(tmp_path / "data" / "s2_[small].tif", texture[:, :12, :12])
    page = tmp_path / "page.html"
    shown = ["srcore", "evaluate", "nearest-x2", str(tmp_path / "data"), "--against", "bicubic-x2"]
    for more in (["--report", str(page)], ["--network-alone"], ["--json"]):
        monkeypatch.setattr("sys.argv", shown + more)
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 0
    told = capsys.readouterr().out
    assert "gain in PSNR" in told
    assert told.count("left out: s2_[small].tif is too small to be judged; found 12 x 12 px") == 2
    assert "scenes, as published: 1 step of back-projection, no filters" in told
    assert "scenes, of the network alone, which is not what is published" in told
    document = json.loads(told[told.index("\n{") :])
    assert document["form"] == "as published: 1 step of back-projection, no filters"
    assert document["methods"][1]["precision"] in ("float32", "bfloat16")
    assert document["gains"]["nearest-x2 over bicubic"]["mean"] < 0
    assert document["methods"][1]["speed"]["lr_mpx_s"] > 0
    text = page.read_text()
    assert "Judged as published: 1 step of back-projection, no filters." in text
    assert "default-src &#39;none&#39;" in text or "default-src 'none'" in text
    assert "s2_&lt;b&gt;.tif" in text
    assert "<b>" not in text
    assert text.count("<svg") == 4
    assert "http" not in text.replace("http-equiv", "")


def test_the_same_values_give_the_same_page(tmp_path: Path, write_raster: Write, texture: np.ndarray) -> None:
    write_raster(tmp_path / "data" / "s2_a.tif", texture)
    candidates = load_candidates({"bicubic-x2": BUILTIN / "bicubic-x2"})
    pages = {evaluation_page(evaluate_candidates(candidates, tmp_path / "data", timed=False), "x") for _ in range(2)}
    assert len(pages) == 1


def test_of_three_models_the_last_is_compared_with_all(
    tmp_path: Path, write_raster: Write, texture: np.ndarray
) -> None:
    write_raster(tmp_path / "data" / "s2_a.tif", texture)
    folders = {"nearest": BUILTIN / "nearest-x2", "other": BUILTIN / "bicubic-x2", "fast": BUILTIN / "srcore-x2-fast"}
    found = evaluate_candidates(load_candidates(folders), tmp_path / "data", timed=False)
    assert set(found.gains) == {
        "nearest over bicubic",
        "other over bicubic",
        "fast over bicubic",
        "fast over nearest",
        "fast over other",
    }


def test_a_datasets_own_settings_are_judged(
    tmp_path: Path,
    write_raster: Write,
    texture: np.ndarray,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_raster(tmp_path / "data" / "s2_a.tif", texture)
    catalog = tmp_path / "data_catalog.yaml"
    catalog.write_text(
        "version: 1\nstore: ./archive\ndatasets:\n  drawn: {kind: raster, source: ./data/*.tif, model: bicubic-x2, "
        "back_projection: 2, sharpen: 0.5}\n"
    )
    shown = [
        "srcore",
        "evaluate",
        "bicubic-x2",
        str(tmp_path / "data"),
        "--dataset",
        "drawn",
        "--catalog",
        str(catalog),
    ]
    found = {}
    for more in ([], ["--network-alone"]):
        monkeypatch.setattr("sys.argv", [*shown, "--json", *more])
        with pytest.raises(SystemExit) as ended:
            main()
        found[bool(more)] = ended.value.code, capsys.readouterr()
    assert found[True][0] == 2
    assert "exclude each other" in found[True][1].err
    document = json.loads(found[False][1].out)
    assert document["form"] == "as published: 2 steps of back-projection, sharpen 0.5"
    engine = open_whole(*load_generator(BUILTIN / "bicubic-x2"))
    own = score(tmp_path / "data" / "s2_a.tif", engine, form=Form(Treatment(back_projection=2, sharpen=0.5)))
    assert document["scenes"][0]["by"]["bicubic-x2"]["psnr"] == pytest.approx(own.psnr)
    assert own.psnr > score(tmp_path / "data" / "s2_a.tif", engine).psnr


def test_a_flat_scene_is_left_out_by_name_and_scores_are_numbers(
    tmp_path: Path, write_raster: Write, texture: np.ndarray
) -> None:
    torch.set_num_threads(1)
    write_raster(tmp_path / "data" / "s2_a.tif", np.stack([texture[0], np.full_like(texture[0], 7)]))
    write_raster(tmp_path / "data" / "s2_flat.tif", np.full_like(texture, 7))
    candidates = load_candidates({"nearest": BUILTIN / "nearest-x2"})
    found = evaluate_candidates(candidates, tmp_path / "data", timed=False)
    assert [one.scene for one in found.scenes] == ["s2_a.tif"]
    assert "s2_flat.tif has no PSNR" in found.left_out["s2_flat.tif"]
    assert "Left out: s2_flat.tif" in evaluation_page(found, "t")
    assert 10 < found.means["nearest"]["psnr"].mean < 60, "of the band that is not flat"
    (tmp_path / "data" / "s2_a.tif").unlink()
    with pytest.raises(SourceError, match="has no PSNR"):
        evaluate_candidates(candidates, tmp_path / "data", timed=False)


def test_equal_images_have_a_finite_score_and_nan_stays_nan() -> None:
    hr = np.random.default_rng(0).random((1, 32, 32)).astype(np.float32)
    assert quality(hr, hr, (2, 2)) == (MOST_DB, 1.0)
    assert np.isnan(quality(hr, np.where(hr > 0.5, np.nan, hr), (2, 2))[0])


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 1e6])
def test_a_diverged_generator_is_told(number: float) -> None:
    spec = describe("tiny", Architecture(name="edsr", params={"width": 4, "blocks": 0}))
    generator = build(spec)
    assert refuse_diverged(Candidate("challenger", spec, generator)) is None  # type: ignore[func-returns-value]
    torch.nn.init.constant_(generator.tail.weight, number)  # type: ignore[union-attr, arg-type]
    with pytest.raises(TrainingError, match="the challenger diverged") as refused:
        refuse_diverged(Candidate("challenger", spec, generator))
    assert refused.value.code == "DIVERGED"
