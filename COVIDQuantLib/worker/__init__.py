"""The process that holds the networks."""
