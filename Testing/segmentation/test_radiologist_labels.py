"""The comparison with radiologists' marks per lobe and slice: order of slices and lobes, and its figures."""

import csv

import numpy as np
import pytest

from Testing.evaluation.radiologist_labels import LABEL_ORDER, Collection, agreement, areas


def test_areas_run_from_the_head_with_the_lobes_in_the_collections_order():
    lobes = np.zeros((3, 4, 5), np.uint8)
    lobes[0], lobes[2] = 3, 4
    lesions = np.zeros(lobes.shape, bool)
    lesions[2, :2] = True
    sick, whole = areas(lobes, lesions, 0.5)
    # Label 4 is the left upper lobe, 3 the right lower one; slice 2 of the CT is the first from the head.
    assert np.argwhere(sick).tolist() == [[0, LABEL_ORDER.index("LUL")]]
    assert sick[0, LABEL_ORDER.index("LUL")] == 5.0
    assert whole[2, LABEL_ORDER.index("RLL")] == 10.0
    assert np.count_nonzero(whole) == 2


def test_figures_of_a_known_table():
    area = np.array([[50.0, 0.0, 8.0], [20.0, 30.0, 0.0]])
    marked = np.array([[True, False, True], [True, False, False]])
    found = agreement(area, marked, 15.0)
    assert found.marked == 3
    assert found.sensitivity == pytest.approx(2 / 3)
    assert found.specificity == pytest.approx(2 / 3)
    # Of the nine pairs of a marked and an unmarked one, the marked one is larger in seven.
    assert found.auc == pytest.approx(7 / 9)


def test_no_marks_leave_sensitivity_and_area_under_the_curve_open():
    found = agreement(np.array([0.0, 20.0]), np.zeros(2, bool), 15.0)
    assert found.specificity == 0.5
    assert np.isnan([found.auc, found.sensitivity]).all()


def test_the_updated_labels_and_the_patients_that_are_there(tmp_path):
    with (tmp_path / "Index.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["Label Index", "Folder/ID"], [0, "P001"], [1, "P002"]])
    np.save(tmp_path / "Lobe-level-labels.npy", np.zeros((2, 9, 5)))
    updated = np.zeros((2, 9, 5))
    updated[1, 2, 0] = 1
    np.save(tmp_path / "Lobe-level-labels-updated-1.npy", updated)
    (tmp_path / "COVID-19 subjects" / "P002").mkdir(parents=True)
    collection = Collection(tmp_path)
    assert collection.patients() == ["P002"]
    assert np.argwhere(collection.marks("P002", 6)).tolist() == [[2, 0]]
    with pytest.raises(SystemExit, match="P003"):
        collection.ct("P003")
