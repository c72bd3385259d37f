"""One picture of an exam."""
