"""Retraining end to end on drawn scenes: a better challenger is promoted and used, a worse one is kept out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage

from flows.cli import main
from flows.direct import direct_job
from flows.retrain import in_words, retrain_dataset
from flows.scene import run_scene
from srcore.catalog import load_catalog
from srcore.checkpoints import Architecture
from srcore.dispatch import Workers
from srcore.errors import CatalogError, GridError, SourceError
from srcore.storage.registry import open_registry, resolve
from srcore.training.promote import lay_out
from srcore.weights import build, describe, save_checkpoint

pytest.importorskip("mlflow", reason="the registry needs MLflow (extra: train)")

Write = Callable[..., Path]
TINY = Architecture(name="edsr", params={"scale": 2, "width": 8, "blocks": 1})
RECIPE = """\
steps: {steps}
batch: 4
core_px: 16
learning_rate: {rate}
warmup_steps: 5
ema_decay: 0.9
precision: float32
device: cpu
threads: 1
"""
CATALOG = """\
version: 1
store: ./archive
datasets:
  drawn:
    kind: raster
    source: ./{lr}/*.tif
    {hr}
    model: tiny@champion
    retrain: {{recipe: ./recipe.yaml, scenes: 8{more}}}
"""


@pytest.fixture(autouse=True)
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry whose only model, tiny, is hardly more than cubic convolution."""
    monkeypatch.setenv("SRCORE_REGISTRY", f"sqlite:///{tmp_path}/registry/registry.db")
    monkeypatch.setenv("SRCORE_CACHE", str(tmp_path / "cache"))
    torch.set_num_threads(1)
    torch.manual_seed(0)
    spec = describe("tiny", TINY)
    generator = build(spec)
    torch.nn.init.zeros_(generator.tail.weight)  # type: ignore[union-attr, arg-type]
    save_checkpoint(tmp_path / "tiny", spec, generator, "")
    open_registry(create=True).register(tmp_path / "tiny")


@pytest.fixture
def archive(tmp_path: Path, write_raster: Write) -> Callable[..., Path]:
    """Six scenes of texture with their LR, and the catalog on them."""

    def make(steps: int = 60, rate: float = 4e-3, more: str = "", measured: bool = True, count: int = 6) -> Path:
        for index in range(count):
            noise = np.random.default_rng(index).normal(size=(1, 128, 128))
            hr = (10000 + 8000 * ndimage.gaussian_filter(noise, (0, 1.0, 1.0))).clip(0, 65535)
            name = f"{'ab'[index % 2]}_{index}.tif"
            write_raster(tmp_path / "hr" / name, hr.astype(np.uint16))
            lr = hr.reshape(1, 64, 2, 64, 2).mean((2, 4))
            write_raster(tmp_path / "lr" / name, lr.astype(np.uint16))
        (tmp_path / "recipe.yaml").write_text(RECIPE.format(steps=steps, rate=rate))
        path = tmp_path / "data_catalog.yaml"
        text = {"lr": "lr", "hr": "hr: ./hr"} if measured else {"lr": "hr", "hr": "bands: null"}
        path.write_text(CATALOG.format(**text, more=more))
        return path

    return make


def upscaled(folder: Path) -> Any:
    job = direct_job(str(folder / "lr" / "a_0.tif"), folder / "out" / "sr.tif", model="tiny@champion", overwrite=True,
                     validate=False)  # fmt: skip
    return run_scene(job, Workers(0))


def test_a_better_challenger_is_promoted_and_used(archive: Callable[..., Path], tmp_path: Path) -> None:
    catalog = archive()
    before = upscaled(tmp_path)
    decision = retrain_dataset(catalog, "drawn")
    assert decision.promoted, decision.reason
    assert (decision.pairs, decision.held) == (6, 2)
    after = upscaled(tmp_path)
    assert after.model_digest == resolve("tiny@champion").digest != before.model_digest
    assert after.parameters["model_reference"] == "tiny@champion"
    assert (before.parameters["model_version"], after.parameters["model_version"]) == ("1", "2")
    page = Path(decision.page).read_text()
    assert "Promoted:" in page
    assert "challenger over champion" in page
    assert "http" not in page.replace("http-equiv", "")
    assert not (tmp_path / "archive/drawn/.retrain").exists()
    again = retrain_dataset(catalog, "drawn")
    assert again.repeated
    assert "nothing new" in in_words(again)
    assert open_registry().rollback("tiny").version == "1"


def test_one_that_is_no_better_is_kept_out_with_the_reason(archive: Callable[..., Path], tmp_path: Path) -> None:
    decision = retrain_dataset(archive(steps=2, rate=1e-7, measured=False), "drawn")
    assert not decision.promoted
    assert "the low end has to be 0.05 dB or more" in decision.reason
    versions = {one.version: one.aliases for one in open_registry().versions("tiny")}
    assert versions == {"1": ("champion",), "2": ("challenger",)}
    assert resolve("tiny@champion").version == "1"
    assert "Kept out:" in Path(decision.page).read_text()


def test_the_held_out_scenes_stay_held_out(archive: Callable[..., Path]) -> None:
    catalog = load_catalog(archive(count=6))
    first = {pair.scene for pair in lay_out(catalog, "drawn").pairs if pair.held}
    later = lay_out(load_catalog(archive(count=12, more=", hold_out: 0.5")), "drawn").pairs
    assert first <= {pair.scene for pair in later if pair.held} | {f"{'ab'[n % 2]}_{n}" for n in range(12)} - {
        pair.scene for pair in later
    }
    assert all(pair.held for pair in later if pair.scene in first)


def test_bad_pairs_are_told_in_one_line(archive: Callable[..., Path], tmp_path: Path, write_raster: Write) -> None:
    with pytest.raises(SourceError, match="too few pairs to retrain on; found 3 scenes"):
        retrain_dataset(archive(count=3), "drawn")
    catalog = archive()
    write_raster(tmp_path / "hr" / "a_0.tif", np.zeros((1, 130, 128), np.uint16))
    with pytest.raises(GridError, match="HR and LR of a_0 do not belong together; found HR 1 bands of 130 x 128"):
        retrain_dataset(catalog, "drawn")
    write_raster(tmp_path / "hr" / "a_0.tif", np.zeros((1, 256, 256), np.uint16))
    with pytest.raises(GridError, match="the model's scale asks for an HR of 128 x 128"):
        retrain_dataset(catalog, "drawn")


def test_scenes_smaller_than_a_patch_are_told(archive: Callable[..., Path], tmp_path: Path) -> None:
    catalog = archive()
    (tmp_path / "recipe.yaml").write_text("core_px: 64\n")
    with pytest.raises(SourceError, match="too small for a training patch"):
        retrain_dataset(catalog, "drawn")
    (tmp_path / "recipe.yaml").write_text("stepps: 64\n")
    with pytest.raises(CatalogError, match="stepps"):
        retrain_dataset(catalog, "drawn")
    (tmp_path / "recipe.yaml").write_text("data: elsewhere\n")
    with pytest.raises(CatalogError, match="says what the dataset says; found data"):
        retrain_dataset(catalog, "drawn")


def test_the_command_line(
    archive: Callable[..., Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = archive(count=3)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setattr("sys.argv", ["srcore", "retrain", "drawn", "--catalog", str(catalog)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("error: too few pairs")
    archive(steps=2, rate=1e-7)
    monkeypatch.setattr("sys.argv", ["srcore", "retrain", "drawn", "--catalog", str(catalog), "--json"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert json.loads(capsys.readouterr().out)["promoted"] is False
