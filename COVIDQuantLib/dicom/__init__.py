"""Results as DICOM objects: written for the archive, and read back from it."""
