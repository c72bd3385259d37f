"""Chests of real shape for training: lungs and lobes of real people, painted into CTs."""
