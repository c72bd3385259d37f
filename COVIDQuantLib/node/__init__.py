"""The DICOM node: CTs in from scanners and PACS, results out to them, with a queue that survives everything."""
