"""Background processes: one that keeps the networks loaded, and one for each other job."""
