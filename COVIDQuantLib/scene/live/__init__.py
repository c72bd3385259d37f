"""Figures that are updated after every edit of the segments."""
