"""What goes wrong during a scan."""
