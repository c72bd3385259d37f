"""Many scans: agreement between two sets of results."""
