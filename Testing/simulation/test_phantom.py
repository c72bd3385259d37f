"""The phantom: the same seed gives the same CT, and its truth is true."""

import numpy as np
import pytest
from scipy import ndimage

from COVIDQuantLib.anatomy import LOBES, REGIONS
from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.quantification.table import compute_metrics
from COVIDQuantLib.simulation.phantom import Phantom, PhantomSettings, make_phantom

COARSE = {"matrix": 72, "thickness_mm": 5.0}
# Shares of the lobes in adults, percent, widely: right upper, middle, lower, left upper, lower.
LOBE_SHARES = {1: (12, 27), 2: (3.5, 16), 3: (17, 33), 4: (16, 32), 5: (15, 33)}


def made(**settings) -> Phantom:
    return make_phantom(PhantomSettings(**{**COARSE, **settings}))


@pytest.fixture(scope="module", params=[0, 1])
def phantom(request) -> Phantom:
    return made(seed=request.param, extent_percent=(12.0, 3.0)[request.param], motion=True)


@pytest.fixture(scope="module")
def healthy() -> Phantom:
    return made(seed=5, extent_percent=0.0, motion=False, noise_hu=0.0)


def test_same_seed_same_phantom():
    settings = {"seed": 7, "slices": 8, "extent_percent": 9.0, "motion": True}
    one, two = made(**settings), made(**settings)
    for name in ("lobes", "lesions", "artefacts", "truth"):
        assert np.all(getattr(one, name) == getattr(two, name)), name
    assert np.array_equal(one.ct.hu, two.ct.hu)


def test_other_seed_other_patient(healthy):
    other = made(seed=6, slices=5)
    assert other.truth["patient"] != healthy.truth["patient"]
    assert other.truth["fissures"] != healthy.truth["fissures"]


def test_arrays_lie_on_the_grid_of_the_ct(phantom):
    shape = phantom.ct.geometry.shape
    for array, kind in (
        (phantom.ct.hu, np.int16),
        (phantom.lobes, np.uint8),
        (phantom.lesions, np.bool_),
        (phantom.artefacts, np.bool_),
    ):
        assert array.shape == shape
        assert array.dtype == kind
    assert phantom.ct.geometry.direction == (1, 0, 0, 0, 1, 0, 0, 0, 1)


def test_five_lobes_each_in_one_piece_of_likely_size(phantom):
    total = np.count_nonzero(phantom.lobes)
    assert 2200 < total * phantom.ct.geometry.voxel_volume_ml < 8500
    for lobe in LOBES:
        mask = phantom.lobes == lobe.label
        low, high = LOBE_SHARES[lobe.label]
        assert low < 100 * np.count_nonzero(mask) / total < high, lobe.name
        pieces, count = ndimage.label(mask, np.ones((3, 3, 3)))
        largest = np.bincount(pieces.ravel())[1:].max() if count else 0
        assert largest > 0.99 * np.count_nonzero(mask), lobe.name


def test_right_lobes_are_on_the_right_and_upper_above_lower(phantom):
    centre = {lobe.label: np.argwhere(phantom.lobes == lobe.label).mean(axis=0) for lobe in LOBES}
    assert max(centre[n][2] for n in (1, 2, 3)) < min(centre[n][2] for n in (4, 5))
    assert centre[1][0] > centre[2][0] > centre[3][0]
    assert centre[4][0] > centre[5][0]
    assert centre[2][1] < centre[3][1]


def test_lungs_are_whole_within_the_scan(phantom):
    assert phantom.truth["lungs_complete"]
    edges = np.ones(phantom.lobes.shape[1:], bool)
    edges[1:-1, 1:-1] = False
    assert not phantom.lobes[:, edges].any()


def test_lesions_lie_in_the_lungs_and_meet_the_extent(phantom):
    assert not (phantom.lesions & (phantom.lobes == 0)).any()
    wanted = phantom.truth["settings"]["extent_percent"]
    assert phantom.truth["regions"][0]["extent_percent"] == pytest.approx(wanted, rel=0.12, abs=0.4)


def test_artefacts_look_like_ground_glass_but_are_no_lesion(phantom):
    assert phantom.artefacts.any()
    assert not (phantom.artefacts & phantom.lesions).any()
    assert not (phantom.artefacts & (phantom.lobes == 0)).any()
    healthy_lung = (phantom.lobes > 0) & ~phantom.lesions & ~phantom.artefacts
    raised = phantom.ct.hu[phantom.artefacts].mean() - np.median(phantom.ct.hu[healthy_lung])
    assert raised > 100


def test_a_still_patient_has_no_artefacts(healthy):
    assert not healthy.artefacts.any()
    assert healthy.truth["drawn"]["motion"] is None


def test_healthy_lung_is_healthy(healthy):
    assert not healthy.lesions.any()
    assert healthy.truth["lesions"] == []
    lung = healthy.ct.hu[healthy.lobes > 0]
    assert -890 < np.median(lung) < -780
    assert healthy.truth["ct_score_total"] == 0
    assert healthy.truth["involved_lobes"] == 0
    assert healthy.truth["regions"][0]["mean_lesion_hu"] is None


def test_dependent_lung_is_denser(healthy):
    inside = ndimage.binary_erosion(healthy.lobes > 0)
    rows = np.nonzero(inside)[1]
    front, back = np.quantile(rows, (0.2, 0.8))
    hu = healthy.ct.hu[inside]
    assert np.median(hu[rows > back]) > np.median(hu[rows < front]) + 8


def test_tissues_have_their_ct_numbers(healthy):
    hu = healthy.ct.hu
    outside = hu[healthy.lobes == 0]
    for low, high, least in ((-130, -70, 0.05), (10, 80, 0.05), (250, 1500, 0.004), (-1024, -960, 0.2)):
        assert np.mean((outside >= low) & (outside <= high)) > least


def test_lesions_are_denser_than_healthy_lung_and_not_denser_than_tissue(phantom):
    for lesion_hu in (phantom.truth["regions"][0]["mean_lesion_hu"],):
        assert -720 < lesion_hu < -150
    healthy_lung = (phantom.lobes > 0) & ~phantom.lesions
    assert np.median(phantom.ct.hu[phantom.lesions]) > np.median(phantom.ct.hu[healthy_lung]) + 120


def test_large_extent_and_kinds():
    severe = made(seed=3, extent_percent=60.0, thickness_mm=8.0)
    assert severe.truth["regions"][0]["extent_percent"] == pytest.approx(60.0, abs=2.5)
    whole = severe.truth["regions"][0]
    assert whole["ggo_volume_ml"] > 0
    assert whole["consolidation_volume_ml"] > 0
    assert {lesion["site"] for lesion in severe.truth["lesions"]} == {"subpleural", "peribronchial", "basal"}


def test_truth_rows_are_consistent(phantom):
    rows = phantom.truth["regions"]
    assert [row["region"] for row in rows] == [region.name for region in REGIONS]
    whole, right, left, *lobes, outside = rows
    for name in ("volume_ml", "lesion_volume_ml", "weight_g", "lung_weight_g", "ct_score", "ggo_volume_ml"):
        assert whole[name] == pytest.approx(right[name] + left[name])
        assert whole[name] == pytest.approx(sum(lobe[name] for lobe in lobes))
    for row in rows:
        parts = row["ggo_volume_ml"] + row["consolidation_volume_ml"] + row["below_ggo_volume_ml"]
        assert parts == pytest.approx(row["lesion_volume_ml"])
    assert outside["volume_ml"] is None
    assert outside["lesion_volume_ml"] == 0
    assert phantom.truth["ct_score_total"] == whole["ct_score"]


def test_truth_agrees_with_the_quantification(phantom):
    histogram = JointHistogram.of(
        phantom.ct.hu, phantom.lobes, phantom.lesions, phantom.ct.geometry.voxel_volume_ml, phantom.ct.padding
    )
    table = compute_metrics(histogram)
    for row, truth in zip(table.rows, phantom.truth["regions"], strict=True):
        assert row.keys() == truth.keys()
        for name, value in truth.items():
            assert row[name] == (pytest.approx(value, rel=1e-9) if isinstance(value, float) else value), name
    assert table.ct_score_total == phantom.truth["ct_score_total"]
    assert table.involved_lobes == phantom.truth["involved_lobes"]
