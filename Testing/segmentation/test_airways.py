"""The trachea is followed from the neck to the bronchi, however the neck is bent."""

import numpy as np
import pytest

from COVIDQuantLib.segmentation.airways import find_airways

SPACING = (5.0, 2.0, 2.0)
SHAPE = (40, 80, 80)
CARINA, BRANCHES = 15, 10
TISSUE, LUMEN = 40, -990


def tree(forward_mm):
    """A trachea whose upper end lies ``forward_mm`` before its lower one, and two main bronchi, in soft tissue."""
    hu = np.full(SHAPE, TISSUE, np.int16)
    rows, columns = np.ogrid[: SHAPE[1], : SHAPE[2]]

    def disc(k, row, column, radius_mm):
        inside = ((rows - row) * SPACING[1]) ** 2 + ((columns - column) * SPACING[2]) ** 2 < radius_mm**2
        hu[k][inside] = LUMEN

    for k in range(CARINA, SHAPE[0]):
        disc(k, 60 - forward_mm / SPACING[1] * (k - CARINA) / (SHAPE[0] - CARINA), 40, 8.0)
    for k in range(BRANCHES, CARINA):
        for side in (-1, 1):
            disc(k, 60, 40 + side * 2.5 * (CARINA - k), 6.0)
    return hu


@pytest.mark.parametrize("forward_mm", [0.0, 40.0, 60.0, 80.0])
def test_the_whole_tree_is_found_however_the_neck_is_bent(forward_mm):
    hu = tree(forward_mm)
    found = find_airways(hu, hu < -400, SPACING, np.full(SHAPE[0], SHAPE[2] / 2))
    # The throat at the end of a CT and the last slice of a bronchus may be left.
    inner = slice(BRANCHES + 1, SHAPE[0] - 1)
    assert found[inner].sum() >= 0.95 * (hu[inner] == LUMEN).sum()
    assert not found[hu == TISSUE].any()
