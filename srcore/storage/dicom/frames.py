"""A derived series as one enhanced file, a frame for each slice of the SR: PS3.3, A.36 (MR) and A.38 (CT).

    source headers --allow-list, identity--> the file --what all frames share--> a group a frame: its place, its sources

Slices of an enhanced source become frames. highdicom writes enhanced files of classic slices alone, with all pixels in
memory; here the pixels follow the header, slab by slab (see `writer`). The frames are a volume, evenly sampled.
"""

from __future__ import annotations

from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from srcore.storage.dicom.attributes import FRAME_WORDS, NOT_OF_FILES, SAFETY
from srcore.storage.dicom.derived import (
    RESAMPLING,
    Origins,
    Series,
    description,
    ds,
    first_pixel,
    measures,
    reference,
    rescale,
    say_how,
    say_pixels,
    say_series,
)
from srcore.storage.dicom.identity import coded, copied, decimals, kept_uid, uid_of, words_of
from srcore.version import __version__

ENHANCED = {True: "1.2.840.10008.5.1.4.1.1.2.1", False: "1.2.840.10008.5.1.4.1.1.4.1"}
"""Enhanced CT and Enhanced MR Image Storage."""
IMAGE_TYPE = ["DERIVED", "PRIMARY", "VOLUME", "RESAMPLED"]
"""PRIMARY is the one second word that enhanced files have (PS3.3, C.8.16.1.2): of a patient, not of a screen."""
NO_DATE, NO_TIME = "19000101", "000000"
"""Where a file has to say when: the moment of writing would make two runs differ."""
SOME_BODY = Code("123037004", "SCT", "Body structure")
"""Where the source names no region that the standard knows."""
STACK = "1"


def derived_frames(series: Series, origin: Origins) -> Dataset:
    """The file of a derived series, all but its pixels."""
    first, facts = origin(series.parents(0)[0]).header, series.facts
    made = copied(first, facts.identity)
    for name in NOT_OF_FILES:
        made.pop(name, None)
    made.SOPClassUID, made.Modality = ENHANCED[_is_ct(series)], series.header.extra["modality"]
    made.ImageType, made.ContentQualification = IMAGE_TYPE, "RESEARCH"
    made.update(_shown(first, series))
    _say_safety(made, first)
    say_series(made, series, 0)
    say_how(made, series)
    _say_equipment(made, series)
    made.ContentDate = made.get("StudyDate") or NO_DATE
    made.ContentTime = made.get("StudyTime") or NO_TIME
    made.AcquisitionContextSequence = []
    depth, *size = series.grid.shape
    say_pixels(made, series.header, size)
    made.NumberOfFrames, made.PresentationLUTShape = depth, "IDENTITY"
    _say_dimensions(made, series)
    made.SharedFunctionalGroupsSequence = [_shared(series, first)]
    made.PerFrameFunctionalGroupsSequence = [_frame(series, place, origin) for place in range(depth)]
    _say_sources(made, series, origin)
    return made


def _is_ct(series: Series) -> bool:
    return bool(series.header.extra["modality"] == "CT")


def _shown(first: Dataset, series: Series) -> Dataset:
    """What file and frame say of what the numbers are."""
    made = Dataset()
    made.PixelPresentation, made.VolumetricProperties, made.VolumeBasedCalculationTechnique = (
        "MONOCHROME",
        "VOLUME",
        "NONE",
    )
    if not _is_ct(series):
        made.ComplexImageComponent = _word(first, "ComplexImageComponent")
        made.AcquisitionContrast = _word(first, "AcquisitionContrast")
    return made


def _say_safety(made: Dataset, first: Dataset) -> None:
    """By whose limits an MR was taken, where the source says it: no other file could know."""
    agency = words_of(first, "ApplicableSafetyStandardAgency")
    if made.Modality == "MR" and set(agency[:1]) & SAFETY:
        made.ApplicableSafetyStandardAgency = agency[0]


def _word(first: Dataset, name: str) -> str:
    told = words_of(first, name)
    return told[0] if told and told[0] in FRAME_WORDS[name] else FRAME_WORDS[name][0]


def _say_equipment(made: Dataset, series: Series) -> None:
    """Of type 1: the scanner's where it stays, else what made the file."""
    ours = {
        "Manufacturer": "srcore",
        "ManufacturerModelName": series.facts.model[:64],
        "DeviceSerialNumber": "NONE",
        "SoftwareVersions": __version__,
    }
    for name, word in ours.items():
        if not made.get(name):
            setattr(made, name, word)


def _say_dimensions(made: Dataset, series: Series) -> None:
    """Frames are told apart by their place in the one stack."""
    organization = Dataset()
    organization.DimensionOrganizationUID = uid_of(f"dimensions\n{series.uid}", series.facts.identity)
    made.DimensionOrganizationSequence, made.DimensionOrganizationType = [organization], "3D"
    indices = []
    for name in ("StackID", "InStackPositionNumber"):
        one = Dataset()
        one.DimensionOrganizationUID = organization.DimensionOrganizationUID
        one.DimensionIndexPointer, one.FunctionalGroupPointer = _tag(name), _tag("FrameContentSequence")
        indices.append(one)
    made.DimensionIndexSequence = indices


def _tag(keyword: str) -> int:
    found = tag_for_keyword(keyword)
    assert found is not None, keyword
    return found


def _shared(series: Series, first: Dataset) -> Dataset:
    groups, plane, kind = Dataset(), Dataset(), _shown(first, series)
    size = measures(series, first)
    size.SliceThickness = size.SliceThickness or size.SpacingBetweenSlices  # of type 1 here
    plane.ImageOrientationPatient = decimals(first.ImageOrientationPatient)
    kind.FrameType = IMAGE_TYPE
    groups.PixelMeasuresSequence, groups.PlaneOrientationSequence = [size], [plane]
    groups.add_new(_tag("CTImageFrameTypeSequence" if _is_ct(series) else "MRImageFrameTypeSequence"), "SQ", [kind])
    groups.FrameAnatomySequence = [_anatomy(first, series)]
    if series.header.extra["rescaled"]:
        said = copied(first, series.facts.identity).get("RescaleType")
        groups.PixelValueTransformationSequence = [rescale(series.header, said)]
    if window := _window(first, series):
        groups.FrameVOILUTSequence = [window]
    if first.get("IrradiationEventUID"):
        event = Dataset()
        event.IrradiationEventUID = kept_uid(str(first.IrradiationEventUID), series.facts.identity)
        groups.IrradiationEventIdentificationSequence = [event]
    return groups


def _anatomy(first: Dataset, series: Series) -> Dataset:
    """The region that the source names: its own words stay with the patient's, the standard's otherwise."""
    made = Dataset()
    made.FrameLaterality = _word(first, "FrameLaterality")
    [*named] = first.get("AnatomicRegionSequence") or []
    found = SOME_BODY
    if named and all(named[0].get(name) for name in ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")):
        own = Code(named[0].CodeValue, named[0].CodingSchemeDesignator, named[0].CodeMeaning)
        known = next((one for one in codes.cid4030.concepts.values() if one == own), None)
        found = own if series.facts.identity == "keep" else known or SOME_BODY
    made.AnatomicRegionSequence = [coded(found)]
    return made


def _window(first: Dataset, series: Series) -> Dataset:
    """The window of the source; empty where it has none."""
    named = copied(first, series.facts.identity)
    made = Dataset()
    for name in ("WindowCenter", "WindowWidth", "WindowCenterWidthExplanation", "VOILUTFunction"):
        if name in named:
            made.add(named[name])
    return made if "WindowCenter" in made and "WindowWidth" in made else Dataset()


def _frame(series: Series, place: int, origin: Origins) -> Dataset:
    groups, content, position, derived = Dataset(), Dataset(), Dataset(), Dataset()
    content.StackID, content.InStackPositionNumber, content.DimensionIndexValues = STACK, place + 1, [1, place + 1]
    position.ImagePositionPatient = [ds(value) for value in first_pixel(series, place)]
    derived.DerivationDescription, derived.DerivationCodeSequence = description(series), [coded(RESAMPLING)]
    derived.SourceImageSequence = [reference(origin(one), series.facts) for one in series.parents(place)]
    groups.FrameContentSequence, groups.PlanePositionSequence = [content], [position]
    groups.DerivationImageSequence = [derived]
    return groups


def _say_sources(made: Dataset, series: Series, origin: Origins) -> None:
    """The series that it was made of, with each file of it once: twice, for two parts of the standard ask for it."""
    identity = series.facts.identity
    found: dict[str, Dataset] = {}
    for place in range(len(series.header.extra["slices"])):
        one = origin(place).header
        found.setdefault(str(one.get("SOPInstanceUID") or ""), one)
    first = next(iter(found.values()))
    items = []
    for uid, one in found.items():
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = str(one.SOPClassUID), kept_uid(uid, identity)
        items.append(item)
    beside, within, study = Dataset(), Dataset(), Dataset()
    beside.SeriesInstanceUID = within.SeriesInstanceUID = kept_uid(str(first.SeriesInstanceUID), identity)
    beside.ReferencedInstanceSequence, within.ReferencedSOPSequence = items, items
    study.StudyInstanceUID, study.ReferencedSeriesSequence = made.StudyInstanceUID, [within]
    made.ReferencedSeriesSequence, made.SourceImageEvidenceSequence = [beside], [study]
