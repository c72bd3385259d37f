"""Chests with known truth, lesions, artefacts, scanners: for the demo, for tests and for training.

Two lesion models stay on purpose, ``lesions/phantom_lesions.py`` and ``lesions/training_*.py``: a network that
learned from one is measured on the other. Neither may import the other.
"""
