"""Pneumonia without a network."""
