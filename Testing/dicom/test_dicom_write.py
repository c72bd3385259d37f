"""Results as DICOM objects: they validate, refer to their series, name the patient, and no one beside it."""

import json
from pathlib import Path

import highdicom
import numpy as np
import pytest
from dicom_maker import PATIENT
from dicom_results import STUDY, errors_in, exam_of, objects_of, phantom_exam, validator, without_dicom
from pydicom import dcmread

from COVIDQuantLib.anatomy import LESION, LOBES, REGIONS
from COVIDQuantLib.dicom.objects import codes
from COVIDQuantLib.dicom.objects.codes import CONCEPT, MEASURE_CONCEPTS
from COVIDQuantLib.dicom.objects.document import filled
from COVIDQuantLib.dicom.objects.payload import payload_of
from COVIDQuantLib.dicom.write import write_dicom_result
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.grades import CheckResult, Grade
from COVIDQuantLib.quantification.measures import MEASURES

PDF = b"%PDF-1.4\n1 0 obj<<>>endobj\ntrailer<<>>\n%%EOF\n"


@pytest.fixture(scope="module")
def made(once, tmp_path_factory):
    """An exam and the files of its result."""
    folder = tmp_path_factory.mktemp("result")
    exam = phantom_exam(once, folder / "ct", checked=True)
    (folder / "report.pdf").write_bytes(PDF)
    files = write_dicom_result(exam, folder / "out", report_pdf=folder / "report.pdf")
    return exam, files


@pytest.fixture(scope="module")
def objects(made):
    return [dcmread(path) for path in made[1].paths()]


def test_all_four_files_are_written(made):
    assert [path.name for path in made[1].paths()] == [
        "segmentation.dcm",
        "report_sr.dcm",
        "overlay.dcm",
        "report_pdf.dcm",
    ]
    assert all(path.stat().st_size for path in made[1].paths())


@pytest.mark.skipif(validator() is None, reason="dciodvfy is not installed")
@pytest.mark.parametrize("which", ["segmentation", "report_sr", "capture", "encapsulated_pdf"])
def test_the_validator_finds_no_error(made, which):
    assert errors_in(getattr(made[1], which)) == []


def test_they_belong_to_the_patient_and_the_study(made, objects):
    source = made[0].ct.source.dicom
    for ds in objects:
        assert ds.StudyInstanceUID == source.study_uid
        assert str(ds.PatientName) == STUDY["PatientName"]
        assert ds.PatientID == PATIENT["PatientID"]
        assert ds.PatientBirthDate == PATIENT["PatientBirthDate"]
        assert (ds.StudyDate, ds.AccessionNumber, ds.StudyID) == ("20200311", "A-4711", "17")
        assert ds.SeriesInstanceUID != source.series_uid


def test_a_second_result_has_new_uids_and_the_same_tracking(made, objects, tmp_path):
    exam, files = made
    paths = objects_of(exam, tmp_path)
    again = [dcmread(path) for path in paths]
    uids = [uid for ds in (*objects, *again) for uid in (ds.SOPInstanceUID, ds.SeriesInstanceUID)]
    assert len(set(uids)) == len(uids)
    assert all(uid.startswith("2.25.") and uid.is_valid for uid in uids)
    one, other = (tracking(highdicom.sr.srread(path)) for path in (files.report_sr, paths[1]))
    assert one == other
    assert len(set(one.values())) == len(one) > len(REGIONS) + 1
    segments = objects[0].SegmentSequence
    assert {s.TrackingID: s.TrackingUID for s in segments}.items() <= one.items()


def tracking(report):
    """Tracking identifier → UID of every measurement group."""
    return {group.tracking_identifier: group.tracking_uid for group in groups_of(report)}


def test_series_numbers_follow_the_ct(objects):
    assert [ds.SeriesNumber for ds in objects] == [301, 302, 303, 304]


def test_segments_carry_our_codes_and_lie_on_the_frames_of_the_series(made, objects):
    exam, seg = made[0], objects[0]
    kinds = [*LOBES, LESION]
    for item, kind in zip(seg.SegmentSequence, kinds, strict=True):
        terms = kind.terminology
        assert item.SegmentLabel == kind.name
        assert item.SegmentedPropertyCategoryCodeSequence[0].CodeValue == terms.category.value
        coded = item.SegmentedPropertyTypeCodeSequence[0]
        assert (coded.CodeValue, coded.CodingSchemeDesignator) == (terms.type.value, "SCT")
        assert coded.SegmentedPropertyTypeModifierCodeSequence[0].CodeValue == terms.modifier.value
        assert item.SegmentAlgorithmType == "AUTOMATIC"
        assert item.SegmentationAlgorithmIdentificationSequence[0].AlgorithmName.startswith("COVIDQuant model-free")
    assert seg.ReferencedSeriesSequence[0].SeriesInstanceUID == exam.ct.source.dicom.series_uid
    assert seg.FrameOfReferenceUID == exam.ct.source.dicom.frame_of_reference_uid
    known = {image.sop_instance for image in exam.ct.source.dicom.images}
    for group in seg.PerFrameFunctionalGroupsSequence:
        named = group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        assert named in known


def test_highdicom_reads_the_same_masks(made):
    exam, files = made
    seg = highdicom.seg.segread(files.segmentation)
    uids = [image.sop_instance for image in exam.ct.source.dicom.images]
    masks = seg.get_pixels_by_source_instance(
        uids, segment_numbers=[*range(1, 7)], ignore_spatial_locations=True, assert_missing_frames_are_empty=True
    )
    for lobe in LOBES:
        np.testing.assert_array_equal(masks[..., lobe.label - 1] != 0, exam.segmentation.lobes == lobe.label)
    np.testing.assert_array_equal(masks[..., 5] != 0, exam.segmentation.lesions)


def groups_of(report):
    content = report.content
    return [*content.get_volumetric_roi_measurement_groups(), *content.get_image_measurement_groups()]


def measured(group):
    """Concept → value and unit of a group's measurements."""
    return {m.name.value: (m.value, m.unit.value) for m in group.get_measurements()}


def test_the_report_holds_every_figure_of_every_region(made):
    exam, files = made
    report = highdicom.sr.srread(files.report_sr)
    told = {group.tracking_identifier: measured(group) for group in groups_of(report)}
    for row in exam.metrics.rows:
        for concept in MEASURE_CONCEPTS:
            value = row[concept.name]
            said = told[row["region"]].get(concept.code.value)
            assert (said is None) if value is None else said == (pytest.approx(value, rel=1e-14), concept.unit.value)
    whole = told["whole lung"]
    assert whole["CTSCORETOTAL"] == (exam.metrics.ct_score_total, "{score}")
    assert whole["HELLINGER"][0] == exam.metrics.hellinger_distance
    assert whole["GGOTHRESHOLD"] == (-750, "[hnsf'U]")


def texts_of(ds, name):
    evaluations = next(c for c in ds.ContentSequence if c.ConceptNameCodeSequence[0].CodeValue == "C0034375")
    items = [i for i in evaluations.ContentSequence if i.ConceptNameCodeSequence[0].CodeValue == name.value]
    return [i.TextValue if i.ValueType == "TEXT" else i.ConceptCodeSequence[0].CodeMeaning for i in items]


def test_grade_warnings_and_edits_are_told(made, tmp_path):
    exam = made[0]
    edited = exam_of(exam.ct, exam.segmentation.lobes, exam.segmentation.lesions, review={"figures": "edited"})
    edited.segmentation.checks[:] = [CheckResult("some-check", Grade.LOOK, "a lobe is odd", "right upper lobe")]
    seg, sr = (dcmread(path) for path in objects_of(edited, tmp_path))
    assert texts_of(sr, codes.GRADE) == ["look at this"]
    assert texts_of(sr, codes.FIGURES) == ["edited by reader"]
    assert texts_of(sr, codes.FINDING) == ["some-check (look at this): a lobe is odd"]
    assert {item.SegmentAlgorithmType for item in seg.SegmentSequence} == {"SEMIAUTOMATIC"}
    assert texts_of(sr, codes.EDITED_SEGMENT) == [kind.name for kind in (*LOBES, LESION)]
    assert texts_of(dcmread(made[1].report_sr), codes.FIGURES) == ["as the program found them"]


def test_segments_that_were_edited_are_told_apart(made, tmp_path):
    exam = made[0]
    review = {"figures": "accepted", "edited": ["pneumonia"]}
    accepted = exam_of(exam.ct, exam.segmentation.lobes, exam.segmentation.lesions, review=review)
    seg, sr = (dcmread(path) for path in objects_of(accepted, tmp_path))
    assert [item.SegmentAlgorithmType for item in seg.SegmentSequence] == 5 * ["AUTOMATIC"] + ["SEMIAUTOMATIC"]
    assert texts_of(sr, codes.FIGURES) == ["accepted by reader"]
    assert texts_of(sr, codes.EDITED_SEGMENT) == ["pneumonia"]


def test_the_counts_in_the_report_name_no_one(made, objects):
    text = payload_of(objects[1])
    record = json.loads(text)
    assert record["input"]["hashed"] is True
    names = [
        *PATIENT.values(),
        STUDY["PatientName"],
        STUDY["ReferringPhysicianName"],
        "20200311",
        "2020-03-11",
        made[0].ct.source.dicom.series_uid,
        str(made[0].ct.source.path),
    ]
    assert not [name for name in names if name in text]


def test_no_private_element_lacks_its_creator(objects):
    for ds in objects:
        private = [element for element in ds.iterall() if element.tag.is_private]
        assert len([e for e in private if e.tag.is_private_creator]) == (1 if ds.Modality == "SR" else 0)
        assert all(e.tag.is_private_creator or e.private_creator == "COVIDQUANT" for e in private)


def test_the_pdf_is_there_byte_by_byte(objects):
    pdf = objects[3]
    assert pdf.EncapsulatedDocument[: pdf.EncapsulatedDocumentLength] == PDF
    assert pdf.MIMETypeOfEncapsulatedDocument == "application/pdf"


def test_the_capture_is_the_sheet(objects):
    pixels = objects[2].pixel_array
    assert pixels.shape == (objects[2].Rows, objects[2].Columns, 3)
    assert (pixels.max(axis=2) != pixels.min(axis=2)).mean() > 0.01, "colours of lobes and lesions"


def test_every_measure_has_a_code():
    assert [concept.name for concept in MEASURE_CONCEPTS] == list(MEASURES.names)
    values = [concept.code.value for concept in CONCEPT.values()]
    assert len(set(values)) == len(values)
    for concept in CONCEPT.values():
        assert len(concept.code.value) <= 16
        assert len(concept.code.meaning) <= 64
    assert all(codes.site_of(region.name) for region in REGIONS)


def test_a_lesion_free_exam_has_an_empty_segment(made, tmp_path):
    exam = made[0]
    healthy = exam_of(exam.ct, exam.segmentation.lobes, np.zeros_like(exam.segmentation.lesions))
    files = objects_of(healthy, tmp_path)
    seg = highdicom.seg.segread(files[0])
    assert seg.SegmentSequence[5].SegmentLabel == LESION.name
    numbers = [g.SegmentIdentificationSequence[0].ReferencedSegmentNumber for g in seg.PerFrameFunctionalGroupsSequence]
    assert numbers.count(6) == 1
    assert not seg.pixel_array[numbers.index(6)].any()
    if validator():
        assert [error for path in files for error in errors_in(path)] == []


def refused(code, exam, folder, **options):
    with pytest.raises(UnfitInputError) as caught:
        write_dicom_result(exam, folder / "out", **options)
    assert caught.value.code == code
    assert not (folder / "out").exists()
    return caught.value.line()


def test_a_ct_that_is_no_dicom_is_refused_and_offered_nrrd(made, tmp_path):
    assert "segmentation.seg.nrrd" in refused("dicom-no-source", without_dicom(made[0]), tmp_path)


def test_what_is_missing_is_named(once, tmp_path):
    exam = phantom_exam(once, tmp_path / "ct", FrameOfReferenceUID="")
    assert "Frame of Reference UID" in refused("dicom-incomplete", exam, tmp_path)


def test_a_source_that_changed_since_is_refused(once, tmp_path):
    exam = phantom_exam(once, tmp_path / "ct")
    files = sorted((tmp_path / "ct").iterdir())
    files[3].write_bytes(files[4].read_bytes())
    refused("dicom-changed", exam, tmp_path)
    files[3].unlink()
    refused("dicom-changed", exam, tmp_path)


@pytest.mark.parametrize("data", [b"", b"not a pdf", b"%PDF-1.7 cut off"])
def test_a_report_that_is_no_pdf_is_refused(made, tmp_path, data):
    (tmp_path / "report.pdf").write_bytes(data)
    refused("no-pdf", made[0], tmp_path, report_pdf=tmp_path / "report.pdf")


@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_odd_headers_are_put_right_or_left_empty(once, tmp_path):
    """Values that the standard does not allow would make the result invalid too."""
    odd = {"PatientSex": "X", "StudyDate": "2020-03-11", "StudyTime": "noon", "StudyID": "", "PatientBirthDate": "?"}
    odd |= {"PatientAge": "45", "IssuerOfPatientID": ""}
    exam = phantom_exam(once, tmp_path / "ct", **odd)
    files = objects_of(exam, tmp_path)
    seg = dcmread(files[0])
    assert (seg.PatientSex, seg.StudyDate, seg.StudyTime, seg.PatientBirthDate) == ("", "", "", "")
    if validator():
        assert [error for path in files for error in errors_in(path)] == []


def test_the_documents_tables_are_those_of_the_code():
    text = (Path(__file__).resolve().parents[2] / "docs" / "dicom.md").read_text(encoding="utf-8")
    assert filled(text) == text, "run python -m COVIDQuantLib.dicom.objects.document"
