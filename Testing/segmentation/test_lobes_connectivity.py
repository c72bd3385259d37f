"""Lobes in one piece and smooth: blades and stray pieces go to the lobe they lie in, real tips stay."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from COVIDQuantLib.segmentation.lobes.connectivity import make_whole
from COVIDQuantLib.segmentation.lobes.smoothing import smooth_lobes
from COVIDQuantLib.segmentation.log_odds import GREATEST, OddsMap

SPACING = (2.5, 2.5, 2.5)


def right_lung():
    """Upper lobe above, middle lobe below it in front, lower lobe behind."""
    lobes = np.zeros((60, 60, 40), np.uint8)
    lobes[30:56, 4:56, 4:36] = 1
    lobes[4:30, 4:30, 4:36] = 2
    lobes[4:30, 30:56, 4:36] = 3
    return lobes


def pieces(mask):
    return ndimage.label(mask, np.ones((3, 3, 3)))[1]


def test_whole_lobes_stay_as_they_are():
    lobes = right_lung()
    changed = lobes.copy()
    make_whole(changed, SPACING)
    assert np.array_equal(changed, lobes)


def test_a_blade_that_hangs_by_a_thread_goes_to_the_lobe_around_it():
    lobes = right_lung()
    whole = lobes.copy()
    # A sheet of middle lobe, 18 mL, in the upper one.
    lobes[30:50, 14:16, 6:34] = 2
    assert pieces(lobes == 2) == 1
    make_whole(lobes, SPACING)
    assert (lobes != whole)[36:].sum() == 0


def test_a_thin_tip_in_the_recess_is_real():
    lobes = right_lung()
    lobes[0:4, 50:53, 10:30] = 3
    before = lobes.copy()
    make_whole(lobes, SPACING)
    assert np.array_equal(lobes, before)


def test_a_large_piece_within_another_lobe_goes_to_it():
    lobes = right_lung()
    lobes[40:50, 30:44, 10:26] = 2
    make_whole(lobes, SPACING)
    assert np.array_equal(lobes, right_lung())


def test_a_small_pocket_beside_the_lung_is_left_out_and_a_large_island_stays():
    lobes = np.zeros((60, 60, 80), np.uint8)
    lobes[:, :, :40] = right_lung()
    lobes[20:24, 20:24, 60:64] = 3
    make_whole(lobes, SPACING)
    assert not lobes[:, :, 50:].any()
    lobes[20:40, 20:40, 55:70] = 3
    make_whole(lobes, SPACING)
    assert lobes[20:40, 20:40, 55:70].all()


def test_the_other_lung_gets_nothing():
    lobes = np.zeros((60, 60, 80), np.uint8)
    lobes[:, :, :40] = right_lung()
    lobes[:, :, 40:] = np.array([0, 4, 4, 5], np.uint8)[right_lung()][:, :, ::-1]
    lobes[40:46, 20:26, 50:56] = 1
    make_whole(lobes, SPACING)
    assert not np.isin(lobes[:, :, 40:], (1, 2, 3)).any() or pieces(lobes == 1) == 2


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_lungs_are_kept_and_lobes_become_one_piece(seed):
    rng = np.random.default_rng(seed)
    lobes = right_lung()
    for _ in range(6):
        k, j, i = (int(rng.integers(6, n - 12)) for n in lobes.shape)
        box = lobes[k : k + 6, j : j + 6, i : i + 6]
        box[box > 0] = rng.integers(1, 4)
    lungs = lobes > 0
    make_whole(lobes, SPACING)
    assert np.array_equal(lobes > 0, lungs)
    assert [pieces(lobes == value) for value in (1, 2, 3)] == [1, 1, 1]


def test_smooth_borders_stay_where_they_are_and_steps_go():
    lobes = right_lung()
    smooth = lobes.copy()
    smooth_lobes(smooth, SPACING)
    assert np.mean(smooth != lobes) < 0.005
    stepped = lobes.copy()
    # Blocks of 10 mm by turns above and below the border.
    for i in range(4, 36, 8):
        stepped[30:32, 4:30, i : i + 4] = 2
        stepped[28:30, 4:30, i + 4 : i + 8] = 1
    before = np.mean(stepped != lobes)
    smooth_lobes(stepped, SPACING)
    assert np.mean(stepped != lobes) < 0.65 * before
    assert np.array_equal(stepped > 0, lobes > 0)


def test_smoothing_knows_the_spacing():
    lobes = right_lung()
    fine = np.repeat(lobes, 2, axis=0)
    smooth_lobes(fine, (1.25, 2.5, 2.5))
    coarse = lobes.copy()
    smooth_lobes(coarse, SPACING)
    assert np.mean(fine[::2] != coarse) < 0.005


def test_odds_are_kept_in_eighths():
    odds = np.linspace(-30, 30, 1001, dtype=np.float32).reshape(7, 11, 13)
    kept = OddsMap.of(odds, (0.0, 1.0, 2.0), (2.0, 2.0, 2.0))
    assert kept.values.dtype == np.int8
    assert np.abs(kept.log_odds() - np.clip(odds, -GREATEST, GREATEST)).max() <= 1 / 16
