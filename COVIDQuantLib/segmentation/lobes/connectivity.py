"""Make each lobe connected: small fragments, thin extensions and separate pieces go to the lobe that surrounds them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import ndimage

from COVIDQuantLib.anatomy import SIDES, labels_of_side
from COVIDQuantLib.voxels.block_grid import block_factors, enlarge
from COVIDQuantLib.voxels.morphology import Spacing, bounding_box, components, dilate, open_

# A larger piece can be real: beside the heart the tip of a lobe is attached only by a thin strip.
_CRUMB_SHARE = 0.002
_GRID_MM = 2.5
# An opening with this radius gives the body of a lobe; parts further than this from it are thinly attached.
_BALL_MM = 4.0
# A false extension shares this much of its surface with other lobes; a real tip of the lobe borders on the wall.
_BLADE_BORDER = 0.5
_LEAST_BLADE_ML = 0.3
# A separate piece smaller than this share of its lobe is not lung but an air pocket beside it.
_STRAY_SHARE = 0.02
_AROUND = np.ones((3, 3, 3), bool)


def join_pieces(lobes: np.ndarray, values: tuple[int, ...]) -> None:
    """Reassign small pieces that a fissure's edge cut off from their lobe to the surrounding lobe, in place.

    A piece that touches no other lobe of the lung (an island of the lung itself) is kept.

    Args:
        lobes: uint8 ``[k, j, i]``.
        values: label values of one lung's lobes.
    """
    for value in values:
        _give_away(lobes, lobes == value, value, values, lambda sizes: sizes <= _CRUMB_SHARE * sizes.sum())


def make_whole(lobes: np.ndarray, spacing: Spacing) -> None:
    """Make every lobe connected, without thin extensions into its neighbours, in place.

    An extension or piece goes to the lobe of the same lung that it shares most surface with. A small piece that
    touches no other lobe is removed from the lungs, a large one is kept.

    Args:
        lobes: uint8 ``[k, j, i]``, label values of the contract.
        spacing: along k, j, i, millimetres.
    """
    for side in SIDES:
        values = labels_of_side(side)
        box = bounding_box(np.isin(lobes, values), (1, 1, 1))
        if box is not None:
            _without_blades(lobes[box], values, spacing)
            for value in values:
                _one_piece(lobes[box], value, values)


def _without_blades(lobes: np.ndarray, values: tuple[int, ...], spacing: Spacing) -> None:
    factors = block_factors(spacing, _GRID_MM)
    k, j, i = (s * f for s, f in zip(spacing, factors, strict=True))
    middle = tuple(slice(f // 2, None, f) for f in factors)
    coarse = np.ascontiguousarray(lobes[middle])
    moved = coarse.copy()
    for value in values:
        own = coarse == value
        body = _largest(open_(own, _BALL_MM, (k, j, i)))
        if not body.any():
            continue
        thin = own & ~dilate(body, _BALL_MM + 1.01 * max(j, i), (k, j, i))
        least = _LEAST_BLADE_ML * 1000.0 / (k * j * i)
        _give_away(moved, thin, value, values, _at_least(least), _BLADE_BORDER)
    if not (moved != coarse).any():
        return
    # Among the fine voxels, only those of the lobe with the extension change.
    target, source = (_fitted(a, factors, lobes.shape) for a in (moved, coarse))
    changed = (target != source) & (lobes == source)
    lobes[changed] = target[changed]


def _at_least(least: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda sizes: sizes >= least


def _fitted(coarse: np.ndarray, factors: tuple[int, int, int], shape: tuple[int, ...]) -> np.ndarray:
    fine = enlarge(coarse, factors, shape)
    missing = [(0, n - m) for n, m in zip(shape, fine.shape, strict=True)]
    return np.pad(fine, missing, mode="edge") if any(m for _, m in missing) else fine


def _one_piece(lobes: np.ndarray, value: int, values: tuple[int, ...]) -> None:
    """Reassign all but the largest piece of a lobe, or remove small isolated ones."""
    mask = lobes == value
    if not mask.any():
        return
    _give_away(lobes, mask, value, values, lambda sizes: sizes < sizes.max())
    pieces, count = ndimage.label(lobes == value, _AROUND)
    if count > 1:
        sizes = np.bincount(pieces.ravel())
        sizes[0] = 0
        stray = (sizes < _STRAY_SHARE * sizes.max())[pieces] & (pieces > 0)
        lobes[stray] = 0


def _largest(mask: np.ndarray) -> np.ndarray:
    labels, counts = components(mask)
    counts[0] = 0
    largest: np.ndarray = (labels == counts.argmax()) & mask
    return largest


def _give_away(
    lobes: np.ndarray,
    mask: np.ndarray,
    value: int,
    values: tuple[int, ...],
    chosen: Callable[[np.ndarray], np.ndarray],
    least_border: float = 0.0,
) -> None:
    """Reassign chosen pieces of a part of a lobe to the lobe of the same lung that each touches most, in place.

    Args:
        lobes: uint8 ``[k, j, i]``.
        mask: the part of the lobe whose pieces are examined.
        value: of the lobe.
        values: of its lung.
        chosen: selects pieces by their sizes.
        least_border: share of the voxels around a piece that must be other lobes.
    """
    pieces, count = ndimage.label(mask, _AROUND)
    if not count:
        return
    sizes = np.bincount(pieces.ravel())[1:]
    wanted = chosen(sizes)
    boxes = ndimage.find_objects(pieces)
    for number in np.flatnonzero(wanted) + 1:
        box = boxes[number - 1]
        around = tuple(slice(max(0, s.start - 1), s.stop + 1) for s in box)
        piece = pieces[around] == number
        rim = ndimage.binary_dilation(piece) & ~piece
        touched = np.bincount(lobes[around][rim], minlength=256)
        others = [other for other in values if other != value and touched[other]]
        if others and sum(touched[other] for other in others) >= least_border * touched.sum():
            lobes[around][piece] = max(others, key=lambda other: touched[other])
