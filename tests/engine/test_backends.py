"""Laws of every backend that is installed: the numbers of float32 in eager, and tiled equals untiled to the bit."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TypeVar

import numpy as np
import pytest
import torch

from srcore.checkpoints import BUILTIN
from srcore.choices import BACKENDS as NAMES
from srcore.engine import Engine, fused, gate, open_engine
from srcore.engine.backends import BACKENDS, Precision, build, installed, refuse_missing
from srcore.errors import CheckpointError
from srcore.models import Edsr, EdsrVolume, Generator, Nearest
from srcore.models.blocks import ResidualBlock
from srcore.models.mixed import Mixed, compose, split
from srcore.tiling import TilePlan
from srcore.weights import load_generator

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
E = TypeVar("E", bound=Generator)
SHIPPED = load_generator(BUILTIN / "srcore-x2")
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")
VOLUME = load_generator(BUILTIN / "srcore-volume-x2")[1]
CASES = [(backend, precision) for precision in PRECISIONS for backend in installed(SHIPPED[1], CPU, precision)]
needs_int8 = pytest.mark.skipif(
    not installed(SHIPPED[1], CPU, "int8"), reason="needs the extra openvino: pip install srcore[openvino]"
)


def samples(count: int = 4) -> list[torch.Tensor]:
    """Network values with the range of the gate's texture."""
    plane = gate.texture(192)
    low, high = np.percentile(plane, (2, 98))
    values = torch.from_numpy(((plane - low) / (high - low)).astype(np.float32))
    return [values.roll(37 * index, 1)[None, None] for index in range(count)]


def random_edsr(*, bias: bool, width: int = 16, blocks: int = 2, scale: int = 2) -> Edsr:
    return randomised(Edsr(scale, width, blocks, bias))


def randomised(generator: E) -> E:
    torch.manual_seed(1)
    for parameter in generator.parameters():
        torch.nn.init.normal_(parameter, std=0.08)
    return generator.eval()


def test_the_settings_know_the_backends() -> None:
    assert ("auto", *BACKENDS) == NAMES


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("scale", [2, 3])
def test_the_mixed_form_is_the_same_function(bias: bool, scale: int) -> None:
    generator = random_edsr(bias=bias, scale=scale)
    x = torch.rand(2, 1, 40, 37)
    with torch.inference_mode():
        expected, found = generator(x), Mixed(generator, torch.float32)(x)
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= 2e-6 * expected.abs().max()


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("scale", [(2, 2, 2), (5, 1, 1)])
def test_the_mixed_form_of_a_volume_is_the_same_function(bias: bool, scale: tuple[int, int, int]) -> None:
    generator = randomised(EdsrVolume(scale, 8, 2, bias))
    x = torch.rand(1, 1, 18, 20, 17)
    with torch.inference_mode():
        expected, found = generator(x), Mixed(generator, torch.float32)(x)
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= 2e-6 * expected.abs().max()


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_volume_passes_the_gate_by_every_backend(precision: Precision) -> None:
    reference = build(VOLUME, "eager", "float32", CPU)
    backends = installed(VOLUME, CPU, precision)
    assert "eager" in backends
    for backend in backends:
        found = gate.compare(reference, build(VOLUME, backend, precision, CPU), CPU)
        assert found.refused(precision) == ""


def test_a_volume_has_no_int8() -> None:
    assert installed(VOLUME, CPU, "int8") == []


def test_two_convolutions_compose() -> None:
    outer, inner = torch.rand(3, 5, 3, 3), torch.rand(5, 2, 3, 3)
    x = torch.rand(1, 2, 11, 9)
    both = torch.nn.functional.conv2d(torch.nn.functional.conv2d(x, inner), outer)
    torch.testing.assert_close(torch.nn.functional.conv2d(x, compose(outer, inner)), both)


def test_the_parts_of_the_input_add_up() -> None:
    x = torch.rand(1, 1, 8, 8)
    high, low, again = split(x, torch.bfloat16).float().split(1, dim=1)
    assert torch.equal(high, again)
    assert (high + low - x).abs().max() <= 2.0**-16
    assert split(x, torch.float32) is x


@pytest.mark.parametrize(("backend", "precision"), CASES)
def test_every_backend_passes_the_gate(backend: str, precision: Precision) -> None:
    reference = build(SHIPPED[1], "eager", "float32", CPU)
    found = gate.compare(reference, build(SHIPPED[1], backend, precision, CPU), CPU)
    assert found.refused(precision) == ""
    if precision == "bfloat16":
        assert 0.1 < found.rms_dn < 1.3


@pytest.mark.parametrize(("backend", "precision"), CASES)
@pytest.mark.parametrize("core", [64, 96])
def test_tiled_is_untiled_by_every_backend(backend: str, precision: Precision, core: int) -> None:
    spec, generator = SHIPPED
    engine = Engine(spec, generator, CPU, precision, backend)
    halo = spec.halo[-1]
    scene = (gate.texture(256)[None, :200, :170] / gate.SPAN_DN).astype(np.float32)
    whole = engine.run(np.pad(scene, [(0, 0), (halo, halo), (halo, halo)], mode="reflect"))
    plan = TilePlan(scene.shape[1:], (core, core), spec.halo, spec.scale)
    tiled = np.empty_like(whole)
    for tile in plan:
        block = engine.run(scene[np.ix_([0], *plan.sources(tile))])
        window = plan.window_hr(tile)
        tiled[(slice(None), *window)] = block[:, : window[0].stop - window[0].start, : window[1].stop - window[1].start]
    # The same arithmetic, in another order where a kernel blocks other widths differently: float32's last digit.
    assert np.abs(tiled - whole).max() <= (1e-6 if precision == "float32" else 0)


@pytest.mark.parametrize(("backend", "precision"), CASES)
def test_a_tile_has_the_same_bits_each_time_and_in_another_engine(backend: str, precision: Precision) -> None:
    spec, generator = SHIPPED
    block = np.random.default_rng(0).random((1, 94, 94), np.float32)
    engine = Engine(spec, generator, CPU, precision, backend)
    first = engine.run(block)
    engine.run(np.random.default_rng(1).random((1, 80, 94), np.float32))
    np.testing.assert_array_equal(engine.run(block), first)
    np.testing.assert_array_equal(Engine(spec, generator, CPU, precision, backend).run(block), first)


@needs_int8
def test_int8_is_the_same_in_every_worker_and_near_enough() -> None:
    spec, generator = SHIPPED
    block = samples(1)[0][0].numpy()
    one, other = (Engine(spec, generator, CPU, "int8", "openvino", samples()) for _ in range(2))
    np.testing.assert_array_equal(one.run(block), other.run(block))
    difference = gate.compare(one.exact, one.generator, CPU)
    assert difference.refused("int8") == ""
    assert difference.rms_dn > 1.3, "not in int8 at all"
    left = one.run(block[..., :110])
    np.testing.assert_array_equal(left, one.run(block)[..., : left.shape[-1]])


@needs_int8
def test_int8_without_tiles_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CheckpointError, match="int8 needs tiles"):
        Engine(*SHIPPED, CPU, "int8", "openvino")
    Engine(*SHIPPED, CPU, "int8", "openvino", samples(1))
    assert capsys.readouterr().out == "", "stdout may be a document"


def test_fused_operators_count_only_where_they_are_right(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(self: fused.FusedBlock, x: torch.Tensor) -> torch.Tensor:
        return self.block(x) * 1.5

    def missing(self: fused.FusedBlock, x: torch.Tensor) -> torch.Tensor:
        raise AttributeError("_OpNamespace 'mkldnn' object has no attribute '_convolution_pointwise'")

    for broken in (wrong, missing):
        monkeypatch.setattr(fused.FusedBlock, "forward", broken)
        fused.works.cache_clear()
        assert not fused.works(torch.float32)
        assert "fused" not in installed(SHIPPED[1], CPU, "float32")
    fused.works.cache_clear()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("images", "strips"), [(1, 6), (3, 1)])
def test_a_block_in_strips_has_the_bits_of_one_piece(images: int, strips: int, dtype: torch.dtype) -> None:
    if not fused.works(dtype):
        pytest.skip("no fused operators here")
    rows: list[int] = []

    class Watched(fused.FusedBlock):
        def _add(self, total: torch.Tensor, x: torch.Tensor) -> None:
            rows.append(total.shape[-2])
            super()._add(total, x)

    # the overloads of Module.to leave its memory format out
    block = ResidualBlock(16, bias=True).to(dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = torch.rand(images, 16, 57, 31).to(dtype).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        whole = fused.FusedBlock(block)(x)
        torch.testing.assert_close(whole, block(x))
        assert torch.equal(Watched(block, strip_px=270)(x), whole)
    assert len(rows) == strips
    assert sum(rows) == 53


def test_a_backend_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("srcore.engine.backends.find_spec", lambda name: None)
    with pytest.raises(CheckpointError, match=r"openvino is not there for bfloat16.*install srcore") as caught:
        open_engine(BUILTIN / "srcore-x2", "cpu", "bfloat16", "openvino")
    assert caught.value.code == "NO_BACKEND"
    with pytest.raises(CheckpointError, match="backend graphs is not there"):
        refuse_missing("graphs", SHIPPED[1], CPU, "float32")


def test_a_generator_without_a_deep_part_is_left_as_it_is() -> None:
    generator: Generator = Nearest(2)
    assert installed(generator, CPU, "bfloat16") == ["eager"]
    assert torch.equal(build(generator, "eager", "bfloat16", CPU)(torch.ones(1, 1, 3, 3)), torch.ones(1, 1, 6, 6))


@pytest.mark.nightly
@pytest.mark.skipif(find_spec("triton") is None and not torch.backends.mkldnn.is_available(), reason="needs oneDNN")
def test_compiled_is_near_enough() -> None:
    reference = build(SHIPPED[1], "eager", "float32", CPU)
    found = gate.compare(reference, build(SHIPPED[1], "compile", "bfloat16", CPU), CPU)
    assert found.refused("bfloat16") == ""
