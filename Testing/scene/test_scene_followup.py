"""Exams of a scene are compared on real nodes: who belongs together, what is copied, what the transform does."""

from datetime import date
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

import SimpleITK as sitk
import slicer
import vtk
from scene_world import World
from test_scene_life import nothing_is_logged  # noqa: F401 - a fixture of all tests here
from worker_world import blocks_left, is_running

from COVIDQuantLib.ct.dicom.exam import check_of_id
from COVIDQuantLib.ct.volume import CTVolume
from COVIDQuantLib.errors import Cancelled, UnfitInputError
from COVIDQuantLib.exam import Exam
from COVIDQuantLib.export.exam_files import write_exam
from COVIDQuantLib.followup.lesions.pair_job import PairExam, PlacedMask, followed_pair, sampled_map
from COVIDQuantLib.followup.registration import ExamImages
from COVIDQuantLib.progress import silent
from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.quantification.table import compute_metrics
from COVIDQuantLib.scene.followup.exams import (
    check_exams,
    exam_of_folder,
    exam_of_result,
    identity_of,
    other_exams,
    set_day,
)
from COVIDQuantLib.scene.followup.kept import comparison_of, comparisons, keep
from COVIDQuantLib.scene.followup.registration_nodes import OUTLINE_SEGMENT, fill_copy, fill_outline, write_transform
from COVIDQuantLib.scene.followup.run import Compared, FollowupRun, run_followup
from COVIDQuantLib.scene.headless_scene import HeadlessScene
from COVIDQuantLib.scene.live.live_quantification import LiveQuantification
from COVIDQuantLib.scene.nodes.segmentations import create_segmentation_node
from COVIDQuantLib.scene.nodes.volumes import ct_of_node, node_of_ct
from COVIDQuantLib.scene.piecewise_copy import EditedError, LabelledCopy
from COVIDQuantLib.scene.quantification_job import _add_segmentation
from COVIDQuantLib.segmentation.result import Segmentation
from COVIDQuantLib.voxels.box import Box
from COVIDQuantLib.voxels.geometry import Geometry
from COVIDQuantLib.worker.frame import SharedArguments, read_arguments

_DICOM = slicer.vtkMRMLSubjectHierarchyConstants
DAYS = (date(2020, 2, 1), date(2020, 2, 11))


def small_result(scene, name):
    """A CT of a few voxels with a result."""
    world_geometry = Geometry((10, 12, 14), (1.0, 1.0, 2.0))
    rng = np.random.default_rng(len(name))
    lobes = np.zeros(world_geometry.shape, np.uint8)
    lobes[2:8, 2:10, 2:12] = 1
    volume = node_of_ct(scene, CTVolume(rng.integers(-900, 0, lobes.shape).astype(np.int16), world_geometry), name)
    node = create_segmentation_node(scene, volume, Segmentation(lobes, lobes > 5), f"{name} result")
    LiveQuantification(volume, node).close()
    return volume, node


def place(volume, patient, *, patient_id="", study_date="", name="Doe"):
    """Put a CT under a patient and a study, as Slicer's DICOM import does."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(volume.GetScene())
    if patient is None:
        patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), name)
        hierarchy.SetItemAttribute(patient, _DICOM.GetDICOMPatientIDAttributeName(), patient_id)
    study = hierarchy.CreateStudyItem(patient, "study")
    hierarchy.SetItemAttribute(study, _DICOM.GetDICOMStudyDateAttributeName(), study_date)
    hierarchy.SetItemUID(hierarchy.CreateItem(study, volume), _DICOM.GetDICOMUIDName(), f"1.2.{volume.GetID()}")
    return patient


# ------------------------------------------------------------------------------------------------------ identity


def test_patients_of_one_scene_stay_apart():
    session = HeadlessScene()
    (a1, of_a1), (a2, of_a2), (b, of_b), (stray, of_stray) = (
        small_result(session.scene, n) for n in ("a", "aa", "b", "s")
    )
    patient = place(a1, None, patient_id="P-7", study_date="20200201")
    place(a2, patient, study_date="20200211")
    place(b, None, patient_id="P-8", study_date="20200205", name="Roe")
    assert identity_of(a1).check == check_of_id("p-7 ")
    assert identity_of(a2).day == DAYS[1]
    assert [exam.segmentation for exam in other_exams(of_a2)] == [of_a1, of_stray]
    assert [exam.segmentation for exam in other_exams(of_a2, same_patient=True)] == [of_a1, of_b, of_stray]
    set_day(stray, date(2020, 1, 1))
    assert [exam.segmentation for exam in other_exams(of_a2)] == [of_stray, of_a1]
    set_day(a1, date(2020, 2, 3))
    assert identity_of(a1).day == date(2020, 2, 3)
    set_day(a1, None)
    assert identity_of(a1).day == DAYS[0]
    with pytest.raises(UnfitInputError, match="another patient than b result") as refused:
        check_exams([exam_of_result(node) for node in (of_b, of_a2)])
    assert refused.value.code == "another-patient"
    check_exams([exam_of_result(node) for node in (of_b, of_a2)], same_patient=True)


def test_patients_without_an_id_are_told_apart_by_their_items():
    session = HeadlessScene()
    (one, of_one), (two, of_two) = (small_result(session.scene, n) for n in ("one", "other"))
    place(one, None, study_date="20200201", name="Doe")
    place(two, None, study_date="20200211", name="Roe")
    assert identity_of(one).check == ""
    assert other_exams(of_two) == []
    with pytest.raises(UnfitInputError, match="another patient"):
        check_exams([exam_of_result(of_one), exam_of_result(of_two)])


def test_what_cannot_be_compared_is_refused_before_anything_is_copied():
    session = HeadlessScene()
    (one, of_one), (_, of_two) = (small_result(session.scene, n) for n in ("one", "other"))
    set_day(one, DAYS[0])
    with pytest.raises(UnfitInputError, match="has no date") as refused:
        FollowupRun([exam_of_result(of_one), exam_of_result(of_two)])
    assert refused.value.code == "date-missing"
    nothing = Segmentation(np.zeros((10, 12, 14), np.uint8), np.zeros((10, 12, 14), bool))
    again = create_segmentation_node(session.scene, one, nothing, "again")
    LiveQuantification(one, again).close()
    with pytest.raises(UnfitInputError, match="same exam") as refused:
        FollowupRun([exam_of_result(of_one), exam_of_result(again)])
    assert refused.value.code == "same-exam"
    one.GetScene().RemoveNode(one)
    with pytest.raises(UnfitInputError, match="has no CT"):
        exam_of_result(of_one)


# ------------------------------------------------------------------------------------------------------- copying


def copied(world, box, disturb=lambda _step: None):
    shared = SharedArguments(box.blank("_0"), {"geometry": box.geometry})
    try:
        steps = 0
        while not box.copy(shared, "_0"):
            disturb(steps)
            steps += 1
        return read_arguments(shared.order())
    finally:
        shared.free()


def test_what_is_copied_in_pieces_is_counted_like_the_whole(monkeypatch):
    monkeypatch.setattr("COVIDQuantLib.scene.piecewise_copy.PIECE_SECONDS", 0.0)
    monkeypatch.setattr("COVIDQuantLib.scene.piecewise_copy._SLICES", 3)
    world = World(seed=4)
    live = LiveQuantification(world.volume, world.node)
    box = LabelledCopy(world.volume, world.node)

    def paint(step):
        if step == 1:
            world.paint("pneumonia", world.ball((7, 9, 10), 3), world.logic.MODE_MERGE_MAX)

    read = copied(world, box, paint)
    live.update()
    exams = (PairExam("one", box.geometry), PairExam("two", box.geometry))
    both = {f"{name}_{n}": read[f"{name}_0"] for n in (0, 1) for name in ("values", "lobes", "lesions")}
    found = followed_pair(exams, silent, **both)
    assert np.array_equal(found.counts[0], live.histogram.counts)
    assert found.lesions.voxels.sum() == live.labels(Box.of_shape(world.geometry.shape))[1].sum()
    live.close()


def test_only_what_holds_segments_is_copied_with_a_margin():
    geometry = Geometry((60, 70, 80), (4.0, 4.0, 4.0), (-100.0, 20.0, 5.0))
    session = HeadlessScene()
    volume = node_of_ct(session.scene, CTVolume(np.full(geometry.shape, -800, np.int16), geometry), "CT")
    lobes = np.zeros(geometry.shape, np.uint8)
    lobes[20:30, 30:40, 40:50] = 2
    node = create_segmentation_node(session.scene, volume, Segmentation(lobes, lobes > 9), "result")
    box = LabelledCopy(volume, node)
    assert box.geometry.shape == (22, 22, 22)
    assert box.geometry.origin == pytest.approx((-100.0 + 4 * 34, 20.0 + 4 * 24, 5.0 + 4 * 14))
    shared = SharedArguments(box.blank("_0"), {})
    lobes[5:9] = 1
    labels = create_segmentation_node(session.scene, volume, Segmentation(lobes, lobes > 9), "painted beyond")
    node.GetSegmentation().DeepCopy(labels.GetSegmentation())
    with pytest.raises(EditedError):
        box.copy(shared, "_0")
    shared.free()


# --------------------------------------------------------------------------------------------------- registration


@pytest.fixture
def map_of_exams():
    """A map that turns, stretches and shifts, sampled around lungs on an oblique grid."""
    turn = sitk.Euler3DTransform((10.0, -20.0, 30.0), 0.1, -0.05, 0.15, (5.0, -8.0, 12.0))
    scale = sitk.ScaleTransform(3, (1.05, 0.97, 1.1))
    to_baseline = sitk.CompositeTransform([turn, scale])
    world = World()
    lobes = np.zeros(world.geometry.shape, np.uint8)
    lobes[2:12, 2:16, 2:18] = 1
    images = ExamImages(lobes, lobes > 1, world.geometry)
    return world, images, to_baseline


def test_the_transform_node_is_the_registration(map_of_exams, tmp_path):
    world, images, to_baseline = map_of_exams
    node = world.scene.AddNewNodeByClass("vtkMRMLTransformNode", "registration")
    write_transform(node, sampled_map(to_baseline, images))
    corners = images.geometry.index_to_lps @ np.array([(4, 4, 3, 1.0), (15, 3, 9, 1.0), (9, 12, 6, 1.0)]).T
    flip = np.array([-1.0, -1.0, 1.0])
    bundle = str(tmp_path / "scene.mrb")
    assert world.scene.WriteToMRB(bundle)
    session = HeadlessScene()
    assert session.scene.ReadFromMRB(bundle)
    again = session.scene.GetFirstNodeByName("registration")
    for x, y, z in corners[:3].T:
        wanted = np.array(to_baseline.TransformPoint((x, y, z)))
        for one in (node, again):
            found = np.array(one.GetTransformFromParent().TransformPoint((-x, -y, z))) * flip
            assert found == pytest.approx(wanted, abs=1e-3)
            back = one.GetTransformToParent().TransformPoint(tuple(wanted * flip))
            assert np.array(back) * flip == pytest.approx((x, y, z), abs=0.05)


def test_the_moved_ct_shares_its_voxels_and_is_not_saved(map_of_exams):
    world, images, to_baseline = map_of_exams
    transform = world.scene.AddNewNodeByClass("vtkMRMLTransformNode", "registration")
    write_transform(transform, sampled_map(to_baseline, images))
    parent = world.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    world.volume.SetAndObserveTransformNodeID(parent.GetID())
    world.volume.GetImageData().SetExtent(3, 22, 0, 17, 0, 13)
    copy = world.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "copy")
    fill_copy(copy, world.volume, transform)
    assert copy.GetImageData() is world.volume.GetImageData()
    assert not copy.GetSaveWithScene()
    assert copy.GetHideFromEditors()
    assert copy.GetParentTransformNode() is transform
    assert matrix_of(copy) == pytest.approx(matrix_of(world.volume))


def matrix_of(volume):
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return np.array([matrix.GetElement(a, b) for a in range(4) for b in range(4)])


def test_the_outline_is_where_the_pneumonia_was():
    world = World()
    node = world.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "before")
    where = Geometry((1, 1, 1), (2.0, 2.0, 2.0), (16.0, 24.0, 32.0))
    fill_outline(node, PlacedMask(np.ones(where.shape, np.uint8), where), None)
    bounds = [0.0] * 6
    node.GetSegmentation().GetSegment(OUTLINE_SEGMENT).GetBounds(bounds)
    assert bounds == pytest.approx([-17.0, -15.0, -25.0, -23.0, 31.0, 33.0])
    display = node.GetDisplayNode()
    assert (display.GetVisibility2DFill(), display.GetVisibility2DOutline()) == (0, 1)
    fill_outline(node, None, None)
    assert node.GetSegmentation().GetNumberOfSegments() == 0


# ----------------------------------------------------------------------------------------------------- comparison


@pytest.fixture(scope="module")
def phantoms(once):
    return [once.phantom(seed=5, thickness_mm=8.0, matrix=64, extent_percent=extent) for extent in (14.0, 5.0)]


def segmentation_of(phantom):
    return Segmentation(phantom.lobes.astype(np.uint8), phantom.lesions.astype(bool), {"lobes": {"method": "given"}})


def in_scene(scene, phantom, name, day):
    volume = node_of_ct(scene, phantom.ct, name)
    set_day(volume, day)
    return _add_segmentation(volume, f"{name} pneumonia", ct_of_node(volume), segmentation_of(phantom))


def counts_of(ct, found):
    return JointHistogram.of(ct.hu, found.lobes, found.lesions, ct.geometry.voxel_volume_ml, ct.padding)


def in_folder(folder, phantom) -> Path:
    ct, found = phantom.ct, segmentation_of(phantom)
    counts = counts_of(ct, found)
    write_exam(Exam(ct, found, counts, compute_metrics(counts)), folder, ["segmentation", "metrics"])
    return folder


def test_a_result_is_compared_with_a_folder(phantoms, tmp_path):
    session = HeadlessScene()
    later = in_scene(session.scene, phantoms[1], "later", DAYS[1])
    earlier = exam_of_folder(in_folder(tmp_path / "earlier", phantoms[0])).on(DAYS[0])
    # The reader may give them in any order; the dates decide.
    found = run_followup(FollowupRun([exam_of_result(later), earlier], date(2020, 1, 25)))
    comparison = found.comparison
    assert [exam.name for exam in found.exams] == ["earlier", "later pneumonia"]
    assert "exams-reordered" in {warning.code for warning in comparison.warnings}
    for exam, phantom in zip(comparison.exams, phantoms, strict=True):
        counts = counts_of(phantom.ct, segmentation_of(phantom))
        assert np.array_equal(exam.result.histogram.counts, counts.counts), "figures come from each exam's own counts"
    kept = keep(found, session.scene)
    assert comparison_of(later).node is kept.node
    assert kept.volume(1) is None
    assert kept.moved_volume(1) is None
    assert kept.outline(1).GetSegmentation().GetNumberOfSegments() == 1
    assert kept.outline(1).GetParentTransformNode() is kept.transform(1)
    assert kept.record["lesions"]["registration"] == "lobes"
    assert kept.changes.GetTable().GetNumberOfRows() > 100
    before = session.scene.GetNumberOfNodes()
    again = keep(found, session.scene)
    assert [one.node for one in comparisons(session.scene)] == [again.node]
    assert session.scene.GetNumberOfNodes() == before, "an earlier comparison of the same exams is replaced"


def test_a_comparison_ends_with_its_exams(phantoms):
    session = HeadlessScene()
    exams = zip(phantoms, DAYS, strict=True)
    results = [in_scene(session.scene, phantom, f"exam {n}", day) for n, (phantom, day) in enumerate(exams)]
    run = FollowupRun([exam_of_result(node) for node in results])
    while run._current.job is None:
        assert not isinstance(run.poll(), Compared)
    pid = run._current.job.pid
    assert is_running(pid)
    session.scene.RemoveNode(results[0])
    assert not is_running(pid)
    with pytest.raises(Cancelled):
        run.poll()
    assert blocks_left() == []
    assert comparisons(session.scene) == []


def test_a_damaged_record_is_no_comparison():
    session = HeadlessScene()
    _, result = small_result(session.scene, "one")
    for text in ("", "{", "[]", '{"format": "covidquant-comparison/9", "exams": [1], "pairs": [1]}'):
        node = session.scene.AddNewNodeByClass("vtkMRMLTextNode")
        node.SetAttribute("COVIDQuant.followup", "1")
        node.SetText(text)
    assert comparisons(session.scene) == []
    assert comparison_of(result) is None


@pytest.mark.slow
def test_three_exams_of_one_scene_are_followed_from_the_first_to_the_last_too(once):
    session = HeadlessScene()
    days = (*DAYS, date(2020, 2, 25))
    phantoms = [once.phantom(seed=5, thickness_mm=8.0, matrix=64, extent_percent=extent) for extent in (14.0, 5.0, 9.0)]
    results = [
        in_scene(session.scene, phantom, f"exam {number}", day)
        for number, (phantom, day) in enumerate(zip(phantoms, days, strict=True), start=1)
    ]
    # The reader may choose them in any order.
    chosen = [exam_of_result(results[place]) for place in (2, 0, 1)]
    found = run_followup(FollowupRun(chosen))
    assert [exam.segmentation for exam in found.exams] == results
    for exam, phantom in zip(found.comparison.exams, phantoms, strict=True):
        counts = counts_of(phantom.ct, segmentation_of(phantom))
        assert np.array_equal(exam.result.histogram.counts, counts.counts), "each exam has its own counts"
    kept = keep(found, session.scene)
    told = [(pair["before"], pair["after"], pair["compared"]) for pair in kept.record["lesions"]["pairs"]]
    assert told == [(1, 2, ["consecutive", "from baseline"]), (2, 3, ["consecutive"]), (1, 3, ["from baseline"])]
    assert [kept.segmentation(number) for number in (1, 2, 3)] == results
    # Side by side stand an exam and the next one.
    for number in (1, 2):
        assert kept.outline(number).GetParentTransformNode() is kept.transform(number)
    assert kept.transform(3) is None
    assert [comparison_of(result).node for result in results] == [kept.node] * 3
