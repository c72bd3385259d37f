"""CT numbers of tissues and materials in simulated chests, in HU.

Painted chests draw those that vary between people, see ``Habitus`` in ``painted/chest_wall.py``.
"""

from __future__ import annotations

AIR_HU, AIRWAY_HU, AIRWAY_WALL_HU = -1000.0, -985.0, -60.0
FAT_HU, SKIN_HU, MUSCLE_HU, BLOOD_HU, HEART_HU, GLAND_HU = -98.0, 25.0, 52.0, 42.0, 41.0, 25.0
LIVER_HU, SPLEEN_HU, STOMACH_HU, DIAPHRAGM_HU = 57.0, 48.0, 32.0, 45.0
CORTEX_HU, MARROW_HU, SPONGY_HU, CARTILAGE_HU, DISC_HU, CORD_HU = 620.0, 160.0, 190.0, 100.0, 75.0, 35.0
LONG_BONE_HU, FATTY_MARROW_HU = 1150.0, 10.0
# Objects around the patient.
FOAM_HU, SHELL_HU, BOARD_HU, CUSHION_HU, CLOTH_HU = -900.0, 40.0, -60.0, -930.0, -520.0
ELECTRODE_HU, LEAD_HU, CONTRAST_HU = 900.0, 600.0, 1800.0
