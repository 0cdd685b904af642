"""The page on a model of one's own, word by word, in a fresh folder: its recipe, its lines, its entry of a catalog."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.test_snippets import fenced
from tests.training.pairs.drawn import ground, number
from tests.training.pairs.files import write

pytest.importorskip("mlflow", reason="the registry needs MLflow (extra: train)")
pytest.importorskip("onnxruntime", reason="an import needs ONNX Runtime (extra: onnx)")

from tests.exchange.graphs import saved, upscaler  # it imports ONNX

PAGE = ROOT / "docs/own-model.md"
STEPS = "steps: 5000"


def run(folder: Path, line: str) -> str:
    """A line of the page, as a shell in this folder would have it."""
    (folder / "bin").mkdir(exist_ok=True)
    command = folder / "bin/srcore"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m srcore "$@"\n')
    command.chmod(0o755)
    more = {
        "PATH": f"{folder}/bin:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "SRCORE_CACHE": str(folder / "cache"),
        "SRCORE_REGISTRY": f"sqlite:///{folder}/registry.db",
        "SRCORE_DATA": "./imagery",
    }
    done = subprocess.run(line, shell=True, cwd=folder, env={**os.environ, **more}, capture_output=True, text=True)
    assert done.returncode == 0, f"{line}: {done.stderr[-2000:]}"
    return done.stdout


@pytest.mark.nightly
def test_the_page_on_a_model_of_ones_own_holds(tmp_path: Path) -> None:
    for seed, side in enumerate(["train"] * 3 + ["validation"] * 2 + ["test"] * 2):
        values = number(ground(seed), np.uint16)[None]
        write(tmp_path / "imagery/hr" / side / f"{side}-{seed}.tif", values, 10.0)
    write(tmp_path / "scene.tif", number(ground(99), np.uint16)[None], 20.0)
    (tmp_path / "incoming").mkdir()
    write(tmp_path / "incoming/one.tif", number(ground(98), np.uint16)[None], 20.0)
    recipe, entry = fenced(PAGE, "yaml")
    assert STEPS in recipe
    (tmp_path / "mine.yaml").write_text(recipe.replace(STEPS, "steps: 30"))
    theirs, own, elsewhere = fenced(PAGE, "bash")
    saved(upscaler(), tmp_path / "theirs.onnx")
    for block in (theirs, own):
        run(tmp_path, f"set -e\n{block}")
    assert (tmp_path / "sr.tif").exists()
    (tmp_path / "data_catalog.yaml").write_text(f"version: 1\nstore: ./archive\ndatasets:\n{_indented(entry)}")
    run(tmp_path, "srcore run hills")
    assert list((tmp_path / "archive/hills").rglob("one*.tif"))
    run(tmp_path, f"set -e\n{elsewhere}")
    assert (tmp_path / "mine.onnx").exists()


def _indented(text: str) -> str:
    return "".join(f"  {line}\n" for line in text.splitlines())
