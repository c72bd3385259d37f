"""Lungs of real shape, each changed by a random smooth deformation, on a grid with room for the chest.

The shapes come from the Chest Imaging Platform: the reference lungs of its lobe atlas, its small sample CT, and the
affine transforms of the reference lungs to a hundred subjects.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from COVIDQuantLib.segmentation.atlas.fit import REFERENCE, REFERENCE_LABELS
from COVIDQuantLib.simulation.fields.arrays import FloatArray
from COVIDQuantLib.simulation.fields.gaussian_noise import gaussian_noise
from COVIDQuantLib.simulation.fields.rotation import rotation
from COVIDQuantLib.voxels.block_grid import block_shares
from COVIDQuantLib.voxels.geometry import Geometry, Triple

ATLAS_FOLDER = Path("cip_lobe_atlas", "LungLobeAtlasData")
_SAMPLE_LUNGS = "cip_ct64_lungs_L1_R2.nrrd"
_SAMPLE_LABELS = {"right": 2, "left": 1}
_SOURCE_MM = 2.1
_OUTSIDE_MM = -60.0
# Grain and greatest standard deviation of the elastic displacement, millimetres.
_ELASTIC = ((90.0, 9.0), (50.0, 4.0))
_FIELD_MM = 6.0


@dataclass(frozen=True)
class LungShape:
    """Signed distances (mm, positive inside) of one pair of lungs.

    Attributes:
        right: float32 ``[k, j, i]``.
        left: the same of the other lung.
        spacing_kji: of the distances' grid, mm.
        middle: voxel index in the middle of both lungs, k, j, i.
        size_mm: extent of both lungs along k, j, i.
    """

    right: FloatArray
    left: FloatArray
    spacing_kji: FloatArray
    middle: FloatArray
    size_mm: FloatArray


@dataclass(frozen=True)
class Margins:
    """Space around the lungs in millimetres: right, left, front, back, above, below."""

    right: float
    left: float
    front: float
    back: float
    above: float
    below: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Margins:
        """From a field of view that just covers the chest to one with arms and table; a few cover whole bodies."""
        # The field of view is the lungs' width and depth plus this; arms at the sides need about 130 mm.
        wide = rng.random() < 0.55
        side = rng.uniform((60, 60), (120, 120)) if wide else rng.uniform((25, 25), (65, 65))
        front, back = rng.uniform((35, 45), (80, 100)) if wide else rng.uniform((20, 24), (40, 55))
        above = rng.uniform(60, 110) if rng.random() < 0.08 else rng.uniform(4, 45)
        below = rng.uniform(100, 220) if rng.random() < 0.08 else rng.uniform(4, 70)
        return cls(*(float(v) for v in (*side, front, back, above, below)))


@cache
def load_shapes(data: Path) -> tuple[LungShape, ...]:
    """The real lungs under a data folder, read once.

    Args:
        data: folder with ``cip_lobe_atlas`` and ``cip_ct64_lungs_L1_R2.nrrd``.

    Raises:
        RuntimeError: a file is missing or cannot be read.
    """
    files = ((data / ATLAS_FOLDER / REFERENCE, REFERENCE_LABELS), (data / _SAMPLE_LUNGS, _SAMPLE_LABELS))
    return tuple(_load_shape(path, labels) for path, labels in files)


@cache
def load_affines(data: Path) -> FloatArray:
    """Matrices ``(n, 3, 3)`` over x, y, z from the atlas's reference lungs to its subjects."""
    transforms = [sitk.ReadTransform(str(path)) for path in sorted((data / ATLAS_FOLDER).glob("*_transform.tfm"))]
    return np.array([_matrix(transform) for transform in transforms])


def _matrix(transform: sitk.Transform) -> FloatArray:
    origin = np.array(transform.TransformPoint((0.0, 0.0, 0.0)))
    return np.array([transform.TransformPoint(axis) - origin for axis in np.eye(3).tolist()]).T


def _load_shape(path: Path, labels: dict[str, int]) -> LungShape:
    image = sitk.ReadImage(str(path))
    stored = sitk.GetArrayFromImage(image)
    spacing = np.array(image.GetSpacing()[::-1])
    factor = _SOURCE_MM / spacing
    distances = {}
    for side, label in labels.items():
        own = stored == label
        if factor.min() > 2:
            steps = np.round(factor).astype(int)
            cut = tuple(slice(0, n - n % step) for n, step in zip(own.shape, steps, strict=True))
            share = block_shares(own[cut], tuple(steps))
            voxel = spacing * steps
        else:
            share = ndimage.zoom(
                ndimage.gaussian_filter(own.astype(np.float32), 0.6), 2, order=1, grid_mode=True, mode="nearest"
            )
            voxel = spacing / 2
        share = np.pad(share, 12)
        distances[side] = _signed_distance(share > 0.5, voxel)
    both = np.argwhere(np.maximum(distances["right"], distances["left"]) > 0)
    low, high = both.min(axis=0), both.max(axis=0)
    return LungShape(distances["right"], distances["left"], voxel, 0.5 * (low + high), (high - low + 1) * voxel)


def _signed_distance(inside: np.ndarray, spacing: FloatArray) -> FloatArray:
    into = ndimage.distance_transform_edt(inside, sampling=spacing)
    out = ndimage.distance_transform_edt(~inside, sampling=spacing)
    return ndimage.gaussian_filter((into - out).astype(np.float32), 0.7)


def draw_lungs(rng: np.random.Generator, data: Path, spacing: Triple, margins: Margins) -> tuple[np.ndarray, Geometry]:
    """Real lungs under a random smooth deformation.

    Args:
        rng: random generator.
        data: folder of the shapes, see :func:`load_shapes`.
        spacing: of the grid, millimetres along k, j, i.
        margins: around the lungs.

    Returns:
        uint8 ``[k, j, i]``, 1 right, 2 left, and their grid.
    """
    shapes = load_shapes(data)
    shape = shapes[int(rng.random() < 0.35)]
    affines = load_affines(data)
    # Mixed with the identity, since some subjects are far from the reference lungs.
    own = affines[rng.integers(len(affines))]
    mix = rng.uniform(0.4, 1.0)
    to_patient = _rotation(rng) @ np.diag(rng.uniform(0.9, 1.12, 3)) @ (mix * own + (1 - mix) * np.eye(3))
    extent = np.abs(to_patient) @ shape.size_mm[::-1]
    extent = np.minimum(extent, np.linalg.svd(to_patient)[1].max() * shape.size_mm[::-1] * 1.1)[::-1]
    around = np.array([margins.above + margins.below, margins.front + margins.back, margins.right + margins.left])
    counts = np.ceil((extent + around) / spacing).astype(int)
    centre = 0.5 * (counts - 1) * spacing
    centre[0] += 0.5 * (margins.below - margins.above)
    lungs = _deformed(rng, shape, to_patient, (counts, np.array(spacing), centre))
    geometry = Geometry(lungs.shape, (spacing[2], spacing[1], spacing[0]))
    return lungs, geometry


def _rotation(rng: np.random.Generator) -> FloatArray:
    """A turn of a few degrees about each axis."""
    planes = ((0, 1), (0, 2), (1, 2))
    return rotation((*plane, np.deg2rad(np.clip(rng.normal(0, 3), -7, 7))) for plane in planes)


def _deformed(
    rng: np.random.Generator, shape: LungShape, matrix: FloatArray, grid: tuple[np.ndarray, FloatArray, FloatArray]
) -> np.ndarray:
    """Labels on a grid given by its counts, spacing and the place (mm) of the lungs' middle, all k, j, i."""
    counts, spacing, centre = grid
    coarse = np.maximum(np.ceil(counts * spacing / _FIELD_MM).astype(int) + 1, 2)
    moves = np.zeros((3, *coarse), np.float32)
    for grain, most in _ELASTIC:
        for axis in range(3):
            moves[axis] += (
                rng.uniform(0.3, 1.0) * most * gaussian_noise(rng, tuple(coarse), np.full(3, _FIELD_MM), grain)
            )
    back = np.linalg.inv(matrix)[::-1, ::-1] / shape.spacing_kji[:, None]
    lines = [
        np.arange(n) * mm / (size * mm / (c - 1))
        for n, mm, size, c in zip(counts, spacing, counts, coarse, strict=True)
    ]
    lungs = np.zeros(counts, np.uint8)
    across = np.meshgrid(lines[1], lines[2], indexing="ij")
    y, x = np.meshgrid(np.arange(counts[1]) * spacing[1], np.arange(counts[2]) * spacing[2], indexing="ij")
    for k in range(counts[0]):
        at = np.stack([np.full(y.shape, lines[0][k]), *across])
        move = np.stack([ndimage.map_coordinates(m, at, order=1, mode="nearest") for m in moves])
        place = np.stack([np.full(y.shape, k * spacing[0]) - centre[0], y - centre[1], x - centre[2]]) + move
        index = np.tensordot(back, place, 1) + shape.middle[:, None, None]
        right, left = (
            ndimage.map_coordinates(side, index, order=1, mode="constant", cval=_OUTSIDE_MM)
            for side in (shape.right, shape.left)
        )
        lungs[k] = np.where(np.maximum(right, left) > 0, np.where(right >= left, 1, 2), 0)
    return lungs
