"""Lobes of real people on a grid with room for a whole body: read, tidied, bent at random.

The maps are those of TotalSegmentator's training set (five lobes at 1.5 mm, cropped to the lungs): their stairs are
smoothed and small holes that vessels and bronchi left are filled. Right and left are never exchanged.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from scipy import ndimage

from COVIDQuantLib.anatomy import SIDES, labels_of_side
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.simulation.fields.deformation import WarpRange, draw_warp, pull
from COVIDQuantLib.voxels.morphology import close

GRID_MM = 2.0
_PAD, _HOLES_MM, _SMOOTH = 6, 5.0, 1.1
_WARP = WarpRange(degrees=5, scale=0.09, elastic=2.2, control=24)
_LOBES = 5


@dataclass(frozen=True)
class Room:
    """Space about the lungs in millimetres: to either side, before, behind, above, below."""

    right: float
    left: float
    front: float
    back: float
    above: float
    below: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Room:
        """From a field of view that hardly holds the chest to one with arms and table; a few are whole bodies."""
        # What is seen is the lungs' width and depth plus this; arms at the sides need about 130 mm.
        wide = rng.random() < 0.55
        side = rng.uniform((60, 60), (120, 120)) if wide else rng.uniform((25, 25), (65, 65))
        front, back = rng.uniform((35, 45), (80, 100)) if wide else rng.uniform((20, 24), (40, 55))
        above = rng.uniform(60, 110) if rng.random() < 0.08 else rng.uniform(4, 45)
        below = rng.uniform(100, 220) if rng.random() < 0.08 else rng.uniform(4, 70)
        return cls(*(float(v) for v in (*side, front, back, above, below)))


def read_lobes(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Shares of the five lobes, smooth at their edges, and the spacing.

    Args:
        path: a label map of lobes 1..5.

    Returns:
        float32 ``[5, k, j, i]`` with a margin, and millimetres along k, j, i.

    Raises:
        UnfitInputError: the file cannot be read.
    """
    try:
        image = sitk.DICOMOrient(sitk.ReadImage(str(path)), "LPS")
    except RuntimeError as error:
        raise UnfitInputError("the lobe map cannot be read", str(path), "Mend it or leave it out.") from error
    spacing = np.array(image.GetSpacing()[::-1])
    labels = np.pad(sitk.GetArrayFromImage(image), _PAD)
    return soft_lobes(labels, spacing), spacing


def soft_lobes(labels: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Shares of the lobes of a label map: holes filled, stairs smoothed.

    Args:
        labels: uint8 ``[k, j, i]``, 1..5.
        spacing: millimetres along k, j, i.

    Returns:
        float32 ``[5, k, j, i]``; their sum is the share of lung.
    """
    k, j, i = (float(mm) for mm in spacing)
    filled = np.zeros(labels.shape, bool)
    for side in SIDES:
        lung = close(np.isin(labels, labels_of_side(side)), _HOLES_MM, (k, j, i))
        filled |= ndimage.binary_fill_holes(lung)
    shares = np.stack(
        [ndimage.gaussian_filter((labels == n + 1).astype(np.float32), _SMOOTH, truncate=3) for n in range(_LOBES)]
    )
    lung = ndimage.gaussian_filter((filled | (labels > 0)).astype(np.float32), _SMOOTH, truncate=3)
    total = shares.sum(axis=0)
    return np.asarray(shares * (lung / np.maximum(total, 1e-3)) * (total > 1e-3), np.float32)


def place_lobes(
    shares: np.ndarray, spacing: np.ndarray, room: Room, rng: np.random.Generator, scale: float = 1.0
) -> np.ndarray:
    """Lobes bent at random on a grid of ``GRID_MM`` with room about them.

    Args:
        shares: of :func:`soft_lobes`.
        spacing: of the shares, millimetres along k, j, i.
        room: about the lungs.
        rng: the draw.
        scale: size of the person, 1 as they are.

    Returns:
        uint8 ``[k, j, i]``, 1..5.
    """
    _, *size = shares.shape
    extent = np.array(size) * spacing * scale
    pads = np.array([(room.below, room.above), (room.front, room.back), (room.right, room.left)])
    shape = np.ceil((extent + pads.sum(axis=1)) / GRID_MM).astype(int)
    middle = (np.array(size) - 1) / 2 + 0.5 * (pads[:, 1] - pads[:, 0]) / (spacing * scale)
    k, j, i = (int(n) for n in shape)
    places = draw_warp((k, j, i), np.zeros(3), _WARP, rng)
    per_voxel = torch.from_numpy((GRID_MM / (spacing * scale)).astype(np.float32))
    places = places * per_voxel + torch.from_numpy(middle.astype(np.float32))
    seen = pull(torch.from_numpy(shares), places).numpy()
    best = seen.argmax(axis=0).astype(np.uint8) + 1
    best[seen.sum(axis=0) < 0.5] = 0
    return _whole(best)


def _whole(lobes: np.ndarray) -> np.ndarray:
    """The lobes without loose crumbs."""
    for value in range(1, _LOBES + 1):
        pieces, count = ndimage.label(lobes == value)
        if count > 1:
            sizes = np.bincount(pieces.ravel())
            sizes[0] = 0
            lobes[(pieces > 0) & (sizes < 0.05 * sizes.max())[pieces]] = 0
    return lobes
