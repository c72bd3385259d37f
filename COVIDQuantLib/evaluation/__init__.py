"""Agreement of two segmentations, for one scan or many."""
