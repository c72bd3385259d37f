"""Training without a drawn label, as the shipped networks were made."""
