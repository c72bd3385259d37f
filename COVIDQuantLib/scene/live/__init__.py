"""Figures that follow every edit of the segments."""
