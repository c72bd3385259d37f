"""Who lies in the scanner: size, sex, habitus, proportions, drawn from the seed."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Patient:
    """What makes one chest differ from another; lengths in millimetres or as factors of an average adult.

    Positions are LPS millimetres with the origin at the carina's height, in the midline, mid-thorax.
    """

    sex: str
    width: float
    depth: float
    height: float
    fat_mm: float
    muscle: float
    breast: float
    heart: float
    barrel: float
    apex_up: float
    dome_right: float
    dome_left: float
    kyphosis: float
    lung_hu: float
    dependent_hu: float
    gas_in_stomach: bool
    gas_in_oesophagus: bool
    asymmetry: float

    @property
    def z_apex(self) -> float:
        """Height of the lung apices."""
        return 88.0 * self.height + self.apex_up

    @property
    def z_sulcus(self) -> float:
        """Height of the deepest posterior recess."""
        return min(self.z_dome(-1), self.z_dome(1)) - 78.0 * self.height

    def z_dome(self, side: int) -> float:
        """Height of the diaphragm's top, ``side`` −1 right, +1 left."""
        return -105.0 * self.height + (self.dome_right if side < 0 else self.dome_left)

    def as_record(self) -> dict[str, Any]:
        """The patient for ``truth.json``."""
        return asdict(self)


def draw_patient(rng: np.random.Generator) -> Patient:
    """Draw a patient; sizes follow the sex as in adults, height and girth vary independently."""
    female = bool(rng.random() < 0.45)
    size = 0.93 if female else 1.02
    girth = float(np.clip(rng.normal(0, 1), -1.6, 2.2))
    return Patient(
        sex="female" if female else "male",
        width=float(size * np.clip(rng.normal(1.0, 0.045), 0.9, 1.1)),
        depth=float((0.97 if female else 1.01) * np.clip(rng.normal(1.0, 0.06), 0.87, 1.14)),
        height=float(size * np.clip(rng.normal(1.0, 0.07), 0.85, 1.15)),
        fat_mm=float(np.clip((16 if female else 12) + 8 * girth, 4, 36)),
        muscle=float((0.8 if female else 1.05) * rng.uniform(0.85, 1.15)),
        breast=float(np.clip(rng.normal(1.0, 0.3) + 0.2 * girth, 0.3, 1.7)) if female else 0.0,
        heart=float(rng.uniform(0.9, 1.12)),
        barrel=float(rng.uniform(-1, 1)),
        apex_up=float(rng.uniform(-6, 8)),
        dome_right=float(rng.uniform(-6, 10)),
        dome_left=float(rng.uniform(-16, -2)),
        kyphosis=float(rng.uniform(0.5, 1.6)),
        lung_hu=float(rng.uniform(-893, -848)),
        dependent_hu=float(rng.uniform(25, 80)),
        gas_in_stomach=bool(rng.random() < 0.7),
        gas_in_oesophagus=bool(rng.random() < 0.5),
        asymmetry=float(rng.uniform(-0.03, 0.03)),
    )
