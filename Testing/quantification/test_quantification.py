"""The figures: against plain numpy over voxels, and what must hold whatever the counts."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from COVIDQuantLib.anatomy import LOBES, REGIONS
from COVIDQuantLib.errors import UnfitInputError, UsageError
from COVIDQuantLib.quantification.document import filled
from COVIDQuantLib.quantification.histogram import HU_BINS, JointHistogram, count_voxels
from COVIDQuantLib.quantification.measures import MEASURES
from COVIDQuantLib.quantification.reference import (
    NormalReference,
    distribution,
    hellinger_distance,
    intersection_over_union,
    shipped_reference,
)
from COVIDQuantLib.quantification.table import compute_metrics
from COVIDQuantLib.quantification.thresholds import Thresholds

VOXEL_ML = 0.7 * 0.7 * 1.25 / 1000


def random_exam(seed: int, shape=(9, 8, 7)):
    rng = np.random.default_rng(seed)
    hu = rng.integers(-3024, 4000, shape).astype(np.int16)
    hu[rng.random(shape) < 0.8] = rng.integers(-1000, 100)
    lobes = rng.integers(0, 6, shape).astype(np.uint8)
    lesions = rng.random(shape) < rng.random()
    padding = rng.random(shape) < 0.1 * rng.random()
    return hu, lobes, lesions, padding


def expected(hu, lobes, lesions, padding, labels, thresholds=(-750, -350)):
    """The definitions of the papers over the voxels themselves, in floating point."""
    hu = np.clip(hu.astype(float), -1024, 3071)
    region = np.isin(lobes, labels) & ~padding
    lesion = hu[region & lesions]
    whole = hu[region] if labels != (0,) else None

    def weight(values):
        return float(np.sum(VOXEL_ML * (np.maximum(values, -1000) + 1000) / 1000))

    ggo = int(((lesion >= thresholds[0]) & (lesion < thresholds[1])).sum())
    consolidation = int((lesion >= thresholds[1]).sum())
    figures = {
        "lesion_volume_ml": lesion.size * VOXEL_ML,
        "weight_g": weight(lesion),
        "ggo_volume_ml": ggo * VOXEL_ML,
        "consolidation_volume_ml": consolidation * VOXEL_ML,
        "below_ggo_volume_ml": (lesion.size - ggo - consolidation) * VOXEL_ML,
        "mean_lesion_hu": lesion.mean() if lesion.size else None,
    }
    if whole is not None and whole.size:
        figures |= {
            "volume_ml": whole.size * VOXEL_ML,
            "extent_percent": 100 * lesion.size / whole.size,
            "ggo_percent": 100 * ggo / whole.size,
            "consolidation_percent": 100 * consolidation / whole.size,
            "mean_lung_hu": whole.mean(),
            "lung_weight_g": weight(whole),
        }
    return figures


@pytest.mark.parametrize("seed", range(20))
def test_every_figure_follows_its_definition(seed):
    exam = random_exam(seed)
    metrics = compute_metrics(JointHistogram.of(*exam[:3], VOXEL_ML, exam[3]))
    assert [row["region"] for row in metrics.rows] == [region.name for region in REGIONS]
    for region in REGIONS:
        row = metrics.row(region.name)
        for name, value in expected(*exam, region.labels).items():
            assert row[name] == (None if value is None else pytest.approx(value, rel=1e-9)), (region.name, name)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(-1024, 0), st.integers(0, 500))
def test_parts_sum_to_wholes(seed, ggo, width):
    exam = random_exam(seed)
    metrics = compute_metrics(JointHistogram.of(*exam[:3], VOXEL_ML, exam[3]), Thresholds(ggo, ggo + width))
    for row in metrics.rows:
        parts = row["ggo_volume_ml"] + row["consolidation_volume_ml"] + row["below_ggo_volume_ml"]
        assert parts == pytest.approx(row["lesion_volume_ml"], abs=1e-12)
    for measure in ("volume_ml", "lesion_volume_ml", "weight_g", "lung_weight_g", "ct_score"):
        lobes = [metrics.value(lobe.name, measure) or 0 for lobe in LOBES]
        sides = [metrics.value(f"{side} lung", measure) or 0 for side in ("right", "left")]
        whole = metrics.value("whole lung", measure) or 0
        assert sum(lobes) == pytest.approx(whole)
        assert sum(sides) == pytest.approx(whole)
    assert metrics.ct_score_total == metrics.value("whole lung", "ct_score")


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.permutations([0, 1, 2]))
def test_axis_order_changes_nothing(seed, axes):
    exam = random_exam(seed)
    turned = [np.transpose(array, axes)[::-1] for array in exam]
    assert np.array_equal(count_voxels(*exam), count_voxels(*turned))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 8))
def test_boxes_add_up_to_the_volume(seed, cut):
    exam = random_exam(seed)
    halves = count_voxels(*[a[:cut] for a in exam]) + count_voxels(*[a[cut:] for a in exam])
    assert np.array_equal(halves, count_voxels(*exam))


def test_many_slabs_count_like_one():
    rng = np.random.default_rng(0)
    hu = rng.integers(-1100, 3200, (40, 300, 300)).astype(np.int16)
    lobes, lesions = rng.integers(0, 6, hu.shape).astype(np.uint8), rng.random(hu.shape) < 0.2
    index = lobes.astype(int) * 2 + lesions
    clipped = np.clip(hu, -1024, 3071).astype(int) + 1024
    counted = (lobes > 0) | lesions
    brute = np.bincount((index * HU_BINS + clipped)[counted], minlength=12 * HU_BINS).reshape(6, 2, HU_BINS)
    assert np.array_equal(count_voxels(hu, lobes, lesions), brute)


def exam_of_extent(lesion: int, total: int):
    hu = np.full((1, 1, total), -500, np.int16)
    lobes = np.ones(hu.shape, np.uint8)
    lesions = np.zeros(hu.shape, bool)
    lesions[..., :lesion] = True
    return compute_metrics(JointHistogram.of(hu, lobes, lesions, VOXEL_ML))


@pytest.mark.parametrize(
    ("lesion", "score"),
    [(0, 0), (1, 1), (50, 1), (51, 2), (250, 2), (251, 3), (499, 3), (500, 4), (750, 4), (751, 5), (1000, 5)],
)
def test_ct_score_edges(lesion, score):
    assert exam_of_extent(lesion, 1000).value("right upper lobe", "ct_score") == score


def test_undefined_is_none_and_never_zero():
    metrics = compute_metrics(JointHistogram.of(*random_exam(1)[:2], np.zeros((9, 8, 7), bool), VOXEL_ML))
    assert metrics.value("whole lung", "mean_lesion_hu") is None
    assert metrics.value("whole lung", "extent_percent") == 0
    outside = metrics.row("outside lobes")
    assert {m.name for m in MEASURES if outside[m.name] is None} == {
        m.name for m in MEASURES if not m.outside or m.name == "mean_lesion_hu"
    }
    empty = compute_metrics(JointHistogram(VOXEL_ML))
    assert (empty.ct_score_total, empty.hellinger_distance, empty.histogram_iou) == (None, None, None)
    assert empty.value("whole lung", "extent_percent") is None


def test_a_lobe_that_is_absent_has_no_score_and_the_others_sum():
    metrics = exam_of_extent(100, 1000)
    assert metrics.value("left lower lobe", "ct_score") is None
    assert metrics.value("left lung", "ct_score") is None
    assert metrics.value("whole lung", "ct_score") == metrics.value("right lung", "ct_score") == 2
    assert metrics.involved_lobes == 1


def test_lesion_outside_lobes_is_reported_on_its_own_row():
    hu, lobes = np.full((2, 2, 2), -500, np.int16), np.zeros((2, 2, 2), np.uint8)
    metrics = compute_metrics(JointHistogram.of(hu, lobes, np.ones((2, 2, 2), bool), 0.5))
    assert metrics.value("outside lobes", "lesion_volume_ml") == 4.0
    assert metrics.value("outside lobes", "weight_g") == pytest.approx(2.0)
    assert metrics.value("whole lung", "lesion_volume_ml") == 0


def test_histogram_round_trips_through_json():
    histogram = JointHistogram.of(*random_exam(3)[:3], VOXEL_ML)
    back = JointHistogram.from_record(json.loads(json.dumps(histogram.as_record())))
    assert np.array_equal(back.counts, histogram.counts)
    assert back.voxel_volume_ml == histogram.voxel_volume_ml


def test_wrong_labels_and_shapes_are_refused():
    hu, lobes, lesions, _ = random_exam(0)
    with pytest.raises(ValueError, match=r"0\.\.5"):
        count_voxels(hu, lobes + 6, lesions)
    with pytest.raises(ValueError, match="shape"):
        count_voxels(hu[1:], lobes, lesions)
    with pytest.raises(UsageError, match="not in order"):
        Thresholds(-300, -400)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 1000), min_size=8, max_size=8), st.lists(st.integers(0, 1000), min_size=8, max_size=8))
def test_distances_behave(a, b):
    p, q = (np.zeros(HU_BINS) for _ in range(2))
    p[100:900:100], q[100:900:100] = a, b
    p[2000] = q[2001] = 1
    p, q = distribution(p), distribution(q)
    distance, overlap = hellinger_distance(p, q), intersection_over_union(p, q)
    assert 0 <= distance <= 1
    assert 0 <= overlap <= 1
    assert distance == pytest.approx(hellinger_distance(q, p))
    assert hellinger_distance(p, p) == pytest.approx(0, abs=1e-7)
    assert intersection_over_union(p, p) == 1
    # Hellinger squared is at most the total variation distance, which the overlap gives too.
    assert distance**2 <= (1 - overlap) / (1 + overlap) + 1e-12


def test_known_distances():
    p, q = np.array([0.5, 0.5, 0.0]), np.array([0.0, 0.5, 0.5])
    assert hellinger_distance(p, q) == pytest.approx(math.sqrt(0.5))
    assert intersection_over_union(p, q) == pytest.approx(1 / 3)


def test_reference_file_round_trips_and_bad_files_are_refused(tmp_path):
    reference = shipped_reference()
    assert reference.frequency.sum() == pytest.approx(1, abs=1e-6)
    assert all({"name", "licence"} <= set(subject) for subject in reference.subjects)
    path = tmp_path / "reference.json"
    path.write_text(json.dumps(reference.as_record()))
    assert np.allclose(NormalReference.read(path).frequency, reference.frequency, atol=1e-9)
    record = reference.as_record()
    record["frequency"][60] += 0.5
    for text in ("{", "{}", json.dumps(record)):
        path.write_text(text)
        with pytest.raises(UnfitInputError, match=r"not a normal reference|not JSON"):
            NormalReference.read(path)


def test_the_definitions_page_is_written_from_the_records():
    page = Path(__file__).parents[2] / "docs" / "definitions.md"
    text = page.read_text(encoding="utf-8")
    assert filled(text) == text, "run: python -m COVIDQuantLib.quantification.document"
