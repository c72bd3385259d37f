"""Model-free segmentation of the lungs, and lungs given by the user."""
