"""The report of an exam, or of a patient's follow-up: one self-contained HTML file and the same as PDF."""
