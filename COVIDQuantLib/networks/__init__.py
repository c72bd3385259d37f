"""The architectures of the papers, by name."""
