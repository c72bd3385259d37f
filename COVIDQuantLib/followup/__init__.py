"""The same patient again: exams in order, what changed, whether that is more than error, and the course in time."""
