"""From DICOM images to series: grouping them, choosing one, and sorting it into a regular stack."""
