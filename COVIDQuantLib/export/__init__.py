"""Results as files: segmentation, table, label maps, pictures. A file appears whole or not at all."""
