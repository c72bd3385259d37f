"""What is written to disk: segmentation, tables, pictures."""
