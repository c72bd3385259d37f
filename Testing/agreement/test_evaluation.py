"""Two segmentations against each other: hand-made truth, properties for any labels, distances against brute force."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from COVIDQuantLib.anatomy import LOBES
from COVIDQuantLib.errors import Cancelled, UnfitInputError
from COVIDQuantLib.evaluation.evaluate import Labels, evaluate_scan, pool
from COVIDQuantLib.evaluation.measures import COLUMNS, QUANTITIES, SCORES
from COVIDQuantLib.evaluation.overlap import LESIONS, STRUCTURES, Overlap
from COVIDQuantLib.evaluation.surfaces import surface_distances
from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.segmentation.result import Segmentation
from COVIDQuantLib.voxels.geometry import Geometry

SHAPE = (3, 4, 5)
# A voxel of one millilitre.
GRID = Geometry(SHAPE, (10.0, 10.0, 10.0))

lobes = hnp.arrays(np.uint8, SHAPE, elements=st.integers(0, 5))
lesions = hnp.arrays(np.bool_, SHAPE)
labels = st.builds(Labels, lobes, lesions)


def compare(predicted, reference, hu=None, **options):
    options.setdefault("distances", False)
    return evaluate_scan(predicted, reference, hu, GRID, **options)


def row(scan, structure):
    return scan.structures[structure].row()


# -------------------------------------------------------------------------------------------------- hand-made truth


@pytest.fixture
def by_hand():
    """Reference: right upper lobe 20 voxels, 8 of them ill; predicted: the lobe half off, 6 ill, 4 rightly."""
    truth = Labels(np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, bool))
    truth.lobes[1] = 1
    truth.lesions[1, :2, :4] = True
    found = Labels(np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, bool))
    found.lobes[1, :2] = 1
    found.lobes[0, :2] = 1
    found.lesions[1, :2, :2] = True
    found.lesions[0, 0, :2] = True
    hu = np.full(SHAPE, -500, np.int16)
    hu[1, :2, 2:4] = -100
    return found, truth, hu


def test_figures_by_hand(by_hand):
    scan = compare(*by_hand)
    lobe = row(scan, "right upper lobe")
    assert (lobe["both_ml"], lobe["only_predicted_ml"], lobe["only_reference_ml"]) == (10.0, 10.0, 10.0)
    assert (lobe["dice"], lobe["iou"], lobe["sensitivity"], lobe["ppv"]) == (0.5, pytest.approx(1 / 3), 0.5, 0.5)
    ill = row(scan, "lesions")
    assert (ill["dice"], ill["sensitivity"], ill["ppv"]) == (pytest.approx(8 / 14), 0.5, pytest.approx(4 / 6))
    assert (ill["predicted_volume_ml"], ill["reference_volume_ml"], ill["volume_difference_ml"]) == (6.0, 8.0, -2.0)
    assert ill["volume_difference_percent"] == -25.0
    assert (ill["predicted_extent_percent"], ill["reference_extent_percent"]) == (30.0, 40.0)
    assert ill["extent_difference_points"] == -10.0
    assert (ill["predicted_weight_g"], ill["reference_weight_g"]) == (3.0, pytest.approx(4 * 0.5 + 4 * 0.9))
    assert (ill["predicted_mean_lesion_hu"], ill["reference_mean_lesion_hu"]) == (-500.0, -300.0)
    assert ill["mean_lesion_difference_hu"] == -200.0


def test_extent_of_the_lungs_stands_on_the_row_of_the_lesions_alone(by_hand):
    assert row(compare(*by_hand), "whole lung")["predicted_extent_percent"] is None
    assert row(compare(*by_hand), "right lung")["predicted_extent_percent"] == 30.0


def test_lesions_outside_the_lungs_weigh_but_are_no_extent(by_hand):
    found, truth, hu = by_hand
    found.lesions[2, 0, 0] = True
    ill = row(compare(found, truth, hu), "lesions")
    assert (ill["predicted_volume_ml"], ill["predicted_weight_g"], ill["predicted_extent_percent"]) == (7.0, 3.5, 30.0)


def test_padding_is_not_counted(by_hand):
    found, truth, hu = by_hand
    padding = np.zeros(SHAPE, bool)
    padding[0] = True
    assert row(compare(found, truth, hu, padding=padding), "right upper lobe")["only_predicted_ml"] == 0.0


def test_without_hounsfield_units_weight_is_empty_and_it_is_said(by_hand):
    found, truth, _ = by_hand
    scan = compare(found, truth)
    assert row(scan, "lesions")["predicted_weight_g"] is None
    assert row(scan, "lesions")["weight_difference_g"] is None
    assert row(scan, "lesions")["extent_difference_points"] == -10.0
    assert len(scan.notes) == 2
    assert all("--ct" in note for note in scan.notes)


def test_a_histogram_takes_the_place_of_the_ct_unless_it_counts_other_voxels(by_hand):
    found, truth, hu = by_hand
    counted = [
        Labels(x.lobes, x.lesions, histogram=JointHistogram.of(hu, x.lobes, x.lesions, 1.0)) for x in (found, truth)
    ]
    assert row(compare(*counted), "lesions") == row(compare(found, truth, hu), "lesions")
    other = Labels(found.lobes, found.lesions, histogram=counted[1].histogram)
    scan = compare(other, counted[1])
    assert row(scan, "lesions")["predicted_weight_g"] is None
    assert "counts other voxels" in scan.notes[0]


# ---------------------------------------------------------------------------------------------- what is not defined


def test_two_empty_masks_have_no_dice():
    empty = Labels(lesions=np.zeros(SHAPE, bool))
    ill = row(compare(empty, empty), "lesions")
    undefined = {"dice", "iou", "sensitivity", "ppv", "volume_difference_percent"}
    assert all(ill[name] is None for name in undefined)
    assert ill["volume_difference_ml"] == 0.0


def test_a_lesion_free_reference_is_counted_apart():
    truth = Labels(np.ones(SHAPE, np.uint8), np.zeros(SHAPE, bool))
    wrong = Labels(truth.lobes, np.zeros(SHAPE, bool))
    wrong.lesions[0, 0, :3] = True
    ill = Labels(truth.lobes, np.ones(SHAPE, bool))
    scans = [compare(wrong, truth), compare(truth, truth), compare(ill, ill), compare(truth, ill)]
    assert scans[0].structures["lesions"].value("dice") == 0.0
    assert scans[0].structures["lesions"].value("sensitivity") is None
    found = pool(scans).structures["lesions"]
    assert (found.scans, found.absent, found.missed) == (4, 2, 1)
    assert (found.scores["dice"].n, found.scores["dice"].mean) == (2, 0.5)
    assert found.scores["ppv"].n == 1
    assert found.false_positive["extent"].max == pytest.approx(100 * 3 / 60)
    assert found.false_positive["volume"].mean == 1.5


def test_only_what_both_tell_is_compared():
    whole = Labels(np.ones(SHAPE, np.uint8), np.ones(SHAPE, bool))
    assert set(compare(whole, Labels(lesions=np.ones(SHAPE, bool))).structures) == {"lesions"}
    lungs = Labels(np.full(SHAPE, 2, np.uint8), lobar=False)
    scan = compare(whole, lungs)
    assert list(scan.structures) == ["whole lung"]
    assert row(scan, "whole lung")["dice"] == 1.0
    with pytest.raises(UnfitInputError, match="nothing to compare"):
        compare(lungs, Labels(lesions=np.ones(SHAPE, bool)))


def test_a_lobe_that_the_reference_lacks_is_not_in_the_mean():
    truth = Labels(np.ones(SHAPE, np.uint8))
    found = Labels(np.ones(SHAPE, np.uint8))
    found.lobes[0, 0, 0] = 2
    assert compare(found, truth).mean_lobe_dice == pytest.approx(2 * 59 / 119)
    assert compare(Labels(lesions=np.ones(SHAPE, bool)), Labels(lesions=np.ones(SHAPE, bool))).mean_lobe_dice is None


def test_arrays_off_the_grid_and_strange_labels_are_refused():
    good = Labels(np.ones(SHAPE, np.uint8))
    with pytest.raises(ValueError, match="not on the grid"):
        compare(Labels(np.ones((2, 4, 5), np.uint8)), good)
    with pytest.raises(ValueError, match=r"0\.\.5"):
        compare(Labels(np.full(SHAPE, 6, np.uint8)), good)


def test_the_result_of_a_segmentation_can_be_compared_as_it_is(by_hand):
    found, truth, hu = by_hand
    scan = compare(Segmentation(found.lobes, found.lesions), Segmentation(truth.lobes, truth.lesions), hu)
    assert row(scan, "lesions") == row(compare(found, truth, hu), "lesions")


def test_cancelling_goes_up():
    def stop(fraction):
        raise Cancelled

    with pytest.raises(Cancelled):
        compare(Labels(np.ones(SHAPE, np.uint8)), Labels(np.ones(SHAPE, np.uint8)), report=stop)


# --------------------------------------------------------------------------------------- properties of any two labels


@settings(deadline=None, max_examples=30)
@given(labels, labels)
def test_shares_lie_in_0_to_1_and_dice_is_symmetric(one, other):
    forth, back = compare(one, other), compare(other, one)
    for name, agreement in forth.structures.items():
        mirrored = back.structures[name]
        values = agreement.row()
        assert all(values[share] is None or 0 <= values[share] <= 1 for share in ("dice", "iou", "sensitivity", "ppv"))
        assert values["dice"] == mirrored.value("dice")
        assert values["sensitivity"] == mirrored.value("ppv")
        assert values["ppv"] == mirrored.value("sensitivity")
        assert values["volume_difference_ml"] == -mirrored.value("volume_difference_ml")


@settings(deadline=None, max_examples=30)
@given(labels, labels)
def test_counts_are_those_of_masks_compared_one_by_one(one, other):
    scan = compare(one, other)
    for structure in STRUCTURES:
        if structure is LESIONS:
            masks = one.lesions, other.lesions
        else:
            masks = (np.isin(side.lobes, structure.labels) for side in (one, other))
        a, b = masks
        expected = Overlap((a & b).sum(), (a & ~b).sum(), (b & ~a).sum())
        assert scan.structures[structure.name].overlap == expected


@settings(deadline=None, max_examples=30)
@given(labels)
def test_a_segmentation_agrees_with_itself(one):
    scan = compare(one, one)
    for agreement in scan.structures.values():
        assert agreement.value("dice") in (1.0, None)
        assert agreement.value("volume_difference_ml") == 0


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(labels, labels), min_size=1, max_size=4))
def test_pooled_is_the_counts_summed_whatever_the_order(pairs):
    scans = [compare(one, other) for one, other in pairs]
    found, turned = pool(scans), pool(scans[::-1])
    for name, summary in found.structures.items():
        overlaps = [scan.structures[name].overlap for scan in scans]
        both = sum(overlap.both for overlap in overlaps)
        whole = sum(overlap.predicted + overlap.reference for overlap in overlaps)
        assert summary.pooled.dice == (pytest.approx(2 * both / whole) if whole else None)
        assert summary.pooled == turned.structures[name].pooled
        assert summary.scores["dice"].n == sum(overlap.reference > 0 for overlap in overlaps)


@settings(deadline=None, max_examples=30)
@given(labels, labels)
def test_every_column_is_a_number_or_undefined(one, other):
    hu = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE) - 900
    for agreement in compare(one, other, hu, distances=True).structures.values():
        values = agreement.row()
        assert list(values) == list(COLUMNS)
        assert all(value is None or np.isfinite(value) for value in values.values())


# ---------------------------------------------------------------------------------------------------------- distances


def shell(mask):
    return mask & ~ndimage.binary_erosion(mask)


@settings(deadline=None, max_examples=30)
@given(lesions, lesions)
def test_distances_agree_with_a_distance_map(one, other):
    spacing = (5.0, 0.7, 0.9)
    found = surface_distances(one, other, spacing)
    surfaces = [shell(np.pad(mask, 1))[1:-1, 1:-1, 1:-1] for mask in (one, other)]
    if not all(surface.any() for surface in surfaces):
        assert found is None
        return
    maps = [ndimage.distance_transform_edt(~surface, sampling=spacing) for surface in surfaces]
    sides = [maps[1][surfaces[0]], maps[0][surfaces[1]]]
    assert found.mean_mm == pytest.approx(np.concatenate(sides).mean())
    assert found.percentile95_mm == pytest.approx(max(np.percentile(side, 95) for side in sides))


def test_distance_of_two_plates_by_hand():
    one, other = np.zeros((8, 4, 4), bool), np.zeros((8, 4, 4), bool)
    one[1], other[4] = True, True
    found = surface_distances(one, other, (2.0, 1.0, 1.0))
    assert (found.mean_mm, found.percentile95_mm) == (pytest.approx(6.0), pytest.approx(6.0))


def test_distances_are_told_for_every_structure_that_both_have():
    truth = np.zeros((12, 12, 12), np.uint8)
    truth[2:9, 2:9, 2:9] = 1
    moved = np.roll(truth, 2, axis=2)
    grid = Geometry(truth.shape, (0.5, 1.0, 1.0))
    scan = evaluate_scan(Labels(moved), Labels(truth), None, grid)
    assert 0 < scan.structures["whole lung"].value("surface_distance_mm") <= 1.0
    assert scan.structures["right upper lobe"].value("surface_distance_95_mm") == pytest.approx(1.0)
    assert scan.structures["left lower lobe"].value("surface_distance_mm") is None


def test_rows_are_in_the_order_of_the_contract():
    whole = Labels(np.ones(SHAPE, np.uint8), np.ones(SHAPE, bool))
    scan = compare(whole, whole)
    names = ["whole lung", "right lung", "left lung", *(lobe.name for lobe in LOBES), "lesions"]
    assert list(scan.structures) == names


def test_the_docs_name_every_column():
    text = (Path(__file__).parents[2] / "docs" / "evaluate.md").read_text(encoding="utf-8")
    names = [*(score.name for score in SCORES), *(quantity.difference for quantity in QUANTITIES)]
    names += [f"…_{quantity.name}_{quantity.unit}" for quantity in QUANTITIES]
    assert [name for name in names if f"`{name}`" not in text] == []
