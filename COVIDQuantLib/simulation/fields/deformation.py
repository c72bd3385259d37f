"""Random placement and deformation of chests for training, as sampling grids in source voxels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class WarpRange:
    """How far a draw may go.

    Attributes:
        degrees: rotation about each axis.
        scale: relative change of size along each axis.
        elastic: standard deviation of the displacement at the control points, voxels.
        control: distance of the control points, voxels.
    """

    degrees: float
    scale: float
    elastic: float
    control: float


def draw_warp(shape: Shape, centre: np.ndarray, allowed: WarpRange, rng: np.random.Generator) -> torch.Tensor:
    """Source positions (voxels ``k, j, i``) of each point of a patch.

    Args:
        shape: of the patch ``[k, j, i]``.
        centre: source voxel that the patch's middle falls on.
        allowed: ranges of the draw.
        rng: the draw.

    Returns:
        float32 ``[k, j, i, 3]``.
    """
    matrix = torch.from_numpy(_rotation(rng, allowed.degrees) * rng.uniform(1 - allowed.scale, 1 + allowed.scale, 3))
    axes = [torch.arange(n, dtype=torch.float32) - (n - 1) / 2 for n in shape]
    offsets = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    places = offsets @ matrix.float().T + torch.from_numpy(np.asarray(centre, np.float32))
    if allowed.elastic:
        places += smooth_noise(shape, allowed.control, rng, channels=3).movedim(0, -1) * allowed.elastic
    return places


def smooth_noise(shape: Shape, control: float, rng: np.random.Generator, channels: int = 1) -> torch.Tensor:
    """Noise of unit deviation at control points ``control`` voxels apart, smooth between: ``[channels, k, j, i]``."""
    # One size of control grid stretched at random, so that the fields have no common lattice.
    size = [max(2, round(n / (control * rng.uniform(0.8, 1.25))) + 1) for n in shape]
    points = torch.from_numpy(rng.standard_normal((1, channels, *size)).astype(np.float32))
    padded = functional.pad(points, (1,) * 6, mode="replicate")
    fine = functional.interpolate(padded, size=[n + 2 * round(control) for n in shape], mode="trilinear")
    pad = round(control)
    box = tuple(slice(pad, pad + n) for n in shape)
    field: torch.Tensor = fine[(0, slice(None), *box)]
    return field


def pull(volume: torch.Tensor, places: torch.Tensor, *, outside: float = 0.0, nearest: bool = False) -> torch.Tensor:
    """A volume seen at the places of a warp.

    Args:
        volume: ``[c, k, j, i]`` float.
        places: ``[k', j', i', 3]`` source voxels.
        outside: value beyond the volume's edge.
        nearest: for labels.

    Returns:
        ``[c, k', j', i']``.
    """
    sizes = torch.tensor(volume.shape[1:], dtype=torch.float32)
    grid = ((places + 0.5) / sizes * 2 - 1).flip(-1)
    mode = "nearest" if nearest else "bilinear"
    seen = functional.grid_sample((volume - outside)[None], grid[None], mode=mode, align_corners=False)
    return seen[0] + outside


def _rotation(rng: np.random.Generator, degrees: float) -> np.ndarray:
    result = np.eye(3)
    for axis in range(3):
        angle = np.deg2rad(rng.uniform(-degrees, degrees))
        turn = np.eye(3)
        a, b = [n for n in range(3) if n != axis]
        turn[a, a] = turn[b, b] = np.cos(angle)
        turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
        result = result @ turn
    return result
