"""One segmentation held against another, for one scan or many: agreement."""
