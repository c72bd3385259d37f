"""Where a CT came from: its path and what names its series go with it in memory, and into no file by default."""

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from dicom_maker import PATIENT, chest, enhanced, slice_datasets, write

from COVIDQuantLib.ct.checks.lung_checks import check_lungs
from COVIDQuantLib.ct.read import read_ct
from COVIDQuantLib.ct.source import CTSource
from COVIDQuantLib.ct.volume import CTVolume
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.exam import Exam
from COVIDQuantLib.export.anonymous import without_names
from COVIDQuantLib.export.table_file import metrics_record, write_json
from COVIDQuantLib.pipeline import MODEL_FREE, GivenMasks, Plan, quantify_ct
from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.quantification.table import compute_metrics
from COVIDQuantLib.segmentation.result import Segmentation
from COVIDQuantLib.voxels.geometry import Geometry
from COVIDQuantLib.worker.frame import read_arguments
from COVIDQuantLib.worker.worker import shared_ct

HU = chest()
NAMING = {"AccessionNumber": "ACC-77", "StudyID": "S-12", "ReferringPhysicianName": "Doctor^Dora"}


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    """A series whose files are in the opposite order of its sections, and the images."""
    images = slice_datasets(HU, **NAMING)
    return write(images[::-1], tmp_path_factory.mktemp("Hidden") / "series"), images


def exam_of(ct):
    histogram = JointHistogram(0.001)
    shape = ct.hu.shape
    segmentation = Segmentation(np.zeros(shape, np.uint8), np.zeros(shape, bool))
    return Exam(ct, segmentation, histogram, compute_metrics(histogram))


def test_every_section_knows_its_image(series):
    folder, images = series
    ct = read_ct(folder)
    identity = ct.source.dicom
    assert ct.source.path == folder
    assert [image.sop_instance for image in identity.images] == [ds.SOPInstanceUID for ds in images]
    assert {image.sop_class for image in identity.images} == {images[0].SOPClassUID}
    assert {image.frame for image in identity.images} == {None}
    assert len(identity.images) == ct.geometry.shape[0]
    first = images[0]
    assert identity.study_uid == first.StudyInstanceUID
    assert identity.series_uid == first.SeriesInstanceUID
    assert identity.frame_of_reference_uid == first.FrameOfReferenceUID
    assert identity.patient == PATIENT
    assert NAMING.items() <= identity.study.items()
    assert ct.canonical()[0].source is ct.source


def test_frames_of_one_image_are_numbered(tmp_path):
    ds = enhanced(HU, np.ones(len(HU)))
    write([ds], tmp_path, name="multi.dcm")
    identity = read_ct(tmp_path / "multi.dcm").source.dicom
    assert {image.sop_instance for image in identity.images} == {ds.SOPInstanceUID}
    assert sorted(image.frame for image in identity.images) == list(range(1, len(HU) + 1))


def test_a_file_has_a_path_and_no_identity(tmp_path):
    path = tmp_path / "ct.nii.gz"
    sitk.WriteImage(Geometry(HU.shape, (2.0, 4.0, 5.0)).to_image(HU), str(path))
    source = read_ct(path).source
    assert (source.path, source.dicom) == (path, None)
    assert source.where == str(path)


@pytest.mark.parametrize("identify", [False, True])
def test_no_file_holds_path_or_identity(series, tmp_path, identify):
    exam = exam_of(read_ct(series[0]))
    shown = exam if identify else without_names(exam)
    write_json(tmp_path / "m.json", metrics_record(shown.ct, shown.segmentation, shown.histogram, shown.metrics))
    text = (tmp_path / "m.json").read_text(encoding="utf-8")
    images = [ds.SOPInstanceUID for ds in series[1]]
    for hidden in (
        str(series[0].parent),
        *PATIENT.values(),
        *NAMING.values(),
        *images,
        series[1][0].FrameOfReferenceUID,
    ):
        assert hidden not in text
    assert (series[1][0].SeriesInstanceUID in text) == identify
    if not identify:
        assert (shown.ct.source.path, shown.ct.source.dicom) == (None, None)


def test_as_a_mapping_and_in_print_it_is_its_facts(series):
    source = read_ct(series[0]).source
    assert dict(source) == source.facts
    assert source == source.facts
    assert "kernel" in source
    told = repr(source) + json.dumps(dict(source), default=str) + str({**source})
    assert str(series[0]) not in told
    assert not any(value in told for value in PATIENT.values())


def test_a_plain_mapping_becomes_facts():
    ct = CTVolume(HU, Geometry(HU.shape, (1.0, 1.0, 1.0)), source={"name": "a"})
    assert isinstance(ct.source, CTSource)
    assert (ct.source["name"], ct.source.where) == ("a", "a")


def test_no_lungs_says_where(tmp_path):
    path = tmp_path / "only water.nrrd"
    ct = CTVolume(
        np.full((20, 40, 40), 20, np.int16), Geometry((20, 40, 40), (5.0, 5.0, 5.0)), source=CTSource(path=path)
    )
    with pytest.raises(UnfitInputError, match=r"only water\.nrrd") as raised:
        quantify_ct(ct, plan=Plan(MODEL_FREE))
    assert raised.value.code == "no-lungs"
    with pytest.raises(UnfitInputError, match=r"only water\.nrrd"):
        check_lungs(np.zeros(ct.hu.shape, np.uint8), ct)


@pytest.mark.parametrize(
    ("facts", "path", "where"),
    [
        ({}, None, ""),
        ({"node": "CT 1"}, None, "CT 1"),
        ({"name": "ct.nrrd"}, Path("a/ct.nrrd"), "a/ct.nrrd"),
        ({"name": "study", "series_description": "Lung 1.0"}, Path("a/study"), "a/study (Lung 1.0)"),
    ],
)
def test_messages_call_it_by_what_is_known(facts, path, where):
    assert CTSource(facts, path).where == where


def test_the_worker_is_told_where_but_not_who(series):
    ct = read_ct(series[0])
    shared = shared_ct(ct, GivenMasks(), Plan())
    try:
        there = read_arguments(shared.order())["ct"].source
    finally:
        shared.free()
    assert there.path == ct.source.path
    assert there.dicom is None
    assert there["kernel"] == ct.source["kernel"]
