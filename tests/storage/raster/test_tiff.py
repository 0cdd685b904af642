"""What a TIFF's directories promise, against its bytes: hand-made files of few bytes."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from srcore.errors import SourceError
from srcore.storage.raster.tiff import MAX_BLOCKS, check_tiff

Entry = tuple[int, int, int, int]


def page(*blocks: tuple[int, int], more: tuple[Entry, ...] = (), drop: int = 0) -> list[Entry]:
    """Entries of a one-strip page; `blocks`: the offset and the length of its strip."""
    (offset, length), *_ = blocks
    entries = [(256, 3, 1, 4), (257, 3, 1, 4), (273, 4, 1, offset), (278, 3, 1, 4), (279, 4, 1, length), *more]
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
    check_tiff(tiff(path, page((size - 16, 16)), order=order, big=big))
    for offset, length in ((size - 15, 16), (size + 1, 1), (8, size), (2**32 - 1, 2**32 - 1)):
        with pytest.raises(SourceError) as caught:
            check_tiff(tiff(path, page((offset, length)), order=order, big=big))
        assert caught.value.code == "TRUNCATED"


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
