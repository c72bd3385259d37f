"""Components of a lesion mask: what is one part, where it lies, how it is named; and the walls beside them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from COVIDQuantLib.review.components import find_components
from COVIDQuantLib.review.evidence import BLOCK_MM, MARGINS_MM
from COVIDQuantLib.review.evidence import Chest as Seen
from COVIDQuantLib.review.moving_walls import find_walls
from COVIDQuantLib.voxels.block_grid import BlockGrid
from Testing.review_chest import Chest

SPACING = (2.0, 1.0, 1.5)


def two_parts():
    lesions = np.zeros((12, 14, 16), bool)
    lesions[2:6, 3:9, 2:8] = True
    lesions[8:10, 10:13, 11:15] = True
    lobes = np.full(lesions.shape, 3, np.uint8)
    lobes[:, :, 6:] = 5
    return lesions, lobes


def test_parts_are_told_apart_largest_first():
    lesions, lobes = two_parts()
    large, small = find_components(lesions, lobes, SPACING, min_ml=0.0)
    assert large.box == np.s_[2:6, 3:9, 2:8]
    assert large.volume_ml == pytest.approx(4 * 6 * 6 * 3 / 1000)
    assert large.centroid_kji == (3.5, 5.5, 4.5)
    assert large.lobes == ("right lower lobe", "left lower lobe")
    assert small.id == "8-10-11"
    assert small.lobes == ("left lower lobe",)


def test_parts_that_touch_by_an_edge_are_two():
    lesions = np.zeros((4, 4, 4), bool)
    lesions[1, 1, 1] = lesions[1, 2, 2] = True
    assert len(find_components(lesions, lesions, SPACING, min_ml=0.0)) == 2


def test_crumbs_are_left_out():
    lesions, lobes = two_parts()
    volumes = [part.volume_ml for part in find_components(lesions, lobes, SPACING, min_ml=0.1)]
    assert volumes == [pytest.approx(0.432)]


def test_nothing_to_find():
    empty = np.zeros((3, 4, 5), bool)
    assert find_components(empty, empty, SPACING) == []


def test_lungs_alone_have_no_lobe_names():
    lesions, lobes = two_parts()
    assert {part.lobes for part in find_components(lesions, lobes > 0, SPACING, min_ml=0.0)} == {()}


def test_another_shape_is_refused():
    with pytest.raises(ValueError, match="differ in shape"):
        find_components(np.zeros((2, 2, 2), bool), np.zeros((2, 2, 3), bool), SPACING)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31 - 1), st.floats(0.05, 0.6))
def test_parts_make_up_the_mask(seed, density):
    rng = np.random.default_rng(seed)
    lesions = rng.random((6, 7, 8)) < density
    lobes = rng.integers(0, 6, lesions.shape).astype(np.uint8)
    parts = find_components(lesions, lobes, SPACING, min_ml=0.0)
    made = np.zeros(lesions.shape, int)
    for part in parts:
        made[part.box] += part.mask
        assert part.volume_ml == pytest.approx(np.count_nonzero(part.mask) * 0.003)
    assert np.array_equal(made, lesions.astype(int))
    assert len(parts) == ndimage.label(lesions)[1]
    assert len({part.id for part in parts}) == len(parts)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31 - 1))
def test_the_mirror_image_of_a_part_lies_where_the_mirror_shows_it(seed):
    rng = np.random.default_rng(seed)
    lesions = rng.random((5, 6, 9)) < 0.3
    for part in find_components(lesions, lesions, SPACING, min_ml=0.0):
        turned = part.mirrored(lesions.shape[2])
        where = np.argwhere(turned.mask) + [span.start for span in turned.box]
        assert lesions[:, :, ::-1][tuple(where.T)].all()
        assert turned.centroid_kji == pytest.approx(tuple(where.mean(axis=0)))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31 - 1), st.tuples(*[st.floats(0.4, 6.0)] * 3))
def test_blocks_keep_sums_and_cover_a_box(seed, spacing):
    rng = np.random.default_rng(seed)
    volume = rng.integers(-1000, 1000, (23, 29, 31)).astype(np.int16)
    box = np.s_[8:14, 7:20, 5:25]
    blocks = BlockGrid.around(box, volume.shape, spacing, BLOCK_MM, MARGINS_MM)
    voxels = blocks.voxels(blocks.all)
    assert all(span.start >= 0 and span.stop <= n for span, n in zip(voxels, volume.shape, strict=True))
    assert blocks.sums(volume[voxels]).sum(dtype=np.float64) == pytest.approx(volume[voxels].sum(), abs=0.5)
    inner = blocks.voxels(blocks.over(box, 0))
    for span, wanted, factor, last in zip(inner, box, blocks.factors, voxels, strict=True):
        assert span.start <= wanted.start
        assert span.stop >= min(wanted.stop, last.stop - factor + 1)


# ------------------------------------------------------------------------------------------------------------ walls


@pytest.fixture(scope="module")
def chest():
    return Chest()


@pytest.fixture(scope="module")
def seen(chest):
    return Seen.of(chest.hu, chest.lungs, chest.spacing)


def in_blocks(seen, field):
    """A field of voxels at the blocks (of one voxel each here)."""
    assert seen.blocks.factors == (1, 1, 1)
    return np.broadcast_to(field, field.shape)[seen.blocks.voxels(seen.blocks.all)]


def test_the_heart_is_where_it_is(chest, seen):
    """Distances follow the true ones beside the heart, and the outer wall and the apex are far."""
    true = in_blocks(seen, chest.heart)
    level = in_blocks(seen, np.broadcast_to(chest.z, chest.shape))
    beside = seen.lung & (true < 12) & (level > -20) & (level < 15)
    assert np.abs(seen.heart - true)[beside].mean() < 3.0
    assert seen.heart[seen.lung & (level > 55)].min() > 15
    lateral = in_blocks(seen, np.broadcast_to(np.abs(chest.x), chest.shape)) > 95
    assert seen.heart[seen.lung & lateral].min() > 15


def test_the_diaphragm_is_where_it_is(chest, seen):
    above = in_blocks(seen, chest.z - chest.dome)
    low = seen.lung & (above < 9)
    assert np.mean(seen.diaphragm[low] < 10) > 0.95
    assert seen.diaphragm[seen.lung & (above > 60)].min() > 25
    assert np.mean(seen.diaphragm[low] <= above[low] + 4) > 0.95


def test_the_chest_wall_is_no_diaphragm(chest, seen):
    above = in_blocks(seen, chest.z - chest.dome)
    lateral = in_blocks(seen, np.broadcast_to(np.abs(chest.x), chest.shape)) > 90
    assert seen.diaphragm[seen.lung & lateral & (above > 45)].min() > 20


def test_gas_in_the_stomach_hides_no_diaphragm(chest):
    gas = chest.hu.copy()
    under = chest.dome - chest.z
    gas[(under > 5) & (under < 25) & (chest.x > 40)] = -980
    plain = Seen.of(chest.hu, chest.lungs, chest.spacing)
    gassy = Seen.of(gas, chest.lungs, chest.spacing)
    assert np.abs(plain.diaphragm - gassy.diaphragm)[plain.lung].max() < 1.0


def test_a_ct_that_ends_in_the_lung_has_no_diaphragm(chest):
    cut = chest.lungs.copy()[30:]
    seen = Seen.of(chest.hu[30:], cut, chest.spacing)
    assert seen.diaphragm[seen.lung].min() > 1000


def test_no_lung_no_walls():
    nothing = np.zeros((5, 6, 7), bool)
    walls = find_walls(np.zeros(nothing.shape, np.float32), nothing, (2.0, 2.0, 2.0), top_is_cut=False)
    assert not walls.heart.any()
    assert not walls.diaphragm.any()
    assert Seen.of(np.zeros(nothing.shape, np.int16), nothing, (2.0, 2.0, 2.0)) is None
