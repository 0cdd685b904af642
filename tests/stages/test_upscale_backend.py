"""Which backend computes a scene: chosen once, kept for all tiles and resumed runs, told in the receipt."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch

from srcore.checkpoints import BUILTIN
from srcore.dispatch import Workers
from srcore.engine.backends import installed
from srcore.errors import CheckpointError
from srcore.run.direct import direct_job
from srcore.run.scene import run_scene
from srcore.stages import upscale as stage
from srcore.storage.archive.publish import Receipt
from srcore.weights import load_generator

HERE = Workers(0)
GENERATOR = load_generator(BUILTIN / "srcore-x2")[1]


def has(backend: str, precision: str = "bfloat16") -> bool:
    return backend in installed(GENERATOR, torch.device("cpu"), precision)  # type: ignore[arg-type]


needs_openvino = pytest.mark.skipif(
    not has("openvino"), reason="needs the extra openvino: pip install srcore[openvino]"
)


@pytest.fixture
def source(landscape: Callable[..., np.ndarray], write_raster: Callable[..., Path]) -> Path:
    return write_raster(landscape(1, (96, 100)))


def run(source: Path, name: str = "sr.tif", until: str = "publish", workers: Workers = HERE, **options: Any) -> Path:
    output = source.parent / name
    run_scene(
        direct_job(str(source), output, **{"tile": 32, "block": 64, "precision": "bfloat16", **options}),
        workers,
        until=until,
    )
    return output


def told(output: Path) -> dict[str, Any]:
    receipt = Receipt.load(output.parent / f"{output.stem}.receipt.json")
    assert receipt is not None
    return dict(receipt.parameters)


def pixels(output: Path) -> np.ndarray:
    with rasterio.open(output) as product:
        return np.asarray(product.read())


def test_the_receipt_tells_what_computed_the_scene(source: Path) -> None:
    found = told(run(source, backend="eager"))
    assert (found["backend"], found["precision"], found["device"]) == ("eager", "bfloat16", "cpu")
    assert 0 < found["rms_dn_of_10000"] < 1.5
    assert found["core"] == [32, 32]
    assert found["redundancy"] > 1


@needs_openvino
def test_precisions_and_backends_differ_by_a_rounding_only(source: Path) -> None:
    exact = pixels(run(source, "a.tif", precision="float32", backend="eager")).astype(int)
    for backend in ("eager", "openvino"):
        assert np.abs(pixels(run(source, f"{backend}.tif", backend=backend)).astype(int) - exact).max() <= 20
    assert np.abs(pixels(run(source, "b.tif", precision="float32", backend="openvino")) - exact).max() <= 1


def scratch(output: Path) -> Path:
    [folder] = [path for path in (output.parent / f".{output.stem}.srcore").iterdir() if path.is_dir()]
    return folder


@needs_openvino
def test_a_resumed_run_goes_on_with_what_was_chosen_first(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from srcore.engine import choice

    whole = pixels(run(source, "whole.tif", backend="eager"))
    monkeypatch.setattr(choice, "installed", lambda *_: ["eager"])
    monkeypatch.setattr(choice, "_PASSED", {})  # another test of this process may have gated the model
    output = run(source, until="upscale")
    assert json.loads((scratch(output) / "engine.json").read_text())["backend"] == "eager"
    for marker in sorted((scratch(output) / "done").iterdir())[::2]:
        marker.unlink()
    monkeypatch.setattr(choice, "installed", lambda *_: ["openvino"])  # what would be chosen now
    stage._opened.cache_clear()
    assert told(run(source))["backend"] == "eager"
    np.testing.assert_array_equal(pixels(output), whole)


def test_a_damaged_choice_is_made_again(source: Path) -> None:
    output = run(source, until="ingest")
    (scratch(output) / "engine.json").write_text("{")
    stage._opened.cache_clear()
    assert told(run(source))["rms_dn_of_10000"] > 0


def test_a_worker_that_lacks_the_backend_says_so(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("srcore.engine.backends.find_spec", lambda name: None)
    stage._opened.cache_clear()
    with pytest.raises(CheckpointError, match="backend openvino is not there for bfloat16 on cpu") as caught:
        run(source, backend="openvino")
    assert caught.value.code == "NO_BACKEND"


@pytest.mark.slow
@pytest.mark.skipif(not has("openvino", "int8"), reason="needs the extra openvino: pip install srcore[openvino]")
def test_int8_is_calibrated_on_the_scene_and_the_same_on_every_worker(source: Path) -> None:
    exact = pixels(run(source, "exact.tif", precision="float32")).astype(int)
    one = run(source, "one.tif", precision="int8")
    two = run(source, "two.tif", precision="int8", workers=Workers(2))
    np.testing.assert_array_equal(pixels(one), pixels(two))
    assert (told(one)["backend"], told(one)["precision"]) == ("openvino", "int8")
    difference = np.abs(pixels(one).astype(int) - exact)
    assert 0 < difference.mean() < 30
