"""What a study writes: sections with tables and figures, their files, and one HTML report."""
