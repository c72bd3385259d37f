"""Where the image shows the fissures between lobes."""
