"""A derived series: one classic slice for each of the SR, in the same place, with its sources and its model named.

    source headers --allow-list, identity--> slice --geometry of the SR's grid, stored numbers, how it was made-->

What is said of a frame of an enhanced file, too, has a public name; see `frames`.

Stored numbers have the source's rescale, and all bits of their type: no HU is lost or made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.coding import Code
from pydicom.uid import UID, ExplicitVRLittleEndian
from pydicom.valuerep import format_number_as_ds

from srcore.errors import SourceError
from srcore.grid import Grid
from srcore.storage.dicom.attributes import COPIED, EMPTY_CT, EMPTY_MR, FRAME_TAGS, NEEDED_MR
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
NEAR_FILES = 4
"""Headers of the source that are kept: those around a slice."""
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


Origins = Callable[[int], Origin]
"""The slice of the source at a place."""


def origins_of(header: Header) -> Origins:
    """The slices of the source by their place; SourceError where a header cannot be read any more.

    The headers of the last few files are kept: of an enhanced series that is the one of all frames.
    """
    read = lru_cache(maxsize=NEAR_FILES)(lambda file, inside: _header_of(header.paths[file], file, inside))

    def found(place: int) -> Origin:
        file, inside, frame = header.extra["slices"][place]
        try:
            own = None if frame < 0 else frame
            return Origin(flat_header(read(file, inside), own), own)
        except SourceError:
            raise
        except Exception as error:  # whatever a damaged header makes pydicom do
            raise SourceError(
                "a DICOM header is damaged", type(error).__name__, "fetch the series again", code="DAMAGED"
            ) from None

    return found


def _header_of(path: Path, file: int, inside: int) -> Dataset:
    with open_member(Member(path, file, None if inside < 0 else inside)) as opened:
        tags = sorted({*TAGS, *COPIED, *FRAME_TAGS})
        return pydicom.dcmread(opened, stop_before_pixels=True, specific_tags=list(tags), force=True)


def derived_slice(series: Series, place: int, origins: Sequence[Origin], values: NDArray[np.generic]) -> Dataset:
    """Slice `place` of the SR, (Y, X) of stored numbers; `origins`: its parents."""
    facts, header = series.facts, series.header
    is_ct = header.extra["modality"] == "CT"
    made = copied(origins[0].header, facts.identity)
    _say_class(made, origins[0].header, is_ct=is_ct)
    made.ImageType = _image_type(origins[0].header, series, is_ct=is_ct)
    say_series(made, series, place)
    if "GantryDetectorTilt" in made and series.header.extra.get("even", {}).get("degrees"):
        made.GantryDetectorTilt = 0
    say_how(made, series)
    made.DerivationDescription = description(series)
    made.DerivationCodeSequence = [coded(RESAMPLING)]
    made.SourceImageSequence = [reference(one, facts) for one in origins]
    _say_place(made, series, place, origins[0].header)
    say_pixels(made, header, values.shape)
    said = made.get("RescaleType")
    made.pop("RescaleType", None)
    if header.extra["rescaled"]:
        made.update(rescale(header, said))
    data = stored_bytes(values)
    made.add_new("PixelData", "OW", data + b"\0" * (len(data) % 2))
    return made


def say_series(made: Dataset, series: Series, place: int) -> None:
    """Which file of which series, study and place it is; `place`: among the files of its series."""
    identity = series.facts.identity
    made.SOPInstanceUID = uid_of(f"{series.uid}\n{place}", identity)
    made.SeriesInstanceUID = series.uid
    for name in ("StudyInstanceUID", "FrameOfReferenceUID"):
        if name not in made:
            setattr(made, name, uid_of(f"{name}\n{series.uid}", identity))
    number = made.get("SeriesNumber")
    made.SeriesNumber = None if number is None or number + FURTHER_SERIES > MOST_NUMBER else number + FURTHER_SERIES
    made.InstanceNumber = place + 1


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


def say_how(made: Dataset, series: Series) -> None:
    """What made the series; of which slices stands with each of them."""
    facts, scale = series.facts, "x".join(map(str, series.scale))
    made.SeriesDescription = f"SR {scale} {facts.model}"[:40] + ", not for diagnosis"
    ours = Dataset()
    ours.PurposeOfReferenceCodeSequence = [coded(MODIFIER)]
    ours.Manufacturer, ours.ManufacturerModelName, ours.SoftwareVersions = "srcore", facts.model[:64], __version__
    ours.ContributionDescription = description(series)
    made.ContributingEquipmentSequence = [ours]


def description(series: Series) -> str:
    """How the series was derived, in words."""
    facts, scale = series.facts, "x".join(map(str, series.scale))
    return (
        f"{series.resampled}super-resolved {scale} (slices, rows, columns) by srcore {__version__}, "
        f"model {facts.model}, sha256 {facts.model_digest}; not for primary diagnosis"
    )


def reference(origin: Origin, facts: Facts) -> Dataset:
    """The slice, or the frame, that something was made of."""
    item = Dataset()
    item.ReferencedSOPClassUID = str(origin.header.SOPClassUID)
    item.ReferencedSOPInstanceUID = kept_uid(str(origin.header.get("SOPInstanceUID") or ""), facts.identity)
    if origin.frame is not None:
        item.ReferencedFrameNumber = origin.frame + 1
    item.PurposeOfReferenceCodeSequence = [coded(SOURCE)]
    return item


def _say_place(made: Dataset, series: Series, place: int, origin: Dataset) -> None:
    first = first_pixel(series, place)
    made.ImagePositionPatient = [ds(value) for value in first]
    made.ImageOrientationPatient = decimals(origin.ImageOrientationPatient)
    made.update(measures(series, origin))
    if "SpacingBetweenSlices" not in origin and made.Modality != "MR":
        del made.SpacingBetweenSlices
    normal = series.grid.matrix[:, 0] * LPS
    made.SliceLocation = ds(float(first @ normal / np.linalg.norm(normal)))


def first_pixel(series: Series, place: int) -> NDArray[np.float64]:
    """Where the centre of a slice's first pixel lies, in mm, LPS."""
    matrix = series.grid.matrix * LPS[:, None]
    found: NDArray[np.float64] = matrix[:, :3] @ [place + 0.5, 0.5, 0.5] + matrix[:, 3]
    return found


def measures(series: Series, origin: Dataset) -> Dataset:
    """Sizes of a voxel in mm; row and column directions are the source's own."""
    made = Dataset()
    # not the grid's: directions that a writer rounded are no unit vectors, and readers multiply both
    made.PixelSpacing = [ds(float(size) / by) for size, by in zip(origin.PixelSpacing, series.scale[1:], strict=True)]
    thickness = series.header.extra["thickness_mm"]
    made.SliceThickness = None if thickness is None else ds(thickness / series.scale[0])
    made.SpacingBetweenSlices = ds(series.grid.spacing()[0])
    return made


def ds(value: float) -> str:
    """At most 16 characters, as exact as they can say it."""
    return format_number_as_ds(float(value) + 0.0)


def say_pixels(made: Dataset, header: Header, size: Sequence[int]) -> None:
    """What the stored numbers of `size` rows and columns are."""
    dtype, band = np.dtype(header.dtype), header.bands[0]
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, header.extra["photometric"]
    made.Rows, made.Columns = size
    made.BitsAllocated = made.BitsStored = 8 * dtype.itemsize  # all of them: sharp edges need more than the source's
    made.HighBit, made.PixelRepresentation = made.BitsAllocated - 1, int(dtype.kind == "i")
    if band.nodata is not None:
        made.add_new("PixelPaddingValue", "SS" if dtype.kind == "i" else "US", int(band.nodata))


def rescale(header: Header, said: str | None) -> Dataset:
    """From stored numbers to units, as the source has it; `said`: the name of the units there."""
    made, band = Dataset(), header.bands[0]
    made.RescaleSlope, made.RescaleIntercept = ds(band.scale), ds(band.offset)
    made.RescaleType = said or ("HU" if band.unit == "HU" else "US")
    return made


def stored_bytes(values: NDArray[np.generic]) -> bytes:
    """A slice (Y, X) as files have it, little-endian."""
    data = np.ascontiguousarray(values)
    return data.astype(data.dtype.newbyteorder("<"), casting="equiv").tobytes()


def file_meta(made: Dataset) -> FileMetaDataset:
    """What stands before a slice."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = made.SOPClassUID, made.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID, meta.ImplementationVersionName = UID(IMPLEMENTATION), "SRCORE"
    return meta
