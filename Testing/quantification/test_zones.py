"""A region that is no union of lobes: labels within a zone, counted, tabled, written and read without other code."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from COVIDQuantLib.anatomy import LOBES, REGIONS, WHOLE_LUNG, Region, labels_of_side
from COVIDQuantLib.ct.volume import CTVolume
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.export import table_file
from COVIDQuantLib.export.table_file import metrics_record, read_metrics, write_json
from COVIDQuantLib.pipeline import MODEL_FREE, GivenMasks, Plan, quantify_ct
from COVIDQuantLib.quantification import table, zones
from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.quantification.table import compute_metrics
from COVIDQuantLib.quantification.zones import Zone
from COVIDQuantLib.segmentation.result import Segmentation
from COVIDQuantLib.voxels.geometry import Geometry
from COVIDQuantLib.voxels.morphology import distance_to

SHAPE = (8, 10, 12)
GEOMETRY = Geometry(SHAPE, (20.0, 20.0, 20.0))
SHELL = Zone("shell", lambda lobes, grid: (lobes > 0) & (distance_to(lobes == 0, grid.spacing_kji) <= 20.0))
RIGHT_SHELL = Region("right shell", labels_of_side("right"), zone="shell")
WHOLE_SHELL = Region("shell", WHOLE_LUNG.labels, zone="shell")


@pytest.fixture
def shells(monkeypatch):
    """Two regions of a zone after the contract's, as one who adds them would write them."""
    monkeypatch.setattr(zones, "ZONES", (SHELL,))
    for module in (table, table_file):
        monkeypatch.setattr(module, "REGIONS", (*REGIONS, WHOLE_SHELL, RIGHT_SHELL))


def chest(seed=1):
    rng = np.random.default_rng(seed)
    lobes = np.zeros(SHAPE, np.uint8)
    lobes[1:7, 1:9, 1:6] = rng.integers(1, 4, (6, 8, 5))
    lobes[1:7, 1:9, 7:11] = rng.integers(4, 6, (6, 8, 4))
    return rng.integers(-1000, 200, SHAPE).astype(np.int16), lobes, rng.random(SHAPE) < 0.3


def counted(seed=1, zoned=True):
    hu, lobes, lesions = chest(seed)
    masks = zones.zone_masks(lobes, GEOMETRY) if zoned else None
    return JointHistogram.of(hu, lobes, lesions, GEOMETRY.voxel_volume_ml, None, masks)


@pytest.mark.parametrize("seed", range(3))
def test_a_zones_figures_are_those_of_its_voxels(shells, seed):
    hu, lobes, lesions = chest(seed)
    metrics = compute_metrics(counted(seed))
    own = np.isin(lobes, RIGHT_SHELL.labels) & SHELL.mask(lobes, GEOMETRY)
    assert 0 < own.sum() < np.isin(lobes, RIGHT_SHELL.labels).sum()
    assert metrics.value("right shell", "volume_ml") == pytest.approx(own.sum() * 8.0)
    assert metrics.value("right shell", "extent_percent") == pytest.approx(100 * lesions[own].mean())
    assert metrics.value("right shell", "mean_lung_hu") == pytest.approx(hu[own].mean())
    assert metrics.value("right shell", "ct_score") is None


def test_the_contracts_rows_stay_as_they_are(shells):
    assert compute_metrics(counted()).rows[: len(REGIONS)] == compute_metrics(counted(zoned=False)).rows[: len(REGIONS)]


def test_a_zone_that_was_not_counted_has_no_figures(shells):
    row = compute_metrics(counted(zoned=False)).row("shell")
    assert set(row) > {"volume_ml"}
    assert all(value is None for name, value in row.items() if name != "region")
    with pytest.raises(KeyError):
        counted(zoned=False).region((1,), "shell")


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31 - 1))
def test_zone_and_rest_make_up_the_whole(seed):
    hu, lobes, lesions = chest(seed)
    shell = SHELL.mask(lobes, GEOMETRY)
    padding = np.random.default_rng(seed).random(SHAPE) < 0.1
    both = JointHistogram.of(hu, lobes, lesions, 1.0, padding, {"in": shell, "out": ~shell})
    assert np.array_equal(both.zones["in"] + both.zones["out"], both.counts)
    assert np.array_equal(both.counts, JointHistogram.of(hu, lobes, lesions, 1.0, padding).counts)


def test_the_pipeline_counts_zones(shells):
    hu, lobes, lesions = chest()
    lesions &= lobes > 0
    hu[lobes > 0] = -800
    hu[lesions] = -400
    exam = quantify_ct(CTVolume(hu, GEOMETRY), GivenMasks(lobes=lobes, lesions=lesions), plan=Plan(MODEL_FREE))
    assert exam.metrics.value("shell", "volume_ml") == pytest.approx(SHELL.mask(lobes, GEOMETRY).sum() * 8.0)


def written(path, histogram):
    ct = CTVolume(np.zeros(SHAPE, np.int16), GEOMETRY)
    segmentation = Segmentation(np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, bool))
    record = metrics_record(ct, segmentation, histogram, compute_metrics(histogram))
    write_json(path, record)
    return record


def test_files_hold_zones_and_are_held_to_them(shells, tmp_path):
    histogram = counted()
    record = written(tmp_path / "metrics.json", histogram)
    read = read_metrics(tmp_path / "metrics.json")
    assert np.array_equal(read.histogram.zones["shell"], histogram.zones["shell"])
    assert read.metrics.rows == compute_metrics(histogram).rows
    record["regions"][-1]["volume_ml"] += 1
    write_json(tmp_path / "metrics.json", record)
    with pytest.raises(UnfitInputError, match="right shell"):
        read_metrics(tmp_path / "metrics.json")


def test_without_zones_the_file_is_as_ever(tmp_path):
    assert set(written(tmp_path / "metrics.json", counted(zoned=False))["histogram"]) == {"voxel_volume_ml", "entries"}


def test_a_file_from_before_the_zone_is_read(shells, tmp_path, monkeypatch):
    with monkeypatch.context() as before:
        before.setattr(table, "REGIONS", REGIONS)
        written(tmp_path / "metrics.json", counted(zoned=False))
    read = read_metrics(tmp_path / "metrics.json")
    assert [row["region"] for row in read.metrics.rows][-2:] == ["shell", "right shell"]
    assert read.metrics.value("shell", "volume_ml") is None
    assert read.metrics.value(LOBES[0].name, "volume_ml") > 0
