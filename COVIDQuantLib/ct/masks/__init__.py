"""The user's own masks: identify their labels, and bring them onto the CT's grid."""
