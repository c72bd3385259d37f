"""Segmentation of lungs, five lobes and lesions from a CT, without Slicer."""
