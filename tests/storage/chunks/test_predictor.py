"""Laws of the codec: nothing is lost, each row stands alone, and a chunk is what others take for a TIFF tile."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from numcodecs import Zstd

from srcore.storage.chunks.arrays import Form, StoredArray, create_group
from srcore.storage.chunks.predictor import decode_bits, decode_tile, encode_bits, encode_tile, predict, unpredict
from srcore.storage.chunks.shards import Shards
from srcore.storage.numbers import DTYPES

BLOCK = 64


def noise(dtype: str, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Any bits: also NaN with a payload, -0.0 and both ends of the integers."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.random.default_rng(seed).integers(0, 256, size, np.uint8).view(dtype).reshape(shape)


@given(st.sampled_from(DTYPES), st.integers(1, 5), st.integers(1, 70), st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_round_trip_to_the_bit(dtype: str, rows: int, width: int, seed: int) -> None:
    values = noise(dtype, (2, rows, width), seed)
    found = unpredict(predict(values), values.dtype, values.shape)
    assert found.dtype == values.dtype
    assert found.tobytes() == values.tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_row_starts_anew(dtype: str) -> None:
    values = noise(dtype, (6, 32))
    rows = b"".join(predict(row[None]).tobytes() for row in values)
    assert predict(values).tobytes() == rows


@pytest.mark.parametrize("dtype", DTYPES)
def test_it_is_the_predictor_of_other_programs(dtype: str) -> None:
    values = noise(dtype, (6, 32))
    if values.dtype.kind == "f":
        expected = np.asarray(imagecodecs.floatpred_encode(values, axis=-1))
    else:
        expected = np.asarray(imagecodecs.delta_encode(values, axis=-1))
    assert predict(values).tobytes() == expected.tobytes()


def test_numbers_known_by_hand() -> None:
    assert predict(np.array([[5, 7, 6], [1, 1, 0]], np.uint8)).tolist() == [5, 2, 255, 1, 0, 255]
    assert predict(np.array([[256, 255]], np.uint16)).tolist() == [0, 1, 255, 255]
    # 1.0 = 3f 80 00 00, -2.0 = c0 00 00 00: highest bytes first, then differences through the row
    assert predict(np.array([[1, -2]], np.float32)).tolist() == [0x3F, 0x81, 0xC0, 0x80, 0, 0, 0, 0]


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_flipped_bit_of_a_tile_is_never_read_as_data(dtype: str) -> None:
    values = noise(dtype, (BLOCK, BLOCK)) // 2 if dtype[0] in "ui" else np.ones((BLOCK, BLOCK), dtype)
    data = encode_tile(values)
    for position in range(8, len(data), max(1, len(data) // 40)):
        damaged = bytearray(data)
        damaged[position] ^= 4
        with pytest.raises((RuntimeError, ValueError)):
            decode_tile(bytes(damaged), values.dtype, BLOCK)


@pytest.mark.parametrize("order", ["C", "F"])
def test_masks_round_trip_however_they_lie_in_memory(order: str) -> None:
    mask = np.random.default_rng(0).random((BLOCK, BLOCK)) > 0.5
    laid = np.array(mask, order=order)  # type: ignore[call-overload]
    assert encode_bits(laid) == encode_bits(mask)
    np.testing.assert_array_equal(decode_bits(encode_bits(laid), BLOCK), mask)
    np.testing.assert_array_equal(decode_bits(encode_bits(mask[::-1, ::-1]), BLOCK), mask[::-1, ::-1])


def test_bits_of_another_width_are_refused() -> None:
    for shape in ((BLOCK, 2 * BLOCK), (BLOCK, BLOCK // 2), (BLOCK // 2, BLOCK)):
        with pytest.raises(ValueError, match=r"rows of|reshape"):
            decode_bits(encode_bits(np.ones(shape, bool)), BLOCK)


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_chunks_of_zarr_are_the_tiles_of_the_export(tmp_path: Path, dtype: str) -> None:
    """Also at the scene's edge, and where all is fill."""
    values, side = np.ones((2, 90, 140), dtype), 2 * BLOCK
    values[:, :75, :75] = 0
    create_group(tmp_path / "g", {"a": Form(values.shape, dtype, (1, BLOCK, BLOCK), (2, side, side), tiff=True)})
    stored = StoredArray(tmp_path / "g" / "a", "scene")
    for left in (0, side):
        stored.write((slice(None), slice(None), slice(left, left + side)), values[:, :, left : left + side])
    chunks = Shards(stored)
    for band, row, col in np.ndindex(2, 2, 3):
        tile = np.zeros((BLOCK, BLOCK), dtype)
        part = values[band, row * BLOCK : (row + 1) * BLOCK, col * BLOCK : (col + 1) * BLOCK]
        tile[: part.shape[0], : part.shape[1]] = part
        assert chunks.chunk(band, row, col) == encode_tile(tile)
        assert Zstd().decode(chunks.chunk(band, row, col)) == predict(tile).tobytes()
    np.testing.assert_array_equal(zarr.open_array(stored.root)[:], values)
