"""The user's own masks in place of a step of the segmentation."""
