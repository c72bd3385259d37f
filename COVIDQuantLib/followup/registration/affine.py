"""The first stage of registration: the affine map that lays two pairs of lungs over each other best."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from COVIDQuantLib.followup.registration.channels import FloatArray, sampled

_STEPS = 30
# Done when no corner of the lungs' box moves by more than this from one step to the next.
_SETTLED_MM = 0.05
# Little stretch and shear at first: lungs that are cut off or swapped must not be torn.
_DAMPING = 1e-3


def lay_over(moving: sitk.Image, fixed: sitk.Image, grid: sitk.Image) -> sitk.AffineTransform:
    """The affine map from points of the fixed exam to points of the moving one, by Gauss-Newton steps.

    Args:
        moving: vector image of the signed distances to each lung, positive inside.
        fixed: the same of the fixed exam.
        grid: where they are compared.
    """
    target = sampled(fixed, grid)
    points = _points(grid)
    near = (np.abs(target) < np.abs(target).max() - 1e-3).any(axis=-1) | (target > 0).any(axis=-1)
    centre = points[(target > 0).any(axis=-1)].mean(axis=0)
    linear, shift = np.eye(3), _middle(moving) - centre
    half = 0.5 * np.ptp(points[near], axis=0)
    for _ in range(_STEPS):
        warped = sampled(moving, grid, _affine(linear, shift, centre))
        step = _step(warped, target, (points - centre) / half, near, grid.GetSpacing()[0])
        # The step moves the fixed points before the map found so far.
        matrix, offset = step[:, :3] / half, step[:, 3]
        shift = shift + linear @ offset
        linear = linear @ (np.eye(3) + matrix)
        if np.abs(step).sum(axis=1).max() < _SETTLED_MM:
            break
    return _affine(linear, shift, centre)


def _affine(linear: FloatArray, shift: FloatArray, centre: FloatArray) -> sitk.AffineTransform:
    return sitk.AffineTransform(
        [float(v) for v in linear.ravel()], [float(v) for v in shift], [float(v) for v in centre]
    )


def _points(grid: sitk.Image) -> FloatArray:
    """LPS positions ``[k, j, i, 3]`` of a grid along the axes."""
    axes = [o + s * np.arange(n) for o, s, n in zip(grid.GetOrigin(), grid.GetSpacing(), grid.GetSize(), strict=True)]
    z, y, x = np.meshgrid(axes[2], axes[1], axes[0], indexing="ij")
    return np.stack([x, y, z], axis=-1)


def _middle(image: sitk.Image) -> FloatArray:
    """Mean LPS position of what lies inside either lung."""
    inside = (sitk.GetArrayFromImage(image) > 0).any(axis=-1)
    k, j, i = np.argwhere(inside).mean(axis=0)
    return np.array(image.TransformContinuousIndexToPhysicalPoint((float(i), float(j), float(k))))


def _step(warped: FloatArray, target: FloatArray, unit: FloatArray, near: np.ndarray, spacing: float) -> FloatArray:
    """The change ``[3, 4]`` (linear part per half size of the lungs, and shift; mm) that brings both nearest."""
    rows, residuals = [], []
    terms = np.concatenate([unit[near], np.ones((np.count_nonzero(near), 1))], axis=1)
    for channel in range(target.shape[-1]):
        slopes = np.gradient(warped[..., channel], spacing)
        slope = np.stack([slopes[2][near], slopes[1][near], slopes[0][near]], axis=1)
        rows.append((slope[:, :, None] * terms[:, None, :]).reshape(len(slope), 12))
        residuals.append((target - warped)[..., channel][near])
    matrix, residual = np.concatenate(rows), np.concatenate(residuals)
    normal = np.einsum("na,nb->ab", matrix, matrix)
    normal += _DAMPING * np.trace(normal) / 12 * np.eye(12)
    found: FloatArray = np.linalg.solve(normal, np.einsum("na,n->a", matrix, residual))
    return found.reshape(3, 4)
