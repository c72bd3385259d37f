"""metrics.csv and metrics.json keep the contract, and a changed file is found out."""

import csv
import json
import math

import numpy as np
import pytest

from COVIDQuantLib.anatomy import REGIONS
from COVIDQuantLib.ct.volume import CTVolume, CTWarning
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.export.table_file import metrics_record, read_metrics, write_csv, write_json
from COVIDQuantLib.grades import CheckResult, Grade
from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.quantification.measures import MEASURES
from COVIDQuantLib.quantification.table import compute_metrics
from COVIDQuantLib.segmentation.result import Segmentation
from COVIDQuantLib.voxels.geometry import Geometry

GEOMETRY = Geometry((6, 20, 20), (0.7, 0.7, 5.0))


def exam(*, empty=False):
    rng = np.random.default_rng(3)
    ct = CTVolume(rng.integers(-1000, 200, GEOMETRY.shape).astype(np.int16), GEOMETRY)
    ct.source = {"path": "CT", "thickness_mm": np.float64(5.0), "gap": float("nan")}
    ct.warnings = [CTWarning("thick-sections", "Sections of 5.0 mm.")]
    lobes = rng.integers(0, 6, GEOMETRY.shape).astype(np.uint8)
    lesions = rng.random(GEOMETRY.shape) > 0.8
    if empty:
        lobes[:] = 0
        lesions[:] = False
    segmentation = Segmentation(lobes, lesions, {"lungs": {"method": "model-free"}})
    histogram = JointHistogram.of(ct.hu, lobes, lesions, GEOMETRY.voxel_volume_ml)
    return ct, segmentation, histogram, compute_metrics(histogram)


@pytest.mark.parametrize("empty", [False, True])
def test_csv_has_the_contracts_rows_and_every_digit(tmp_path, empty):
    metrics = exam(empty=empty)[-1]
    write_csv(tmp_path / "metrics.csv", metrics)
    with (tmp_path / "metrics.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["region"] for row in rows] == [region.name for region in REGIONS]
    assert tuple(rows[0]) == (*MEASURES.columns, "grade")
    assert {row["grade"] for row in rows} == {""}
    for row, source in zip(rows, metrics.rows, strict=True):
        for column in MEASURES.names:
            if source[column] is None:
                assert row[column] == ""
            else:
                assert float(row[column]) == source[column]


@pytest.mark.parametrize("empty", [False, True])
def test_json_returns_the_same_figures_and_counts(tmp_path, empty):
    ct, segmentation, histogram, metrics = exam(empty=empty)
    write_json(tmp_path / "metrics.json", metrics_record(ct, segmentation, histogram, metrics))
    read = read_metrics(tmp_path)
    assert read.metrics == metrics
    assert np.array_equal(read.histogram.counts, histogram.counts)
    assert read.record["geometry"] == GEOMETRY.as_record()
    assert read.record["warnings"] == [{"code": "thick-sections", "message": "Sections of 5.0 mm."}]
    assert read.record["input"]["gap"] is None
    assert read.record["models"] == []
    assert set(read.record["software"]) >= {"COVIDQuant", "python", "numpy", "SimpleITK"}


def test_json_is_standard_readable_and_the_same_each_time(tmp_path):
    record = metrics_record(*exam())
    write_json(tmp_path / "a.json", record)
    write_json(tmp_path / "b.json", record)
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert text == (tmp_path / "b.json").read_text(encoding="utf-8")
    assert json.loads(text) == json.loads(json.dumps(record))
    assert "NaN" not in text
    assert len(text.splitlines()) < 300


def test_models_are_listed_with_their_checksums():
    ct, segmentation, histogram, metrics = exam()
    model = {"name": "lesions-2d", "sha256": "ab" * 32}
    segmentation.provenance["lesions"] = {"method": "network", "model": model}
    assert metrics_record(ct, segmentation, histogram, metrics)["models"] == [model]


def spoil(record, change):
    if change == "figure":
        record["regions"][0]["lesion_volume_ml"] *= 1.001
    elif change == "undefined":
        record["regions"][1]["mean_lesion_hu"] = None
    elif change == "order":
        record["regions"].reverse()
    elif change == "column":
        del record["regions"][4]["weight_g"]
    elif change == "total":
        record["ct_score_total"] += 1
    elif change == "text":
        record["regions"][0]["volume_ml"] = "12"
    elif change == "count":
        record["histogram"]["entries"][0]["label"] = 9
    elif change == "format":
        record["format"] = "other/1"
    return record


@pytest.mark.parametrize("change", ["figure", "undefined", "order", "column", "total", "text", "count", "format"])
def test_a_changed_file_is_found_out(tmp_path, change):
    write_json(tmp_path / "metrics.json", spoil(metrics_record(*exam()), change))
    with pytest.raises(UnfitInputError, match=r"metrics\.json"):
        read_metrics(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"format": NaN}', "\x00\xff"])
def test_what_is_not_such_a_file_is_refused(tmp_path, text):
    (tmp_path / "metrics.json").write_text(text, encoding="utf-8")
    with pytest.raises(UnfitInputError):
        read_metrics(tmp_path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UnfitInputError, match="no such file"):
        read_metrics(tmp_path)


def test_no_undefined_figure_is_nan():
    for row in exam(empty=True)[-1].rows:
        assert all(value is None or isinstance(value, str) or math.isfinite(value) for value in row.values())


# ----------------------------------------------------------------------------------------------------------- checks


def checked():
    ct, segmentation, histogram, metrics = exam()
    segmentation.checks = [
        CheckResult("outside-patient", Grade.LOOK, "3 mL outside", "left lung", (1.0, 2.0, 3.0), 0.4, "%"),
        CheckResult("left-share", Grade.SOUND, "left share: 46 %", "left lung", None, 46.0, "%"),
    ]
    return ct, segmentation, histogram, metrics


def test_checks_and_grade_come_back_from_the_file(tmp_path):
    ct, segmentation, histogram, metrics = checked()
    write_json(tmp_path / "metrics.json", metrics_record(ct, segmentation, histogram, metrics))
    read = read_metrics(tmp_path)
    assert read.checks == tuple(segmentation.checks)
    assert read.grade is Grade.LOOK
    assert read.record["grade"] == "look"


def test_every_row_of_the_csv_has_the_grade(tmp_path):
    write_csv(tmp_path / "metrics.csv", checked()[-1], Grade.UNUSABLE)
    with (tmp_path / "metrics.csv").open(encoding="utf-8", newline="") as file:
        assert {row["grade"] for row in csv.DictReader(file)} == {"unusable"}


def test_a_file_from_before_there_were_checks_is_read(tmp_path):
    record = metrics_record(*checked())
    del record["grade"], record["checks"]
    write_json(tmp_path / "metrics.json", record)
    assert read_metrics(tmp_path).grade is None


def test_a_grade_that_its_checks_do_not_give_is_found_out(tmp_path):
    record = metrics_record(*checked()) | {"grade": "sound"}
    write_json(tmp_path / "metrics.json", record)
    with pytest.raises(UnfitInputError, match="grade"):
        read_metrics(tmp_path)
