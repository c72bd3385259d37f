"""Statistics of a study: from tables of exams to the tables and figures of a paper; never on voxels."""
