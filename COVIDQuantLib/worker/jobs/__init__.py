"""Functions that run in a background process; nothing of Slicer is imported here."""
