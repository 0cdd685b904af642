"""Files that are there completely or not at all: atomic writes, syncing, digests and free space.

A rename within a folder is atomic, but neither the bytes nor the new name are on the disk before both the file
and its folder were synced. A temporary lies in the target's folder (a rename does not cross file systems) under
a hidden name that no listing of products matches.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from srcore.errors import StoreError
from srcore.progress import Progress

PIECE_BYTES = 1 << 20
NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
NO_RIGHT = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
NO_NAME = frozenset({errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG})
"""Of a stranger's name for a new file: it is taken, below a file, a folder's, or too long."""

OWNERS_FILE, OWNERS_FOLDER = 0o600, 0o700
"""Modes of what nobody else of the machine may look at."""


def write_atomic(path: Path, data: bytes, mode: int | None = None) -> None:
    """Put `data` at `path`: afterwards, and after any crash, the old content or all of the new stands there.

    `mode`: who may read and write it; None: whom the process lets.

    Raises StoreError, with code DISK_FULL when that is the reason; nothing is left behind then.
    """
    hidden = hidden_beside(path)
    opener = None if mode is None else partial(os.open, mode=mode)
    try:
        with open(hidden, "xb", opener=opener) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(hidden, path)
        fsync_folder(path.parent)
    except OSError as error:
        raise store_error(path, error) from error
    finally:
        hidden.unlink(missing_ok=True)


def hidden_beside(path: Path) -> Path:
    """A fresh hidden name in the folder of `path`, for what becomes `path` when it is complete."""
    # [:200]: a name may have 255 bytes, and whoever lists the folder should still see whose temporary it is
    return path.with_name(f".{path.name[:200]}.{secrets.token_hex(4)}.part")


def fsync_file(path: Path) -> None:
    """Return when the content of `path` is on the disk, whoever wrote it."""
    _fsync(path, os.O_RDONLY)


def fsync_folder(path: Path) -> None:
    """Return when the names in the folder `path` are on the disk."""
    _fsync(path, os.O_RDONLY | os.O_DIRECTORY)


def make_folder(path: Path) -> None:
    """Make a folder and those above it that are missing; their names are on the disk when it returns.

    What is synced within a folder is lost with the folder's own name, so a folder comes before what lies in it.
    """
    if path.is_dir():
        return
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in reversed(missing):
        fsync_folder(folder.parent)


def keep_from_others(folder: Path) -> None:
    """Let a folder, and all that lies in it, be its owner's alone."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(OWNERS_FOLDER if path.is_dir() else OWNERS_FILE)


def _fsync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_file(path: Path, progress: Progress | None = None) -> str:
    """sha256 of the content as 64 hex digits, read in pieces; `progress` gets (bytes read, bytes in all)."""
    digest, done = hashlib.sha256(), 0
    with open(path, "rb") as file:
        total = os.fstat(file.fileno()).st_size
        while piece := file.read(PIECE_BYTES):
            digest.update(piece)
            done += len(piece)
            if progress is not None:
                progress(done, max(total, done))  # a file can grow while it is read
    return digest.hexdigest()


def free_bytes(path: Path) -> int:
    """Bytes that this user may still write where `path` is, or is going to be."""
    place = path.absolute()
    while not os.path.exists(place):  # Path's own raises where a name is too long
        place = place.parent
    return shutil.disk_usage(place).free


def store_error(path: Path, error: BaseException, *, enough_bytes: int = 0) -> StoreError:
    """The StoreError for a failed write of `path`: DISK_FULL when errno, the message or the free space say so,
    NOT_WRITABLE when errno says that rights are missing.

    Libraries lose the errno of the system call, and a full disk is then seen only in their message or in that
    fewer than `enough_bytes` are free. A StoreError, which is an OSError as well, says it already.
    """
    if isinstance(error, StoreError):
        return StoreError(error.what, error.found, error.do, code=error.code)
    free = free_bytes(path)
    text = str(error).lower()
    number = getattr(error, "errno", None)
    full = number in NO_SPACE or "no space left" in text or "disk full" in text
    if full or free < enough_bytes:
        what, do = f"{path.name} cannot be written: the disk is full", "free some space or choose another folder"
        return StoreError(what, f"{free} bytes free", do, code="DISK_FULL")
    what, found, do = f"{path.name} cannot be written", str(error) or type(error).__name__, "see the folder's rights"
    if number == errno.EFBIG:
        do = "choose another folder: this one's file system, or a limit of this process, takes no file as large"
    return StoreError(what, found, do, code="NOT_WRITABLE" if number in NO_RIGHT else "BAD_STORE")


@contextmanager
def hidden_folder(path: Path) -> Iterator[Path]:
    """A fresh hidden folder beside `path`, so that no sidecar of another file is near; removed with what is in it."""
    try:
        folder = Path(tempfile.mkdtemp(prefix=f".{path.name[:200]}.", suffix=".part", dir=path.parent))
    except OSError as error:
        raise store_error(path, error) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
