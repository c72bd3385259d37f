"""A stretch of colon below the diaphragm of a painted person."""

import numpy as np
import pytest
from scipy import ndimage

from COVIDQuantLib.simulation.painted.chest_wall import LungExtent, chest_fields
from COVIDQuantLib.simulation.painted.colon import Colon

MM, SPACING = 3.0, np.array([3.0, 3.0, 3.0])
SOFT_HU = 40.0


def lungs():
    """Two domed bars of lung over an abdomen."""
    k, j, i = np.ogrid[:90, :70, :110]
    labels = np.zeros((90, 70, 110), np.uint8)
    for middle, value in ((30, 3), (80, 5)):
        wide = ((j - 35) / 24) ** 2 + ((i - middle) / 18) ** 2
        labels[(wide < 1) & (k > 30 + 14 * (1 - wide)) & (k < 84)] = value
    return labels


@pytest.fixture(scope="module")
def labels():
    return lungs()


def painted(labels, seed):
    """The colon of a seed, and an abdomen of soft tissue with it."""
    rng = np.random.default_rng(seed)
    fields = chest_fields(rng, labels, SPACING, LungExtent.of(labels, SPACING))
    colon = Colon.draw(rng, fields)
    hu = np.full(labels.shape, SOFT_HU, np.float32)
    whole = {}
    for name in ("outside", "gap", "below", "x", "y", "z", "fat", "bowel"):
        field = getattr(fields, name)
        grown = [n / m for n, m in zip(labels.shape, field.shape, strict=True)]
        whole[name] = ndimage.zoom(field, grown, order=1)
    for k in range(len(hu)):
        colon.paint(hu[k], {name: field[k] for name, field in whole.items()}, MM)
    return colon, hu


def test_there_is_gas_and_stool_within_a_wall_below_the_diaphragm(labels):
    gap = ndimage.distance_transform_edt(labels == 0, sampling=SPACING)
    seen = near = mottled = 0
    for seed in range(12):
        colon, hu = painted(labels, seed)
        changed = hu != SOFT_HU
        assert bool(colon.haustra) == changed.any()
        if not colon.haustra:
            continue
        seen += 1
        # Lungs are painted over it; beside them lies the diaphragm.
        hu[labels > 0] = SOFT_HU
        assert (hu[(gap > 0) & (gap <= MM)] > -200).mean() > 0.99
        assert hu.min() >= -1000
        assert hu.max() <= 120
        near += bool((gap[hu < -300] < 12).any())
        mottled += bool(((hu > -700) & (hu < -200)).any())
    assert 4 <= seen < 12, "some have none that high"
    assert near >= 0.8 * seen
    assert mottled >= 0.5 * seen


def test_the_same_seed_gives_the_same_colon(labels):
    first, again = (painted(labels, 1)[1] for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_no_room_no_colon():
    """Lungs down to the last section: there is nothing below the diaphragm."""
    labels = lungs()[50:]
    for seed in range(6):
        colon, hu = painted(labels, seed)
        assert not colon.haustra
        assert (hu == SOFT_HU).all()
