"""The DICOM objects of a result, each made from an exam and the headers of its series."""
