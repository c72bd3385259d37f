"""The manifest of a cohort: read from a table, checked row by row, or made from a tree of DICOM files."""
