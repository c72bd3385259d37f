"""From a CT and its labels to the histogram, the measures and the table."""
