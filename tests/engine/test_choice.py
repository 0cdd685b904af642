from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from srcore.checkpoints import BUILTIN
from srcore.engine import choice, gate
from srcore.engine.choice import Case, Choice, Trial, choose, measure, recall, remember
from srcore.errors import CheckpointError
from srcore.models import Generator
from srcore.weights import load_generator

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
MANY = 10**9
"""LR pixels of a scene that is worth a measurement."""


@pytest.fixture
def case() -> Case:
    return Case(*load_generator(BUILTIN / "srcore-x2"), CPU, "bfloat16", (94, 94))


@pytest.fixture
def contested(case: Case) -> Case:
    """A case that several backends can compute here: what is measured."""
    for precision in ("bfloat16", "float32"):
        if len(choice.installed(case.generator, CPU, precision)) > 1:
            return replace(case, precision=precision)
    pytest.skip("only eager is there: no fused operators and no OpenVINO")


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.json"))


def test_what_was_measured_is_remembered_and_decides(contested: Case, tmp_path: Path) -> None:
    first = choose(contested, "auto", MANY, tmp_path)
    [path] = files(tmp_path)
    trials = recall(tmp_path, contested)
    assert trials is not None
    fastest = max(trials, key=lambda trial: trial.lr_mpx_s or 0)
    assert (first.backend, first.rms_dn) == (fastest.backend, fastest.rms_dn)
    written = path.read_bytes()
    assert choose(contested, "auto", MANY, tmp_path) == first
    assert path.read_bytes() == written
    remember(tmp_path, contested, [Trial("eager", 1.0, 5.0, 9.0), Trial("fused", 1.0, 5.0, 1.0)])
    assert choose(contested, "auto", 1, tmp_path).backend == "eager"


def test_a_small_scene_is_not_measured(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("measured")

    monkeypatch.setattr(choice, "measure", never)
    found = choose(case, "auto", 10**5, tmp_path)
    assert found.precision == "bfloat16"
    assert 0 < found.rms_dn < 1.5
    assert files(tmp_path / "engines") == []


def test_the_gate_is_asked_once_a_machine(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    retrained = case.spec.model_copy(update={"weights_sha256": "0"})
    found = choose(case, "auto", 1, tmp_path)
    [record] = files(tmp_path / "gates")
    asked: list[str] = []

    def compare(*_: object) -> gate.Difference:
        asked.append("gate")
        return gate.Difference(found.rms_dn, found.max_dn)

    monkeypatch.setattr(gate, "compare", compare)
    for other, times in (
        (case, 0),
        (replace(case, tile=(30, 30)), 0),  # the texture is the same for every tile
        (replace(case, spec=retrained), 1),
        (replace(case, samples=(torch.rand(1, 1, 94, 94),)), 1),  # what a scene decides is not remembered
    ):
        monkeypatch.setattr(choice, "_PASSED", {})  # as in another process
        asked.clear()
        assert choose(other, "auto", 1, tmp_path) == found
        assert len(asked) == times
    asked.clear()
    with monkeypatch.context() as another:
        another.setattr(choice, "__version__", "0.0.0")  # other code of ours
        choose(case, "auto", 1, tmp_path)
    record.write_bytes(record.read_bytes().replace(b'"rms_dn"', b'"rms_DN"'))  # its seal is broken
    monkeypatch.setattr(choice, "_PASSED", {})
    assert choose(case, "auto", 1, tmp_path) == found
    assert asked == ["gate", "gate"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"trials": 3}', b'{"trials": [{"a": 1}], "seal": "x"}'])
def test_a_damaged_memory_is_measured_again(contested: Case, tmp_path: Path, content: bytes) -> None:
    remember(tmp_path, contested, [Trial("eager", 1.0, 5.0, 9.0)])
    [path] = files(tmp_path)
    path.write_bytes(content)
    assert recall(tmp_path, contested) is None
    choose(contested, "auto", MANY, tmp_path)
    assert json.loads(path.read_bytes())["seal"]


def test_a_flipped_bit_is_seen(case: Case, tmp_path: Path) -> None:
    remember(tmp_path, case, [Trial("eager", 1.0, 5.0, 9.0)])
    [path] = files(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"9.0", b"8.0"))
    assert recall(tmp_path, case) is None


def test_a_folder_that_cannot_be_written_is_no_error(case: Case, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    remember(tmp_path / "file", case, [Trial("eager", 1.0, 5.0, 9.0)])
    assert recall(tmp_path / "file", case) is None


def test_another_machine_model_or_shape_is_another_case(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    retrained = case.spec.model_copy(update={"weights_sha256": "0"})
    other = [
        replace(case, tile=(94, 95)),
        replace(case, precision="float32"),
        replace(case, spec=retrained),
    ]
    keys = {case.key, *(one.key for one in other)}
    monkeypatch.setattr(choice, "_device_name", lambda device: "another")
    keys.add(case.key)
    monkeypatch.setattr(choice, "_version", lambda package: "2")
    keys.add(case.key)
    assert len(keys) == 6


def off(generator: Generator, by: float) -> Generator:
    forward = generator.forward
    generator.forward = lambda x: forward(x) + by  # type: ignore[method-assign]
    return generator


@pytest.fixture(autouse=True)
def _nothing_gated_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "_PASSED", {})


def inexact(monkeypatch: pytest.MonkeyPatch, refused: Callable[[str, str], bool]) -> None:
    real = choice.build

    def build(generator: Generator, backend: str, precision: str, *rest: object) -> Generator:
        found = real(generator, backend, precision, *rest)  # type: ignore[arg-type]
        return off(found, 0.01) if refused(backend, precision) else found

    monkeypatch.setattr(choice, "build", build)


def test_a_backend_that_fails_the_gate_is_not_used(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    inexact(monkeypatch, lambda backend, precision: precision == "bfloat16" and backend != "eager")
    with caplog.at_level(logging.WARNING):
        assert choose(case, "auto", MANY, tmp_path).backend == "eager"
    assert "is not used for srcore-x2" in caplog.text or len(measure(case, ["eager"])) == 1
    assert choose(case, "auto", 1, tmp_path / "other").backend == "eager"
    with pytest.raises(CheckpointError, match=r"fails the numerics gate.*DN rms") as caught:
        choose(case, _another_than_eager(case), 1, tmp_path)
    assert caught.value.code == "BACKEND_NUMERICS"


def _another_than_eager(case: Case) -> str:
    names = [name for name in choice.installed(case.generator, CPU, "bfloat16") if name != "eager"]
    if not names:
        pytest.skip("only eager is there: no fused operators and no OpenVINO")
    return names[0]


def test_float32_is_left_where_nothing_passes(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    inexact(monkeypatch, lambda backend, precision: precision == "bfloat16")
    assert choose(case, "auto", 1, tmp_path) == Choice("eager", "float32", 0.0, 0.0)
    assert "computes in float32: no backend passes the gate" in caplog.text


def test_the_texture_is_what_the_gate_says() -> None:
    texture = gate.texture(158)
    assert (texture.min(), texture.max()) == (0, gate.SPAN_DN)
    assert (texture == texture.round()).all()


def test_a_model_trained_behind_back_projection_is_judged_behind_it() -> None:
    def pair() -> tuple[Generator, Generator]:
        return load_generator(BUILTIN / "srcore-x2")[1], load_generator(BUILTIN / "srcore-x2")[1]

    reference, moved = pair()
    off(moved, 0.01)
    assert gate.compare(reference, moved, CPU).refused("bfloat16")
    assert gate.compare(reference, moved, CPU, steps=1).rms_dn < 0.01  # what all pixels have is taken back
    reference, striped = pair()
    forward = striped.forward
    stripes = torch.tensor([0.01, -0.01]).repeat(gate.CORE_PX)
    striped.forward = lambda x: forward(x) + stripes  # type: ignore[method-assign]
    alone, behind = (gate.compare(reference, striped, CPU, steps=steps) for steps in (0, 1))
    assert behind.rms_dn == pytest.approx(alone.rms_dn, rel=0.01)  # no LR pixel knows of it


def test_numbers_that_are_none_fail_the_gate() -> None:
    _, generator = load_generator(BUILTIN / "srcore-x2")
    broken = off(load_generator(BUILTIN / "srcore-x2")[1], float("nan"))
    found = gate.compare(generator, broken, CPU)
    assert "inf DN rms" in found.refused("float32")
    assert "inf DN rms" in found.refused("int8")
