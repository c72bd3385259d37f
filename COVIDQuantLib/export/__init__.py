"""Write results to files: segmentation, table, label maps, images. A file appears complete or not at all."""
