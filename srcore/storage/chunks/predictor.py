"""TIFF's predictors as a Zarr codec, so that an inner chunk of the work store is, byte for byte, a tile of the product.

    values --differences along each row--> little-endian bytes --zstd with its checksum--> chunk = tile

Predictor 2 (integers): each number minus the one before it, modulo 2^n; every row starts anew (TIFF 6.0, section 14;
`numcodecs.Delta` runs through the whole chunk). Predictor 3 (floats): the bytes of a row sorted by significance, the
highest of all pixels first, then the differences of those bytes (Adobe Photoshop TIFF technical note 3).
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numcodecs import Zstd
from numpy.typing import NDArray
from zarr.abc.codec import ArrayBytesCodec
from zarr.codecs import ZstdCodec
from zarr.registry import register_codec

if TYPE_CHECKING:
    from zarr.core.array_spec import ArraySpec
    from zarr.core.buffer import Buffer, NDBuffer

NAME = "srcore.tiff_predictor"
LEVEL = 1
"""Of zstd and zlib."""
CACHED_ROWS = 32
"""Rows of floats put together at a time: what lies between stays in the processor's cache."""


@dataclass(frozen=True)
class TiffPredictor(ArrayBytesCodec):
    """Zarr's array -> bytes codec of a TIFF tile before its compression; the rows are the last axis."""

    is_fixed_size = True

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> TiffPredictor:
        """The codec has no settings: the dtype of the array says which predictor it is."""
        return cls()

    def to_dict(self) -> dict[str, Any]:
        """As it stands in zarr.json."""
        return {"name": NAME, "configuration": {}}

    async def _encode_single(self, chunk_array: NDBuffer, chunk_spec: ArraySpec) -> Buffer | None:
        return chunk_spec.prototype.buffer.from_array_like(predict(chunk_array.as_numpy_array()))

    async def _decode_single(self, chunk_bytes: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        values = unpredict(chunk_bytes.as_numpy_array(), chunk_spec.dtype.to_native_dtype(), chunk_spec.shape)
        return chunk_spec.prototype.nd_buffer.from_numpy_array(values)

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        """As many bytes as the values have."""
        return input_byte_length


register_codec(NAME, TiffPredictor)

ZSTD = ZstdCodec(level=LEVEL, checksum=True)
"""What follows the predictor in the store. Without its checksum most flipped bits are read as data."""
_zstd = Zstd(level=LEVEL, checksum=True)


def predict(values: NDArray[Any]) -> NDArray[np.uint8]:
    """The bytes (one axis) of `values` (..., x) behind the predictor of their dtype."""
    values = np.asarray(values, values.dtype.newbyteorder("<"))
    if values.dtype.kind == "f":
        size = values.dtype.itemsize
        pixels = np.ascontiguousarray(values).view(np.uint8).reshape(-1, values.shape[-1], size)
        planes = [pixels[:, :, place] for place in reversed(range(size))]
        numbers: NDArray[Any] = np.concatenate(planes, axis=1)
    else:
        numbers = values.view(f"<u{values.dtype.itemsize}")
    differences = np.empty(numbers.shape, numbers.dtype)
    differences[..., :1] = numbers[..., :1]
    np.subtract(numbers[..., 1:], numbers[..., :-1], out=differences[..., 1:])
    return differences.reshape(-1).view(np.uint8)


def unpredict(data: NDArray[np.uint8], dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """The values (shape) of `dtype` that `predict` gave `data` for."""
    size, width = dtype.itemsize, shape[-1]
    if dtype.kind != "f":
        values = _summed(data.view(f"<u{size}").reshape(shape))
        return values.view(dtype.newbyteorder("<")).astype(dtype, copy=False)
    packed = data.reshape(-1, size, width)
    numbers = np.empty((len(packed), width), f"u{size}")
    for rows in (slice(start, start + CACHED_ROWS) for start in range(0, len(packed), CACHED_ROWS)):
        planes = _summed(packed[rows].reshape(-1, size * width)).reshape(-1, size, width)
        part = planes[:, 0].astype(numbers.dtype)
        for place in range(1, size):  # shifts: several times as fast as moving bytes
            part <<= 8
            part |= planes[:, place]
        numbers[rows] = part
    return numbers.reshape(shape).view(dtype)


def _summed(differences: NDArray[Any]) -> NDArray[Any]:
    """Running sums of each row, modulo the dtype's 2^n."""
    wide = differences if differences.itemsize >= 4 else differences.astype(np.uint32)  # NumPy: 3 times as fast
    return np.add.accumulate(wide, axis=-1, dtype=wide.dtype).astype(differences.dtype, copy=False)


def encode_tile(values: NDArray[Any]) -> bytes:
    """The bytes of a TIFF tile (y, x), as the store has them of a chunk."""
    return bytes(_zstd.encode(predict(values)))


def decode_tile(data: bytes, dtype: np.dtype[Any], edge: int) -> NDArray[Any]:
    """The values (edge, edge) of a tile. Raises RuntimeError or ValueError when its bytes are damaged."""
    return unpredict(np.frombuffer(_zstd.decode(data), np.uint8), dtype, (edge, edge))


def encode_bits(mask: NDArray[np.bool_]) -> bytes:
    """The bytes of a tile (y, x) of a 1-bit mask: no predictor, and DEFLATE, as GDAL always writes them."""
    # NumPy keeps the order of the axes in memory, and zlib takes bytes in C order only
    return zlib.compress(np.packbits(mask, axis=-1).tobytes(), LEVEL)


def decode_bits(data: bytes, edge: int) -> NDArray[np.bool_]:
    """The mask (edge, edge) of a tile. Raises ValueError or zlib.error when its bytes are damaged."""
    packed = np.frombuffer(zlib.decompress(data), np.uint8).reshape(edge, -1)
    if packed.shape[1] * 8 != edge:
        raise ValueError(f"rows of {packed.shape[1] * 8} pixels in a tile of {edge}")
    return np.unpackbits(packed, axis=-1).view(bool)
