"""Bare weights: numbers come in, and nothing is run."""

from __future__ import annotations

import os
import pickle
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from srcore.checkpoints import BUILTIN, read_spec
from srcore.errors import CheckpointError, SRError
from srcore.exchange import community
from srcore.exchange.files import import_to
from srcore.exchange.wishes import Wishes, wishes_of
from srcore.weights import load_generator
from tests.exchange.test_import import refused

FAST = BUILTIN / "srcore-x2-fast"


def weights() -> dict[str, torch.Tensor]:
    return dict(load_generator(FAST)[1].state_dict())


def spec_file(place: Path, more: str = "") -> Path:
    path = place / "theirs.yaml"
    network = "{name: edsr, params: {scale: 2, width: 32, blocks: 2, bias: false}}"
    path.write_text(f"licence: Apache-2.0\narchitecture: {network}\n{more}")
    return path


@pytest.mark.parametrize("wrapped", [lambda own: own, lambda own: {"params_ema": own, "step": 3}])
def test_a_pth_becomes_safetensors(wrapped: Any, tmp_path: Path) -> None:
    torch.save(wrapped(weights()), tmp_path / "theirs.pth")
    spec = import_to(tmp_path / "theirs.pth", wishes_of(spec_file(tmp_path)), tmp_path / "theirs")
    assert sorted(path.name for path in (tmp_path / "theirs").iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]
    own = read_spec(FAST)
    assert (spec.name, spec.scale, spec.halo, spec.licence) == ("theirs", own.scale, own.halo, "Apache-2.0")
    x = torch.rand(1, 1, 30, 40)
    with torch.inference_mode():
        assert torch.equal(load_generator(tmp_path / "theirs")[1](x), load_generator(FAST)[1](x))


def test_safetensors_come_in(tmp_path: Path) -> None:
    save_file(weights(), tmp_path / "theirs.safetensors")
    wishes = wishes_of(spec_file(tmp_path, "normalise: none\n"), name="mine")
    spec = import_to(tmp_path / "theirs.safetensors", wishes, tmp_path / "mine")
    assert (spec.name, spec.normalise) == ("mine", "none")
    assert load_generator(tmp_path / "mine")[0] == spec


class Code:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.folder / "ran"),)


def test_a_pickle_with_code_runs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "theirs.pth"
    for write in (torch.save, lambda value, where: where.write_bytes(pickle.dumps(value))):
        write({"a": torch.ones(2), "b": Code(tmp_path)}, path)
        refused(path, "PICKLE_WITH_CODE", monkeypatch, capsys)
    assert not (tmp_path / "ran").exists()


def test_nan_weights_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spoiled = weights()
    next(iter(spoiled.values())).view(-1)[3] = float("nan")
    torch.save(spoiled, tmp_path / "theirs.pth")
    refused(tmp_path / "theirs.pth", "WEIGHTS_NONFINITE", monkeypatch, capsys)


@pytest.mark.parametrize(
    ("tensors", "code"),
    [
        ({"a": torch.ones(1).expand(2**20, 2**20)}, "MODEL_TOO_LARGE"),
        ({"a": torch.sparse_coo_tensor([[0], [1]], [1.0], (2**20, 2**20))}, "MODEL_TOO_LARGE"),
        ({"a": torch.ones(2, 2).to_sparse()}, "BAD_CHECKPOINT"),
        ({"a": torch.ones(2, 2, device="meta")}, "BAD_CHECKPOINT"),
        ({"a": torch.ones(2, 2, dtype=torch.complex64)}, "BAD_CHECKPOINT"),
        ({"a": torch.full((2,), float("nan")).to(torch.float8_e5m2)}, "WEIGHTS_NONFINITE"),
        ({"body.0.weight": torch.ones(2), "body.1000000000.weight": torch.ones(2)}, "BAD_CHECKPOINT"),
    ],
)
def test_a_few_bytes_that_call_themselves_much_are_one_line(
    tensors: Any, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(tensors, tmp_path / "theirs.pth")
    assert (tmp_path / "theirs.pth").stat().st_size < 10_000
    refused(tmp_path / "theirs.pth", code, monkeypatch, capsys)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", b"\x80\x02 no pickle", b"text"])
def test_what_is_no_file_of_weights_is_one_line(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "theirs.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        import_to(path, Wishes(licence="MIT"), tmp_path / "out")
    assert caught.value.code in ("BAD_CHECKPOINT", "PICKLE_WITH_CODE")
    assert not (tmp_path / "out").exists()


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    save_file({"head.weight": torch.ones(3)}, tmp_path / "theirs.safetensors")
    with pytest.raises(CheckpointError, match="does not fit the architecture"):
        import_to(tmp_path / "theirs.safetensors", wishes_of(spec_file(tmp_path)), tmp_path / "theirs")


def test_without_an_architecture_it_says_what_would_help(tmp_path: Path) -> None:
    save_file(weights(), tmp_path / "theirs.safetensors")
    with pytest.raises(CheckpointError, match="--spec") as caught:
        import_to(tmp_path / "theirs.safetensors", Wishes(licence="MIT"), tmp_path / "theirs")
    assert caught.value.code in ("NOT_INSTALLED", "BAD_CHECKPOINT")


@pytest.mark.parametrize("options", [{"bands": "0"}, {"bands": "many"}, {"range": "0-1023"}, {"licence": "x" * 201}])
def test_an_option_that_cannot_be_is_named(options: dict[str, str]) -> None:
    with pytest.raises(SRError, match=f"--{next(iter(options))} cannot be that") as caught:
        wishes_of(None, **options)
    assert (caught.value.exit_code, "\n" in str(caught.value)) == (2, False)


def test_a_community_layout_becomes_a_graph(tmp_path: Path) -> None:
    pytest.importorskip("einops", reason="needs the extra community: pip install srcore[community]")
    if find_spec("spandrel") is None:
        pytest.skip("needs the extra community: pip install srcore[community]")
    network = community.network_of
    torch.manual_seed(0)
    theirs = {  # a tiny one of the layout that Real-ESRGAN's small models have
        "body.0.weight": torch.randn(8, 3, 3, 3) / 30,
        "body.0.bias": torch.zeros(8),
        "body.1.weight": torch.full((8,), 0.2),
        "body.2.weight": torch.randn(12, 8, 3, 3) / 30,
        "body.2.bias": torch.zeros(12),
    }
    assert network(dict(theirs), tmp_path)[1:] == (2, 3)
    torch.save({"params": theirs}, tmp_path / "theirs.pth")
    spec = import_to(tmp_path / "theirs.pth", Wishes(licence="MIT"), tmp_path / "theirs")
    assert (spec.scale, spec.bands, spec.halo, spec.architecture.name) == ((2, 2), 3, (2, 2), "onnx")
    x = torch.rand(1, 3, 20, 20)
    with torch.inference_mode():
        expected = network(dict(theirs), tmp_path)[0](x)[..., 4:-4, 4:-4]
        found = load_generator(tmp_path / "theirs")[1](x)
    assert (found - expected).abs().max() <= 1e-6 * expected.abs().max()
