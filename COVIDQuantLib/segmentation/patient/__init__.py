"""Locate the patient and the chest before segmenting the lungs."""
