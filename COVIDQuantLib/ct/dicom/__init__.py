"""DICOM files: found, their headers and pixels read."""
