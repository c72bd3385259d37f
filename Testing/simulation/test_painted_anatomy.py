"""Painted chests of real shape: five believable lobes, CT numbers where they belong, real structures where given."""

import numpy as np
import pytest
from scipy import ndimage

from COVIDQuantLib.simulation.painted import lobes as synth_anatomy_lobes
from COVIDQuantLib.simulation.painted import painting
from COVIDQuantLib.simulation.painted.painting import Look, Structures, draw_subject, paint_chest, thick_sections

SPACING = (4.0, 4.0, 4.0)
STILL = Look(scan=False, contrast=False)


@pytest.fixture(scope="module")
def block_lobes():
    """Two bars of lung, cut into five lobes by planes, in a box with room for the wall."""
    lobes = np.zeros((64, 52, 76), np.uint8)
    k, j, i = np.ogrid[: lobes.shape[0], : lobes.shape[1], : lobes.shape[2]]
    round_about = ((k - 30) / 24) ** 4 + ((j - 26) / 17) ** 2
    right = round_about + ((i - 21) / 12) ** 2 < 1
    left = round_about + ((i - 55) / 12) ** 2 < 1
    slope = k - j - 2
    lobes[right] = 1
    whole = np.broadcast_to(slope, lobes.shape)
    high = np.broadcast_to(k > 32, lobes.shape)
    lobes[right & (whole > 0) & ~high] = 2
    lobes[right & (whole <= 0)] = 3
    lobes[left & (whole > 0)] = 4
    lobes[left & (whole <= 0)] = 5
    return lobes


def test_every_tissue_has_its_ct_numbers(block_lobes):
    hu = paint_chest(block_lobes, SPACING, np.random.default_rng(1), look=STILL)
    inside = ndimage.binary_erosion(block_lobes > 0, iterations=2)
    assert -920 < np.median(hu[inside]) < -650
    assert hu.dtype == np.float32
    assert hu.shape == block_lobes.shape
    assert (hu[:, 0] < -900).mean() > 0.5, "there is air before the chest"
    between = np.zeros(block_lobes.shape, bool)
    between[20:40, 22:30, 36:40] = True
    assert -120 < np.median(hu[between]) < 330, "soft tissue, fat or blood lies between the lungs"
    assert (hu > 250).any(), "there is bone"


def test_the_same_seed_paints_the_same_chest(block_lobes):
    first, again, other = (paint_chest(block_lobes, SPACING, np.random.default_rng(seed)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).mean() > 1


def test_fissures_show_where_lobes_meet_and_only_there(block_lobes):
    seen, hidden = (
        paint_chest(block_lobes, SPACING, np.random.default_rng(5), look=Look(scan=False, visibility=share))
        for share in (1.0, 0.0)
    )
    changed = np.abs(seen - hidden) > 1
    assert changed.any()
    lung = block_lobes > 0
    nearest = ndimage.maximum_filter(block_lobes, 5) != ndimage.minimum_filter(np.where(lung, block_lobes, 99), 5)
    assert not (changed & ~nearest).any()


def test_given_structures_are_painted_in_place(block_lobes):
    vessels = np.zeros(block_lobes.shape, bool)
    vessels[30, 20:32, 20:22] = True
    empty = np.zeros(block_lobes.shape, bool)
    given = Structures(vessels=vessels, airways=empty, fissures=empty)
    hu = paint_chest(block_lobes, SPACING, np.random.default_rng(6), given, STILL)
    depth = ndimage.distance_transform_edt(block_lobes > 0)
    deep = (depth > 2) & ~ndimage.binary_dilation(vessels, iterations=2)
    assert hu[30, 26, 20:22].min() > hu[deep].max(), "the vessel is the only dense thing deep in the lung"


def test_shares_are_taken_as_they_are(block_lobes):
    half = np.zeros(block_lobes.shape, np.float32)
    half[30, 26, 21] = 0.5
    empty = np.zeros(block_lobes.shape, bool)
    hu = paint_chest(
        block_lobes, SPACING, np.random.default_rng(6), Structures(half, empty, empty), Look(scan=False, contrast=False)
    )
    assert -550 < hu[30, 26, 21] < -250


def test_thick_sections_are_means_with_the_middle_label():
    hu = np.arange(10, dtype=np.float32)[:, None, None] * np.ones((1, 2, 2), np.float32)
    lobes = np.arange(10, dtype=np.uint8)[:, None, None] * np.ones((1, 2, 2), np.uint8)
    thick, labels = thick_sections(hu, lobes, 3)
    assert thick[:, 0, 0].tolist() == [1.0, 4.0, 7.0]
    assert labels[:, 0, 0].tolist() == [1, 4, 7]


def test_border_distance_is_in_millimetres():
    above = np.zeros((20, 20, 20), bool)
    above[10:] = True
    distance = painting._border_distance(above, ~above, np.array([2.0, 2.0, 2.0]))
    np.testing.assert_allclose(distance[8:12, 10, 10], [-3, -1, 1, 3], atol=0.3)


def test_no_lower_lobe_lies_before_an_upper_one():
    lobes = np.zeros((4, 12, 4), np.uint8)
    lobes[:, 1:11] = 5
    lobes[:, 3:6] = 4
    synth_anatomy_lobes.straighten(lobes)
    assert (lobes[:, 1:6] == 4).all()
    assert (lobes[:, 6:11] == 5).all()


def test_loose_pieces_go_to_their_neighbour():
    lungs = np.full((6, 6, 12), 2, np.uint8)
    lobes = np.full(lungs.shape, 5, np.uint8)
    lobes[:, :, 3:6] = 4
    lobes[2:4, 2:4, 0:2] = 5
    synth_anatomy_lobes.give_away_pieces(lobes, lungs, (1.0, 1.0, 1.0))
    assert ndimage.label(lobes == 5)[1] == 1
    assert (lobes[:, :, :6] == 4).all()


@pytest.mark.slow
@pytest.mark.shared
def test_subjects_have_five_whole_believable_lobes(shared_data):
    shapes = []
    for seed in (1, 2):
        lobes = draw_subject(np.random.default_rng(seed), shared_data, SPACING)
        shares = {label: np.mean(lobes[lobes > 0] == label) for label in range(1, 6)}
        for label, (low, high) in synth_anatomy_lobes.SHARES.items():
            assert low - 0.02 < shares[label] < high + 0.02
            pieces, count = ndimage.label(lobes == label)
            assert np.bincount(pieces.ravel())[1:].max() > 0.95 * (lobes == label).sum(), count
        volume = (lobes > 0).sum() * np.prod(SPACING) / 1e6
        assert 1.2 < volume < 10
        shapes.append(lobes.shape)
    again = draw_subject(np.random.default_rng(1), shared_data, SPACING)
    assert again.shape == shapes[0]
