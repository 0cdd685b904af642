"""A derived series: one classic slice for each of the SR, in the same place, with its sources and its model named.

    source headers --allow-list, identity--> slice --geometry of the SR's grid, stored numbers, how it was made-->

Stored numbers have the source's rescale, and all bits of their type: no HU is lost or made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.coding import Code
from pydicom.uid import UID, ExplicitVRLittleEndian
from pydicom.valuerep import format_number_as_ds

from srcore.errors import SourceError
from srcore.grid import Grid
from srcore.storage.dicom.attributes import COPIED, EMPTY_CT, EMPTY_MR, NEEDED_MR
from srcore.storage.dicom.facts import Facts
from srcore.storage.dicom.files import Member, open_member
from srcore.storage.dicom.identity import coded, copied, decimals, image_type, kept_uid, uid_of, words_of
from srcore.storage.dicom.slices import TAGS, flat_header
from srcore.storage.header import Header
from srcore.version import __version__

CLASSIC = {True: "1.2.840.10008.5.1.4.1.1.2", False: "1.2.840.10008.5.1.4.1.1.4"}
"""CT Image Storage, MR Image Storage."""
IMPLEMENTATION = "2.25.226283480187412806410412913246518473861"
RESAMPLING = Code("113085", "DCM", "Spatial resampling")
SOURCE = Code("121322", "DCM", "Source image for image processing operation")
MODIFIER = Code("109103", "DCM", "Modifying Equipment")
FURTHER_SERIES = 9000
"""Added to the number of the source's series."""
MOST_NUMBER = 2**31 - 1
LPS = np.array([-1.0, -1.0, 1.0])


@dataclass(frozen=True)
class Series:
    """What all slices of a derived series share."""

    header: Header
    """Of the source."""
    scale: tuple[int, ...]
    facts: Facts
    uid: str

    @property
    def grid(self) -> Grid:
        """Of the SR."""
        return self.header.grid.scaled(self.scale)

    def parents(self, place: int) -> list[int]:
        """The source's slices that a slice lies in or between, the one that it lies in first."""
        middle = (place + 0.5) / self.scale[0] - 0.5
        within = int((place + 0.5) / self.scale[0])
        beside = {int(np.floor(middle)), int(np.ceil(middle))} - {within}
        around = (within, *(one for one in sorted(beside) if 0 <= one < self.header.grid.shape[0]))
        return list(dict.fromkeys(one for place in around for one in self._there(place)))

    def _there(self, place: int) -> list[int]:
        """The slices of the source that a slice of the grid is, or was made of, the nearest first."""
        if "even" not in self.header.extra:
            return [place]
        low, share = self.header.extra["even"]["between"][place]
        return [low] if not share else [low, low + 1] if share <= 0.5 else [low + 1, low]

    @property
    def resampled(self) -> str:
        """What was done to its slices before, in words; '' for nothing."""
        even = self.header.extra.get("even")
        if even is None:
            return ""
        tilt = f"straightened (gantry tilt {even['degrees']:.1f} degrees)" if even["degrees"] else ""
        return (
            f"slices {' and '.join(filter(None, ('made even' if even['uneven'] else '', tilt)))} by linear resampling, "
        )


def series_of(header: Header, scale: Sequence[int], facts: Facts, pixels: str) -> Series:
    """A series whose UID follows from its sources, its model, its configuration and its pixels (their sha256)."""
    seed = "\n".join((*sorted(facts.sources), facts.model_digest, facts.configuration, facts.identity, pixels))
    return Series(header, tuple(scale), facts, uid_of(f"series\n{seed}", facts.identity))


@dataclass(frozen=True)
class Origin:
    """A slice of the source."""

    header: Dataset
    """What may be looked at of it; of an enhanced file what the frame says, and the file."""
    frame: int | None


def origin_of(header: Header, place: int) -> Origin:
    """The slice of the source at that place; SourceError where its header cannot be read any more."""
    file, inside, frame = header.extra["slices"][place]
    member = Member(header.paths[file], file, None if inside < 0 else inside)
    try:
        with open_member(member) as opened:
            tags = sorted({*TAGS, *COPIED, "EffectiveEchoTime"})
            found = pydicom.dcmread(opened, stop_before_pixels=True, specific_tags=list(tags), force=True)
            own = None if frame < 0 else frame
            return Origin(flat_header(found, own), own)
    except SourceError:
        raise
    except Exception as error:  # whatever a damaged header makes pydicom do
        raise SourceError(
            "a DICOM header is damaged", type(error).__name__, "fetch the series again", code="DAMAGED"
        ) from None


def derived_slice(series: Series, place: int, origins: Sequence[Origin], values: NDArray[np.generic]) -> Dataset:
    """Slice `place` of the SR, (Y, X) of stored numbers; `origins`: its parents."""
    facts, header = series.facts, series.header
    is_ct = header.extra["modality"] == "CT"
    made = copied(origins[0].header, facts.identity)
    _say_class(made, origins[0].header, is_ct=is_ct)
    made.ImageType = _image_type(origins[0].header, series, is_ct=is_ct)
    made.SOPInstanceUID = uid_of(f"{series.uid}\n{place}", facts.identity)
    made.SeriesInstanceUID = series.uid
    for name in ("StudyInstanceUID", "FrameOfReferenceUID"):
        if name not in made:
            setattr(made, name, uid_of(f"{name}\n{series.uid}", facts.identity))
    number = made.get("SeriesNumber")
    made.SeriesNumber = None if number is None or number + FURTHER_SERIES > MOST_NUMBER else number + FURTHER_SERIES
    made.InstanceNumber = place + 1
    if "GantryDetectorTilt" in made and series.header.extra.get("even", {}).get("degrees"):
        made.GantryDetectorTilt = 0
    _say_how(made, series, origins)
    _say_place(made, series, place, origins[0].header)
    _put_pixels(made, header, values)
    return made


def _image_type(origin: Dataset, series: Series, *, is_ct: bool) -> list[str]:
    """Classic slices have a third word: of enhanced ones it is another."""
    words = image_type(origin, series.facts.identity)
    third = "AXIAL" if is_ct else "OTHER"
    if series.header.extra["enhanced"] or len(words) < 3:
        return [*words[:2], third]
    return [*words[:2], third, *words[3:]] if is_ct else words


def _say_class(made: Dataset, origin: Dataset, *, is_ct: bool) -> None:
    made.SOPClassUID, made.Modality = CLASSIC[is_ct], "CT" if is_ct else "MR"
    for name in EMPTY_CT if is_ct else EMPTY_MR:
        if name not in made:
            setattr(made, name, None)
    if not is_ct:
        if made.EchoTime is None and "EffectiveEchoTime" in origin:
            made.EchoTime = origin.EffectiveEchoTime
        for name, word in NEEDED_MR.items():
            if not words_of(made, name):
                setattr(made, name, word)


def _say_how(made: Dataset, series: Series, origins: Sequence[Origin]) -> None:
    facts, scale = series.facts, "x".join(map(str, series.scale))
    made.SeriesDescription = f"SR {scale} {facts.model}"[:40] + ", not for diagnosis"
    made.DerivationDescription = (
        f"{series.resampled}super-resolved {scale} (slices, rows, columns) by srcore {__version__}, "
        f"model {facts.model}, sha256 {facts.model_digest}; not for primary diagnosis"
    )
    made.DerivationCodeSequence = [coded(RESAMPLING)]
    made.SourceImageSequence = [_reference(one, facts) for one in origins]
    ours = Dataset()
    ours.PurposeOfReferenceCodeSequence = [coded(MODIFIER)]
    ours.Manufacturer, ours.ManufacturerModelName, ours.SoftwareVersions = "srcore", facts.model[:64], __version__
    ours.ContributionDescription = made.DerivationDescription
    made.ContributingEquipmentSequence = [ours]


def _reference(origin: Origin, facts: Facts) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = str(origin.header.SOPClassUID)
    item.ReferencedSOPInstanceUID = kept_uid(str(origin.header.get("SOPInstanceUID") or ""), facts.identity)
    if origin.frame is not None:
        item.ReferencedFrameNumber = origin.frame + 1
    item.PurposeOfReferenceCodeSequence = [coded(SOURCE)]
    return item


def _say_place(made: Dataset, series: Series, place: int, origin: Dataset) -> None:
    """Where its first pixel's centre lies, in mm, LPS; its row and column directions are the source's own."""
    matrix = series.grid.matrix * LPS[:, None]
    first = matrix[:, :3] @ [place + 0.5, 0.5, 0.5] + matrix[:, 3]
    made.ImagePositionPatient = [_ds(value) for value in first]
    made.ImageOrientationPatient = decimals(origin.ImageOrientationPatient)
    # not the grid's: directions that a writer rounded are no unit vectors, and readers multiply both
    made.PixelSpacing = [_ds(float(size) / by) for size, by in zip(origin.PixelSpacing, series.scale[1:], strict=True)]
    thickness = series.header.extra["thickness_mm"]
    made.SliceThickness = None if thickness is None else _ds(thickness / series.scale[0])
    if "SpacingBetweenSlices" in origin or made.Modality == "MR":
        made.SpacingBetweenSlices = _ds(series.grid.spacing()[0])
    normal = matrix[:, 0] / np.linalg.norm(matrix[:, 0])
    made.SliceLocation = _ds(float(first @ normal))


def _ds(value: float) -> str:
    """At most 16 characters, as exact as they can say it."""
    return format_number_as_ds(float(value) + 0.0)


def _put_pixels(made: Dataset, header: Header, values: NDArray[np.generic]) -> None:
    dtype, band = np.dtype(header.dtype), header.bands[0]
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, header.extra["photometric"]
    made.Rows, made.Columns = values.shape
    made.BitsAllocated = made.BitsStored = 8 * dtype.itemsize  # all of them: sharp edges need more than the source's
    made.HighBit, made.PixelRepresentation = made.BitsAllocated - 1, int(dtype.kind == "i")
    if header.extra["rescaled"]:
        made.RescaleSlope, made.RescaleIntercept = _ds(band.scale), _ds(band.offset)
        made.RescaleType = made.get("RescaleType") or ("HU" if made.Modality == "CT" else "US")
    elif "RescaleType" in made:
        del made.RescaleType
    if band.nodata is not None:
        made.add_new("PixelPaddingValue", "SS" if dtype.kind == "i" else "US", int(band.nodata))
    data = np.ascontiguousarray(values).astype(dtype.newbyteorder("<"), casting="equiv").tobytes()
    made.add_new("PixelData", "OW", data + b"\0" * (len(data) % 2))


def file_meta(made: Dataset) -> FileMetaDataset:
    """What stands before a slice."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = made.SOPClassUID, made.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID, meta.ImplementationVersionName = UID(IMPLEMENTATION), "SRCORE"
    return meta
