"""A made chest CT whose truth is known exactly."""
