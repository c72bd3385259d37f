"""Detection of the fissures between lobes in the image."""
