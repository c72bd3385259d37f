"""Model-free segmentation of pneumonia."""
