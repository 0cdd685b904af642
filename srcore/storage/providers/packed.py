"""Products that lie in one archive, as providers hand them out: a .zip of a SAFE folder, a .tar of Landsat's files.

GDAL's ways into archives are shut, so what is needed is unpacked once, into a folder of the cache that is named after
the archive's path, size and time. An archive is a stranger's: no member leaves that folder, is a link, or is larger
than a scene can be. The oldest folders go when the cache grows beyond KEPT_BYTES.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import shutil
import tarfile
import tempfile
import time
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import IO

from srcore.errors import SourceError
from srcore.settings import load_settings
from srcore.storage.disk.files import NO_NAME, fsync_file, fsync_folder, store_error
from srcore.storage.disk.real_file import real_file

NAME = re.compile(r"S2[ABCD]_MSIL(1C|2A)_.+\.zip|L[COTEM]0\d_L\d\w\w_.+\.tar", re.IGNORECASE)
DOCUMENT = re.compile(r".*(MTD_MSIL(1C|2A)\.xml|MTD_TL\.xml|_MTL\.(json|txt))", re.IGNORECASE)
"""Members that hold metadata."""
NEEDED = re.compile(rf"{DOCUMENT.pattern}|.*(\.TIFF?|IMG_DATA/.*\.jp2|MSK_CLASSI_B00\.jp2)", re.IGNORECASE)
"""Members that are unpacked: metadata and rasters, no previews and no reports."""
MOST_MEMBERS, MOST_BYTES, MOST_EXPANSION = 10_000, 32 << 30, 500
KEPT_BYTES = 64 << 30
FINDER = "__MACOSX"
"""What an archive that macOS made has beside the product: a second file for each."""
UNPACKING, YOUNG_S = ".unpacking-", 60.0
"""How a folder is called until it is whole, and in which time from its beginning its lock may not be held yet."""
MARK = ".whole"
"""Written when all members are there."""

Members = Iterator[tuple[str, int, IO[bytes]]]
"""Name, size and content."""


def is_packed(path: Path) -> bool:
    """By its name: whether a file is a product in an archive."""
    return NAME.fullmatch(path.name) is not None and path.is_file()


def unpacked(path: Path) -> Path:
    """The folder with the product that an archive holds, unpacked if it was not; SourceError where it cannot be."""
    real = real_file(path)
    status = real.stat()
    key = hashlib.sha256(f"{real}\0{status.st_size}\0{status.st_mtime_ns}".encode(errors="replace")).hexdigest()[:32]
    folder = load_settings().cache_folder / "products" / key
    _forget_broken_off(folder.parent)
    if not (folder / MARK).exists():
        _unpack(real, folder)
    os.utime(folder)  # used now: the last one to go
    return _product(folder, path)


def _product(folder: Path, path: Path) -> Path:
    """The product's own folder, which a SAFE has inside the archive."""
    inner = [entry for entry in sorted(folder.iterdir()) if entry.is_dir()]
    if any(entry.is_file() and entry.name != MARK for entry in folder.iterdir()):
        return folder
    if len(inner) != 1:
        raise _refused(path, f"{len(inner)} folders at its top", "give an archive of one product")
    return inner[0]


def _unpack(real: Path, folder: Path) -> None:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=UNPACKING) as scratch, _held(Path(scratch)):
            whole = Path(scratch) / "product"
            whole.mkdir()
            for name, _, content in _checked(real):
                with _new(whole.joinpath(*PurePosixPath(name).parts), real) as file:
                    shutil.copyfileobj(content, file, 1 << 20)
            (whole / MARK).touch()
            _sync(whole)
            with suppress(FileExistsError):  # another run was faster
                whole.rename(folder)
    except SourceError:
        raise
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise _refused(real, str(error) or type(error).__name__, "fetch it again") from error
    except OSError as error:
        if (folder / MARK).exists():
            return  # the rename found that of another run
        raise store_error(folder, error) from error
    _forget_oldest(folder)


def _new(target: Path, real: Path) -> IO[bytes]:
    """A file for a member; SourceError where its name is none, or another member's."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        return target.open("xb")
    except OSError as error:
        if error.errno not in NO_NAME:
            raise
        found = f"a member {target.name[:80]!r} twice" if error.errno != errno.ENAMETOOLONG else "a name too long"
        raise _refused(real, found, "fetch it again") from error


def _checked(real: Path) -> Members:
    """Members that are needed, each looked at before it is opened."""
    most, total = min(MOST_BYTES, real.stat().st_size * MOST_EXPANSION), 0
    with _members(real) as members:
        for count, (name, size, content) in enumerate(members):
            parts = PurePosixPath(name).parts
            if PurePosixPath(name).is_absolute() or ".." in parts or "\\" in name or "\0" in name:
                raise _refused(real, f"a member {name[:80]!r}", "it would be written elsewhere: fetch it again")
            if count >= MOST_MEMBERS or (total := total + size) > most:
                found = f"more than {MOST_MEMBERS} members or {most} bytes unpacked"
                raise _refused(real, found, "it is a trap: fetch it again")
            if NEEDED.fullmatch(name) and not any(part[0] == "." or part == FINDER for part in parts):
                yield name, size, content


@contextmanager
def _members(real: Path) -> Iterator[Members]:
    if real.suffix.lower() == ".zip":
        with zipfile.ZipFile(real) as archive:
            yield _of_zip(archive)
    else:
        with tarfile.open(real, "r:") as archive:
            yield _of_tar(archive, real)


def _of_zip(archive: zipfile.ZipFile) -> Members:
    for info in archive.infolist():
        if not info.is_dir():
            with archive.open(info) as content:  # an encrypted one is a RuntimeError; the CRC is compared at its end
                yield info.filename, info.file_size, content


def _of_tar(archive: tarfile.TarFile, real: Path) -> Members:
    for member in archive:
        if member.isdir():
            continue
        content = archive.extractfile(member) if member.isfile() else None
        if content is None:
            raise _refused(real, f"a member {member.name[:80]!r} that is no file", "links are not followed")
        yield member.name, member.size, content


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Have a folder's lock, which the system takes from a process that dies; BlockingIOError where another has it."""
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def _forget_broken_off(parent: Path) -> None:
    """Remove what a process was unpacking when it was killed."""
    for entry in parent.glob(f"{UNPACKING}*"):
        with suppress(OSError):  # in use, or removed by another one
            if time.time() - entry.stat().st_mtime > YOUNG_S:
                with _held(entry):
                    shutil.rmtree(entry, ignore_errors=True)


def _sync(folder: Path) -> None:
    """What is unpacked stays where the power goes: its name says that it is whole."""
    for inner, _, names in os.walk(folder):
        for name in names:
            fsync_file(Path(inner, name))
        fsync_folder(Path(inner))


def _forget_oldest(folder: Path) -> None:
    """Remove the folders that were not used for longest, while all together are too large; never the given one."""
    entries = [entry for entry in folder.parent.iterdir() if (entry / MARK).exists() and entry != folder]
    sizes = {entry: _size(entry) for entry in (*entries, folder)}
    for entry in sorted(entries, key=lambda one: one.stat().st_mtime):
        if sum(sizes.values()) <= KEPT_BYTES:
            return
        shutil.rmtree(entry, ignore_errors=True)
        del sizes[entry]


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _refused(path: Path, found: str, do: str) -> SourceError:
    return SourceError(f"{path.name}: an archive that cannot be unpacked", found, do, code="DAMAGED")
