"""From DICOM images to series: which there are, which is quantified, and its regular stack."""
