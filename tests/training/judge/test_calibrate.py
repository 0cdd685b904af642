"""Calibration by sensor, and its way into a spec."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from flows.cli import app
from srcore.checkpoints import locate, read_spec
from srcore.engine import open_engine
from srcore.errors import CheckpointError, SourceError
from srcore.memory.whole import super_resolved
from srcore.radiometry import quantise
from srcore.storage.whole_images import Image
from srcore.training.judge.calibrate import calibrate, left_out, published_numbers
from tests.training.conftest import Write


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def test_a_sensor_left_out_is_judged_by_the_others() -> None:
    rng = np.random.default_rng(0)
    groups = {"a": rng.exponential(1, 9000), "b": rng.exponential(1, 9000), "rough": rng.exponential(3, 9000)}
    shares = left_out({name: scores.astype(np.float32) for name, scores in groups.items()}, 0.9)
    assert shares["rough"] == pytest.approx(1 - 0.1 ** (1 / 3), abs=0.02)
    assert min(shares["a"], shares["b"]) > 0.9


def test_the_command_writes_what_it_found(tmp_path: Path, write_raster: Write, texture: np.ndarray) -> None:
    model = tmp_path / "model"
    shutil.copytree(locate("srcore-x2"), model)
    for sensor in ("one", "two"):
        write_raster(tmp_path / "hr" / f"{sensor}_scene.tif", texture)
    before = read_spec(model)
    result = CliRunner().invoke(app, ["models", "calibrate", str(model), str(tmp_path / "hr"), "--coverage", "0.8"])
    assert result.exit_code == 0, result.output
    after = read_spec(model)
    assert after.trust is not None
    assert after.trust.coverage == 0.8
    assert after.trust.scenes == 2
    assert after.digest == before.digest, "the pixels are the same"


def test_what_cannot_be_calibrated_is_said(tmp_path: Path, write_raster: Write, texture: np.ndarray) -> None:
    write_raster(tmp_path / "hr" / "one_scene.tif", texture)
    with pytest.raises(SourceError, match="two sensors; found 1"):
        calibrate(locate("srcore-x2"), tmp_path / "hr")
    with pytest.raises(CheckpointError, match="works on DN"):
        calibrate(locate("bicubic-x2"), tmp_path / "hr")
    with pytest.raises(CheckpointError, match="srcore-volume-x2 cannot be calibrated; found 3 axes"):
        calibrate(locate("srcore-volume-x2"), tmp_path / "hr")


def test_what_is_calibrated_is_what_is_published(texture: np.ndarray) -> None:
    """But for rounding, which is the dtype's."""
    lr = texture[:1, :60, :52]
    engine = open_engine(locate("srcore-x2-fast"), "cpu")
    normalisation, numbers, spread = published_numbers(lr, engine)
    rounded = quantise(normalisation.undo(numbers), lr.dtype)
    np.testing.assert_array_equal(rounded, super_resolved(engine, Image(lr, np.ones(lr.shape, bool), (None,))))
    assert spread.shape == numbers.shape
    assert (spread > 0).any()
