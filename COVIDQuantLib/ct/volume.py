"""A chest CT in memory: integer Hounsfield units on a grid, with its warnings."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from COVIDQuantLib.ct.source import CTSource
from COVIDQuantLib.voxels.geometry import Geometry, Reorientation

# A chest CT has at least so many.
MIN_SLICES = 5
HU_MIN = -1024
HU_MAX = 3071
# Below any air a scanner measures, even overshooting at sharp kernels: filler outside the field of view.
PADDING_BELOW_HU = -1500


def not_measured(values: np.ndarray) -> np.ndarray:
    """Where raw values cannot be measurements, whatever is around them: below −1500 HU, NaN or infinite.

    The same rule for files and nodes; a file's reader adds filler recognised by its position (``ct/padding.py``).

    Args:
        values: Hounsfield units, any number type and shape.
    """
    below = values < PADDING_BELOW_HU
    return below if np.issubdtype(values.dtype, np.integer) else below | ~np.isfinite(values)


@dataclass(frozen=True)
class CTWarning:
    """A warning about the CT that does not stop the job.

    Attributes:
        code: a stable name, e.g. ``thick-sections``.
        message: a sentence with the figures.
    """

    code: str
    message: str


@dataclass
class CTVolume:
    """A chest CT.

    Attributes:
        hu: int16 Hounsfield units ``[k, j, i]``, clipped to −1024..3071.
        geometry: where the grid lies in the patient.
        padding: bool array of the same shape, true where the scanner measured nothing; None if nowhere.
        source: where it came from; a plain mapping becomes the facts of one.
        warnings: from reading and checking.
    """

    hu: np.ndarray
    geometry: Geometry
    padding: np.ndarray | None = None
    source: CTSource = field(default_factory=CTSource)
    warnings: list[CTWarning] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Take a plain mapping as facts."""
        if not isinstance(self.source, CTSource):
            self.source = CTSource(dict(self.source))

    @classmethod
    def from_values(cls, values: np.ndarray, geometry: Geometry, padding_value: float | None = None) -> CTVolume:
        """Round and clip raw values to integer HU, and mark the padding.

        Args:
            values: Hounsfield units ``[k, j, i]``, any number type; NaN and infinity count as padding.
            geometry: the grid they lie on.
            padding_value: filler named by the file itself (already in HU), beside everything below −1500.

        Raises:
            ValueError: the array is not on the grid.
        """
        if values.shape != geometry.shape:
            raise ValueError(f"values of shape {values.shape} are not on a grid of shape {geometry.shape}")
        padding = not_measured(values)
        if padding_value is not None:
            padding |= values == padding_value
        if not np.issubdtype(values.dtype, np.integer):
            values = np.where(padding, HU_MIN, np.rint(values))
        hu = np.clip(values, HU_MIN, HU_MAX).astype(np.int16, copy=False)
        if not padding.any():
            return cls(hu, geometry)
        hu[padding] = HU_MIN
        return cls(hu, geometry, padding)

    def canonical(self) -> tuple[CTVolume, Reorientation]:
        """The CT with its axes nearest to left, posterior, superior, and the inverse for results."""
        turn = Reorientation.of(self.geometry)
        hu = np.ascontiguousarray(turn.apply(self.hu))
        padding = None if self.padding is None else np.ascontiguousarray(turn.apply(self.padding))
        return CTVolume(hu, turn.canonical, padding, self.source, self.warnings), turn
