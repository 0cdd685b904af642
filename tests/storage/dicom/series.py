"""Small DICOM series, made by the test: a tilted plane of numbers, so that every voxel is another one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

CT_CLASS, MR_CLASS = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
PATIENT = "DOE^CANARY"
"""Stands in every text of the files, their folders and their names."""


def numbers(slices: int = 6, rows: int = 10, columns: int = 8) -> NDArray[np.int16]:
    """Stored numbers (Z, Y, X), all different."""
    return (np.arange(slices * rows * columns, dtype=np.int16) * 3).reshape(slices, rows, columns)


def dataset(values: NDArray[Any], place: int, **changes: Any) -> Dataset:
    """One slice `place` * 2.5 mm above the first; `changes` by keyword, None takes an element out."""
    made = Dataset()
    made.SOPClassUID, made.SOPInstanceUID = CT_CLASS, f"1.2.3.9.{place + 1}"
    made.StudyInstanceUID, made.SeriesInstanceUID, made.FrameOfReferenceUID = "1.2.3", "1.2.3.4", "1.2.3.5"
    made.Modality, made.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
    made.PatientName = made.PatientID = made.InstitutionName = made.StudyDescription = PATIENT
    made.PatientBirthDate, made.PatientSex, made.StudyDate = "19010203", "O", "19990102"
    made.StudyTime, made.AccessionNumber, made.ReferringPhysicianName, made.StudyID = "101112", PATIENT, PATIENT, "1"
    made.SeriesNumber, made.InstanceNumber, made.SeriesDescription = 3, place + 1, PATIENT
    made.Manufacturer, made.KVP, made.AcquisitionNumber = "nobody", 120, 1
    made.ImageOrientationPatient, made.PixelSpacing = list(AXIAL), [0.75, 0.5]
    made.ImagePositionPatient = [-20.0, 30.0, 100.0 + 2.5 * place]
    made.SliceThickness, made.SamplesPerPixel, made.PhotometricInterpretation = 2.5, 1, "MONOCHROME2"
    made.Rows, made.Columns = values.shape
    made.BitsAllocated = 8 * values.dtype.itemsize
    made.BitsStored, made.HighBit = made.BitsAllocated, made.BitsAllocated - 1
    made.PixelRepresentation = int(values.dtype.kind == "i")
    made.RescaleSlope, made.RescaleIntercept, made.RescaleType = 1, -1024, "HU"
    made.WindowCenter, made.WindowWidth = 40, 400
    made.PositionReferenceIndicator, made.PatientPosition = "", "HFS"
    made.PixelData = np.ascontiguousarray(values).tobytes()
    made["PixelData"].VR = "OW"
    for name, value in changes.items():
        if value is None:
            delattr(made, name)
        elif isinstance(value, DataElement):
            made.add(value)
        else:
            setattr(made, name, value)
    return made


def save(made: Dataset, path: Path, syntax: str = ExplicitVRLittleEndian) -> Path:
    """Write a slice with a preamble."""
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = syntax
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    path.parent.mkdir(parents=True, exist_ok=True)
    pydicom.dcmwrite(path, made, enforce_file_format=True)
    return path


def write_series(folder: Path, values: NDArray[Any] | None = None, **changes: Any) -> Path:
    """A series of slices every 2.5 mm in a folder; the names are in no order. `changes` as `dataset` takes them, or a
    function of the place."""
    values = numbers() if values is None else values
    for place, plane in enumerate(values):
        own = {name: value(place) if callable(value) else value for name, value in changes.items()}
        save(dataset(plane, place, **own), folder / f"{PATIENT}_{(place * 7 + 3) % 31:02}.dcm")
    return folder


def write_enhanced(path: Path, values: NDArray[Any], **changes: Any) -> Path:
    """An enhanced CT of four frames, from the highest down, each with its place and rescale; `changes` to the file."""
    made = dataset(values[0], 0, **{"SOPClassUID": ENHANCED_CT, "NumberOfFrames": 4, **changes})
    frames = []
    for place in range(4):
        groups, position, other = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = [-20.0, 30.0, 100.0 - 2.5 * place]
        other.RescaleSlope, other.RescaleIntercept = 1, -1000
        groups.PlanePositionSequence, groups.PixelValueTransformationSequence = [position], [other]
        frames.append(groups)
    shared, plane, measures = Dataset(), Dataset(), Dataset()
    plane.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    measures.PixelSpacing, measures.SliceThickness = [0.75, 0.5], 2.5
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [plane], [measures]
    made.SharedFunctionalGroupsSequence, made.PerFrameFunctionalGroupsSequence = [shared], frames
    made.PixelData = values.tobytes()
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope", "RescaleIntercept"):
        delattr(made, name)
    return save(made, path)
