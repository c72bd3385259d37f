"""The patient and the chest, before the lungs are looked for."""
