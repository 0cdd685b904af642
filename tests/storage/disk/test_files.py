"""A file is there completely or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest

from srcore.errors import StoreError
from srcore.storage.disk import files


def test_write_atomic_puts_all_of_it_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for data in (b"", b"one", b"two" * 1000):
        files.write_atomic(path, data)
        assert path.read_bytes() == data
        assert os.listdir(tmp_path) == ["a.json"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"old")

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, step, fail)
    with pytest.raises(StoreError, match="the disk is full") as caught:
        files.write_atomic(path, b"new")
    assert caught.value.code == "DISK_FULL"
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_folder_that_is_not_there_is_named_as_such(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"a\.json cannot be written") as caught:
        files.write_atomic(tmp_path / "no" / "a.json", b"new")
    assert caught.value.code == "BAD_STORE"


def test_hidden_names_are_hidden_fresh_and_not_too_long(tmp_path: Path) -> None:
    names = {files.hidden_beside(tmp_path / ("x" * 250)).name for _ in range(20)}
    assert len(names) == 20
    assert all(name.startswith(".") and len(name) < 256 for name in names)


@pytest.mark.parametrize("size", [0, 1, files.PIECE_BYTES, files.PIECE_BYTES * 2 + 17])
def test_sha256_file_is_the_sha256_and_reports_to_the_end(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    path = tmp_path / "data"
    path.write_bytes(data)
    seen: list[tuple[int, int]] = []
    assert files.sha256_file(path, lambda done, total: seen.append((done, total))) == hashlib.sha256(data).hexdigest()
    assert seen == sorted(seen)
    assert not seen or seen[-1] == (size, size)


def test_syncing_a_file_and_a_folder_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    files.fsync_file(tmp_path / "a")
    files.fsync_folder(tmp_path)
    assert (tmp_path / "a").read_bytes() == b"a"


def test_free_bytes_of_a_place_that_is_not_there_yet_are_those_of_its_disk(tmp_path: Path) -> None:
    assert (
        0
        < files.free_bytes(tmp_path / "a" / "b" / "c.tif")
        <= os.statvfs(tmp_path).f_frsize * os.statvfs(tmp_path).f_blocks
    )


def test_a_full_disk_is_recognised_by_errno_message_or_free_space(tmp_path: Path) -> None:
    full = [OSError(errno.ENOSPC, "x"), OSError(errno.EDQUOT, "x"), RuntimeError("TIFFAppend: No space left on device")]
    assert {files.store_error(tmp_path / "a", error).code for error in full} == {"DISK_FULL"}
    assert files.store_error(tmp_path / "a", RuntimeError("?"), enough_bytes=2**62).code == "DISK_FULL"
    assert files.store_error(tmp_path / "a", OSError(errno.EACCES, "x")).code == "NOT_WRITABLE"
    assert files.store_error(tmp_path / "a", OSError(errno.EIO, "x")).code == "BAD_STORE"
    assert "as large" in files.store_error(tmp_path / "a", OSError(errno.EFBIG, "x")).do


def test_what_a_store_error_says_is_not_said_as_another_around_it(tmp_path: Path) -> None:
    within = files.store_error(tmp_path / "a", OSError(errno.ENOSPC, "x"))
    around = files.store_error(tmp_path / "b", within)
    assert (str(around), around.code) == (str(within), "DISK_FULL")
