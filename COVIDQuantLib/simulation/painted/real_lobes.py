"""Lobe maps of real people: read, cleaned, deformed at random, on a grid with room for a whole body.

The maps are those of TotalSegmentator's training set (five lobes at 1.5 mm, cropped to the lungs): voxel steps are
smoothed and holes left by vessels and bronchi filled. Right and left are never exchanged.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from scipy import ndimage

from COVIDQuantLib.anatomy import labels_of_side
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.simulation.fields.deformation import WarpRange, draw_warp, pull
from COVIDQuantLib.simulation.painted.lung_shapes import Margins
from COVIDQuantLib.voxels.morphology import close, components

GRID_MM = 2.0
_PAD, _HOLES_MM, _SMOOTH = 6, 5.0, 1.1
_WARP = WarpRange(degrees=5, scale=0.09, elastic=2.2, control=24)
_LOBES = 5


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
        raise UnfitInputError(
            "the lobe map cannot be read", str(path), "Replace the file, or remove it.", "unreadable"
        ) from error
    spacing = np.array(image.GetSpacing()[::-1])
    labels = np.pad(sitk.GetArrayFromImage(image), _PAD)
    return soft_lobes(labels, spacing), spacing


def soft_lobes(labels: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Shares of the lobes of a label map: holes filled, voxel steps smoothed.

    Args:
        labels: uint8 ``[k, j, i]``, 1..5.
        spacing: millimetres along k, j, i.

    Returns:
        float32 ``[5, k, j, i]``; their sum is the share of lung.
    """
    k, j, i = (float(mm) for mm in spacing)
    filled = np.zeros(labels.shape, bool)
    for side in ("right", "left"):
        lung = close(np.isin(labels, labels_of_side(side)), _HOLES_MM, (k, j, i))
        filled |= ndimage.binary_fill_holes(lung)
    shares = np.stack(
        [ndimage.gaussian_filter((labels == n + 1).astype(np.float32), _SMOOTH, truncate=3) for n in range(_LOBES)]
    )
    lung = ndimage.gaussian_filter((filled | (labels > 0)).astype(np.float32), _SMOOTH, truncate=3)
    total = shares.sum(axis=0)
    return np.asarray(shares * (lung / np.maximum(total, 1e-3)) * (total > 1e-3), np.float32)


def place_lobes(
    shares: np.ndarray, spacing: np.ndarray, margins: Margins, rng: np.random.Generator, scale: float = 1.0
) -> np.ndarray:
    """Lobes deformed at random on a grid of ``GRID_MM`` with room about them.

    Args:
        shares: of :func:`soft_lobes`.
        spacing: of the shares, millimetres along k, j, i.
        margins: around the lungs.
        rng: the draw.
        scale: factor on the person's size.

    Returns:
        uint8 ``[k, j, i]``, 1..5.
    """
    _, *size = shares.shape
    extent = np.array(size) * spacing * scale
    pads = np.array([(margins.below, margins.above), (margins.front, margins.back), (margins.right, margins.left)])
    shape = np.ceil((extent + pads.sum(axis=1)) / GRID_MM).astype(int)
    middle = (np.array(size) - 1) / 2 + 0.5 * (pads[:, 1] - pads[:, 0]) / (spacing * scale)
    k, j, i = (int(n) for n in shape)
    places = draw_warp((k, j, i), np.zeros(3), _WARP, rng)
    per_voxel = torch.from_numpy((GRID_MM / (spacing * scale)).astype(np.float32))
    places = places * per_voxel + torch.from_numpy(middle.astype(np.float32))
    sampled = pull(torch.from_numpy(shares), places).numpy()
    best = sampled.argmax(axis=0).astype(np.uint8) + 1
    best[sampled.sum(axis=0) < 0.5] = 0
    return _whole(best)


def _whole(lobes: np.ndarray) -> np.ndarray:
    """The lobes without small detached pieces."""
    for value in range(1, _LOBES + 1):
        pieces, sizes = components(lobes == value)
        if len(sizes) > 2:
            sizes[0] = 0
            lobes[(pieces > 0) & (sizes < 0.05 * sizes.max())[pieces]] = 0
    return lobes
