"""Which files are DICOM: a folder with all that is below it, a zip, one file, or a list. No header is read here.

A member of a zip is read where it lies and never unpacked to a disk: no header of a patient gets a second place.
"""

from __future__ import annotations

import logging
import os
import re
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from srcore.errors import SourceError
from srcore.storage.disk.real_file import real_file

MOST_FILES = 50_000
"""Of a scene: the largest studies have a tenth."""
MOST_MEMBER_BYTES = 1 << 30
"""Of a member of a zip, unpacked: an enhanced series of 2,000 slices has half of it."""
LOOKED_AT = 50
"""Files of a folder that are looked at to see whether it is one of DICOM."""
_BARE = re.compile(
    rb"\x02\x00[\x00\x10]\x00(UL|OB|UI)"
    rb"|\x08\x00[\x00-\x20]\x00(CS|DA|SH|UI|UL|[\x02-\x40]\x00\x00\x00)"
    rb"|\x00\x08\x00[\x00-\x20](CS|DA|SH|UI|UL)",
    re.DOTALL,
)
"""How a file without preamble begins."""


@dataclass(frozen=True)
class Member:
    """One DICOM file, by its place among the files of its scene: names may tell of a patient."""

    path: Path
    file: int
    """Of the sorted files of the scene."""
    inside: int | None = None
    """Of the entries of that zip."""


def is_dicom(path: Path) -> bool:
    """Whether a folder, a zip or a file holds DICOM, by the first bytes of its files."""
    try:
        if path.is_dir():
            return any(_starts(one) for _, one in zip(range(LOOKED_AT), _walk(path), strict=False))
        return _zip_holds(path) if path.suffix.lower() == ".zip" else _starts(path)
    except OSError:
        return False  # what cannot be read is told by whoever reads it


def dicom_files(paths: Sequence[Path]) -> tuple[Path, ...]:
    """All files of a scene, links followed, sorted, whatever they hold; of too many no more than tell that."""
    found: set[Path] = set()
    for path in paths:
        for one in _walk(path) if path.is_dir() else (path,):
            found.add(Path(os.path.realpath(one)))
            if len(found) > MOST_FILES:
                break
    return tuple(sorted(found))


def checked_files(paths: Sequence[Path], roots: Sequence[Path] | None) -> tuple[Path, ...]:
    """`dicom_files`, each looked at: SourceError OUTSIDE for one that leaves the roots, TOO_LARGE for too many."""
    found = dicom_files(paths)
    if len(found) > MOST_FILES:
        do = "give the folder of one series"
        raise SourceError("too many files for one scene", f"more than {MOST_FILES}", do, code="TOO_LARGE")
    return tuple(_inside_roots(one, roots) for one in found)


def find_members(files: Sequence[Path]) -> tuple[list[Member], int]:
    """The DICOM files among those of a scene, and how many are none."""
    found: list[Member] = []
    others = 0
    for place, path in enumerate(files):
        if path.suffix.lower() == ".zip":
            inside, strange = _of_zip(path, place)
            found, others = [*found, *inside], others + strange
        elif _starts(path):
            found.append(Member(path, place))
        else:
            others += 1
    return found, others


@contextmanager
def open_member(member: Member) -> Iterator[BinaryIO]:
    """The bytes of a DICOM file; SourceError where they cannot be read."""
    try:
        if member.inside is None:
            with member.path.open("rb") as file:
                yield file
        else:
            yield BytesIO(_unzipped(member.path, member.inside))
    except OSError as error:
        if isinstance(error, SourceError):
            raise
        found = (error.strerror or type(error).__name__).lower()
        raise SourceError(
            "a file of the series cannot be read", found, "check its rights", code="NOT_READABLE"
        ) from error


@contextmanager
def hushed() -> Iterator[None]:
    """What pydicom warns and logs of quotes values of headers: nobody gets it."""
    logger = logging.getLogger("pydicom")
    before = logger.propagate
    try:
        logger.propagate = False
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.propagate = before


def _walk(folder: Path) -> Iterator[Path]:
    """Files below a folder, sorted; hidden ones and links to folders are not followed."""
    for here, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(here, name) for name in sorted(names) if not name.startswith("."))


def _inside_roots(path: Path, roots: Sequence[Path] | None) -> Path:
    try:
        return real_file(path, roots)
    except SourceError as error:
        what = "a file of the series " + (
            "lies outside the folders that may be read" if error.code == "OUTSIDE" else "cannot be read"
        )
        raise SourceError(what, "a link, or no rights", "see `roots`, and the rights", code=error.code) from None


def _starts(path: Path) -> bool:
    with path.open("rb") as file:
        return is_dicom_start(file.read(132))


def is_dicom_start(start: bytes) -> bool:
    """Whether a file begins as DICOM does, with its preamble or without."""
    return start[128:132] == b"DICM" or _BARE.match(start) is not None


@lru_cache(maxsize=64)
def _entries(path: Path, stamp: tuple[int, int]) -> tuple[tuple[int, int, bool, bytes], ...]:
    """Of each entry of a zip that is a file: its place, size, whether it is encrypted, and its first bytes."""
    with zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
        if len(infos) > MOST_FILES:
            found = f"more than {MOST_FILES} entries"
            raise SourceError("a zip with too many files for one scene", found, "give one series", code="TOO_LARGE")
        return tuple(
            (i, info.file_size, bool(info.flag_bits & 1), _start(archive, info))
            for i, info in enumerate(infos)
            if not info.is_dir()
        )


def _start(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    if info.flag_bits & 1:
        return b""
    with archive.open(info) as file:
        return file.read(132)


def _listed(path: Path) -> tuple[tuple[int, int, bool, bytes], ...]:
    try:
        status = path.stat()
        return _entries(path, (status.st_size, status.st_mtime_ns))
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        found = type(error).__name__
        raise SourceError("a zip that cannot be unpacked", found, "fetch it again", code="DAMAGED") from error


def _zip_holds(path: Path) -> bool:
    try:
        return any(is_dicom_start(start) for _, _, _, start in _listed(path))
    except SourceError:
        return False


def _of_zip(path: Path, place: int) -> tuple[list[Member], int]:
    listed = _listed(path)
    if any(encrypted for _, _, encrypted, _ in listed):
        raise SourceError("a zip with a password", "encrypted entries", "unpack it yourself", code="NOT_SUPPORTED")
    inside = [Member(path, place, entry) for entry, _, _, start in listed if is_dicom_start(start)]
    return inside, len(listed) - len(inside)


def _unzipped(path: Path, entry: int) -> bytes:
    try:
        with zipfile.ZipFile(path) as archive, archive.open(archive.infolist()[entry]) as file:
            data = file.read(MOST_MEMBER_BYTES + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, IndexError) as error:
        raise SourceError(
            "a zip that cannot be unpacked", type(error).__name__, "fetch it again", code="DAMAGED"
        ) from error
    if len(data) > MOST_MEMBER_BYTES:
        raise SourceError(
            "a file in a zip is too large", f"over {MOST_MEMBER_BYTES} bytes", "unpack it yourself", code="TOO_LARGE"
        )
    return data
