"""The panel of the Slicer module: one class per section, each with its own .ui file, and the code between them."""
