"""Grids of voxels, boxes, labels and shapes, whatever they show; below every other room."""
