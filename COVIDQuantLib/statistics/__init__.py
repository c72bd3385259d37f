"""Statistics of a study: from tables of exams to the tables and figures of a paper. Works on tables, never on voxels."""
