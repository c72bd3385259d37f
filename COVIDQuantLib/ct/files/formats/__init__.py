"""The headers of NIfTI, NRRD and MetaImage files."""
