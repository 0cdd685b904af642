"""A model goes out as ONNX and comes back with the same numbers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from srcore.checkpoints import BUILTIN, Architecture, builtin_names, read_spec, write_spec
from srcore.engine import open_engine
from srcore.errors import CheckpointError, StoreError
from srcore.exchange.export import DIGEST_KEY, SPEC_KEY, Exported, export_onnx
from srcore.exchange.files import import_to
from srcore.exchange.place import seen
from srcore.exchange.wishes import Wishes
from srcore.weights import build, describe, load_generator, save_checkpoint
from tests.exchange import graphs
from tests.models.test_generators import SMALL

QUICK = "bicubic-x2"


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """One export for all: torch's exporter takes seconds, ten of a small network."""
    return export_onnx(BUILTIN / QUICK, tmp_path_factory.mktemp("quick") / "one.onnx")


def round_trip(folder: Path, exported: Exported, place: Path) -> None:
    """The SR of the model and of what came back of it, at a size that nobody compared before."""
    assert exported.difference <= 1e-6
    back = import_to(exported.path, Wishes(name="back"), place / "back")
    spec = read_spec(folder)
    kept = ("kind", "scale", "bands", "halo", "core_multiple", "zoom", "normalise", "licence", "training", "trust")
    assert {name: getattr(back, name) for name in kept} == {name: getattr(spec, name) for name in kept}
    own, other = load_generator(folder)[1], open_engine(place / "back", "cpu", backend="onnxruntime").generator
    sides = [2 * own.halo + own.core_multiple * (11 + 2 * axis) for axis in range(own.axes)]
    x = seen(own, sides, 7)[None]
    with torch.inference_mode():
        expected, found = own(x), other(x)
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= 1e-6 * expected.abs().max()


def test_a_shipped_model_comes_back_as_it_went(quick: Exported, tmp_path: Path) -> None:
    round_trip(BUILTIN / QUICK, quick, tmp_path)


@pytest.mark.nightly
@pytest.mark.parametrize("name", [name for name in builtin_names() if name != QUICK])
def test_every_shipped_model_comes_back_as_it_went(name: str, tmp_path: Path) -> None:
    round_trip(BUILTIN / name, export_onnx(BUILTIN / name, tmp_path / "one.onnx"), tmp_path)


@pytest.mark.nightly
@pytest.mark.parametrize("name", SMALL)
def test_every_architecture_goes_out_as_it_is(name: str, tmp_path: Path) -> None:
    """Not back: random weights move the image, and what does is refused."""
    torch.manual_seed(0)
    spec = describe("tiny", Architecture(name=name, params=SMALL[name]))
    save_checkpoint(tmp_path / "tiny", spec, build(spec), "card")
    assert export_onnx(tmp_path / "tiny", tmp_path / "one.onnx").difference <= 1e-6


def test_the_file_says_what_the_model_is_and_nothing_of_this_machine(quick: Exported) -> None:
    raw = quick.path.read_bytes()
    metadata = {one.key: one.value for one in onnx.load_model_from_string(raw).metadata_props}
    spec = read_spec(BUILTIN / QUICK)
    assert metadata[DIGEST_KEY] == spec.digest
    assert json.loads(metadata[SPEC_KEY]) == spec.model_dump(mode="json")
    assert b"site-packages" not in raw
    assert str(Path.cwd()).encode() not in raw
    session = onnxruntime.InferenceSession(raw, providers=["CPUExecutionProvider"])  # as anybody opens it
    [one], [out] = session.get_inputs(), session.get_outputs()
    assert [type(side) for side in one.shape] == [str, int, str, str]
    assert len({*one.shape}) == 4
    [sr] = session.run(None, {one.name: np.zeros((3, 1, 40, 21), np.float32)})
    assert (sr.shape, out.name) == ((3, 1, 72, 34), "sr")


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    """A checkpoint that is a graph already: its export needs no tracing."""
    theirs = graphs.saved(graphs.upscaler(), tmp_path / "theirs.onnx")
    import_to(theirs, Wishes(licence="MIT"), tmp_path / "theirs")
    (tmp_path / "out").mkdir()
    return tmp_path / "theirs"


def test_a_graph_of_others_goes_out_with_what_was_measured(graph: Path, tmp_path: Path) -> None:
    exported = export_onnx(graph, tmp_path / "out/again.onnx")
    back = import_to(exported.path, Wishes(), tmp_path / "back")
    spec = read_spec(graph)
    assert exported.difference <= 1e-6
    assert back.model_copy(update={"weights_sha256": ""}) == spec.model_copy(update={"weights_sha256": ""})


def test_figures_are_of_the_graph_that_was_exported(graph: Path, tmp_path: Path) -> None:
    """Whoever edits a graph keeps none of them."""
    figures = {"mean": {"psnr": 40.0, "psnr_bicubic": 30.0}}
    write_spec(graph, read_spec(graph).model_copy(update={"metrics": figures, "training": {"back_projection": 2}}))
    model = onnx.load(export_onnx(graph, tmp_path / "out/again.onnx").path)
    assert import_to(tmp_path / "out/again.onnx", Wishes(), tmp_path / "same").metrics == figures
    weight = model.graph.initializer[0]
    weight.raw_data = (np.frombuffer(weight.raw_data, np.float32) * np.float32(1.001)).tobytes()
    edited = import_to(graphs.saved(model, tmp_path / "edited.onnx"), Wishes(), tmp_path / "edited")
    assert (edited.metrics, edited.training) == ({}, {"back_projection": 2, "edited": True})


def test_an_export_replaces_nothing_unless_it_is_told_to(graph: Path, tmp_path: Path) -> None:
    path = tmp_path / "out/mine.onnx"
    path.write_bytes(b"mine")
    with pytest.raises(StoreError, match="is there") as caught:
        export_onnx(graph, path)
    assert (caught.value.code, path.read_bytes()) == ("OUTPUT_EXISTS", b"mine")
    export_onnx(graph, path, overwrite=True)
    assert path.read_bytes() != b"mine"
    assert list(path.parent.iterdir()) == [path]


def test_other_numbers_are_not_published(graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("srcore.exchange.export.LIMIT", -1.0)
    with pytest.raises(CheckpointError, match="gives other numbers") as caught:
        export_onnx(graph, tmp_path / "out/one.onnx")
    assert caught.value.code == "EXPORT_FAILED"
    assert list((tmp_path / "out").iterdir()) == []
