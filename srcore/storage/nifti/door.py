"""The way into a NIfTI volume for whoever does not know yet whether it is one: nibabel is imported when it is."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from srcore.errors import SourceError
from srcore.storage.header import Header
from srcore.storage.nifti.packed import open_unpacked, take
from srcore.storage.wish import Wishes

if TYPE_CHECKING:
    from srcore.storage.nifti.volume import NiftiReader

ENDINGS = (".nii.gz", ".nii")
START = 544
"""Bytes that hold a header of either version."""


def is_nifti(path: Path) -> bool:
    """True for a file that says that it is NIfTI, by its first bytes or, where they are damaged, by its name."""
    if path.name.lower().endswith(ENDINGS):
        return True
    try:
        with open_unpacked(path) as file:
            return version_of(take(file, START, path)) > 0
    except SourceError:
        return False  # packed, and damaged: another door may know it


def version_of(start: bytes) -> int:
    """1 or 2, by the first bytes of a file; 0 for what is no NIfTI."""
    return 1 if start[344:348] == b"n+1\0" else 2 if start[4:8] == b"n+2\0" else 0


def read_volume(paths: Sequence[Path], **wishes: Unpack[Wishes]) -> Header:
    """See `header.read_nifti_header`."""
    from srcore.storage.nifti.header import read_nifti_header

    return read_nifti_header(paths, **wishes)


def open_volume(header: Header) -> AbstractContextManager[NiftiReader]:
    """See `volume.open_nifti`."""
    from srcore.storage.nifti.volume import open_nifti

    return open_nifti(header)


def write_volume(path: Path, header: Header, scale: Sequence[int], sr: Any) -> None:
    """See `volume.write_nifti`."""
    from srcore.storage.nifti.volume import write_nifti

    write_nifti(path, header, scale, sr)


def verify_volume(path: Path, header: Header, scale: Sequence[int], sr: Any) -> None:
    """See `volume.verify_nifti`."""
    from srcore.storage.nifti.volume import verify_nifti

    verify_nifti(path, header, scale, sr)
