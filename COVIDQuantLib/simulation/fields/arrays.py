"""Types of the arrays that simulations work on."""

from __future__ import annotations

import numpy as np

FloatArray = np.ndarray
# Positions along z, y, x in millimetres.
Axes = tuple[FloatArray, FloatArray, FloatArray]
