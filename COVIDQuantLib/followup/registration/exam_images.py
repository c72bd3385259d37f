"""The arrays of one exam that a comparison of two exams looks at, and smaller copies of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from COVIDQuantLib.anatomy import LABEL_COUNT
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.evaluation.surfaces import common_box
from COVIDQuantLib.segmentation.log_odds import OddsMap
from COVIDQuantLib.voxels.geometry import Geometry


@dataclass(frozen=True, eq=False)
class ExamImages:
    """Lobes and lesions of one exam, on its own grid in any orientation.

    Attributes:
        lobes: lobe labels 0..5 ``[k, j, i]``.
        lesions: nonzero in the pneumonia, same shape.
        geometry: the grid.
        hu: Hounsfield units of the same shape; None where the CT is not at hand.
        name: of the exam, for messages.
        odds: the network's log odds of lesion; None where they are not at hand.
    """

    lobes: np.ndarray
    lesions: np.ndarray
    geometry: Geometry
    hu: np.ndarray | None = None
    name: str = ""
    odds: OddsMap | None = None

    def __post_init__(self) -> None:
        for array in (self.lobes, self.lesions, self.hu):
            if array is not None and array.shape != self.geometry.shape:
                raise ValueError(f"an array of shape {array.shape} is not on the grid of shape {self.geometry.shape}")
        if self.lobes.max(initial=0) >= LABEL_COUNT or self.lobes.min(initial=0) < 0:
            raise ValueError(f"lobe labels must be 0..{LABEL_COUNT - 1}")

    def around_lungs(self, spacing_mm: float, *, beyond_mm: float = 0.0) -> ExamImages:
        """A smaller copy: the box of the lungs, every n-th voxel so that they lie about ``spacing_mm`` apart.

        Args:
            spacing_mm: distance of the voxels that are kept; never smaller than the exam's own.
            beyond_mm: so much more on every side, as far as the exam reaches.

        Raises:
            UnfitInputError: there is no lung (``followup-no-lungs``).
        """
        found = common_box(self.lobes)
        if found is None:
            raise UnfitInputError(
                "no lobe is labelled, so the exam cannot be laid over another",
                self.name,
                "Quantify it again, or give its lobes.",
                code="followup-no-lungs",
            )
        spacing = self.geometry.spacing_kji
        steps = [max(1, int(spacing_mm / mm + 1e-6)) for mm in spacing]
        room = [int(np.ceil(beyond_mm / mm)) for mm in spacing]
        starts = [max(0, span.start - more) for span, more in zip(found, room, strict=True)]
        k, j, i = (
            slice(start, span.stop + more, step)
            for start, span, more, step in zip(starts, found, room, steps, strict=True)
        )
        box = k, j, i
        lobes, lesions = np.ascontiguousarray(self.lobes[box]), np.ascontiguousarray(self.lesions[box])
        hu = None if self.hu is None else self.hu[box]
        return ExamImages(lobes, lesions, grid_of_box(self.geometry, box), hu, self.name)


def grid_of_box(geometry: Geometry, box: tuple[slice, ...]) -> Geometry:
    """The grid of the voxels that slices ``k, j, i`` pick; their starts are numbers, their steps positive or None."""
    k, j, i = (len(range(*span.indices(size))) for span, size in zip(box, geometry.shape, strict=True))
    step = [span.step or 1 for span in reversed(box)]
    x, y, z = (mm * n for mm, n in zip(geometry.spacing, step, strict=True))
    corner = geometry.index_to_lps @ (*(span.start for span in reversed(box)), 1.0)
    origin = (float(corner[0]), float(corner[1]), float(corner[2]))
    return Geometry((k, j, i), (x, y, z), origin, geometry.direction)
