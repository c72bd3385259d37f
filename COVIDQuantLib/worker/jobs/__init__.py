"""Functions that run in the process beside the window; nothing of Slicer is imported here."""
