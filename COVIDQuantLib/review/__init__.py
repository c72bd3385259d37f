"""What the reader should look at again: suspected motion artefacts, and what has been decided about each."""
