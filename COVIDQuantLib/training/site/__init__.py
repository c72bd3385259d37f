"""Training on a site's own CT and mask pairs."""
