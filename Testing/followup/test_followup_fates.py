"""What became of each lesion, and the change map, on made masks whose fates are known."""

import json

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from COVIDQuantLib.followup.lesions.change_map import (
    CHANGE_LABELS,
    NEW,
    PERSISTING,
    RESOLVED,
    change_map,
    write_change_map,
)
from COVIDQuantLib.followup.lesions.fates import find_fates
from COVIDQuantLib.followup.lesions.records import COLUMNS, FATES, FateLimits
from COVIDQuantLib.followup.registration.exam_images import ExamImages
from COVIDQuantLib.followup.registration.quality import RegistrationQuality
from COVIDQuantLib.followup.registration.register import Registration
from COVIDQuantLib.voxels.geometry import Geometry

SHAPE = (20, 40, 60)
GRID = Geometry(SHAPE, (2.0, 2.0, 2.0), (-60.0, -40.0, 100.0))
# The follow-up lies elsewhere on the table.
SHIFT = (12.0, -6.0, 40.0)
MOVED = Geometry(SHAPE, GRID.spacing, tuple(a + b for a, b in zip(GRID.origin, SHIFT, strict=True)))
SWAPPED = {"new": "resolved", "grown": "shrunk", "merged": "split"}
SWAPPED |= {there: here for here, there in SWAPPED.items()}


def registration() -> Registration:
    to_followup = sitk.TranslationTransform(3, SHIFT)
    return Registration(to_followup, to_followup.GetInverse(), RegistrationQuality(1.0, 1.0, 0.0, 0.0, 1.0))


def lobes():
    labels = np.zeros(SHAPE, np.uint8)
    labels[:, :, :30], labels[:, :, 30:] = 1, 4
    labels[:10, :, :30], labels[:10, :, 30:] = 3, 5
    return labels


def mask(*boxes):
    """Lesions of boxes: first corner and size, voxels of 0.008 mL."""
    lesions = np.zeros(SHAPE, bool)
    for (k, j, i), (dk, dj, di) in boxes:
        lesions[k : k + dk, j : j + dj, i : i + di] = True
    return lesions


def fates(old, new, limits=None):
    return find_fates(ExamImages(lobes(), old, GRID), ExamImages(lobes(), new, MOVED), registration(), limits)


BIG = ((3, 5, 5), (6, 6, 6))
BIGGER = ((3, 5, 5), (6, 7, 8))
BESIDE = ((3, 5, 15), (6, 6, 6))
BRIDGED = ((3, 5, 5), (6, 6, 16))
CRUMB = ((4, 6, 6), (3, 3, 3))


@pytest.mark.parametrize(
    ("old", "new", "fate"),
    [
        ([], [BIG], "new"),
        ([BIG], [], "resolved"),
        ([BIG], [BIG], "unchanged"),
        ([BIG], [BIGGER], "grown"),
        ([BIGGER], [BIG], "shrunk"),
        ([BIG, BESIDE], [BRIDGED], "merged"),
        ([BRIDGED], [BIG, BESIDE], "split"),
        # A lesion that was a crumb before is not new.
        ([CRUMB], [BIG], "grown"),
        ([BIG], [CRUMB], "shrunk"),
    ],
)
def test_each_fate(old, new, fate):
    found = fates(mask(*old), mask(*new))
    assert [record.fate for record in found.records] == [fate]
    assert found.counts()[fate] == 1
    record = found.records[0]
    assert record.baseline_ml == pytest.approx(mask(*old).sum() * 0.008)
    assert record.followup_ml == pytest.approx(mask(*new).sum() * 0.008)


def test_merged_and_split_at_once():
    old = mask(((3, 5, 5), (6, 6, 6)), ((3, 5, 15), (6, 6, 20)))
    new = mask(((3, 5, 5), (6, 6, 20)), ((3, 5, 29), (6, 6, 6)))
    assert [record.fate for record in fates(old, new).records] == ["merged and split"]


def test_lesions_far_apart_are_records_of_their_own():
    other = ((12, 25, 40), (5, 5, 5))
    found = fates(mask(BIG), mask(other))
    assert sorted(record.fate for record in found.records) == ["new", "resolved"]
    assert {record.region for record in found.records} == {"right lower lobe", "left upper lobe"}


def test_a_touch_at_the_edge_is_no_match():
    found = fates(mask(((3, 5, 5), (6, 6, 15))), mask(((3, 5, 19), (6, 6, 15))))
    assert sorted(record.fate for record in found.records) == ["new", "resolved"]


def test_what_is_too_small_to_follow_is_counted_and_has_no_fate():
    small = ((3, 5, 5), (4, 3, 5))
    assert (fates(mask(CRUMB), mask()).records, fates(mask(CRUMB), mask()).too_small) == ((), 1)
    # 0.48 mL in both exams are one lesion; each exam's own at other places are two.
    assert (fates(mask(small), mask(small)).records, fates(mask(small), mask(small)).too_small) == ((), 1)
    apart = fates(mask(small), mask(((12, 25, 40), (4, 3, 5))))
    assert (apart.records, apart.too_small, apart.as_record()["too_small_count"]) == ((), 2, 2)
    # Once it has 0.5 mL in either exam it is followed.
    assert [record.fate for record in fates(mask(small), mask(((3, 5, 5), (4, 4, 5)))).records] == ["grown"]


@pytest.mark.parametrize(("rows", "fate"), [(10, "merged"), (13, "unchanged")])
def test_a_satellite_that_is_taken_in_is_no_merger(rows, fate):
    """A lesion of 1.0 mL has 11 % of one of 8.8 mL, and 9 % of one of 11.4 mL."""
    old = ((3, 5, 5), (10, rows, 11)), ((3, 5, 40), (5, 5, 5))
    new = (*old, ((4, 6, 5), (3, 3, 38)))
    assert [record.fate for record in fates(mask(*old), mask(*new)).records] == [fate]
    assert [record.fate for record in fates(mask(*new), mask(*old)).records] == [SWAPPED.get(fate, fate)]


def test_crumbs_make_no_record():
    assert fates(mask(), mask()).records == ()
    assert fates(mask(CRUMB), mask(), FateLimits(lesion_ml=0.1)).counts()["resolved"] == 1


def test_places_in_both_exams():
    unchanged, new, gone = (fates(mask(*a), mask(*b)).records[0] for a, b in (([BIG], [BIG]), ([], [BIG]), ([BIG], [])))
    for record in (unchanged, new, gone):
        assert record.baseline_centre_lps_mm == pytest.approx((-45.0, -25.0, 111.0))
        assert record.followup_centre_lps_mm == pytest.approx([-45.0 + 12, -25.0 - 6, 111.0 + 40])
    assert unchanged.overlap_percent == 100.0
    assert unchanged.change_percent == 0.0
    assert new.change_percent is None
    assert gone.change_percent == -100.0
    assert new.overlap_percent == gone.overlap_percent == 0.0


def test_the_record_is_ready_for_json():
    record = fates(mask(BIG, BESIDE), mask(BRIDGED)).as_record()
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert set(record["counts"]) == set(FATES)
    assert record["limits"] == {
        "lesion_ml": 0.5,
        "crumb_ml": 0.1,
        "link_share": 0.1,
        "unchanged_ratio": 1.25,
        "member_share": 0.1,
        "lower_cut_log_odds": -5.0,
        "again_share": 0.2,
    }
    row = record["lesions"][0]
    table = fates(mask(BIG, BESIDE), mask(BRIDGED)).rows()
    assert [tuple(one) for one in table] == [COLUMNS]
    assert (row["lesion"], row["fate"], row["region"]) == (1, "merged", "right lower lobe")
    assert [part["volume_ml"] for part in row["baseline_parts"]] == pytest.approx([1.728, 1.728])


boxes = st.lists(
    st.tuples(
        st.tuples(st.integers(0, 13), st.integers(0, 30), st.integers(0, 50)),
        st.tuples(*[st.integers(2, 9)] * 3),
    ),
    max_size=7,
)


@settings(max_examples=60, deadline=None)
@given(boxes, boxes)
def test_exchanging_the_exams_exchanges_the_fates(one, other):
    here = ExamImages(lobes(), mask(*one), GRID), ExamImages(lobes(), mask(*other), MOVED)
    there = find_fates(*here, registration()).records
    back = find_fates(*reversed(here), registration().swapped()).records

    def key(record, fate, parts):
        return fate, [sorted(part.id for part in side) for side in parts], round(record.overlap_percent, 9)

    forward = sorted(key(r, r.fate, (r.baseline, r.followup)) for r in there)
    backward = sorted(key(r, SWAPPED.get(r.fate, r.fate), (r.followup, r.baseline)) for r in back)
    assert forward == backward


@settings(max_examples=40, deadline=None)
@given(boxes, boxes)
def test_every_lesion_stands_in_one_record(one, other):
    records = fates(mask(*one), mask(*other)).records
    for side in ("baseline", "followup"):
        parts = [part.id for record in records for part in getattr(record, side)]
        assert len(parts) == len(set(parts))
    assert all(max(record.baseline_ml, record.followup_ml) >= 0.5 for record in records)
    assert [record.number for record in records] == list(range(1, len(records) + 1))
    largest = [max(record.baseline_ml, record.followup_ml) for record in records]
    assert largest == sorted(largest, reverse=True)


@settings(max_examples=30, deadline=None)
@given(boxes, boxes)
def test_the_change_map_is_made_of_both_masks(one, other):
    old, new = ExamImages(lobes(), mask(*one), GRID), ExamImages(lobes(), mask(*other), MOVED)
    labels = change_map(old, new, registration())
    assert labels.dtype == np.uint8
    assert np.array_equal(np.isin(labels, (PERSISTING, NEW)), new.lesions)
    assert np.array_equal(np.isin(labels, (PERSISTING, RESOLVED)), old.lesions)


def test_what_lies_beyond_the_lungs_has_not_resolved():
    lungs = lobes()
    lungs[:, :, :20] = 0
    old, new = ExamImages(lobes(), mask(BIG), GRID), ExamImages(lungs, mask(), MOVED)
    assert not change_map(old, new, registration()).any()


def test_the_change_map_is_written_on_the_grid_of_the_followup(tmp_path):
    new = ExamImages(lobes(), mask(BIGGER), MOVED)
    labels = change_map(ExamImages(lobes(), mask(BIG), GRID), new, registration())
    write_change_map(tmp_path / "change.nrrd", labels, new)
    image = sitk.ReadImage(str(tmp_path / "change.nrrd"))
    assert Geometry.of_image(image).same_grid(MOVED)
    assert np.array_equal(sitk.GetArrayFromImage(image), labels)
    assert sorted(CHANGE_LABELS) == [1, 2, 3]


def test_arrays_off_the_grid_and_foreign_labels_are_wrong():
    with pytest.raises(ValueError, match="grid"):
        ExamImages(lobes()[1:], mask(), GRID)
    with pytest.raises(ValueError, match="labels"):
        ExamImages(lobes() + 7, mask(), GRID)
