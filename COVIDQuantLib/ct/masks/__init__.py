"""The user's own masks: which label is what, and onto the CT's grid."""
