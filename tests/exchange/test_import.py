"""ONNX graphs of others: what they are is measured; what tiles or pixels would not bear is refused."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
import rasterio
import torch
from onnx import ModelProto, TensorProto, helper, numpy_helper

import srcore
from flows.cli import main
from srcore.checkpoints import Spec
from srcore.engine import gate, open_engine
from srcore.engine.backends import build, installed, refuse_missing
from srcore.errors import CheckpointError
from srcore.exchange.bounds import bounded_memory
from srcore.exchange.files import import_to
from srcore.exchange.wishes import Wishes
from srcore.models import Bicubic
from srcore.weights import load_generator
from tests.exchange import graphs

CPU = torch.device("cpu")
MIT = Wishes(licence="MIT")


def brought(model: ModelProto, place: Path, wishes: Wishes = MIT) -> Spec:
    return import_to(graphs.saved(model, place / "theirs.onnx"), wishes, place / "theirs")


@pytest.mark.parametrize(("scale", "padded"), [(2, True), (2, False), (3, True), (4, False)])
def test_scale_and_halo_are_found_to_the_pixel(scale: int, padded: bool, tmp_path: Path) -> None:
    spec = brought(graphs.upscaler(scale, padded=padded), tmp_path)
    params = spec.architecture.params
    assert (spec.scale, spec.halo, spec.core_multiple) == ((scale, scale), (2, 2), 1)
    assert (params["eaten"], params["values"], params["moved"]) == (0 if padded else 2, "0-1", [])
    assert (spec.licence, spec.bands, spec.normalise) == ("MIT", "any", "percentile")
    x = torch.rand(2, 1, 30, 25)
    torch.testing.assert_close(load_generator(tmp_path / "theirs")[1](x), Bicubic(scale)(x), rtol=0, atol=1e-6)


def test_sizes_that_a_file_fixes_are_set_free(tmp_path: Path) -> None:
    spec = brought(graphs.model_of(*graphs.cubic(), axes=[1, 1, 64, 48]), tmp_path)
    assert (spec.scale, spec.halo) == ((2, 2), (2, 2))
    x = torch.rand(2, 1, 30, 25)
    torch.testing.assert_close(load_generator(tmp_path / "theirs")[1](x), Bicubic(2)(x), rtol=0, atol=1e-6)


def test_bands_that_are_seen_together(tmp_path: Path) -> None:
    spec = brought(graphs.upscaler(bands=3), tmp_path)
    assert (spec.bands, spec.halo) == (3, (2, 2))
    x = torch.rand(1, 3, 20, 20)
    expected = torch.cat([Bicubic(2)(x[:, band : band + 1]) for band in range(3)], 1)
    torch.testing.assert_close(load_generator(tmp_path / "theirs")[1](x), expected, rtol=0, atol=1e-6)


def test_black_and_white_are_found(tmp_path: Path) -> None:
    assert brought(graphs.eight_bits(), tmp_path).architecture.params["values"] == "0-255"
    x = torch.rand(1, 1, 20, 20)
    found = load_generator(tmp_path / "theirs")[1](x)
    assert (found - Bicubic(2)(x)).abs().max() <= 0.5 / 255 + 1e-6


@pytest.mark.parametrize("by", [(1, 0), (3, 2), (-1, 2), (-2, -3)])
def test_whole_pixels_are_moved_back(by: tuple[int, int], tmp_path: Path) -> None:
    spec = brought(graphs.moved(*by), tmp_path)
    assert tuple(spec.architecture.params["moved"]) == by
    halo = spec.halo[-1]
    x = torch.rand(1, 1, 20 + 2 * halo, 20 + 2 * halo)
    expected = Bicubic(2)(x[..., halo - 2 : 22 + halo, halo - 2 : 22 + halo])
    torch.testing.assert_close(load_generator(tmp_path / "theirs")[1](x), expected, rtol=0, atol=1e-6)


def test_a_grid_of_windows_is_found_and_tiles_keep_to_it(tmp_path: Path) -> None:
    spec = brought(graphs.windowed(6), tmp_path)
    assert (spec.core_multiple, spec.halo) == (6, (6, 6))
    engine = open_engine(tmp_path / "theirs", "cpu")
    scene = (gate.texture(256)[None, :120, :96] / gate.SPAN_DN).astype(np.float32)
    whole = engine.run(np.pad(scene, [(0, 0), (6, 6), (6, 6)], mode="reflect"))
    padded = np.pad(scene, [(0, 0), (6, 6), (6, 6)], mode="reflect")
    for row in (0, 48, 72):
        for column in (0, 48):
            tile = padded[:, row : row + 60, column : column + 60]
            core = whole[:, 2 * row : 2 * row + 96, 2 * column : 2 * column + 96]
            assert np.abs(engine.run(tile) - core).max() <= 1e-6


REFUSED: list[tuple[str, Callable[[], ModelProto], str]] = [
    ("a scale as an input", graphs.with_a_scale, "ONNX_SCALE"),
    ("one size of output", graphs.of_a_fixed_size, "ONNX_SCALE"),
    ("half a pixel off", lambda: graphs.resized("asymmetric"), "GRID_SHIFT"),
    ("corners on corners", lambda: graphs.resized("align_corners"), "NO_FINITE_HALO"),
    ("the mean of all", graphs.that_sees_all, "NO_FINITE_HALO"),
    ("random numbers", graphs.that_is_random, "ONNX_OPERATOR"),
    ("an unknown operator", lambda: graphs.with_operator("Sharpen"), "ONNX_OPERATOR"),
    ("a custom domain", lambda: graphs.with_operator("Conv", "com.somebody"), "ONNX_OPERATOR"),
    ("a classifier", graphs.classifier, "NOT_AN_UPSCALER"),
    ("noise", graphs.of_noise, "NOT_AN_UPSCALER"),
    ("NaN", lambda: graphs.with_numbers(float("nan")), "WEIGHTS_NONFINITE"),
    ("infinity", lambda: graphs.with_numbers(float("inf")), "WEIGHTS_NONFINITE"),
    ("weights above", lambda: graphs.with_outside(graphs.upscaler(), "../secret"), "ONNX_EXTERNAL"),
    ("weights elsewhere", lambda: graphs.with_outside(graphs.upscaler(), "/etc/hostname"), "ONNX_EXTERNAL"),
    ("weights by a link", lambda: graphs.with_outside(graphs.upscaler(), "link.bin"), "ONNX_EXTERNAL"),
    ("weights that are gone", lambda: graphs.with_outside(graphs.upscaler(), "gone.bin"), "ONNX_EXTERNAL"),
    ("sparse weights elsewhere", lambda: graphs.with_sparse_outside("/etc/hostname"), "ONNX_EXTERNAL"),
    ("weights from far on", lambda: graphs.with_offset("9" * 30), "ONNX_EXTERNAL"),
    ("weights from before on", lambda: graphs.with_offset("-5"), "ONNX_EXTERNAL"),
    ("functions of functions", lambda: graphs.with_functions(40), "MODEL_TOO_LARGE"),
    ("functions without end", lambda: graphs.with_functions(3, endless=True), "BAD_CHECKPOINT"),
    ("a reshape to one size", graphs.reshaped, "NOT_AN_UPSCALER"),
    ("more memory than there is", graphs.tiled, "NOT_AN_UPSCALER"),
    ("two outputs", graphs.with_two_outputs, "NOT_AN_UPSCALER"),
    ("no graph", lambda: ModelProto(), "BAD_CHECKPOINT"),
]


def called(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["srcore", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def refused(path: Path, code: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """One line, its code, exit 2, and nothing left behind."""
    before = sorted(path.parent.rglob("*"))
    words = ("models", "import", str(path), "--licence", "MIT", "--to", str(path.parent / "theirs"))
    assert called(monkeypatch, *words) == 2
    told = capsys.readouterr()
    assert told.err.count("\n") == 1
    assert told.err.rstrip().endswith(f"[{code}]")
    assert told.out == ""
    assert sorted(path.parent.rglob("*")) == before


@pytest.mark.parametrize(("make", "code"), [pytest.param(*rest, id=name) for name, *rest in REFUSED])
def test_what_cannot_be_used_is_one_line(
    make: Callable[[], ModelProto],
    code: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    place = tmp_path / "in"
    place.mkdir()
    (tmp_path / "secret").write_bytes(b"\0" * 400)
    (place / "here.bin").write_bytes(bytes(4000))
    (place / "link.bin").symlink_to(tmp_path / "secret")
    refused(graphs.saved(make(), place / "theirs.onnx"), code, monkeypatch, capsys)


def test_a_graph_of_one_image_takes_many(tmp_path: Path) -> None:
    """Bands are the images of a batch: each goes through alone."""
    brought(graphs.of_one_image(), tmp_path)
    x = torch.rand(3, 1, 30, 25)
    torch.testing.assert_close(load_generator(tmp_path / "theirs")[1](x), Bicubic(2)(x), rtol=0, atol=1e-6)


def test_a_name_that_is_no_text_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "theirs.onnx"
    path.write_bytes(graphs.with_a_name_of_no_text())
    refused(path, "BAD_CHECKPOINT", monkeypatch, capsys)


def test_a_full_disk_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = graphs.saved(graphs.upscaler(), tmp_path / "theirs.onnx")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))  # as a disk that has no more room
    try:
        assert called(monkeypatch, "models", "import", str(path), "--licence", "MIT", "--to", f"{tmp_path}/out") == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert capsys.readouterr().err.count("\n") == 1
    assert list(tmp_path.iterdir()) == [path]


def test_functions_are_written_out(tmp_path: Path) -> None:
    model = graphs.with_functions(3)
    del model.graph.node[:]
    nodes, weights = graphs.cubic(out="fine")
    model.graph.node.extend([*nodes, helper.make_node("f0", ["fine"], ["sr"], domain="own")])
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in weights.items())
    assert brought(model, tmp_path).halo == (2, 2)
    kept = ModelProto.FromString((tmp_path / "theirs/model.onnx").read_bytes())
    assert (len(kept.graph.node), len(kept.functions)) == (2 + 8, 0)


def test_more_memory_than_is_free_is_refused_before_it_is_taken(tmp_path: Path) -> None:
    free = psutil.virtual_memory().available
    with pytest.raises(CheckpointError) as caught, bounded_memory(tmp_path):
        np.empty(free + 2**32, np.uint8)
    assert caught.value.code == "MODEL_TOO_LARGE"
    np.empty(2**30, np.uint8)


def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    path = graphs.saved(graphs.upscaler(), tmp_path / "theirs.onnx")
    out = str(tmp_path / "out")
    for words in (["import", str(path), "--licence", "MIT", "--to", out], ["export", "bicubic-x2", out, "--onnx"]):
        told = f"import sys; sys.modules['onnx'] = None; sys.argv = ['srcore', 'models', *{words}]"
        done = subprocess.run(
            [sys.executable, "-c", f"{told}; from flows.cli import main; main()"], capture_output=True, text=True
        )
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert done.stderr.rstrip().endswith("install srcore[onnx] [NOT_INSTALLED]")


def test_two_gigabytes_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "theirs.onnx"
    path.touch()
    os.truncate(path, 2**31)
    refused(path, "MODEL_TOO_LARGE", monkeypatch, capsys)


def test_a_licence_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = graphs.saved(graphs.upscaler(), tmp_path / "theirs.onnx")
    assert called(monkeypatch, "models", "import", str(path), "--to", str(tmp_path / "out")) == 2
    assert "--licence" in (told := capsys.readouterr().err)
    assert told.rstrip().endswith("[NO_LICENCE]")
    assert list(tmp_path.iterdir()) == [path]


def test_weights_beside_the_graph_come_in_with_it(tmp_path: Path) -> None:
    model = graphs.upscaler()
    (tmp_path / "w.bin").write_bytes(model.graph.initializer[0].raw_data)
    brought(graphs.with_outside(model, "w.bin"), tmp_path)
    (tmp_path / "w.bin").unlink()
    (tmp_path / "theirs.onnx").unlink()
    x = torch.rand(1, 1, 20, 20)
    torch.testing.assert_close(load_generator(tmp_path / "theirs")[1](x), Bicubic(2)(x), rtol=0, atol=1e-6)


def test_a_checkpoint_whose_graph_was_exchanged_is_refused(tmp_path: Path) -> None:
    brought(graphs.upscaler(), tmp_path)
    (tmp_path / "theirs/model.onnx").write_bytes(graphs.upscaler(3).SerializeToString())
    with pytest.raises(CheckpointError) as caught:
        load_generator(tmp_path / "theirs")
    assert caught.value.code == "CHECKPOINT_DIGEST"


def test_what_a_stranger_writes_into_a_checkpoint_goes_through_the_door(tmp_path: Path) -> None:
    import hashlib

    spec = brought(graphs.upscaler(), tmp_path)
    (tmp_path / "w.bin").write_bytes(bytes(400))
    raw = graphs.with_outside(graphs.upscaler(), "w.bin").SerializeToString()
    (tmp_path / "theirs/model.onnx").write_bytes(raw)
    found = spec.model_copy(update={"weights_sha256": hashlib.sha256(raw).hexdigest()})
    (tmp_path / "theirs/config.json").write_text(found.model_dump_json())
    with pytest.raises(CheckpointError) as caught:
        load_generator(tmp_path / "theirs")
    assert caught.value.code == "ONNX_EXTERNAL"


def test_the_backend_is_gated_as_others_are(tmp_path: Path) -> None:
    brought(graphs.upscaler(), tmp_path)
    generator = load_generator(tmp_path / "theirs")[1]
    assert installed(generator, CPU, "float32") == ["onnxruntime", "eager"]
    assert installed(generator, CPU, "bfloat16") == []
    reference, fused = (build(generator, backend, "float32", CPU) for backend in ("eager", "onnxruntime"))
    assert gate.compare(reference, fused, CPU).refused("float32") == ""
    with pytest.raises(CheckpointError) as caught:
        refuse_missing("openvino", generator, CPU, "float32")
    assert caught.value.code == "NO_BACKEND"


def scene_in(place: Path) -> Path:
    scene = place / "scene.tif"
    profile = {"driver": "GTiff", "dtype": "uint16", "count": 1, "height": 150, "width": 130, "crs": "EPSG:32633"}
    corner = rasterio.transform.from_origin(500_000, 5_000_000, 10, 10)
    with rasterio.open(scene, "w", **profile, transform=corner) as file:
        file.write(gate.texture(256)[None, :150, :130].astype(np.uint16))
    return scene


def test_a_scene_goes_through_a_graph_of_others_in_exact_tiles(tmp_path: Path) -> None:
    """The pixels of the built-in that computes the same, whatever the tiles."""
    scene = scene_in(tmp_path)
    brought(graphs.upscaler(), tmp_path, Wishes(licence="MIT", normalise="none"))
    for out, model, tile in (
        ("a", str(tmp_path / "theirs"), 64),
        ("b", str(tmp_path / "theirs"), 150),
        ("c", "bicubic-x2", 64),
    ):
        product = srcore.upscale(scene, tmp_path / f"{out}.tif", model=model, tile=tile, workers=0)
        assert product.verdict != "failed"
    small, large, ours = (rasterio.open(tmp_path / f"{out}.tif").read().astype(int) for out in "abc")
    assert np.array_equal(small, large)
    assert np.abs(small - ours).max() <= 1
    assert (small != ours).mean() < 0.01


@pytest.mark.nightly
def test_a_graph_of_others_is_registered_and_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("mlflow", reason="the registry needs MLflow (extra: train)")
    monkeypatch.setenv("SRCORE_REGISTRY", f"sqlite:///{tmp_path / 'registry.db'}")
    path = graphs.saved(graphs.upscaler(), tmp_path / "theirs.onnx")
    assert called(monkeypatch, "models", "import", str(path), "--licence", "MIT", "--normalise", "none") == 0
    told = capsys.readouterr().out
    assert "theirs: raster, scale 2x2, halo 2 px" in told
    assert "theirs version 1: champion" in told
    words = (
        "upscale",
        str(scene_in(tmp_path)),
        str(tmp_path / "sr.tif"),
        "--model",
        "theirs@champion",
        "--workers",
        "0",
    )
    assert called(monkeypatch, *words) == 0
    assert json.loads((tmp_path / "sr.receipt.json").read_text())["parameters"]["backend"] == "onnxruntime"


def test_numbers_of_other_kinds_are_refused(tmp_path: Path) -> None:
    model = graphs.upscaler()
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    with pytest.raises(CheckpointError) as caught:
        brought(model, tmp_path)
    assert caught.value.code in ("NOT_AN_UPSCALER", "BAD_CHECKPOINT")
    assert not (tmp_path / "theirs").exists()
