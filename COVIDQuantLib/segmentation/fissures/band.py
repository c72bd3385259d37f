"""The neighbourhood of a fissure sheet, unrolled: nodes along its two coordinates, levels across."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from COVIDQuantLib.anatomy import FISSURE, HORIZONTAL, SIDE_VALUE
from COVIDQuantLib.segmentation.atlas.lung_frame import FloatArray
from COVIDQuantLib.segmentation.atlas.model import (
    RELIEF_REACH,
    FissureSheet,
    sheet_mm,
    sheet_to_unit,
)
from COVIDQuantLib.voxels.geometry import Triple

NODE_MM = 2.0
LEVEL_MM = 1.0
# Every second node carries a level, since a plate is distinguished from noise by its neighbourhood.
THIN = 2
_ANCHORS = 5


class Band:
    """Nodes and levels around a sheet.

    Args:
        sheet: in the middle.
        band_mm: its extent to either side.

    Attributes:
        sheet: as given.
        mm: millimetres per unit along both sheet coordinates and across.
        first: nodes along the first coordinate.
        second: nodes along the second.
        offsets: of the levels from the sheet, millimetres.
    """

    def __init__(self, sheet: FissureSheet, band_mm: float) -> None:
        self.sheet = sheet
        self.mm = sheet_mm(sheet.fissure, sheet.frame)
        # Every second node carries a level and the last is one of them, so that the levels are the relief's lattice.
        counts = [THIN * int(np.ceil(2 * RELIEF_REACH * mm / NODE_MM / THIN)) + 1 for mm in self.mm[:2]]
        self.first, self.second = (np.linspace(-RELIEF_REACH, RELIEF_REACH, count) for count in counts)
        half = int(np.ceil(band_mm / LEVEL_MM))
        self.offsets = np.arange(-half, half + 1) * LEVEL_MM

    @property
    def nodes(self) -> tuple[FloatArray, ...]:
        """Both sheet coordinates of the nodes that carry a level."""
        return tuple(np.meshgrid(self.first[::THIN], self.second[::THIN], indexing="ij"))

    def points(self, thin: int = 1) -> FloatArray:
        """Positions ``(first, second, levels, 3)`` of every ``thin``-th node in millimetres, ``x, y, z``; float32.

        The frame bends so little that the other levels are interpolated from a few.
        """
        first, second = np.meshgrid(self.first[::thin], self.second[::thin], indexing="ij")
        level = self.sheet.level(first, second)
        anchors = np.linspace(self.offsets[0], self.offsets[-1], _ANCHORS)
        across = level[..., None] + anchors / self.mm[2]
        unit = sheet_to_unit(self.sheet.fissure, first[..., None], second[..., None], across)
        place = np.interp(self.offsets, anchors, np.arange(_ANCHORS))
        low = np.minimum(place.astype(int), _ANCHORS - 2)
        share = (place - low)[:, None].astype(np.float32)
        points = self.sheet.frame.to_points(unit).astype(np.float32)
        result: FloatArray = (1 - share) * points[:, :, low] + share * points[:, :, low + 1]
        return result

    def inside(
        self,
        points: FloatArray,
        lungs: np.ndarray,
        spacing: Triple,
        below: FissureSheet | None,
        *,
        rim_mm: float = 0.0,
    ) -> np.ndarray:
        """Which positions are in the fissure's lung, where such a fissure can be, and above ``below``.

        Args:
            points: of :meth:`points`.
            lungs: uint8 ``[k, j, i]``, 1 right, 2 left.
            spacing: of its grid along ``i, j, k``, millimetres.
            below: sheet that bounds this one, if any.
            rim_mm: distance from the lung's surface to keep; only for points of every node.
        """
        index = (points / np.array(spacing, np.float32))[..., ::-1]
        nearest = [np.rint(index[..., axis]).astype(np.int32) for axis in range(3)]
        within = np.all([(n >= 0) & (n < size) for n, size in zip(nearest, lungs.shape, strict=True)], axis=0)
        for axis, size in enumerate(lungs.shape):
            np.clip(nearest[axis], 0, size - 1, out=nearest[axis])
        inside: np.ndarray = (lungs[tuple(nearest)] == SIDE_VALUE[FISSURE[self.sheet.fissure].side]) & within
        if rim_mm:
            rim = [max(1, round(rim_mm / mm)) for mm in (NODE_MM, NODE_MM, LEVEL_MM)]
            inside = ndimage.minimum_filter(inside, [2 * r + 1 for r in rim])
        # No fissure was observed beyond the landmarks' range, and the horizontal one ends inside the lung.
        thin = -(-len(self.second) // points.shape[1])
        inside &= (self.second[::thin] <= self.sheet.model.reach[1, 1])[None, :, None]
        if below is not None:
            inside[inside] = below.height(points[inside]) * sheet_mm(below.fissure, below.frame)[2] > 2.0
        return inside

    def blur_mm(self, thickness_mm: float) -> float:
        """Width of a plate across the sheet as sections of this thickness show it (standard deviation)."""
        upright = self.mm[2] / self.sheet.frame.unit_mm[2]
        share = 1.0 if FISSURE[self.sheet.fissure].kind == HORIZONTAL else upright * np.sqrt(0.5)
        return float(np.hypot(1.0, 0.35 * thickness_mm * share))
