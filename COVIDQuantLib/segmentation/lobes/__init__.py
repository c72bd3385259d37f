"""Segmentation of the five lobes: atlas and fissures, refinement, connectivity, smoothing."""
