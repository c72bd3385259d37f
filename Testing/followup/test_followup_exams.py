"""Exams of one patient in order: who is refused, what is told, and the course in time."""

import json
from datetime import date, timedelta

import numpy as np
import pytest
from dicom_maker import chest, slice_datasets, write
from followup_world import DAYS, lungs, result, write_result
from hypothesis import given, settings
from hypothesis import strategies as st

from COVIDQuantLib.ct.read import read_ct
from COVIDQuantLib.errors import COVIDQuantError, UnfitInputError, UsageError
from COVIDQuantLib.evaluation.evaluate import Labels, evaluate_scan, pool
from COVIDQuantLib.evaluation.result_files import put_evaluation
from COVIDQuantLib.exam import Exam
from COVIDQuantLib.export.exam_files import write_exam
from COVIDQuantLib.followup.comparison import compare_exams
from COVIDQuantLib.followup.comparison_files import comparison_record
from COVIDQuantLib.followup.document import filled
from COVIDQuantLib.followup.exam_result import read_result
from COVIDQuantLib.followup.sequence import in_order
from COVIDQuantLib.followup.site_limits import read_site_limits
from COVIDQuantLib.followup.time_course import TrajectoryPoint, at_curves, charted_measures
from COVIDQuantLib.followup.time_course_chart import draw_time_course, write_time_course
from COVIDQuantLib.grades import Grade
from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.quantification.table import compute_metrics
from COVIDQuantLib.quantification.thresholds import Thresholds
from COVIDQuantLib.quantification.time_courses import CURVES
from COVIDQuantLib.segmentation.result import Segmentation
from COVIDQuantLib.system.atomic_files import OutputFolder
from COVIDQuantLib.voxels.geometry import Geometry

ONE, TWO, THREE = lungs(ggo=1_000), lungs(ggo=2_000), lungs(ggo=1_500)


def pair_of(*facts, dates=None, **options):
    """The comparison of exams that differ in these facts."""
    exams = [result(lungs(ggo=1_000 + 100 * n), f"exam{n}", **one) for n, one in enumerate(facts)]
    return compare_exams(exams, DAYS[: len(exams)] if dates is None else dates, **options)


def codes(comparison):
    return {warning.code for warning in comparison.warnings}


# --------------------------------------------------------------------------------------------------------------- order


@given(st.lists(st.integers(0, 300), min_size=2, max_size=8))
@settings(max_examples=40, deadline=None)
def test_exams_are_put_in_the_order_of_their_days(offsets):
    days = [DAYS[0] + timedelta(offset) for offset in offsets]
    exams, warnings = in_order([result(ONE, str(n)) for n in range(len(days))], days, onset=DAYS[0])
    assert [exam.day for exam in exams] == sorted(days)
    assert [exam.number for exam in exams] == list(range(1, len(days) + 1))
    assert [exam.days for exam in exams] == [offset - min(offsets) for offset in sorted(offsets)]
    assert [exam.onset_days for exam in exams] == sorted(offsets)
    told = {warning.code for warning in warnings}
    assert ("exams-reordered" in told) == (offsets != sorted(offsets))
    assert ("same-day" in told) == (len(set(offsets)) < len(offsets))


def test_the_results_own_days_are_taken_unless_others_are_given():
    exams = [result(ONE, "a", DAYS[1]), result(TWO, "b", DAYS[0])]
    comparison = compare_exams(exams)
    assert [exam.result.name for exam in comparison.exams] == ["b", "a"]
    assert codes(comparison) == {"exams-reordered"}
    given_days = compare_exams(exams, [DAYS[1], DAYS[2]])
    assert [exam.result.name for exam in given_days.exams] == ["a", "b"]
    assert "date-differs" in codes(given_days)


@pytest.mark.parametrize(
    ("exams", "dates", "code"),
    [
        ([result(ONE, "a", DAYS[0]), result(TWO, "b")], [], "date-missing"),
        ([result(ONE, "a"), result(TWO, "b")], [DAYS[0]], "dates-count"),
        ([result(ONE, "a"), result(TWO, "a")], DAYS[:2], "same-exam"),
        ([result(ONE, "a"), result(ONE, "b")], DAYS[:2], "same-exam"),
        ([result(ONE, "a", series="sha256:1"), result(TWO, "b", series="sha256:1")], DAYS[:2], "same-exam"),
        ([result(ONE, "a"), result(TWO, "b"), result(THREE, "c", patient="abd")], DAYS[:3], "another-patient"),
    ],
)
def test_what_is_refused_says_so_in_one_line(exams, dates, code):
    with pytest.raises(COVIDQuantError) as refused:
        compare_exams(exams, dates)
    assert refused.value.code == code
    assert refused.value.remedy
    assert "\n" not in refused.value.line()


def test_one_exam_is_no_follow_up():
    with pytest.raises(UsageError, match="one exam"):
        compare_exams([result(ONE)], DAYS[:1])


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ({"grade": Grade.LOOK}, "grade-below-sound"),
        ({"grade": Grade.UNUSABLE}, "grade-below-sound"),
        ({"grade": None}, "not-checked"),
        ({"patient": ""}, "patient-unknown"),
        ({"study": "sha256:9"}, "same-study"),
        ({"thresholds": Thresholds(-800, -300)}, "thresholds-differ"),
        ({"methods": {"lesions": "network (unet 1.3; weights ab)"}}, "methods-differ"),
        ({"software": "0.2"}, "versions-differ"),
        ({"protocol": {"slice_thickness_mm": "5 mm"}}, "protocols-differ"),
        ({"protocol": {"kernel": "B70f"}}, "protocols-differ"),
        ({"notices": ("lungs-cut",)}, "exam-warnings"),
    ],
)
def test_what_makes_exams_less_comparable_is_told(facts, code):
    usual = {
        "methods": {"lesions": "network (unet 1.2; weights aa)"},
        "software": "0.1",
        "protocol": {"slice_thickness_mm": "1 mm", "kernel": "B40f"},
        "study": "sha256:9" if "study" in facts else "",
    }
    assert codes(pair_of(usual, usual)) - {"same-study"} == set()
    told = pair_of(usual, usual | facts).warnings
    assert code in {warning.code for warning in told}
    assert all("\n" not in warning.message and warning.message.endswith(".") for warning in told)


def test_sections_alike_are_not_told_apart():
    assert not codes(
        pair_of({"protocol": {"slice_thickness_mm": "1 mm"}}, {"protocol": {"slice_thickness_mm": "1.25 mm"}})
    )


def test_one_ct_with_two_segmentations_is_told():
    other = JointHistogram(ONE.voxel_volume_ml, ONE.counts.copy())
    moved = other.counts[3, 1].copy()
    other.counts[3, 0] += moved
    other.counts[3, 1] = 0
    assert "same-lungs" in codes(compare_exams([result(ONE, "a"), result(other, "b")], DAYS[:2]))


def test_a_missing_lobe_is_told():
    assert "lobes-differ" in codes(compare_exams([result(ONE, "a"), result(lungs(RML=(0, 0, 0)), "b")], DAYS[:2]))


def test_the_user_may_vouch_for_the_patient():
    found = codes(pair_of({"patient": "abc"}, {"patient": "def"}, same_patient=True))
    assert "patients-differ" in found
    assert not codes(pair_of({"patient": ""}, {"patient": ""}, same_patient=True))


def test_thresholds_are_one_pair_for_all():
    own = Thresholds(-800, -300)
    same = pair_of({"thresholds": own}, {"thresholds": own})
    assert (same.thresholds, codes(same)) == (own, set())
    assert pair_of({}, {"thresholds": own}).thresholds == Thresholds()
    named = pair_of({}, {}, thresholds=own)
    assert {table.thresholds for table in named.tables} == {own}
    assert "thresholds-differ" in codes(named)


@pytest.mark.parametrize(
    ("onset", "code"), [(DAYS[0] + timedelta(3), "onset-after-exam"), (date(2018, 1, 1), "dates-far-apart")]
)
def test_an_onset_that_cannot_be_is_told(onset, code):
    assert code in codes(pair_of({}, {}, onset=onset))


def test_exams_years_apart_are_told():
    assert "dates-far-apart" in codes(pair_of({}, {}, dates=[DAYS[0], date(2022, 1, 1)]))


# ------------------------------------------------------------------------------------------------------- result folders


def test_a_folder_gives_what_it_was_made_from(tmp_path):
    source = {"acquisition_date": "2020-02-03", "patient_check": "1a2", "series_uid": "1.2.3.4.5.6", "kernel": "B40f"}
    model = {"method": "network", "model": {"name": "unet", "version": "1.2", "sha256": {"fine": "ab" * 32}}}
    folder = write_result(
        tmp_path / "exam",
        ONE,
        source=source,
        provenance={"lobes": model, "lesions": model},
        warnings=["thick-sections"],
    )
    read = read_result(folder)
    assert np.array_equal(read.histogram.counts, ONE.counts)
    assert (read.acquired, read.patient, read.name) == (date(2020, 2, 3), "1a2", "exam")
    assert read.series.startswith("sha256:")
    assert read.methods["lesions"] == "network (unet 1.2; weights abababababab)"
    assert read.protocol == {"kernel": "B40f"}
    assert read.notices == ("thick-sections",)
    assert read.segmentation == folder / "segmentation.seg.nrrd"
    assert read_result(folder / "metrics.json").series == read.series


def test_a_hash_and_the_name_it_stands_for_are_the_same_exam(tmp_path):
    plain = write_result(tmp_path / "a", ONE, source={"series_uid": "1.2.3.4.5.6"})
    uid = read_result(plain).series
    other = write_result(tmp_path / "b", TWO, source={"series_uid": uid})
    with pytest.raises(UnfitInputError, match="same exam"):
        compare_exams([read_result(plain), read_result(other)], DAYS[:2])


def no_metrics(folder):
    (folder / "metrics.json").unlink()


def cut_short(folder):
    path = folder / "metrics.json"
    path.write_bytes(path.read_bytes()[:2000])


def edited(**changes):
    def change(folder):
        path = folder / "metrics.json"
        path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | changes), encoding="utf-8")

    return change


def empty_segmentation(folder):
    (folder / "segmentation.seg.nrrd").write_bytes(b"")


def counts_of(value):
    entry = {"label": 1, "lesion": False, "first_hu": -900, "counts": value}
    return edited(histogram={"voxel_volume_ml": 0.01, "entries": [entry]})


@pytest.mark.parametrize(
    ("harm", "code"),
    [
        (no_metrics, "result-incomplete"),
        (empty_segmentation, "result-incomplete"),
        (cut_short, "json-damaged"),
        (edited(format="covidquant-metrics/2"), "metrics-version"),
        (edited(format="something"), "metrics-damaged"),
        (edited(ct_score_total=25), "metrics-damaged"),
        (counts_of([-1, 5]), "metrics-damaged"),
        (counts_of([0.5]), "metrics-damaged"),
        (counts_of([1 << 60]), "metrics-damaged"),
        (counts_of([]), "metrics-damaged"),
        (edited(histogram={"voxel_volume_ml": 0.0, "entries": []}), "metrics-damaged"),
        (edited(histogram={"voxel_volume_ml": 0.01, "entries": [{"label": -1}]}), "metrics-damaged"),
    ],
)
def test_a_damaged_folder_is_refused_in_one_line(tmp_path, harm, code):
    folder = write_result(tmp_path / "exam", ONE)
    harm(folder)
    with pytest.raises(UnfitInputError) as refused:
        read_result(folder)
    assert refused.value.code == code
    assert "\n" not in refused.value.line()


@pytest.mark.parametrize(
    "value", [None, 3, "text", [], ["x"], {"series_uid": 5, "slice_thickness_mm": "x", "kernel": []}]
)
def test_what_else_a_file_says_may_be_anything(tmp_path, value):
    folder = write_result(tmp_path / "exam", ONE)
    edited(input=value, software=value, segmentation=value, warnings=value)(folder)
    assert read_result(folder).acquired is None


def test_a_folder_of_something_else(tmp_path):
    for path, code in ((tmp_path, "no-result"), (tmp_path / "missing", "no-such-file")):
        with pytest.raises(UnfitInputError) as refused:
            read_result(path)
        assert refused.value.code == code


# --------------------------------------------------------------------------------------------------- dates and patients


def exam_of(folder, seed=0, **tags):
    """An exam of a DICOM series with these tags; its lungs are its air, its lesions the denser part of them."""
    ct = read_ct(write(slice_datasets(chest(seed=seed), **tags), folder))
    lobes = (ct.hu < -700).astype(np.uint8)
    lobes[:, :, 32:][lobes[:, :, 32:] > 0] = 4
    segmentation = Segmentation(lobes, (lobes > 0) & (ct.hu > -845))
    histogram = JointHistogram.of(ct.hu, lobes, segmentation.lesions, ct.geometry.voxel_volume_ml)
    return Exam(ct, segmentation, histogram, compute_metrics(histogram))


def written(tmp_path, name, *, identify=False, **options):
    exam = exam_of(tmp_path / f"{name}-ct", **options)
    write_exam(exam, tmp_path / name, ["metrics"], identify=identify)
    return read_result(tmp_path / name)


def test_the_day_of_a_dicom_exam_is_kept_only_where_it_is_asked_for(tmp_path):
    known = written(tmp_path, "known", identify=True, AcquisitionDate="20200203")
    hidden = written(tmp_path, "hidden", seed=1, AcquisitionDate="20200213")
    assert (known.acquired, hidden.acquired) == (date(2020, 2, 3), None)
    assert "20200213" not in (tmp_path / "hidden" / "metrics.json").read_text("utf-8").replace("-", "")
    assert known.patient
    assert known.patient == hidden.patient
    assert "4711" not in known.patient


@pytest.mark.parametrize(
    ("tags", "day"),
    [
        ({"StudyDate": "20200101", "AcquisitionDate": "20200203"}, date(2020, 2, 3)),
        ({"AcquisitionDateTime": "20200203114500.5"}, date(2020, 2, 3)),
        ({"StudyDate": "20200203", "AcquisitionDate": "19000101"}, date(2020, 2, 3)),
        ({"StudyDate": "20200203", "ContentDate": ""}, date(2020, 2, 3)),
        ({}, None),
    ],
)
def test_the_scanners_day_is_taken_and_an_anonymisers_stand_in_is_not(tmp_path, tags, day):
    assert written(tmp_path, "exam", identify=True, **tags).acquired == day


def test_another_patient_is_found_out_by_the_id(tmp_path):
    first = written(tmp_path, "a", identify=True, AcquisitionDate="20200203")
    other = written(tmp_path, "b", seed=1, identify=True, AcquisitionDate="20200210", PatientID="OTHER-1")
    unnamed = written(tmp_path, "c", seed=2, identify=True, AcquisitionDate="20200210", PatientID="Anonymous")
    with pytest.raises(UnfitInputError) as refused:
        compare_exams([first, other])
    assert refused.value.code == "another-patient"
    assert "patient-unknown" in codes(compare_exams([first, unnamed]))


def test_nothing_that_is_written_names_folders_or_days_unasked():
    exams = [result(ONE, "herbert", DAYS[0]), result(TWO, "herbert2", DAYS[1])]
    comparison = compare_exams(exams, onset=DAYS[0])
    text = json.dumps(comparison_record(comparison), default=str)
    assert "herbert" not in text
    assert "2020-02" not in text
    asked = json.dumps(comparison_record(comparison, identify=True), default=str)
    assert "herbert" in asked
    assert DAYS[1].isoformat() in asked


# ------------------------------------------------------------------------------------------------------- site's limits


def evaluated(folder, scans=3):
    """What evaluate writes of a site's scans."""
    rng = np.random.default_rng(1)
    geometry = Geometry((12, 20, 20), (1.0, 1.0, 5.0))
    pairs = []
    for number in range(scans):
        lobes = rng.integers(1, 6, geometry.shape).astype(np.uint8)
        true = rng.random(geometry.shape) < 0.1 * (number + 1)
        found = true ^ (rng.random(geometry.shape) < 0.03)
        hu = rng.integers(-900, 0, geometry.shape).astype(np.int16)
        one, other = Labels(lobes, found), Labels(lobes, true)
        pairs.append(evaluate_scan(one, other, hu, geometry, name=str(number), distances=False))
    cohort = pool(pairs)
    with OutputFolder(folder) as out:
        put_evaluation(cohort, out, plots=False)
    return cohort


def test_a_sites_limits_are_those_that_evaluate_tells(tmp_path):
    cohort = evaluated(tmp_path)
    site = read_site_limits(tmp_path)
    extent = cohort.structures["lesions"].quantities["extent"].bland_altman
    low, high = extent.limits_at(50.0)
    limits = site.limits["whole lung", "extent_percent"]
    assert limits.bias - limits.half_width(50.0) == pytest.approx(low)
    assert limits.bias + limits.half_width(50.0) == pytest.approx(high)
    plain = cohort.structures["lesions"].quantities["mean_lesion"].bland_altman.limits
    hu = site.limits["whole lung", "mean_lesion_hu"]
    assert (hu.bias - hu.half_width(-500), hu.bias + hu.half_width(0)) == pytest.approx(plain)
    assert {("left lower lobe", "extent_percent"), ("whole lung", "volume_ml")} <= set(site.limits)
    assert (site.scans, [warning.code for warning in site.warnings]) == (3, ["limits-few-scans"])


def test_a_sites_limits_stand_beside_the_published_ones(tmp_path):
    evaluated(tmp_path)
    comparison = pair_of({}, {}, site=read_site_limits(tmp_path))
    pair = comparison.pair(1, 2)
    assert {"extent_percent", "weight_g", "mean_lesion_hu", "lesion_volume_ml"} <= set(pair.site["whole lung"])
    assert "extent_percent" in pair.site["right upper lobe"]
    assert "limits-few-scans" in codes(comparison)


@pytest.mark.parametrize(
    ("harm", "code"),
    [
        (lambda record: record | {"format": "covidquant-evaluation/9"}, "limits-damaged"),
        (lambda record: [], "limits-damaged"),
        (lambda record: {"format": record["format"]}, "limits-damaged"),
        (lambda record: record | {"structures": {"lesions": {"quantities": 3}}}, "limits-damaged"),
        (lambda record: record | {"structures": {}}, "limits-none"),
    ],
)
def test_a_damaged_summary_is_refused(tmp_path, harm, code):
    evaluated(tmp_path)
    path = tmp_path / "summary.json"
    path.write_text(json.dumps(harm(json.loads(path.read_text("utf-8")))), encoding="utf-8")
    with pytest.raises(UnfitInputError) as refused:
        read_site_limits(tmp_path)
    assert refused.value.code == code


def test_one_scan_gives_no_limits(tmp_path):
    evaluated(tmp_path, scans=1)
    with pytest.raises(UnfitInputError) as refused:
        read_site_limits(tmp_path)
    assert refused.value.code == "limits-none"


# ----------------------------------------------------------------------------------------------------- course in time


@pytest.mark.parametrize("curve", CURVES, ids=lambda curve: curve.name)
def test_each_curve_has_the_peak_that_its_paper_reports(curve):
    day, value = curve.computed_peak
    assert curve.span[0] <= day <= curve.span[1]
    days = np.linspace(*curve.span, 500)
    assert float(np.max(curve.at(days))) == pytest.approx(value, abs=1e-3)
    assert np.all(np.asarray(curve.at(days)) >= 0)
    if curve.peak_day is not None:
        # Papers report whole days, and round the coefficients to three digits.
        assert day == pytest.approx(curve.peak_day, abs=0.7)
    if curve.peak_value is not None:
        assert curve.at(curve.peak_day) == pytest.approx(curve.peak_value, abs=0.05)


def test_what_is_printed_of_the_two_corrected_ones_cannot_be():
    corrected = {curve.name: curve for curve in CURVES if curve.correction}
    assert set(corrected) == {"pan-3c-severe", "huang-2a"}
    assert sum(c * 23**n for n, c in enumerate((0, 3.30, -0.0704, 0.000606))) == pytest.approx(46, abs=0.1)
    printed = [sum(c * day**n for n, c in enumerate((-1.106, -0.004374, -0.03065, 2.956))) for day in (13, 14)]
    assert printed[1] > printed[0] > 100


def trajectory(onset=True):
    names = [measure.name for measure in charted_measures()]
    values = [dict.fromkeys(names, value) for value in (3.0, 12.0, None, 0.0)]
    return [TrajectoryPoint(n + 1, 7 * n, 7 * n + 4 if onset else None, one) for n, one in enumerate(values)]


def test_the_published_values_of_a_day_are_beside_the_patients():
    points = trajectory()
    assert at_curves(points[2])["pan-3b-severe"] == pytest.approx(2.89 * 18 - 0.0912 * 18**2 + 0.000794 * 18**3)
    assert "huang-2a" not in at_curves(TrajectoryPoint(1, 0, 40, {}))
    assert at_curves(trajectory(onset=False)[0]) == {}


def test_the_chart_shows_the_published_curves_only_on_their_own_axis():
    with_onset, without = draw_time_course(trajectory()), draw_time_course(trajectory(onset=False))
    for figure, expected in ((with_onset, len(CURVES)), (without, 0)):
        panels = [ax for ax in figure.axes if ax.axison]
        assert len(panels) == len(charted_measures())
        lines = [line for ax in panels for line in ax.lines if line.get_label().startswith(("Pan", "Huang"))]
        assert len(lines) == expected
    text = " ".join(text.get_text() for text in with_onset.texts)
    assert "3.30x" in text
    assert "Huang" in text
    assert "not a forecast" in text


def test_the_same_course_is_the_same_picture(tmp_path):
    for name in ("a.png", "b.png"):
        write_time_course(tmp_path / name, trajectory())
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_the_trajectory_is_the_patients(tmp_path):
    comparison = compare_exams([result(ONE, "a"), result(TWO, "b")], DAYS[:2], onset=DAYS[0] - timedelta(5))
    assert [(p.exam, p.days, p.onset_days) for p in comparison.trajectory] == [(1, 0, 5), (2, 10, 15)]
    assert [p.values["extent_percent"] for p in comparison.trajectory] == pytest.approx([1.0, 2.0])


def test_the_documents_tables_are_those_of_the_code():
    from pathlib import Path

    text = (Path(__file__).resolve().parents[2] / "docs" / "follow-up.md").read_text(encoding="utf-8")
    assert filled(text) == text, "run: python -m COVIDQuantLib.followup.document"
