"""The node's connections: the DICOM port, the destinations of results, the DICOMweb servers that have CTs."""
