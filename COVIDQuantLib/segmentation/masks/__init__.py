"""The user's own masks as replacements for steps of the segmentation."""
