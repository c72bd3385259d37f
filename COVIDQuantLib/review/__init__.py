"""Review of a result: suspected motion artefacts, and the reader's decision about each."""
