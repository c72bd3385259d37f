"""Random fields, grids and deformations that everything simulated is made from.

Four kinds of noise stay, because a seed must keep giving the same voxels and each draws and smooths random numbers in
its own way: ``spline_noise`` for phantoms (the same on any grid), ``tiled_noise`` for the training's lesions (fast on
small boxes, with cells), ``gaussian_noise`` for painted chests, and the displacements of ``deformation`` (torch).
"""
