"""Clear the crumbs of one lobe that lie in another."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

# A larger piece can be real: beside the heart the tip of a lobe hangs on by a thread.
_CRUMB_SHARE = 0.002


def join_pieces(lobes: np.ndarray, values: tuple[int, ...]) -> None:
    """Give every small piece that a fissure's edge cut off from its lobe to the lobe that surrounds it, in place.

    A piece that touches no other lobe of the lung (an island of the lung itself) stays what it is.

    Args:
        lobes: uint8 ``[k, j, i]``.
        values: label values of one lung's lobes.
    """
    for value in values:
        pieces, count = ndimage.label(lobes == value)
        if count < 2:
            continue
        sizes = np.bincount(pieces.ravel())
        most = _CRUMB_SHARE * sizes[1:].sum()
        for number, box in enumerate(ndimage.find_objects(pieces), start=1):
            if box is None or sizes[number] > most:
                continue
            around = tuple(slice(max(0, s.start - 1), s.stop + 1) for s in box)
            piece = pieces[around] == number
            rim = ndimage.binary_dilation(piece) & ~piece
            touched = np.bincount(lobes[around][rim], minlength=256)
            others = [other for other in values if other != value and touched[other]]
            if others:
                lobes[around][piece] = max(others, key=lambda other: touched[other])
