"""Follow-up on MRML nodes: exams of one patient compared, shown side by side, and kept with the scene."""
