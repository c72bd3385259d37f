"""Thicker sections out of thinner ones, and pictures the other way round, for measuring one CT in several ways."""

import numpy as np

from COVIDQuantLib.ct.volume import CTVolume
from COVIDQuantLib.voxels.geometry import Geometry


def averaged(volume: np.ndarray, step: float, thickness: float) -> np.ndarray:
    """Means over sections of some thickness, from the lowest up.

    Args:
        volume: any numbers ``[k, j, i]``.
        step: distance of its sections, mm.
        thickness: of the new ones, mm; the last one that is not full is left out.
    """
    total = np.concatenate([np.zeros((1, *volume.shape[1:])), np.cumsum(volume, axis=0, dtype=np.float64)])
    edges = np.arange(0, volume.shape[0] + 1e-6, thickness / step)
    low = np.minimum(edges.astype(int), volume.shape[0] - 1)
    share = (edges - low)[:, None, None]
    at = total[low] * (1 - share) + total[low + 1] * share
    return (np.diff(at, axis=0) * step / thickness).astype(np.float32)


def thicker(ct: CTVolume, thickness: float) -> CTVolume:
    """A CT of axial sections averaged to a thickness in mm; the same if its own are as thick."""
    step = ct.geometry.spacing[2]
    if thickness <= 1.05 * step:
        return ct
    hu = np.rint(averaged(ct.hu, step, thickness)).astype(np.int16)
    shift = np.reshape(ct.geometry.direction, (3, 3))[:, 2] * (thickness - step) / 2
    x, y, z = (float(value) for value in np.array(ct.geometry.origin) + shift)
    i, j, _ = ct.geometry.spacing
    padding = None if ct.padding is None else averaged(ct.padding, step, thickness) > 0.5
    geometry = Geometry(hu.shape, (i, j, thickness), (x, y, z), ct.geometry.direction)
    return CTVolume(hu, geometry, padding, dict(ct.source), list(ct.warnings))


def mirrored(ct: CTVolume) -> CTVolume:
    """The same grid with what is on the patient's right now on the left; the CT has to be in canonical orientation."""
    padding = None if ct.padding is None else ct.padding[:, :, ::-1].copy()
    return CTVolume(ct.hu[:, :, ::-1].copy(), ct.geometry, padding, dict(ct.source), list(ct.warnings))
