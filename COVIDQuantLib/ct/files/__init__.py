"""Read CTs and label maps stored in one file, without trusting the header."""
