"""Image artefacts: motion of heart and diaphragm."""
