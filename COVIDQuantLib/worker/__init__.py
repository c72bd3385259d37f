"""Processes beside the window: the one that holds the networks and stays warm, and one for each other job."""
