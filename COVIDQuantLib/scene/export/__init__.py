"""Export of what the scene shows to files, in the background."""
