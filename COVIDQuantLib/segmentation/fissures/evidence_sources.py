"""Evidence for a fissure near a sheet: the CT numbers themselves, or a network's probability."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy import ndimage

from COVIDQuantLib.ct.volume import CTVolume
from COVIDQuantLib.segmentation.atlas.lung_frame import FloatArray
from COVIDQuantLib.segmentation.atlas.model import FissureSheet
from COVIDQuantLib.segmentation.fissures.band import LEVEL_MM, NODE_MM, THIN, Band
from COVIDQuantLib.segmentation.fissures.image_evidence import image_cost
from COVIDQuantLib.voxels.geometry import Triple

_RIM_MM = 2.5


@dataclass(frozen=True)
class Pass:
    """One search pass over the image.

    Attributes:
        band_mm: search distance from the current sheet.
        pull_mm: typical distance of a fissure from the current sheet.
        local: whether the sheet may deviate from the population's modes.
    """

    band_mm: float
    pull_mm: float
    local: bool


class EvidenceSource(Protocol):
    """A source of evidence for fissures."""

    @property
    def lungs(self) -> np.ndarray:
        """uint8 ``[k, j, i]``, 1 right, 2 left."""

    @property
    def passes(self) -> tuple[Pass, ...]:
        """The passes, from far to near."""

    @property
    def others(self) -> tuple[tuple[Pass, ...], ...]:
        """Alternative series of passes; the one that finds most of the fissure is kept."""

    def cost(self, band: Band, below: FissureSheet | None) -> tuple[FloatArray, np.ndarray]:
        """Cost of each level at the nodes, low where a fissure is likely, and a mask of possible positions."""

    def gain(self, cost: FloatArray, inside: np.ndarray, level: np.ndarray) -> FloatArray:
        """Confidence that the level found at each node is a fissure: 0 low, 1 high, before smoothing."""


@dataclass(frozen=True)
class ImageEvidence:
    """Thin bright plates in zones without vessels.

    Attributes:
        ct: on a canonical grid.
        lungs: on that grid.
        passes: see :class:`EvidenceSource`.
        others: see :class:`EvidenceSource`.
    """

    ct: CTVolume
    lungs: np.ndarray
    passes: tuple[Pass, ...] = (Pass(30.0, 14.0, local=False), Pass(16.0, 8.0, local=True), Pass(10.0, 6.0, local=True))
    others: tuple[tuple[Pass, ...], ...] = ()

    def cost(self, band: Band, below: FissureSheet | None) -> tuple[FloatArray, np.ndarray]:
        """See :class:`EvidenceSource`."""
        points = band.points()
        spacing = self.ct.geometry.spacing
        inside = band.inside(points, self.lungs, spacing, below, rim_mm=_RIM_MM)
        hu = np.zeros(inside.shape, np.float32)
        index = (points[inside] / np.array(spacing, np.float32))[:, ::-1].T
        hu[inside] = ndimage.map_coordinates(self.ct.hu, index, output=np.float32, order=1, mode="nearest")
        cost = image_cost(hu, inside, (NODE_MM, NODE_MM, LEVEL_MM), band.blur_mm(spacing[2]))
        return cost[::THIN, ::THIN], inside[::THIN, ::THIN]

    def gain(self, cost: FloatArray, inside: np.ndarray, level: np.ndarray) -> FloatArray:
        """By how much it stands out from its column's mean.

        On phantoms levels with a gain over 2 lie within 2 mm of the fissure; below 1 most are chance.
        """
        usual = (cost * inside).sum(axis=2) / np.maximum(inside.sum(axis=2), 1)
        return (usual - np.take_along_axis(cost, level, axis=2)[..., 0] - 0.8) / 1.4


@dataclass(frozen=True)
class NetworkEvidence:
    """A network's probability of a fissure on a lattice.

    Attributes:
        chance: by fissure, float ``[k, j, i]``.
        start: position of the lattice's first point along ``k, j, i``, millimetres from the CT's first voxel.
        step: distance of its points along ``k, j, i``, millimetres.
        lungs: on the CT's canonical grid.
        spacing: of that grid along ``i, j, k``, millimetres.
        passes: see :class:`EvidenceSource`.
        others: see :class:`EvidenceSource`.
    """

    chance: Mapping[str, FloatArray]
    start: Triple
    step: Triple
    lungs: np.ndarray
    spacing: Triple
    passes: tuple[Pass, ...] = (
        Pass(35.0, 25.0, local=False),
        Pass(20.0, 12.0, local=True),
        Pass(10.0, 8.0, local=True),
    )
    # A far pass may abandon a good start for a false plate.
    others: tuple[tuple[Pass, ...], ...] = ((Pass(12.0, 8.0, local=True), Pass(8.0, 6.0, local=True)),)

    def cost(self, band: Band, below: FissureSheet | None) -> tuple[FloatArray, np.ndarray]:
        """See :class:`EvidenceSource`."""
        points = band.points(THIN)
        place = (points[..., ::-1] - np.array(self.start, np.float32)) / np.array(self.step, np.float32)
        values = self.chance[band.sheet.fissure]
        chance = ndimage.map_coordinates(values, place.transpose(3, 0, 1, 2), output=np.float32, order=1)
        inside = band.inside(points, self.lungs, self.spacing, below)
        return -_CHANCE_WEIGHT * chance * inside, inside

    def gain(self, cost: FloatArray, inside: np.ndarray, level: np.ndarray) -> FloatArray:  # noqa: ARG002 - EvidenceSource's
        """By the network's probability: none below 13 %, full from 53 %."""
        return (-np.take_along_axis(cost, level, axis=2)[..., 0] - 0.4) / 1.2


# Weight of a certain fissure relative to the cost of steps and jumps between nodes.
_CHANCE_WEIGHT = 3.0
