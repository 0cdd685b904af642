"""The core on a machine that has torch and numpy only."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from srcore.checkpoints import WEIGHTS
from srcore.training.config import TrainConfig
from srcore.training.fit import bare
from srcore.training.fit.loop import prepare, train

ALONE = """
import sys

class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"lightning", "pydantic", "yaml", "rasterio", "zarr", "nibabel", "safetensors",
                                  "scipy", "skimage", "rich", "dask", "prefect", "torchmetrics"}:
            raise ImportError(name)

sys.meta_path.insert(0, Nothing())
from pathlib import Path
import torch
torch.set_num_threads(1)
from srcore.training.fit import bare
bare.run(Path(sys.argv[1]), workers=int(sys.argv[2]))
"""


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.nightly)])
def test_a_run_with_torch_and_numpy_alone_gives_the_weights_of_lightning(
    recipe: Callable[..., TrainConfig], tmp_path: Path, workers: int
) -> None:
    critic = {"weight": 0.05, "start": 2}
    whole = train(recipe(output=str(tmp_path / "whole"), adversarial=critic))
    config = recipe(output=str(tmp_path / "away"), adversarial=critic)
    state, planes, _ = prepare(config)
    bare.pack(tmp_path / "pack", config, planes, state)
    command = [sys.executable, "-c", ALONE, str(tmp_path / "pack"), str(workers)]
    ended = subprocess.run(command, capture_output=True, timeout=120)
    assert ended.returncode == 0, ended.stderr.decode()
    assert "step 8 of 8" in ended.stdout.decode()
    config.output.mkdir()
    shutil.copy(tmp_path / "pack" / "state.pt", config.output)
    train(config, resume=True)
    assert (config.output / WEIGHTS).read_bytes() == (whole / WEIGHTS).read_bytes()
