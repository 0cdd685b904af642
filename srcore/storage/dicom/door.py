"""The way into a DICOM series for whoever does not know whether pydicom is installed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from srcore.errors import SourceError
from srcore.storage.dicom.facts import Facts
from srcore.storage.header import Header
from srcore.storage.wish import Wishes

if TYPE_CHECKING:
    from srcore.storage.dicom.even import EvenReader
    from srcore.storage.dicom.reader import DicomReader


def read_series(paths: Sequence[Path], **wishes: Unpack[Wishes]) -> Header:
    """See `header.read_dicom_header`; SourceError NOT_INSTALLED without pydicom."""
    _refuse_without()
    from srcore.storage.dicom.header import read_dicom_header

    return read_dicom_header(paths, **wishes)


def open_series(header: Header) -> AbstractContextManager[DicomReader | EvenReader]:
    """See `even.open_dicom`."""
    _refuse_without()
    from srcore.storage.dicom.even import open_dicom

    return open_dicom(header)


def write_series(folder: Path, header: Header, scale: Sequence[int], sr: Any, facts: Facts) -> None:
    """See `writer.write_derived`."""
    _refuse_without()
    from srcore.storage.dicom.writer import write_derived

    write_derived(folder, header, scale, sr, facts)


def verify_series(folder: Path, header: Header, scale: Sequence[int], sr: Any) -> None:
    """See `writer.verify_derived`."""
    from srcore.storage.dicom.writer import verify_derived

    verify_derived(folder, header, scale, sr)


def _refuse_without() -> None:
    if find_spec("pydicom") is None:
        raise SourceError(
            "DICOM needs pydicom", "it is not installed", "pip install 'srcore[medical]'", code="NOT_INSTALLED"
        )
