"""Parting a large component where a thin layer along a moving wall hangs on a lesion.

Motion artefacts lie where pneumonia likes to be, at the base of the lungs. Where the two touch they are one connected
component; the layer is then judged by itself, and the reader can take it away and keep the lesion.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from COVIDQuantLib.review.evidence import Evidence
from COVIDQuantLib.voxels.morphology import distance_to

# A layer is what a ball of this radius cannot enter: up to twice as thick.
RADIUS_MM = 7.0
WALL_REACH_MM = 16.0
# Smaller components are not parted, smaller layers not taken off, smaller pieces of the rest not left by themselves.
WHOLE_ML, RIM_ML, PIECE_ML = 4.0, 1.0, 0.5
# A layer ends at once where, over this far, it loses this share of its density within two blocks; density counts from
# this much above normal lung.
EDGE_MM, SHARP, LEAST_HU = 7.0, 0.5, 80.0
_AROUND = np.ones((3, 3, 3), bool)


def find_pieces(e: Evidence) -> np.ndarray | None:
    """The layers along the walls, and the pieces of what is left.

    Returns:
        int32 ``[k, j, i]`` on the evidence's blocks: 0 where there is no component, a number from 1 in each layer and
        piece; None if the component is to be judged as a whole.
    """
    near = e.wall < WALL_REACH_MM
    if e.volume_ml < WHOLE_ML or e.share(near) * e.volume_ml < RIM_ML:
        return None
    inside = np.pad(e.inside, 1)
    half = 0.5 * min(e.spacing)
    core = distance_to(~inside, e.spacing) - half > RADIUS_MM
    if not core.any():
        return None
    body = (distance_to(core, e.spacing) - half <= RADIUS_MM)[1:-1, 1:-1, 1:-1]
    block_ml = float(np.prod(e.spacing)) / 1000.0
    thin = e.inside & near & ~body
    ends = _ends_at_once(e)
    rims = _large(thin & ends, RIM_ML / block_ml)
    if not rims.any():
        return None
    rest = _large((e.weight > 0) & (rims == 0), PIECE_ML / block_ml, _AROUND)
    pieces = np.where(rest > 0, rest + rims.max(), rims)
    return _spread(pieces, e.weight > 0) if pieces.max() > 1 else None


def _ends_at_once(e: Evidence) -> np.ndarray:
    """Where the component ends, away from the wall, in a sharp edge against normal lung: bool blocks."""
    drops, found = e.far_drops
    sigma = [EDGE_MM / mm for mm in e.spacing]

    def over(field: np.ndarray) -> np.ndarray:
        return ndimage.gaussian_filter(field.astype(np.float32), sigma, mode="constant", truncate=2.5)

    drop = over(drops) / np.maximum(over(found), 1e-4)
    density = over(np.where(e.inside, e.hu - e.base_hu, 0)) / np.maximum(over(e.inside), 1e-4)
    return drop > SHARP * np.maximum(density, LEAST_HU)


def _large(mask: np.ndarray, least: float, structure: np.ndarray | None = None) -> np.ndarray:
    """Connected parts of at least so many blocks, numbered from 1, int32."""
    labels, _ = ndimage.label(mask, structure=structure)
    kept = np.bincount(labels.ravel()) >= least
    kept[0] = False
    return np.where(kept, np.cumsum(kept), 0)[labels].astype(np.int32)


def _spread(pieces: np.ndarray, everywhere: np.ndarray) -> np.ndarray:
    """The pieces grown over the rest of the component, each block to a piece beside it, at last to the largest."""
    while True:
        waiting = everywhere & (pieces == 0)
        taken = np.where(waiting, ndimage.maximum_filter(pieces, size=3), 0)
        if not taken.any():
            sizes = np.bincount(pieces.ravel())
            sizes[0] = 0
            return np.where(waiting, np.argmax(sizes), pieces).astype(np.int32)
        pieces = np.where(waiting, taken, pieces)
