"""Trained models as bundles: read, checked, imported, written."""
