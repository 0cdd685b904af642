"""DICOM series of CT and MR, in and out. pydicom is an extra: it is imported when a series is read."""
