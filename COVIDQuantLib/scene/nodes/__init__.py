"""MRML nodes and arrays, both ways."""
