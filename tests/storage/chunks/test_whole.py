"""A whole chunk that is read and written as a file is what Zarr reads and writes; so is a whole shard."""

from __future__ import annotations

import errno
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from srcore.errors import StoreError
from srcore.storage.chunks.arrays import Form, StoredArray, create_group
from srcore.storage.chunks.shards import Shards
from srcore.storage.chunks.whole import whole_chunk, whole_shard

FORMS = {
    "tiles": Form((3, 2, 20, 24), "uint16", (1, 2, 20, 24)),
    "valid": Form((2, 45, 50), "bool", (2, 20, 24)),
    "floats": Form((2, 45, 50), "float64", (2, 20, 24)),
    "volume": Form((1, 9, 45, 50), "int16", (1, 4, 20, 24)),
}
SELECTIONS: dict[str, list[Any]] = {
    "tiles": [0, 2],
    "valid": [(slice(None), slice(0, 20), slice(24, 48)), (slice(None), slice(40, 45), slice(48, 50))],
    "floats": [(slice(None), slice(20, 40), slice(0, 24)), (slice(None), slice(40, 45), slice(48, 50))],
    "volume": [(slice(None), slice(8, 9), slice(0, 20), slice(24, 48))],
}


SHARDED = {
    "image": Form((2, 60, 90), "uint16", (1, 16, 16), (2, 32, 64), tiff=True),
    "floats of an image": Form((1, 40, 32), "float32", (1, 16, 16), (1, 32, 32), tiff=True),
    "signed": Form((1, 64, 32), "int16", (1, 32, 32), (1, 64, 32), tiff=True),
    "slices": Form((2, 9, 45, 50), "int16", (1, 4, 20, 24), (2, 4, 20, 24)),
    "one shard": Form((3, 20, 20), "uint8", (1, 16, 16), (3, 32, 32), tiff=True),
}
"""Arrays that end within their last shards and chunks."""


def make(folder: Path, name: str) -> StoredArray:
    create_group(folder, {name: {**FORMS, **SHARDED}[name]})
    return StoredArray(folder / name, "s1")


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", FORMS)
def test_its_file_is_byte_for_byte_that_of_zarr_and_either_reads_the_others(tmp_path: Path, name: str) -> None:
    ours, theirs = make(tmp_path / "ours", name), make(tmp_path / "theirs", name)
    rng = np.random.default_rng(0)
    for selection in SELECTIONS[name]:
        assert whole_chunk(ours.root, ours.array, selection) is not None
        values = (1000 * rng.random(theirs.array[selection].shape)).astype(FORMS[name].dtype)
        assert not ours.read(selection).any()  # a hole reads as fill
        ours.write(selection, values)
        theirs.array[selection] = values
        read = ours.read(selection)
        assert (read.dtype, read.flags.writeable) == (values.dtype, True)
        np.testing.assert_array_equal(read, values)
        np.testing.assert_array_equal(zarr.open_array(ours.root)[selection], values)
    assert files(ours.root) == files(theirs.root)


@pytest.mark.parametrize(
    "selection",
    [
        (slice(None), slice(0, 21), slice(0, 24)),  # more than one
        (slice(None), slice(1, 20), slice(0, 24)),
        (slice(0, 1), slice(0, 20), slice(0, 24)),
        (slice(None), slice(0, 20, 2), slice(0, 24)),
        (slice(None), slice(20, 20), slice(0, 24)),
        (slice(None), slice(-25, -5), slice(0, 25)),
        (0, slice(0, 20), slice(0, 24)),
        (..., slice(0, 20), slice(0, 24)),
        np.s_[:],
    ],
)
def test_what_is_no_whole_chunk_is_left_to_zarr(tmp_path: Path, selection: Any) -> None:
    stored = make(tmp_path / "a", "valid")
    assert whole_chunk(stored.root, stored.array, selection) is None
    values = np.ones(stored.array[selection].shape, bool)
    stored.write(selection, values)
    np.testing.assert_array_equal(stored.read(selection), values)


def whole_shards(form: Form) -> list[tuple[slice, ...]]:
    """The selection of each shard, the array's bands being one."""
    assert form.shard is not None
    axes = [range(0, size, step) for size, step in zip(form.shape, form.shard, strict=True)]
    return [
        tuple(slice(at, min(at + step, size)) for at, step, size in zip(place, form.shard, form.shape, strict=True))
        for place in product(*axes)
    ]


@pytest.mark.parametrize("name", SHARDED)
def test_zarr_reads_a_shard_that_was_written_as_a_file_and_its_chunks_are_those_of_zarr(
    tmp_path: Path, name: str
) -> None:
    ours, theirs, form = make(tmp_path / "ours", name), make(tmp_path / "theirs", name), SHARDED[name]
    rng = np.random.default_rng(0)
    for selection in whole_shards(form):
        assert whole_shard(ours.root, ours.array, selection) is not None
        values = (1000 * rng.random(theirs.array[selection].shape) - 300 * (form.dtype == "int16")).astype(form.dtype)
        for _ in range(2):  # over what is there, too
            ours.write(selection, values)
        theirs.array[selection] = values
        np.testing.assert_array_equal(zarr.open_array(ours.root)[selection], values)
    assert files(ours.root).keys() == files(theirs.root).keys()
    np.testing.assert_array_equal(zarr.open_array(ours.root)[...], theirs.array[...])
    if len(form.shape) == 3:
        chunks = product(*(range(-(-size // step)) for size, step in zip(form.shape, form.chunk, strict=True)))
        assert all(Shards(ours).chunk(*place) == Shards(theirs).chunk(*place) for place in chunks)


def test_a_part_of_a_shard_and_other_codecs_are_left_to_zarr(tmp_path: Path) -> None:
    sr = make(tmp_path / "a", "image")
    part = (slice(None), slice(0, 32), slice(0, 32))
    whole = (slice(None), slice(0, 32), slice(0, 64))
    assert whole_shard(sr.root, sr.array, part) is None
    assert whole_chunk(sr.root, sr.array, whole) is None  # a shard is none
    sr.write(part, np.ones((2, 32, 32), np.uint16))
    assert sr.read(whole).sum() == 2 * 32 * 32
    other = zarr.create_array(tmp_path / "b", shape=(4, 4), chunks=(4, 4), dtype="uint8")
    assert whole_chunk(tmp_path / "b", other, np.s_[:]) is None
    other = zarr.create_array(tmp_path / "c", shape=(4, 4), chunks=(2, 2), shards=(4, 4), dtype="uint8")
    assert whole_shard(tmp_path / "c", other, np.s_[:]) is None


def test_a_shard_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sr, selection = make(tmp_path / "a", "one shard"), np.s_[:, :, :]
    sr.write(selection, np.ones((3, 20, 20), np.uint8))
    before = files(tmp_path / "a")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(StoreError) as told:
        sr.write(selection, np.zeros((3, 20, 20), np.uint8))
    assert told.value.code == "DISK_FULL"
    assert files(tmp_path / "a") == before


@pytest.mark.parametrize("damage", [b"", b"no zstd", b"\x28\xb5\x2f\xfd"])
def test_a_damaged_chunk_is_told(tmp_path: Path, damage: bytes) -> None:
    stored = make(tmp_path / "a", "tiles")
    stored.write(1, np.ones((2, 20, 24), np.uint16))
    [path] = [one for one in (tmp_path / "a/tiles/c").rglob("*") if one.is_file()]
    good = path.read_bytes()
    for wrong in (damage, good[:-1], good[:9] + bytes([good[9] ^ 1]) + good[10:]):
        path.write_bytes(wrong)
        with pytest.raises(StoreError) as told:
            stored.read(1)
        assert told.value.code == "TILE_DAMAGED"
    assert not list((tmp_path / "a").rglob("*.part"))
