"""Training batches of the label-free recipes, a file for each kind of network."""
