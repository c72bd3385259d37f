"""What the picture itself tells where the header is silent: noise, and contrast medium in the blood."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from COVIDQuantLib.ct.volume import CTVolume

_TISSUE_HU = (-20, 100)
_SLICES = 24
_MAD_TO_SIGMA = 1.4826
# Enhanced blood is this dense over blocks of about 8 mm, evenly so, and there is so much of it; marrow is not so even.
_BLOOD_HU = (130.0, 600.0)
_BLOCK_MM = 4.0
_EVEN_HU = 45.0
_MIN_BLOOD_ML = 40.0


def noise_hu(ct: CTVolume) -> float:
    """Standard deviation of the noise in soft tissue, HU: from differences of voxels two apart in a slice.

    Robust against edges (median absolute deviation); 0 where there is too little tissue.
    """
    hu = ct.hu[:: max(1, len(ct.hu) // _SLICES)].astype(np.float32)
    smooth = ndimage.uniform_filter(hu, (0, 5, 5))
    tissue = (smooth > _TISSUE_HU[0]) & (smooth < _TISSUE_HU[1])
    both = tissue[:, :, :-2] & tissue[:, :, 2:]
    differences = (hu[:, :, 2:] - hu[:, :, :-2])[both]
    if differences.size < 1000:
        return 0.0
    return float(_MAD_TO_SIGMA * np.median(np.abs(differences)) / np.sqrt(2.0))


def has_bright_blood(ct: CTVolume) -> bool:
    """Whether a large even region is as dense as blood with contrast medium (heart, aorta, pulmonary trunk)."""
    mean, spread, block_ml = _blocks(ct)
    bright = (mean > _BLOOD_HU[0]) & (mean < _BLOOD_HU[1]) & (spread < _EVEN_HU)
    regions, count = ndimage.label(bright)
    if not count:
        return False
    return bool(np.bincount(regions.ravel())[1:].max() * block_ml >= _MIN_BLOOD_ML)


def _blocks(ct: CTVolume) -> tuple[np.ndarray, np.ndarray, float]:
    """Mean and standard deviation over blocks of about 4 mm, and the volume of a block."""
    spacing = ct.geometry.spacing_kji
    size = [max(1, round(_BLOCK_MM / s)) for s in spacing]
    whole = [n // b * b for n, b in zip(ct.hu.shape, size, strict=True)]
    blocks = ct.hu[: whole[0], : whole[1], : whole[2]].reshape(
        whole[0] // size[0], size[0], whole[1] // size[1], size[1], whole[2] // size[2], size[2]
    )
    mean = blocks.mean(axis=(1, 3, 5), dtype=np.float32)
    square = np.empty_like(mean)
    for k, slab in enumerate(blocks):
        square[k] = np.square(slab, dtype=np.float32).mean(axis=(0, 2, 4))
    spread = np.sqrt(np.maximum(square - mean**2, 0.0))
    return mean, spread, float(np.prod(size) * ct.geometry.voxel_volume_ml)
