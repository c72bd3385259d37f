"""Figures in publication form: each a drawing and the numbers that it shows."""
