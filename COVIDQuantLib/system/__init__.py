"""Files, locks, memory and streams: what the library asks of the operating system."""
