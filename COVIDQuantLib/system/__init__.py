"""Operating system services: files, locks, memory and streams."""
