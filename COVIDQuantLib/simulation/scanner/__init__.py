"""Sections, kernels, noise: what a scanner makes of a body."""
