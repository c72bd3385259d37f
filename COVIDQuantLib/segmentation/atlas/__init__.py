"""The statistical model of the fissures."""
