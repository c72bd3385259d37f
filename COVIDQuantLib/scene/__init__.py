"""The job in MRML terms: nodes in, nodes out, every edit seen. Needs Slicer or slicer-core."""
