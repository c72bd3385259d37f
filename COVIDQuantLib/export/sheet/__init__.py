"""The overview image of an exam."""
