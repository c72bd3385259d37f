"""Linear interpolation of fields between regular grids."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from COVIDQuantLib.simulation.fields.arrays import FloatArray
from COVIDQuantLib.voxels.interpolation import linear_matrix


def lerp(field: FloatArray, coordinates: Sequence[FloatArray], *, wrap: bool = False) -> FloatArray:
    """Linear interpolation of a field ``[k, j, i]`` at the grid spanned by three axes of voxel coordinates.

    Args:
        field: values.
        coordinates: positions along k, j and i in voxels of the field.
        wrap: whether the field is periodic; otherwise it is extended by its border values.

    Returns:
        Values of shape ``(len(k), len(j), len(i))``.
    """
    result = field
    # Last axis first: its values are not contiguous, which is cheapest while the field is small.
    for axis, positions in reversed(list(enumerate(coordinates))):
        size = field.shape[axis]
        place = np.mod(positions, size) if wrap else np.clip(positions, 0, size - 1)
        low = np.minimum(place.astype(np.intp), size - 1)
        high = (low + 1) % size if wrap else np.minimum(low + 1, size - 1)
        shape = [1, 1, 1]
        shape[axis] = len(place)
        share = (place - low).astype(np.float32).reshape(shape)
        first = np.take(result, low, axis=axis)
        step = np.take(result, high, axis=axis)
        step -= first
        step *= share
        result = np.add(first, step, out=step)
    return result


def linear_weights(count: int, wanted: int) -> FloatArray:
    """Matrix ``[wanted, count]`` that stretches ``count`` values linearly to ``wanted``, both ends kept."""
    return linear_matrix(np.linspace(0, count - 1, wanted), count)


def enlarge(field: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    """A field ``[k, j, i]`` stretched to a shape, the ends of each axis kept.

    As :func:`lerp`, but as products of matrices: its last bits differ, and painted chests of a seed depend on them.
    """
    up = linear_weights(field.shape[0], shape[0])
    rows, columns = linear_weights(field.shape[1], shape[1]), linear_weights(field.shape[2], shape[2])
    return np.einsum("ka,ajc,ic->kji", up, np.matmul(rows, field), columns, optimize=True)
