"""Finding DICOM files and reading their headers and pixels."""
