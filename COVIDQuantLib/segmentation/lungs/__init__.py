"""The lungs without a network, and lungs that the user gives."""
