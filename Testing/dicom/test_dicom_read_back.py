"""Results read back from DICOM: the same figures and masks, as an earlier exam to compare with, tracked lesions."""

import json
import shutil

import highdicom
import numpy as np
import pytest
import SimpleITK as sitk
from dicom_maker import PATIENT
from dicom_results import SETTINGS, STUDY, exam_of, objects_of, written
from pydicom import dcmread
from scipy import ndimage

from COVIDQuantLib.cli.main import main
from COVIDQuantLib.ct.read import read_ct
from COVIDQuantLib.dicom.lineage import inherited_tracking, read_earlier
from COVIDQuantLib.dicom.objects.payload import payload_of
from COVIDQuantLib.dicom.objects.tracking import Tracking
from COVIDQuantLib.dicom.read import read_any_result, read_report
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.export.exam_files import write_exam
from COVIDQuantLib.followup.lesions.exam_segmentation import read_exam_images

LATER = {**STUDY, "StudyDate": "20200325", "AcquisitionDate": "20200325"}


@pytest.fixture(scope="module")
def course(once, tmp_path_factory):
    """Two exams of one patient two weeks apart: the lesions have grown and one is new; and their DICOM objects."""
    folder = tmp_path_factory.mktemp("course")
    phantom = once.phantom(**SETTINGS)
    exams = []
    for number, tags in enumerate((STUDY, LATER)):
        ct = read_ct(written(phantom, folder / f"ct{number}", **tags))
        lesions = phantom.lesions.copy()
        if number:
            lesions = (ndimage.binary_dilation(lesions) & (phantom.lobes > 0)) | _spot(phantom)
        exams.append(exam_of(ct, phantom.lobes.copy(), lesions, checked=not number))
        (folder / f"result{number}").mkdir()
        objects_of(exams[-1], folder / f"result{number}")
    return exams, [folder / "result0", folder / "result1"]


def _spot(phantom):
    """A ball within the lungs, as far as can be from every lesion."""
    free = ndimage.distance_transform_edt((phantom.lobes > 0) & ~phantom.lesions, phantom.ct.geometry.spacing_kji)
    centre = np.unravel_index(free.argmax(), free.shape)
    mm = [(np.arange(n) - at) * s for n, at, s in zip(free.shape, centre, phantom.ct.geometry.spacing_kji, strict=True)]
    k, j, i = np.meshgrid(*mm, indexing="ij")
    return (k**2 + j**2 + i**2 < 12.0**2) & (phantom.lobes > 0)


def test_figures_and_masks_are_the_same(course):
    exams, folders = course
    result = read_any_result(folders[0])
    exam = exams[0]
    np.testing.assert_array_equal(result.histogram.counts, exam.histogram.counts)
    assert result.thresholds == exam.metrics.thresholds
    assert result.grade == exam.grade
    assert result.acquired.isoformat() == "2020-03-11"
    assert result.patient == exam.ct.source["patient_check"]
    assert result.segmentation == folders[0] / "segmentation.dcm"
    images = read_exam_images(result)
    np.testing.assert_array_equal(images.lobes, exam.segmentation.lobes)
    np.testing.assert_array_equal(images.lesions, exam.segmentation.lesions)


def test_every_figure_of_the_report_is_exact(course):
    exams, folders = course
    told = {group.tracked.name: group.figures for group in read_report(folders[0] / "report_sr.dcm").groups}
    for row in exams[0].metrics.rows:
        figures = {name: value for name, value in row.items() if name != "region" and value is not None}
        assert figures.items() <= told[row["region"]].items()


def test_a_decimal_string_alone_gives_its_digits(course, tmp_path):
    """Archives may drop the binary value beside the decimal string."""
    exams, folders = course
    ds = dcmread(folders[0] / "report_sr.dcm")
    for element in list(ds.iterall()):
        if element.keyword == "MeasuredValueSequence" and "FloatingPointValue" in element.value[0]:
            del element.value[0].FloatingPointValue
    ds.save_as(tmp_path / "sr.dcm")
    told = {group.tracked.name: group.figures for group in read_report(tmp_path / "sr.dcm").groups}
    right = exams[0].metrics.value("whole lung", "extent_percent")
    assert told["whole lung"]["extent_percent"] == pytest.approx(right, rel=1e-13)


def test_the_report_alone_has_no_segmentation(course, tmp_path):
    shutil.copy(course[1][0] / "report_sr.dcm", tmp_path)
    assert read_any_result(tmp_path).segmentation is None


def changed(course, folder, change):
    ds = dcmread(course[1][0] / "report_sr.dcm")
    change(ds)
    ds.save_as(folder / "sr.dcm")
    return folder / "sr.dcm"


def another_figure(ds):
    numbers = [e for e in ds.iterall() if e.keyword == "MeasuredValueSequence"]
    numbers[0].value[0].NumericValue = "1"
    numbers[0].value[0].FloatingPointValue = 1.0


def no_figures(ds):
    ds.ContentSequence[-2].ContentSequence = []


def without_private(ds):
    ds.remove_private_tags()


def with_payload(text):
    def change(ds):
        ds.private_block(0x0099, "COVIDQUANT")[0x01].value = text

    return change


def other_format(ds):
    record = json.loads(payload_of(ds)) | {"format": "covidquant-metrics/9"}
    with_payload(json.dumps(record))(ds)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (another_figure, "sr-damaged"),
        (no_figures, "sr-damaged"),
        (without_private, "sr-without-counts"),
        (with_payload("{"), "sr-damaged"),
        (with_payload("[" * 5000), "sr-damaged"),
        (with_payload("{}"), "metrics-damaged"),
        (other_format, "metrics-version"),
    ],
)
def test_a_report_that_cannot_be_trusted_is_refused(course, tmp_path, change, code):
    with pytest.raises(UnfitInputError) as caught:
        read_any_result(changed(course, tmp_path, change))
    assert caught.value.code == code


def test_a_private_element_of_unknown_meaning_is_still_read(course, tmp_path):
    """Archives that do not know it give it back as UN."""

    def unknown(ds):
        element = ds.private_block(0x0099, "COVIDQUANT")[0x01]
        text = element.value.encode()
        element.VR, element.value = "UN", text + b" " * (len(text) % 2)

    assert read_any_result(changed(course, tmp_path, unknown)).grade == course[0][0].grade


@pytest.mark.parametrize("kept", [0, 100, 0.5])
def test_a_truncated_report_is_refused(course, tmp_path, kept):
    data = (course[1][0] / "report_sr.dcm").read_bytes()
    (tmp_path / "report_sr.dcm").write_bytes(data[: kept if kept == int(kept) else int(kept * len(data))])
    with pytest.raises(UnfitInputError):
        read_any_result(tmp_path / "report_sr.dcm")


def test_two_reports_in_a_folder_are_one_too_many(course, tmp_path):
    for name in ("a.dcm", "b.dcm"):
        shutil.copy(course[1][0] / "report_sr.dcm", tmp_path / name)
    with pytest.raises(UnfitInputError, match="several-reports"):
        read_any_result(tmp_path)


def test_a_segmentation_is_no_result(course):
    with pytest.raises(UnfitInputError, match="no-result"):
        read_any_result(course[1][0] / "segmentation.dcm")


def test_compare_takes_dicom_results(course, tmp_path):
    _, folders = course
    main(["compare", *map(str, folders), "--out", str(tmp_path), "--quiet", "--no-picture", "--lesions"])
    record = json.loads((tmp_path / "comparison.json").read_text(encoding="utf-8"))
    text = (tmp_path / "comparison.json").read_text(encoding="utf-8")
    assert record["lesions"]["pairs"][0]["counts"]["new"] >= 1
    assert "20200311" not in text
    assert STUDY["PatientName"] not in text


def tracked(path):
    content = highdicom.sr.srread(path).content
    return {group.tracking_identifier: group.tracking_uid for group in content.get_image_measurement_groups()}


def test_lesions_keep_their_identifiers_in_a_later_exam(course, tmp_path):
    exams, folders = course
    earlier = read_earlier(folders[0], exams[1].ct.source["patient_check"])
    inherited = inherited_tracking(earlier, exams[1])
    before = read_report(folders[0] / "report_sr.dcm").lesions
    assert inherited
    assert {one.uid for one in inherited.values()} <= {group.tracked.uid for group in before}
    # The largest is the same lesion in both.
    identity = exams[1].ct.source.dicom
    assert before[0].tracked in inherited.values()
    known = Tracking.of_exam(identity, "", inherited)
    alone = Tracking.of_exam(identity, "")
    assert all(known.lesion(part) != alone.lesion(part) for part in inherited)
    # What is new has an identifier of its own.
    new = Tracking.of_exam(identity, "").lesion("0-0-0")
    assert known.lesion("0-0-0") == new
    assert known.of("right upper lobe") == alone.of("right upper lobe")


@pytest.mark.slow
def test_without_dicom_the_earlier_result_gives_the_same_identifiers(course, tmp_path):
    """A lesion's identifier follows from the exam in which it was first seen, whichever files tell of it."""
    exams, folders = course
    write_exam(exams[0], tmp_path, ["segmentation", "metrics"])
    both = [inherited_tracking(read_earlier(path, ""), exams[1]) for path in (folders[0], tmp_path)]
    assert both[0] == both[1]


def test_an_earlier_result_of_another_patient_is_refused(course):
    with pytest.raises(UnfitInputError, match="another-patient"):
        read_earlier(course[1][0], "fff")


def test_quantify_writes_dicom_and_takes_its_own_masks(course, tmp_path, capsys):
    exams, folders = course
    seg, out = folders[1] / "segmentation.dcm", tmp_path / "out"
    ct = exams[1].ct.source.path
    given = ["--lobes", str(seg), "--lesions", str(seg), "--earlier", str(folders[0])]
    main(
        ["quantify", str(ct), *given, "--method", "model-free", "--dicom", "--no-picture", "--quiet", "--out", str(out)]
    )
    assert {path.name for path in out.iterdir()} == {
        "segmentation.seg.nrrd",
        "metrics.csv",
        "metrics.json",
        "segmentation.dcm",
        "report_sr.dcm",
        "overlay.dcm",
    }
    result = read_any_result(out / "report_sr.dcm")
    np.testing.assert_array_equal(result.histogram.counts, exams[1].histogram.counts)
    assert {one.SegmentAlgorithmType for one in dcmread(out / "segmentation.dcm").SegmentSequence} == {"SEMIAUTOMATIC"}
    before = {group.tracked.uid for group in read_report(folders[0] / "report_sr.dcm").lesions}
    assert before & {group.tracked.uid for group in read_report(out / "report_sr.dcm").lesions}
    written_texts = "".join((out / name).read_text(encoding="utf-8") for name in ("metrics.csv", "metrics.json"))
    secret = [STUDY[key] for key in ("PatientName", "ReferringPhysicianName", "StudyDescription", "AccessionNumber")]
    assert not [name for name in (*secret, *PATIENT.values(), "20200325") if name in written_texts]


@pytest.mark.slow
def test_the_report_of_the_run_goes_along_as_encapsulated_pdf(course, tmp_path, capsys):
    seg, out = course[1][1] / "segmentation.dcm", tmp_path / "out"
    ct = course[0][1].ct.source.path
    given = ["--lobes", str(seg), "--lesions", str(seg), "--method", "model-free"]
    assert main(["quantify", str(ct), *given, "--dicom", "--report", "--quiet", "--out", str(out)]) == 0
    if "report-no-pdf" in capsys.readouterr().err:
        pytest.skip("no PDF can be made here")
    pdf, held = (out / "report.pdf").read_bytes(), dcmread(out / "report_pdf.dcm").EncapsulatedDocument
    assert held[: len(pdf)] == pdf
    assert len(held) - len(pdf) < 2


def test_quantify_refuses_before_the_work(course, tmp_path, capsys):
    nifti = tmp_path / "ct.nrrd"
    exam = course[0][0]
    sitk.WriteImage(exam.ct.geometry.to_image(exam.ct.hu), str(nifti))
    out = tmp_path / "out"
    assert main(["quantify", str(nifti), "--dicom", "--method", "model-free", "--quiet", "--out", str(out)]) == 3
    assert "dicom-no-source" in capsys.readouterr().err
    assert main(["quantify", str(nifti), "--earlier", str(tmp_path), "--out", str(out)]) == 2
    assert "dicom-unused" in capsys.readouterr().err
    assert not out.exists()
