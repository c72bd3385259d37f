"""The second stage of registration: a smooth displacement by demons on several features at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter, map_coordinates

from COVIDQuantLib.followup.registration.channels import FloatArray

_INVERSE_STEPS = 15
# No step moves a voxel by more than this, in voxels; done when they move by less than that on average.
_LARGEST_STEP, _SETTLED = 0.6, 0.004


@dataclass(frozen=True)
class Level:
    """One pass from coarse to fine.

    Attributes:
        spacing_mm: of the grid.
        steps: most iterations.
        update_mm: the steps are smoothed by a Gaussian of this standard deviation.
        whole_mm: so is the whole displacement, after every step.
        structure: whether the CT's structure has a say.
    """

    spacing_mm: float
    steps: int
    update_mm: float
    whole_mm: float
    structure: bool


@dataclass(frozen=True)
class Features:
    """The features of both exams on one grid, the moving ones after the affine map.

    Attributes:
        moving: float32 ``[k, j, i, c]``.
        fixed: the same.
        active: the voxels whose features are compared, bool ``[k, j, i]``.
        trust: of the moving and of the fixed exam, 1 where the last feature counts ``[k, j, i]``; None where all
            features count everywhere.
    """

    moving: FloatArray
    fixed: FloatArray
    active: np.ndarray
    trust: tuple[FloatArray, FloatArray] | None = None


def demons(features: Features, start: FloatArray, level: Level) -> FloatArray:
    """Refine a displacement so that the moving features fit the fixed ones.

    Args:
        features: of both exams.
        start: displacement in voxels ``[3, k, j, i]`` (components k, j, i), from fixed to moving.
        level: how.

    Returns:
        The displacement in voxels, as ``start``.
    """
    active = features.active
    at = np.argwhere(active).astype(np.float32)
    moving, fixed = features.moving, features.fixed[active]
    slopes = _slopes(features.fixed)[active]
    trusted = np.ones(len(at), np.float32)
    if features.trust is not None:
        moving = np.concatenate([moving, np.expand_dims(features.trust[0], -1)], axis=-1)
        trusted = features.trust[1][active]
    update_sigma, whole_sigma = level.update_mm / level.spacing_mm, level.whole_mm / level.spacing_mm
    moving_slopes = _slopes(features.moving)
    moving = np.concatenate([moving, moving_slopes.reshape(*moving.shape[:3], -1)], axis=-1)
    count = fixed.shape[-1]
    field = start.astype(np.float32)
    for _ in range(level.steps):
        warped = interpolated(moving, at + field[:, active].T)
        difference = fixed - warped[:, :count]
        if features.trust is not None:
            difference[:, -1] *= np.minimum(warped[:, count], trusted)
        # The mean of both slopes (Thirion; symmetric) converges in half the steps.
        both = 0.5 * (slopes + warped[:, -3 * count :].reshape(len(at), count, 3))
        step = np.zeros_like(field)
        step[:, active] = _force(difference, both).T
        step = np.stack([gaussian_filter(part, update_sigma, truncate=3) for part in step])
        carried = field.copy()
        carried[:, active] = interpolated(np.moveaxis(field, 0, -1), at + step[:, active].T).T
        field = np.stack([gaussian_filter(part, whole_sigma, truncate=3) for part in carried + step])
        if float(np.abs(step[:, active]).mean()) < _SETTLED:
            break
    return field


def _slopes(values: FloatArray) -> FloatArray:
    """Slopes ``[k, j, i, c, 3]`` of features ``[k, j, i, c]`` per voxel along k, j, i."""
    return np.stack(np.gradient(values, axis=(0, 1, 2)), axis=-1).astype(np.float32)


def _force(difference: FloatArray, slopes: FloatArray) -> FloatArray:
    """The demons' step in voxels ``[n, 3]``: down the squared differences ``[n, c]`` along the slopes ``[n, c, 3]``."""
    force = np.einsum("nc,nca->na", difference, slopes)
    # One feature of difference d and slope s alone moves by d·s / (s² + d²/4m²), which is never more than m.
    weight = np.einsum("nca,nca->n", slopes, slopes) + (difference**2).sum(axis=1) / (4 * _LARGEST_STEP**2)
    return force / (weight + np.float32(1e-3))[:, None]


def interpolated(values: FloatArray, at: FloatArray) -> FloatArray:
    """Values ``[k, j, i, c]`` at places ``[n, 3]`` in voxels, linearly; beyond the edge those of the edge.

    Returns:
        float32 ``[n, c]``.
    """
    shape = np.array(values.shape[:3])
    flat = np.ascontiguousarray(values, np.float32).reshape(-1, values.shape[3])
    at = np.clip(at, 0, shape - 1)
    low = np.minimum(at.astype(np.intp), shape - 2)
    share = (at - low).astype(np.float32)
    first = (low[:, 0] * shape[1] + low[:, 1]) * shape[2] + low[:, 2]
    result = np.zeros((len(at), values.shape[3]), np.float32)
    for k in (0, 1):
        for j in (0, 1):
            for i in (0, 1):
                corner = np.array((k, j, i))
                weight = np.where(corner, share, 1 - share).prod(axis=1)
                result += weight[:, None] * flat[first + (k * shape[1] + j) * shape[2] + i]
    return result


def inverse(field: FloatArray) -> FloatArray:
    """The displacement (voxels, as :func:`demons`) that undoes another."""
    grid = np.stack(np.meshgrid(*(np.arange(n, dtype=np.float32) for n in field.shape[1:]), indexing="ij"))
    back = -field
    for _ in range(_INVERSE_STEPS):
        back = -np.stack([map_coordinates(part, grid + back, order=1, mode="nearest") for part in field])
    return back


def folded_share(field: FloatArray, where: np.ndarray) -> float:
    """Share of some voxels where the displacement (voxels) turns space inside out."""
    slopes = np.stack([np.stack(np.gradient(part)) for part in field])
    jacobian = np.linalg.det(np.moveaxis(slopes, (0, 1), (-2, -1))[where] + np.eye(3))
    return float(np.mean(jacobian <= 0)) if jacobian.size else 0.0


def field_transform(field: FloatArray, grid: sitk.Image) -> sitk.Transform:
    """A displacement in voxels of a grid along the axes as a transform in millimetres."""
    mm = np.moveaxis(field[::-1], 0, -1) * np.asarray(grid.GetSpacing())
    image = sitk.GetImageFromArray(np.ascontiguousarray(mm, np.float64), isVector=True)
    image.CopyInformation(grid)
    return sitk.DisplacementFieldTransform(image)
