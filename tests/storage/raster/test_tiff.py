"""What a TIFF's directories promise, against its bytes: hand-made files of few bytes."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from srcore.errors import SourceError
from srcore.storage.raster.directories import STRIP_BYTE_COUNTS, directories
from srcore.storage.raster.tiff import MAX_BLOCKS, check_tiff
from srcore.storage.scene import open_scene, read_header

Entry = tuple[int, int, int, int]


def page(*blocks: tuple[int, int], more: tuple[Entry, ...] = (), drop: int = 0) -> list[Entry]:
    """Entries of a one-strip page; `blocks`: the offset and the length of its strip."""
    (offset, length), *_ = blocks
    entries = [
        (256, 3, 1, 4),
        (257, 3, 1, 4),
        (258, 3, 1, 8),
        (273, 4, 1, offset),
        (278, 3, 1, 4),
        (279, 4, 1, length),
        *more,
    ]
    return sorted(entry for entry in entries if entry[0] != drop)


def tiff(path: Path, entries: list[Entry], *, order: str = "<", big: bool = False, following: int = 0) -> Path:
    """A TIFF of one directory right after its head, and 64 bytes."""
    mark = b"II" if order == "<" else b"MM"
    if big:
        data = mark + struct.pack(order + "HHHQQ", 43, 8, 0, 16, len(entries))
        data += b"".join(
            struct.pack(order + "HHQ", *e[:3]) + struct.pack(order + {3: "H6x", 4: "I4x", 16: "Q"}[e[1]], e[3])
            for e in entries
        ) + struct.pack(order + "Q", following)
    else:
        data = mark + struct.pack(order + "HIH", 42, 8, len(entries))
        data += b"".join(
            struct.pack(order + "HHI", *e[:3]) + struct.pack(order + {2: "I", 3: "H2x", 4: "I"}[e[1]], e[3])
            for e in entries
        ) + struct.pack(order + "I", following)
    path.write_bytes(data + bytes(64))
    return path


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
def test_whole_and_cut(tmp_path: Path, order: str, big: bool) -> None:
    path = tiff(tmp_path / "a.tif", page((8, 16)), order=order, big=big)
    check_tiff(path)
    size = path.stat().st_size
    assert check_tiff(tiff(path, page((size - 16, 16)), order=order, big=big)) == 0
    for offset, length in ((size - 15, 16), (size + 1, 1), (size - 15, size), (2**32 - 1, 2**32 - 1)):
        with pytest.raises(SourceError) as caught:
            check_tiff(tiff(path, page((offset, length)), order=order, big=big))
        assert caught.value.code == "TRUNCATED"


@pytest.mark.parametrize("length", [17, 5000, 2**32 - 1])
def test_a_length_beyond_the_end_is_no_cut_where_all_pixels_are_there(tmp_path: Path, length: int) -> None:
    path = tiff(tmp_path / "a.tif", page((8, 16)))
    size = path.stat().st_size
    assert check_tiff(tiff(path, page((size - 16, length)))) == 1
    for more in (((259, 3, 1, 5),), ((262, 3, 1, 6),), ((277, 3, 1, 2),)):  # compressed, shared colours, two samples
        moved = size + 12 * len(more)
        with pytest.raises(SourceError) as caught:
            check_tiff(tiff(path, page((moved - 16, length), more=more)))
        assert caught.value.code == "TRUNCATED"


def test_the_last_strip_has_fewer_rows_than_the_others(tmp_path: Path, write_raster: Callable[..., Path]) -> None:
    pixels = np.random.default_rng(0).integers(1, 60000, (1, 64, 80)).astype(np.uint16)
    path = write_raster(pixels, driver="GTiff", blockysize=30, tiled=False)
    whole = bytearray(path.read_bytes())
    with path.open("rb") as file:
        fields, order = next(directories(file, path, len(whole)))
        counts = fields[STRIP_BYTE_COUNTS]
    last = struct.Struct(order + {2: "H", 4: "I"}[counts.width])
    last.pack_into(whole, counts.offset + 2 * counts.width, 4800)
    path.write_bytes(whole)
    header = read_header([path])
    assert "the byte count of 1 strip or tile goes beyond the file's end; no pixel does" in header.flags
    with open_scene(header) as scene:
        np.testing.assert_array_equal(scene.read((slice(0, 64), slice(0, 80)))[0], pixels)
    path.write_bytes(whole[:-2])
    with pytest.raises(SourceError, match="cut short"):
        read_header([path])


def test_holes_of_a_sparse_file_are_whole(tmp_path: Path) -> None:
    check_tiff(tiff(tmp_path / "a.tif", page((0, 0))))
    check_tiff(tiff(tmp_path / "a.tif", page((8, 0))))
    check_tiff(tiff(tmp_path / "a.tif", page((0, 16))))


def test_a_strip_without_length_is_left_to_gdal(tmp_path: Path) -> None:
    check_tiff(tiff(tmp_path / "a.tif", page((8, 16), drop=279)))


def test_words_beyond_the_end(tmp_path: Path) -> None:
    """libtiff would drop such a tag with a warning: a CRS or a nodata value, gone in silence."""
    with pytest.raises(SourceError) as caught:
        check_tiff(tiff(tmp_path / "a.tif", page((8, 16), more=((42113, 2, 30, 5000),))))
    assert caught.value.code == "TRUNCATED"


def test_pages_in_a_ring_end(tmp_path: Path) -> None:
    check_tiff(tiff(tmp_path / "a.tif", page((8, 16)), following=8))


def test_a_page_beyond_the_end(tmp_path: Path) -> None:
    for big in (False, True):
        with pytest.raises(SourceError) as caught:
            check_tiff(tiff(tmp_path / "a.tif", page((8, 16)), following=2**31, big=big))
        assert caught.value.code == "TRUNCATED"


def test_fewer_blocks_than_the_shape_needs(tmp_path: Path) -> None:
    for more, found in ((((277, 3, 1, 3), (284, 3, 1, 2)), "1 blocks where its shape needs 3"), ((), None)):
        path = tiff(tmp_path / "a.tif", page((8, 16), more=more))
        if found is None:
            check_tiff(path)
        else:
            with pytest.raises(SourceError, match=found):
                check_tiff(path)


def test_too_many_blocks(tmp_path: Path) -> None:
    entries = [
        (256, 4, 1, 2**20),
        (257, 4, 1, 2**20),
        (322, 3, 1, 16),
        (323, 3, 1, 16),
        (324, 16, MAX_BLOCKS * 256, 512),
        (325, 16, MAX_BLOCKS * 256, 512),
    ]
    path = tiff(tmp_path / "a.tif", entries, big=True)
    with path.open("r+b") as file:
        file.truncate(2**40)
    with pytest.raises(SourceError) as caught:
        check_tiff(path)
    assert caught.value.code == "TOO_LARGE"
