"""CTs and label maps in one file, read without trusting the header."""
