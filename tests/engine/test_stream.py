from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

from srcore.checkpoints import BUILTIN
from srcore.engine import BlockFacts, Engine, open_engine, super_resolve, super_resolve_stream
from srcore.engine.stream import Block, can_stream
from srcore.errors import TileError
from srcore.models import Generator
from srcore.radiometry import Normalisation
from srcore.treatment import Treatment

HALO = 16  # the generator's 15, and one for a step of back-projection
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def facts_for(dtype: str, low: float, high: float, nodata: float | None, steps: int = 1) -> BlockFacts:
    return BlockFacts(
        Normalisation((low, low + 1), (high - low, high - low)), dtype, (nodata, None), Treatment(back_projection=steps)
    )


def blocks(dtype: str, low: float, high: float, count: int = 4) -> Iterator[Block]:
    """Noise, with invalid pixels, some with an edge of the scene in them."""
    draw = np.random.default_rng(7)
    for index in range(count):
        values = draw.uniform(low, high, (2, 24 + 2 * HALO, 20 + 2 * HALO)).astype(dtype)
        valid = draw.random((2, 24 - index, 20)) > 0.1
        yield Block(values, valid, draw.random((2, 26, 22)) > 0.1 if index % 2 else None)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    ("dtype", "low", "high", "nodata"),
    [("uint8", 0, 255, 0), ("uint16", 0, 65535, 65535), ("int16", -32768, 32767, -32768), ("uint32", 0, 2**32 - 1, 0),
     ("float32", -1, 2, 0.5), ("float32", -1, 2, float("nan")), ("float64", 0, 1, None)],
)  # fmt: skip
def test_the_stream_gives_the_bits_of_the_plain_path(
    dtype: str, low: float, high: float, nodata: float | None, device: str
) -> None:
    engine = open_engine(BUILTIN / "srcore-x2", "cpu", "float32")
    facts = facts_for(dtype, low, high, nodata)
    expected = [super_resolve(engine, b.values, b.valid, facts, b.around) for b in blocks(dtype, low, high)]
    found = list(
        super_resolve_stream(open_engine(BUILTIN / "srcore-x2", device, "float32"), blocks(dtype, low, high), facts)
    )
    assert len(found) == 4
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == theirs.dtype == np.dtype(dtype)
        if device == "cpu":
            np.testing.assert_array_equal(ours, theirs)
        else:
            assert (np.isnan(ours) == np.isnan(theirs)).all()
            np.testing.assert_allclose(np.nan_to_num(ours), np.nan_to_num(theirs), atol=1 + 1e-5 * (high - low))


def test_a_volume_goes_slice_by_slice() -> None:
    engine = open_engine(BUILTIN / "srcore-x2", "cpu", "float32")
    tile = np.random.default_rng(0).integers(0, 4000, (1, 3, 50, 46)).astype(np.int16)
    facts = BlockFacts(Normalisation((0.0,), (4000.0,)), "int16", (None,))
    valid = np.ones((1, 3, 18, 16), bool)
    [found] = super_resolve_stream(engine, [Block(tile, valid)], facts)
    assert found.shape == (1, 3, 36, 32)
    np.testing.assert_array_equal(found, super_resolve(engine, tile, valid, facts))


class Blind(Generator):
    def __init__(self) -> None:
        super().__init__()
        self.scale, self.halo = 2, 15

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.full((len(x), 1, *(2 * (n - 30) for n in x.shape[-2:])), torch.nan)


def test_a_block_without_numbers_is_done_again_in_float32_then_refused() -> None:
    engine = open_engine(BUILTIN / "srcore-x2", "cpu", "float32")
    facts = facts_for("uint16", 0, 10000, 0)
    expected = list(super_resolve_stream(engine, blocks("uint16", 0, 10000), facts))
    engine.generator = Blind()
    engine._stream = None
    for ours, theirs in zip(super_resolve_stream(engine, blocks("uint16", 0, 10000), facts), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    engine.exact = Blind()
    with pytest.raises(TileError, match="no usable numbers"):
        list(super_resolve_stream(engine, blocks("uint16", 0, 10000), facts))


def test_dtypes_that_float64_does_not_hold_take_the_plain_path() -> None:
    assert can_stream("uint16")
    assert not can_stream("int64")
    assert not can_stream("float16")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("backend", ["eager", "graphs"])
def test_overlapped_copies_change_nothing(backend: str, landscape: Callable[..., np.ndarray]) -> None:
    engine: Engine = open_engine(BUILTIN / "srcore-x2", "cuda", "bfloat16", backend)
    facts = facts_for("uint16", 0, 10000, 0)
    found: list[Any] = list(super_resolve_stream(engine, blocks("uint16", 0, 10000, 12), facts))
    engine.stream(engine._stream.numbers).overlap = False  # type: ignore[union-attr]
    for ours, theirs in zip(super_resolve_stream(engine, blocks("uint16", 0, 10000, 12), facts), found, strict=True):
        np.testing.assert_array_equal(ours, theirs)
