"""Data, losses and loops that make a model bundle."""
