"""The same job on MRML nodes, following every edit. Needs Slicer or slicer-core."""
