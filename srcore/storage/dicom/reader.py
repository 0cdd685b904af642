"""Windows of a DICOM series, slice by slice: a few decoded slices are kept, never all of them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.pixels.utils import pixel_array
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from srcore.errors import SourceError
from srcore.storage.dicom.files import Member, hushed, open_member
from srcore.storage.dicom.slices import transfer_syntax
from srcore.storage.header import Header

KEPT_BYTES = 64 << 20
"""Of decoded slices: a tile's, and those that its neighbours in the plane need again."""

MOST_META_BYTES = 1024
"""Of a file's beginning: it says how the rest is packed."""


class DicomReader:
    """Reads windows of a series; made by `open_dicom`, used in one thread."""

    def __init__(self, header: Header) -> None:
        self._header = header
        self._paths = header.paths
        self._kept: OrderedDict[int, NDArray[Any]] = OrderedDict()
        self._unpacked: tuple[Member, bytes] | None = None

    def read(self, window: tuple[slice, ...]) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
        """Values (1, Z, Y, X) as stored and validity of a window inside the volume. Raises SourceError."""
        slices, rows, columns = window
        shape = tuple(one.stop - one.start for one in window)
        values = np.empty((1, *shape), self._header.dtype)
        for i, place in enumerate(range(slices.start, slices.stop)):
            values[0, i] = self._slice(place)[rows, columns]
        valid = self._valid(values)
        # several numbers may be padding in the files; one is in the product
        if (nodata := self._header.bands[0].nodata) is not None:
            values[~valid] = values.dtype.type(nodata)
        return values, valid

    def _valid(self, values: NDArray[Any]) -> NDArray[np.bool_]:
        nodata, padding = self._header.bands[0].nodata, self._header.extra["padding"]
        valid = np.ones(values.shape, np.bool_)
        if nodata is not None:
            valid &= values != values.dtype.type(nodata)
        if padding is not None:
            valid &= (values < padding[0]) | (values > padding[1])
        return valid

    def read_alpha(self, window: tuple[slice, ...]) -> NDArray[np.generic]:
        """Volumes have no alpha band: raises SourceError."""
        raise SourceError("a volume has no alpha band", "a DICOM series", "ask for its values")

    def _slice(self, place: int) -> NDArray[Any]:
        if place not in self._kept:
            found = self._decoded(place)
            most = max(1, KEPT_BYTES // found.nbytes)
            while len(self._kept) >= most:
                self._kept.popitem(last=False)
            self._kept[place] = found
        self._kept.move_to_end(place)
        return self._kept[place]

    def _decoded(self, place: int) -> NDArray[Any]:
        file, inside, frame = self._header.extra["slices"][place]
        member = Member(Path(self._paths[file]), file, None if inside < 0 else inside)
        try:
            with hushed(), self._open(member) as file:
                found = _pixels(file, max(frame, 0))
        except SourceError:
            raise
        except Exception as error:  # whatever damaged pixels make a decoder do
            told = f"slice {place + 1} of {len(self._header.extra['slices'])}, {type(error).__name__}"
            raise SourceError("pixels cannot be decoded", told, "fetch the series again", code="DAMAGED") from None
        if found.shape != self._header.grid.shape[1:]:
            told = f"slice {place + 1} of {found.shape}"
            raise SourceError("changed since it was planned", told, "run the scene again", code="SOURCE_CHANGED")
        return self._as_stored(found)

    @contextmanager
    def _open(self, member: Member) -> Iterator[BinaryIO]:
        """The bytes of a file; the last one of a zip is kept: to unpack it for each frame takes hours."""
        if self._unpacked is not None and self._unpacked[0] == member:
            yield BytesIO(self._unpacked[1])
            return
        with open_member(member) as file:
            if member.inside is not None:
                self._unpacked = member, file.read()
                file.seek(0)
            yield file

    def _as_stored(self, found: NDArray[Any]) -> NDArray[Any]:
        """The native dtype; bits above those that are stored hold overlays or nothing, and are not looked at."""
        allocated, stored, signed = self._header.extra["bits"]
        if stored >= allocated:
            return found.astype(self._header.dtype)
        wide = found.astype(np.int64) & ((1 << stored) - 1)
        if signed:
            wide = np.where(wide >= 1 << (stored - 1), wide - (1 << stored), wide)
        native: NDArray[Any] = wide.astype(self._header.dtype)
        return native


def _pixels(file: BinaryIO, frame: int) -> NDArray[Any]:
    """A frame as stored; of a file that does not say how it is packed, as pydicom found its header to be.

    pydicom reads one frame of most files; of a deflated one, and of one without preamble, all.
    """
    start = file.read(MOST_META_BYTES)
    file.seek(0)
    if start[128:132] == b"DICM" and DeflatedExplicitVRLittleEndian.encode() not in start:
        return pixel_array(file, index=frame, raw=True)
    whole = pydicom.dcmread(file, force=True)
    whole.file_meta.TransferSyntaxUID = UID(transfer_syntax(whole))
    return pixel_array(whole, index=frame, raw=True)
