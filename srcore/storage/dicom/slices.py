"""What is taken of a DICOM header: where a slice lies, what its numbers mean, and what tells slices apart.

This is the allow-list. Nothing else of a header is read, and of a patient only a keyed hash of the ID is kept, to see
that a series is of one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import UID

from srcore.errors import SourceError
from srcore.storage.dicom.files import Member, hushed, open_member
from srcore.storage.disk.veil import veiled

_CLASS = "1.2.840.10008.5.1.4.1.1"
ENHANCED = frozenset(f"{_CLASS}.{end}" for end in ("2.1", "2.2", "4.1", "4.4"))
"""Many slices a file."""
CT = frozenset({f"{_CLASS}.2", f"{_CLASS}.2.1", f"{_CLASS}.2.2"})
MR = frozenset({f"{_CLASS}.4", f"{_CLASS}.4.1", f"{_CLASS}.4.4"})
SPLITS = (
    "TemporalPositionIdentifier",
    "TemporalPositionIndex",
    "EchoNumbers",
    "EchoTime",
    "EffectiveEchoTime",
    "DiffusionBValue",
    "TriggerTime",
    "NominalCardiacTriggerDelayTime",
    "NominalPercentageOfCardiacPhase",
    "InversionTime",
    "FlipAngle",
    "ComplexImageComponent",
    "ImageType",
    "AcquisitionNumber",
    "InStackPositionNumber",
)
"""What tells volumes apart that lie at the same place."""
TAGS = [
    *SPLITS,
    *("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "PatientID", "Modality", "FrameOfReferenceUID"),
    *("Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "NumberOfFrames"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit"),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "SpacingBetweenSlices"),
    *("RescaleSlope", "RescaleIntercept", "RescaleType", "ModalityLUTSequence", "LossyImageCompression"),
    "BurnedInAnnotation",
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
]
Numbers = tuple[float, ...]


@dataclass(frozen=True)
class Slice:
    """One image of a series, by its header."""

    member: Member
    frame: int | None
    """Of a file with many, from 0."""
    sop_class: str
    series: str
    """SeriesInstanceUID; empty where there is none. Never shown."""
    instance: str
    """SOPInstanceUID, as little."""
    patient: str
    """Keyed hash."""
    syntax: str
    size: tuple[int, int]
    photometric: str
    samples: int
    bits: tuple[int, int, int]
    """Allocated, stored, and 1 for signed numbers."""
    position: Numbers | None
    """Centre of the first pixel in mm, to the patient's left, back and head (LPS)."""
    orientation: Numbers | None
    spacing: Numbers | None
    """Between rows, then between columns, in mm."""
    thickness: float | None
    between: float | None
    rescale: tuple[float, float] | None
    """Slope and intercept."""
    unit: str
    """What the rescale leads to, in the standard's word (HU, US ...); empty where nothing is said."""
    has_table: bool
    """Its numbers mean something by a table (Modality LUT)."""
    padding: tuple[int, int] | None
    """Least and greatest stored number that means nothing."""
    place: str
    """Keyed hash of the frame of reference; empty where there is none."""
    localiser: bool
    mosaic: bool
    """Slices side by side in one picture."""
    burnt_in: bool
    """It says that text is part of its pixels."""
    lossy: bool
    splits: tuple[tuple[str, str], ...]

    @property
    def is_ct(self) -> bool:
        """Else it is MR."""
        return self.sop_class in CT


def read_slices(member: Member) -> list[Slice] | str:
    """The slices of a file, or what kind of file it is where it holds none of CT or MR.

    SourceError DAMAGED for a header that cannot be parsed; what it says is not repeated.
    """
    try:
        with hushed(), open_member(member) as file:
            found = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=TAGS, force=True)
            sop_class = str(found.get("SOPClassUID", ""))
            if sop_class not in CT | MR:
                return _other(found, sop_class)
            return list(_slices(member, found, sop_class))
    except SourceError:
        raise
    except Exception as error:  # whatever a damaged header makes pydicom do
        name = type(error).__name__
        raise SourceError("a DICOM header is damaged", name, "fetch the series again", code="DAMAGED") from None


def _other(found: Dataset, sop_class: str) -> str:
    """A word for a file without slices of CT or MR: the name of its class, as the standard has it."""
    if sop_class:
        name = UID(sop_class).name
        return name if name != sop_class else "file of a private class"
    media = str(getattr(found, "file_meta", Dataset()).get("MediaStorageSOPClassUID", ""))
    return "directory (DICOMDIR)" if media == "1.2.840.10008.1.3.10" else "file without a class"


def _slices(member: Member, found: Dataset, sop_class: str) -> Iterator[Slice]:
    if sop_class not in ENHANCED:
        yield _slice(member, None, found.get, found)
        return
    shared = _flat(_first(found.get("SharedFunctionalGroupsSequence")))
    per_frame = found.get("PerFrameFunctionalGroupsSequence") or ()
    if len(per_frame) != int(found.get("NumberOfFrames") or len(per_frame)):
        told = f"{len(per_frame)} descriptions of {found.NumberOfFrames} frames"
        do = "export the series again"
        raise SourceError("a file does not say of each of its frames where it lies", told, do, code="NO_GEOMETRY")
    for frame, groups in enumerate(per_frame):
        own = _flat(groups)

        def get(name: str, default: Any = None, own: Dataset = own) -> Any:
            here = next((one for one in (own, shared, found) if name in one), None)
            return default if here is None else here.get(name, default)

        yield _slice(member, frame, get, found)


def flat_header(found: Dataset, frame: int | None) -> Dataset:
    """A header, of a frame with all elements of its functional groups; what a frame says counts before the rest."""
    if frame is None:
        return found
    flat = Dataset()
    for part in (
        found,
        _flat(_first(found.get("SharedFunctionalGroupsSequence"))),
        _flat(found.PerFrameFunctionalGroupsSequence[frame]),
    ):
        flat.update(part)
    for name in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        flat.pop(name, None)
    return flat


def _first(items: Any) -> Dataset:
    return next(iter(items or ()), Dataset())


def _flat(groups: Dataset) -> Dataset:
    """All elements of the functional groups of a frame, side by side."""
    flat = Dataset()
    for element in groups:
        if element.VR == "SQ" and element.value:
            flat.update(element.value[0])
    return flat


def _slice(member: Member, frame: int | None, get: Callable[..., Any], found: Dataset) -> Slice:
    bits = tuple(int(get(name, 0)) for name in ("BitsAllocated", "BitsStored", "PixelRepresentation"))
    kind = [str(one) for one in _many(get("ImageType"))] + [str(one) for one in _many(get("FrameType"))]
    slope, intercept = get("RescaleSlope"), get("RescaleIntercept")
    return Slice(
        member=member,
        frame=frame,
        sop_class=str(found.SOPClassUID),
        series=str(get("SeriesInstanceUID") or ""),
        instance=str(get("SOPInstanceUID") or ""),
        patient=veiled(str(get("PatientID") or ""), 8),
        syntax=transfer_syntax(found),
        size=(int(get("Rows", 0)), int(get("Columns", 0))),
        photometric=str(get("PhotometricInterpretation", "")),
        samples=int(get("SamplesPerPixel", 1)),
        bits=(bits[0], bits[1] or bits[0], bits[2]),
        position=_numbers(get("ImagePositionPatient"), 3),
        orientation=_numbers(get("ImageOrientationPatient"), 6),
        spacing=_numbers(get("PixelSpacing"), 2),
        thickness=_size(get("SliceThickness")),
        between=_size(get("SpacingBetweenSlices")),
        rescale=None if slope is None or intercept is None else (float(slope), float(intercept)),
        unit=str(get("RescaleType") or ""),
        has_table=bool(get("ModalityLUTSequence")),
        padding=_padding(get, bits),
        place=veiled(str(get("FrameOfReferenceUID")), 8) if get("FrameOfReferenceUID") else "",
        localiser="LOCALIZER" in kind,
        mosaic="MOSAIC" in kind,
        burnt_in=str(get("BurnedInAnnotation") or "") == "YES",
        lossy=str(get("LossyImageCompression") or "") == "01",
        splits=tuple((name, str(get(name))) for name in SPLITS if get(name) is not None),
    )


def transfer_syntax(found: Dataset) -> str:
    """How a file is packed: as it says, else as pydicom found it to be."""
    said = str(getattr(found, "file_meta", Dataset()).get("TransferSyntaxUID", ""))
    if said:
        return said
    implicit, little = found.original_encoding
    return "1.2.840.10008.1.2" if implicit else f"1.2.840.10008.1.2.{1 if little else 2}"


def _many(value: Any) -> tuple[Any, ...]:
    return () if value is None else (value,) if isinstance(value, str) else tuple(value)


def _numbers(value: Any, count: int) -> Numbers | None:
    found = tuple(float(one) for one in _many(value))
    return found if len(found) == count else None


def _size(value: Any) -> float | None:
    """Of a slice, in mm; a number that can be none says nothing."""
    found = 0.0 if value is None or value == "" else float(value)
    return found if 0 < found < np.inf else None


def _padding(get: Callable[..., Any], bits: tuple[int, ...]) -> tuple[int, int] | None:
    """Ends of what is padding, as stored: writers put it as signed or unsigned, whatever the pixels are."""
    first = get("PixelPaddingValue")
    if first is None:
        return None
    last = get("PixelPaddingRangeLimit")
    ends = [_as_stored(_whole(one), bits) for one in (first, first if last is None else last)]
    return min(ends), max(ends)


def _whole(value: Any) -> int:
    return int.from_bytes(value[:2], "little") if isinstance(value, bytes) else int(value)


def _as_stored(value: int, bits: tuple[int, ...]) -> int:
    allocated, _, signed = bits
    value %= 1 << allocated
    return value - (1 << allocated) if signed and value >= 1 << (allocated - 1) else value
