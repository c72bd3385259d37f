"""Pneumonia: one model for the phantom and one for training, with no lesion code in common."""
