"""Which attributes of a source a derived series has: by module of PS3.3, and by what the Basic Profile does to them.

What is in none of these tables is in no derived series: private elements, nested sequences, comments.

    NUMBERS   stay in any case: no attribute of them is in the profile's table (PS3.15, E.1-1)
    WORDS     stay where each value is one of the standard's own words; with `identity: keep` whatever it is
    TEXTS     stay with `identity: keep` alone: actions X, Z and D of the profile, and all other free text
    UIDS      stay with `identity: keep`; else a keyed hash stands for each, the same for the same UID: action U
"""

from __future__ import annotations

from collections.abc import Mapping

NUMBERS = (
    *("SeriesNumber", "AcquisitionNumber", "WindowCenter", "WindowWidth", "LossyImageCompressionRatio", "KVP"),
    *("DataCollectionDiameter", "ReconstructionDiameter", "DistanceSourceToDetector", "DistanceSourceToPatient"),
    *("GantryDetectorTilt", "TableHeight", "ExposureTime", "XRayTubeCurrent", "Exposure", "GeneratorPower"),
    *("FocalSpots", "CTDIvol", "SingleCollimationWidth", "TotalCollimationWidth", "TableSpeed", "SpiralPitchFactor"),
    *("TableFeedPerRotation", "RepetitionTime", "EchoTime", "EchoTrainLength", "InversionTime", "TriggerTime"),
    *("NumberOfAverages", "ImagingFrequency", "EchoNumbers", "MagneticFieldStrength", "NumberOfPhaseEncodingSteps"),
    *("PercentSampling", "PercentPhaseFieldOfView", "PixelBandwidth", "AcquisitionMatrix", "FlipAngle", "SAR"),
    *("TemporalPositionIdentifier", "NumberOfTemporalPositions", "TemporalResolution", "DiffusionBValue"),
)
_YES_NO = frozenset({"YES", "NO"})
_PARTS = frozenset(
    {
        *("ABDOMEN", "ABDOMENPELVIS", "ANKLE", "AORTA", "ARM", "BRAIN", "BREAST", "BRONCHUS"),
        *("CALCANEUS", "CAROTID", "CERVIX", "CHEST", "CHESTABDOMEN", "CLAVICLE", "CHESTABDPELVIS", "COLON"),
        *("CSPINE", "CTSPINE", "EAR", "ELBOW", "EXTREMITY", "EYE", "FEMUR", "FOOT"),
        *("GALLBLADDER", "HAND", "HEAD", "HEADNECK", "HEART", "HIP", "HUMERUS", "JAW"),
        *("KIDNEY", "KNEE", "LEG", "LIVER", "LSPINE", "LSSPINE", "LUNG", "NECK"),
        *("ORBIT", "PANCREAS", "PELVIS", "PROSTATE", "RADIUS", "SCAPULA", "SHOULDER", "SKULL"),
        *("SPINE", "SPLEEN", "SSPINE", "STERNUM", "THIGH", "TSPINE", "TLSPINE", "UTERUS"),
        *("WHOLEBODY", "WRIST"),
    }
)
WORDS: Mapping[str, frozenset[str]] = {
    "PatientPosition": frozenset({"HFP", "HFS", "HFDR", "HFDL", "FFDR", "FFDL", "FFP", "FFS"}),
    "Laterality": frozenset("RL"),
    "BodyPartExamined": _PARTS,
    "RescaleType": frozenset({"HU", "US", "OD", "HU_MOD", "MGML", "Z_EFF", "ED", "EDW", "PCT"}),
    "VOILUTFunction": frozenset({"LINEAR", "LINEAR_EXACT", "SIGMOID"}),
    "BurnedInAnnotation": _YES_NO,
    "LossyImageCompression": frozenset({"00", "01"}),
    "LossyImageCompressionMethod": frozenset({"ISO_10918_1", "ISO_14495_1", "ISO_15444_1", "ISO_13818_2"}),
    "RotationDirection": frozenset({"CW", "CC"}),
    "ScanningSequence": frozenset({"SE", "IR", "GR", "EP", "RM"}),
    "SequenceVariant": frozenset({"SK", "MTC", "SS", "TRSS", "SP", "MP", "OSP", "NONE"}),
    "ScanOptions": frozenset({"PER", "RG", "CG", "PPG", "FC", "PFF", "PFP", "SP", "FS"}),
    "MRAcquisitionType": frozenset({"2D", "3D"}),
    "InPlanePhaseEncodingDirection": frozenset({"ROW", "COL"}),
    "VariableFlipAngleFlag": frozenset("YN"),
    "AngioFlag": frozenset("YN"),
}
TEXTS = (
    *("SpecificCharacterSet", "PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex"),
    *("PatientAge", "PatientSize", "PatientWeight", "StudyDate", "StudyTime", "AccessionNumber", "StudyID"),
    *("ReferringPhysicianName", "StudyDescription", "ProtocolName", "PositionReferenceIndicator"),
    *("AcquisitionDate", "AcquisitionTime", "Manufacturer", "ManufacturerModelName", "InstitutionName", "StationName"),
    *("SoftwareVersions", "ConvolutionKernel", "FilterType", "ExposureModulationType", "SequenceName"),
    *("WindowCenterWidthExplanation", "ReceiveCoilName", "TransmitCoilName", "ImagedNucleus"),
    *("PatientIdentityRemoved", "DeidentificationMethod", "ContrastBolusAgent"),
)
UIDS = ("StudyInstanceUID", "FrameOfReferenceUID")
IMAGE_TYPES = frozenset({"AXIAL", "M", "P", "R", "I", "OTHER", "NORM", "ND", "DIS2D", "DIS3D", "VOLUME", "NONE"})
"""Third and later words of ImageType that are no names."""
EMPTY = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "AccessionNumber"),
    *("ReferringPhysicianName", "StudyID", "SeriesNumber", "Manufacturer", "PositionReferenceIndicator"),
    *("PatientPosition", "AcquisitionNumber"),
)
"""Of type 2: there, and empty where nothing is known."""
EMPTY_CT = ("KVP",)
EMPTY_MR = ("ScanOptions", "MRAcquisitionType", "EchoTime", "EchoTrainLength", "RepetitionTime")
NEEDED_MR = {"ScanningSequence": "RM", "SequenceVariant": "NONE"}
"""Of type 1: the standard's words for what is not known."""
FRAME_WORDS: Mapping[str, tuple[str, ...]] = {
    "ComplexImageComponent": ("MAGNITUDE", "PHASE", "REAL", "IMAGINARY", "MIXED"),
    "AcquisitionContrast": (
        *("UNKNOWN", "DIFFUSION", "FLOW_ENCODED", "FLUID_ATTENUATED", "PERFUSION", "PROTON_DENSITY", "STIR"),
        *("TAGGING", "T1", "T2", "T2_STAR", "TOF", "MIXED"),
    ),
    "FrameLaterality": ("U", "R", "L", "B"),
}
"""What a frame of an enhanced file has to say, in the standard's words; the first where the source says none."""
SAFETY = frozenset({"IEC", "FDA", "MHW"})
"""Whose limits an enhanced MR was taken by."""
FRAME_TAGS = (
    *("EffectiveEchoTime", "AcquisitionContrast", "FrameLaterality", "AnatomicRegionSequence", "IrradiationEventUID"),
    "ApplicableSafetyStandardAgency",
)
"""What is looked at of an enhanced file besides."""
NOT_OF_FILES = (
    *(name for name in NUMBERS if name != "SeriesNumber"),
    *("Laterality", "RescaleType", "VOILUTFunction", "ScanningSequence", "SequenceVariant"),
)
"""What an enhanced file says of each frame, in groups, or not at all."""
COPIED = (*NUMBERS, *WORDS, *TEXTS, *UIDS)
