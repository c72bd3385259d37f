"""Conversion between MRML nodes and arrays, both ways."""
