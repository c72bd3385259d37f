"""Training without manual labels, as for the shipped networks."""
