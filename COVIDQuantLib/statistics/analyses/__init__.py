"""The kinds of analysis that a study can ask for: each a record with its settings and the papers it follows."""
