"""The tables of a study: reading them, who is left out, which exam belongs to which time."""
