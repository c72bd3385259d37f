"""Lungs of real shape, each changed by a random smooth deformation, on a grid that holds the whole chest.

The shapes come from the Chest Imaging Platform: the reference lungs of its lobe atlas, its small sample CT, and the
affines that carry the reference lungs to a hundred subjects.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from COVIDQuantLib.segmentation.atlas.fit import REFERENCE, REFERENCE_LABELS
from COVIDQuantLib.simulation.fields.smooth_fields import FloatArray
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
    """Room about the lungs, millimetres: at the sides, in front and behind, above and below."""

    side: float
    depth: float
    above: float
    below: float


@cache
def load_shapes(data: Path) -> tuple[LungShape, ...]:
    """The real lungs under a data folder, read once.

    Args:
        data: folder that holds ``cip_lobe_atlas`` and ``cip_ct64_lungs_L1_R2.nrrd``.

    Raises:
        RuntimeError: a file is missing or cannot be read.
    """
    files = ((data / ATLAS_FOLDER / REFERENCE, REFERENCE_LABELS), (data / _SAMPLE_LUNGS, _SAMPLE_LABELS))
    return tuple(_load_shape(path, labels) for path, labels in files)


@cache
def load_affines(data: Path) -> FloatArray:
    """Matrices ``(n, 3, 3)`` over x, y, z that carry the atlas's reference lungs to its subjects."""
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
            parts = [n for size, step in zip(own[cut].shape, steps, strict=True) for n in (size // step, step)]
            share = own[cut].reshape(parts).mean(axis=(1, 3, 5), dtype=np.float32)
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
        rng: what the draw depends on.
        data: folder of the shapes, see :func:`load_shapes`.
        spacing: of the grid wanted, millimetres along k, j, i.
        margins: room about the lungs.

    Returns:
        uint8 ``[k, j, i]``, 1 right, 2 left, and the grid it lies on.
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
    room = np.array([margins.above + margins.below, 2 * margins.depth, 2 * margins.side])
    counts = np.ceil((extent + room) / spacing).astype(int)
    centre = 0.5 * (counts - 1) * spacing
    centre[0] += 0.5 * (margins.below - margins.above)
    lungs = _deformed(rng, shape, to_patient, (counts, np.array(spacing), centre))
    geometry = Geometry(lungs.shape, (spacing[2], spacing[1], spacing[0]))
    return lungs, geometry


def _rotation(rng: np.random.Generator) -> FloatArray:
    """A turn of a few degrees about each axis."""
    turn = np.eye(3)
    for first, second in ((0, 1), (0, 2), (1, 2)):
        angle = np.deg2rad(np.clip(rng.normal(0, 3), -7, 7))
        step = np.eye(3)
        step[[first, second], [first, second]] = np.cos(angle)
        step[first, second], step[second, first] = -np.sin(angle), np.sin(angle)
        turn = turn @ step
    return turn


def smooth_field(rng: np.random.Generator, shape: tuple[int, ...], spacing: FloatArray, grain_mm: float) -> FloatArray:
    """A random field of unit standard deviation over a grid whose details are about ``grain_mm`` apart (float32)."""
    sigma = 0.42 * grain_mm / np.asarray(spacing)
    pad = [int(np.ceil(2 * s)) for s in sigma]
    white = rng.standard_normal([n + 2 * p for n, p in zip(shape, pad, strict=True)], dtype=np.float32)
    field = ndimage.gaussian_filter(white, sigma, truncate=2.5)
    field = field[tuple(slice(p, p + n) for n, p in zip(shape, pad, strict=True))]
    return field / max(float(np.sqrt(np.mean(field**2))), 1e-6)


def _deformed(
    rng: np.random.Generator, shape: LungShape, matrix: FloatArray, grid: tuple[np.ndarray, FloatArray, FloatArray]
) -> np.ndarray:
    """Labels on a grid given by its counts, spacing and the place (mm) of the lungs' middle, all k, j, i."""
    counts, spacing, centre = grid
    coarse = np.maximum(np.ceil(counts * spacing / _FIELD_MM).astype(int) + 1, 2)
    moves = np.zeros((3, *coarse), np.float32)
    for grain, most in _ELASTIC:
        for axis in range(3):
            moves[axis] += rng.uniform(0.3, 1.0) * most * smooth_field(rng, tuple(coarse), np.full(3, _FIELD_MM), grain)
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
