"""What the other exam shows is found again at a lower cut of the network's odds, for the fates alone."""

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from test_followup_fates import BESIDE, BIG, CRUMB, GRID, MOVED, boxes, lobes, mask, registration

from COVIDQuantLib.followup.lesions.fates import find_fates
from COVIDQuantLib.followup.lesions.records import LOWER_CUT
from COVIDQuantLib.followup.registration.exam_images import ExamImages
from COVIDQuantLib.segmentation.log_odds import OddsMap
from COVIDQuantLib.voxels.geometry import Geometry, Reorientation

NOTHING = -15.0
IDENTITY = sitk.Transform(3, sitk.sitkIdentity)


def odds(geometry, places=(), step=2.0):
    """Log odds on a lattice as fine as the grid's: some boxes with their values, and next to nothing elsewhere."""
    upright = Reorientation.of(geometry)
    values = np.full(geometry.shape, NOTHING, np.float32)
    for box, value in places:
        values[mask(box)] = value
    return OddsMap.of(upright.apply(values), (0.0, 0.0, 0.0), (step, step, step))


def exams(old, new, old_odds=None, new_odds=None):
    return (
        ExamImages(lobes(), mask(*old), GRID, odds=old_odds),
        ExamImages(lobes(), mask(*new), MOVED, odds=new_odds),
    )


def only(found):
    (record,) = found.records
    return record


def test_a_lesion_that_was_missed_before_has_grown_and_is_not_new():
    missed = ((4, 6, 6), (4, 4, 4))
    record = only(find_fates(*exams([], [BIG], odds(GRID, [(missed, -4.0)])), registration()))
    assert (record.fate, record.found_at_lower_cut) == ("grown", "baseline")
    assert record.baseline_ml == pytest.approx(64 * 0.008)
    assert [part.at_lower_cut for part in (*record.baseline, *record.followup)] == [True, False]
    back = only(find_fates(*reversed(exams([], [BIG], odds(GRID, [(missed, -4.0)]))), registration().swapped()))
    assert (back.fate, back.found_at_lower_cut) == ("shrunk", "followup")


def test_two_that_were_followed_merge_though_one_was_missed():
    bridged = ((3, 5, 5), (6, 6, 16))
    missed = only(find_fates(*exams([BIG], [bridged]), registration()))
    record = only(find_fates(*exams([BIG], [bridged], odds(GRID, [(BIG, 3.0), (BESIDE, -4.0)])), registration()))
    assert (missed.fate, missed.found_at_lower_cut) == ("grown", "")
    assert (record.fate, record.found_at_lower_cut) == ("merged", "baseline")


def test_a_crumb_beside_a_lesion_of_its_own_changes_no_volume():
    bridged, crumb = ((3, 5, 5), (6, 6, 16)), ((4, 6, 17), (3, 4, 4))
    places = [(BIG, 3.0), (crumb, -4.0)]
    plain = only(find_fates(*exams([BIG], [bridged]), registration()))
    record = only(find_fates(*exams([BIG], [bridged], odds(GRID, places)), registration()))
    assert record == plain
    assert (record.fate, record.baseline_ml) == ("grown", pytest.approx(216 * 0.008))


@pytest.mark.parametrize(
    ("places", "why"),
    [
        ([(BIG, LOWER_CUT - 0.5)], "it is too unlikely"),
        ([(((12, 25, 40), (6, 6, 6)), 0.0)], "the other exam shows nothing there"),
        ([(((4, 6, 6), (2, 2, 2)), -1.0)], "it is smaller than what is followed at all"),
        ([(((4, 6, 6), (4, 3, 3)), -1.0)], "it is a sixth of what the other exam shows"),
        ([], "there is nothing"),
    ],
)
def test_what_is_new_stays_new(places, why):
    record = only(find_fates(*exams([], [BIG], odds(GRID, places)), registration()))
    assert (record.fate, record.found_at_lower_cut) == ("new", ""), why


def test_what_only_a_lower_cut_shows_is_never_unchanged():
    """Though it is exactly as large there as in the other exam."""
    old, new = (odds(grid, [(BIG, -1.0)]) for grid in (GRID, MOVED))
    gone = only(find_fates(*exams([BIG], [], None, new), registration()))
    assert (gone.fate, gone.found_at_lower_cut) == ("shrunk", "followup")
    back = only(find_fates(*exams([], [BIG], old), registration()))
    assert (back.fate, back.found_at_lower_cut) == ("grown", "baseline")


def test_the_rim_of_a_lesion_of_its_own_is_no_lesion():
    grown = ((3, 5, 5), (6, 6, 12))
    before = odds(GRID, [(grown, -1.0), (BIG, 3.0)])
    record = only(find_fates(*exams([BIG], [grown], before), registration()))
    assert (record.fate, record.found_at_lower_cut, len(record.baseline)) == ("grown", "", 1)


def test_a_crumb_is_not_looked_for_again():
    found = find_fates(*exams([], [CRUMB], odds(GRID, [(BIG, -1.0)])), registration())
    assert (found.records, found.too_small) == ((), 1)


@pytest.mark.parametrize("direction", [(-1.0, 0, 0, 0, -1.0, 0, 0, 0, 1.0), (0, 0, 1.0, 1.0, 0, 0, 0, 1.0, 0)])
def test_the_grid_may_lie_in_any_direction(direction):
    """The odds are placed along the CT's canonical axes, whatever the order of its voxels."""
    matrix = np.array(direction, float).reshape(3, 3)
    middle = np.array(GRID.origin) + np.array([59.0, 39.0, 19.0])
    # The same voxels around the same middle, turned.
    origin = middle - matrix @ np.array([59.0, 39.0, 19.0])
    turned = Geometry(GRID.shape, GRID.spacing, tuple(origin), direction)
    missed = ((4, 6, 6), (4, 4, 4))
    old = ExamImages(lobes(), mask(), turned, odds=odds(turned, [(missed, -4.0)]))
    new = ExamImages(lobes(), mask(BIG), turned)
    still = replace(registration(), to_followup=IDENTITY, to_baseline=IDENTITY)
    record = only(find_fates(old, new, still))
    assert (record.fate, record.baseline[0].id) == ("grown", "4-6-6")


def test_a_finer_ct_than_the_lattice():
    """Voxels of 1 mm are looked at in pairs; the volume is still that of the odds' place."""
    fine = Geometry(tuple(2 * n for n in GRID.shape), (1.0, 1.0, 1.0), GRID.origin)
    twice = [np.kron(labels, np.ones((2, 2, 2), np.uint8)) for labels in (lobes(), mask(BIG).view(np.uint8))]
    missed = OddsMap.of(np.where(mask(BIG), -4.0, NOTHING).astype(np.float32), (0.5, 0.5, 0.5), (2.0, 2.0, 2.0))
    old, new = ExamImages(twice[0], twice[1] * 0, fine, odds=missed), ExamImages(*twice, fine)
    still = replace(registration(), to_followup=IDENTITY, to_baseline=IDENTITY)
    record = only(find_fates(old, new, still))
    # As large as the other exam's own, and yet there was less of it.
    assert (record.fate, record.baseline_ml) == ("grown", pytest.approx(216 * 0.008))


@settings(max_examples=30, deadline=None)
@given(boxes, boxes)
def test_no_lesion_of_an_exams_own_is_touched(one, other):
    plain = find_fates(*exams(one, other), registration())
    faint = [(box, -3.0) for box in (*one, *other)]
    again = find_fates(*exams(one, other, odds(GRID, faint), odds(MOVED, faint)), registration())
    for side in ("baseline", "followup"):
        before = {part.id: part for record in plain.records for part in getattr(record, side)}
        after = {p.id: p for record in again.records for p in getattr(record, side) if not p.at_lower_cut}
        assert before.items() <= after.items()
    told = [record.found_at_lower_cut for record in again.records]
    assert all(word == "" or "new" not in record.fate for word, record in zip(told, again.records, strict=True))
