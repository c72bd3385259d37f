"""Random fields, grids and deformations that everything simulated is made from."""
