"""Checks on the image itself where the header is silent: noise, contrast medium, lungs, slices that do not fit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from COVIDQuantLib.ct.masks.label_positions import label_counts
from COVIDQuantLib.ct.volume import CTVolume
from COVIDQuantLib.voxels.geometry import Reorientation
from COVIDQuantLib.voxels.morphology import on_both_sides

_TISSUE_HU = (-20, 100)
_SLICES = 24
_MAD_TO_SIGMA = 1.4826
# Blood with contrast medium is this dense over blocks of about 4 mm, evenly so, and there is much of it in one piece.
_BLOOD_HU = (130.0, 600.0)
_BLOCK_MM = 4.0
# A few voxels along each axis of a block are enough for its mean and spread.
_BLOCK_VOXELS = 3
_EVEN_HU = 45.0
_CORE_ML = 5.0
_MIN_BLOOD_ML = 30.0
# Marrow is dense and even too, but lies in a shell of cortical bone: that much denser, over that much of its surface.
_SHELL_HU = 100.0
_SHELL_SHARE = 0.2
# Aerated lung, smoothed; air outside the body is thinner.
_LUNG_HU = (-940, -500)
# A slice differs from both neighbours by this (median over tissue), and by so many times the usual.
_FOREIGN_HU = 150.0
_FOREIGN_TIMES = 5.0


def noise_hu(ct: CTVolume) -> float:
    """Standard deviation of the noise in soft tissue, HU: from differences of voxels two apart in a slice.

    Robust against edges (median absolute deviation); 0 where there is too little tissue.
    """
    found = [_differences(plane) for plane in ct.hu[:: max(1, len(ct.hu) // _SLICES)]]
    differences = np.concatenate(found) if found else np.empty(0, np.float32)
    if differences.size < 1000:
        return 0.0
    return float(_MAD_TO_SIGMA * np.median(np.abs(differences)) / np.sqrt(2.0))


def _differences(plane: np.ndarray) -> np.ndarray:
    """Of voxels two apart in the soft tissue of a slice."""
    hu = plane.astype(np.float32)
    smooth = ndimage.uniform_filter(hu, 5)
    tissue = (smooth > _TISSUE_HU[0]) & (smooth < _TISSUE_HU[1])
    tissue = ndimage.binary_erosion(tissue, np.ones((5, 5)))
    both = tissue[:, :-2] & tissue[:, 2:]
    found: np.ndarray = (hu[:, 2:] - hu[:, :-2])[both]
    return found


def lung_share(slices: np.ndarray) -> float:
    """Largest share of a slice (``[n, j, i]``, HU) that looks like aerated lung: 0.2 in mid chest, 0.02 elsewhere."""
    smooth = ndimage.uniform_filter(slices.astype(np.float32), (0, 5, 5))
    lung = (smooth > _LUNG_HU[0]) & (smooth < _LUNG_HU[1])
    # The blurred skin passes through these values too, but as a thin line.
    return float(ndimage.binary_opening(lung, np.ones((1, 5, 5))).mean(axis=(1, 2)).max())


def foreign_slices(ct: CTVolume) -> list[int]:
    """Indices of slices that resemble neither neighbour, as from a damaged file that still decodes."""
    step = (slice(None), slice(None, None, 4), slice(None, None, 4))
    # Slices without measured voxels cannot be judged.
    shown = np.arange(len(ct.hu)) if ct.padding is None else np.flatnonzero(~ct.padding[step].all(axis=(1, 2)))
    if len(shown) < 3:
        return []
    hu = ct.hu[step][shown].astype(np.int32)
    # Where both slices show air, nothing can be concluded; only the body counts.
    body = (hu[1:] > -900) | (hu[:-1] > -900)
    gaps = np.array([_median(np.abs(b - a)[m]) for a, b, m in zip(hu[:-1], hu[1:], body, strict=True)])
    usual = max(float(np.median(gaps)), 1.0)
    strange = gaps > max(_FOREIGN_HU, _FOREIGN_TIMES * usual)
    beside = np.concatenate([[True], strange, [True]])
    alone = beside[:-1] & beside[1:]
    # An end slice has one neighbour: it must differ from it while that neighbour matches the next one.
    alone[0] &= not strange[1:2].any()
    alone[-1] &= not strange[-2:-1].any()
    return [int(k) for k in shown[alone]]


def _median(values: np.ndarray) -> float:
    return float(np.median(values)) if values.size else 0.0


@dataclass(frozen=True)
class _Blocks:
    """Mean, evenness and maximum of blocks of about 4 mm, and a block's volume."""

    mean: np.ndarray
    even: np.ndarray
    highest: np.ndarray
    ml: float


def has_bright_blood(ct: CTVolume) -> bool:
    """Whether a large even region between the lungs is as dense as blood with contrast medium (heart, large vessels).

    Never true on grids too coarse to judge evenness. Tables, implants and marrow are as dense without contrast medium.
    """
    # A view of the voxels: a copy would double the memory.
    turn = Reorientation.of(ct.geometry)
    blocks = _blocks(CTVolume(turn.apply(ct.hu), turn.canonical))
    if blocks is None:
        return False
    bright = (blocks.mean > _BLOOD_HU[0]) & (blocks.mean < _BLOOD_HU[1]) & blocks.even
    bright &= _between_lungs(blocks)
    # Plates have no core, and cores are parted where heart and spine just touch.
    cores, _ = ndimage.label(ndimage.binary_erosion(bright))
    large = [n for n, voxels in label_counts(cores).items() if voxels * blocks.ml >= _CORE_ML]
    chambers = [ndimage.binary_dilation(cores == n) & bright for n in large]
    volume = sum(np.count_nonzero(c) * blocks.ml for c in chambers if not _in_shell(c, blocks))
    return bool(volume >= _MIN_BLOOD_ML)


def _between_lungs(blocks: _Blocks) -> np.ndarray:
    """Where aerated lung lies to the right and to the left in the same row of a slice."""
    lung = (blocks.mean > _LUNG_HU[0]) & (blocks.mean < _LUNG_HU[1])
    # The blurred skin passes through these values too, but as a thin line.
    lung = ndimage.binary_opening(lung, np.ones((1, 3, 3)))
    return on_both_sides(lung, 2)


def _in_shell(region: np.ndarray, blocks: _Blocks) -> bool:
    around = ndimage.binary_dilation(region) & ~region
    denser = blocks.highest[around] > blocks.mean[region].mean() + _SHELL_HU
    return bool(denser.mean() > _SHELL_SHARE)


def _blocks(ct: CTVolume) -> _Blocks | None:
    """Blocks of about 4 mm; None where they would hold too few voxels to measure their spread."""
    whole = [max(1, round(_BLOCK_MM / s)) for s in ct.geometry.spacing_kji]
    step = [max(1, size // _BLOCK_VOXELS) for size in whole]
    size = [w // s for w, s in zip(whole, step, strict=True)]
    if np.prod(size) < 4:
        return None
    hu = ct.hu[:: step[0], :: step[1], :: step[2]]
    k, j, i = (n // b for n, b in zip(hu.shape, size, strict=True))
    mean, highest = (np.empty((k, j, i), kind) for kind in (np.float32, np.int16))
    even = np.empty((k, j, i), bool)
    for n in range(k):
        slab = hu[n * size[0] : (n + 1) * size[0], : j * size[1], : i * size[2]].astype(np.float32)
        slab = slab.reshape(size[0], j, size[1], i, size[2])
        mean[n] = slab.mean(axis=(0, 2, 4))
        even[n] = slab.std(axis=(0, 2, 4)) < _EVEN_HU
        highest[n] = slab.max(axis=(0, 2, 4))
    return _Blocks(mean, even, highest, float(np.prod(size) * np.prod(step) * ct.geometry.voxel_volume_ml))
