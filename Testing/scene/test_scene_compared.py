"""A comparison kept in the scene: its change map as a node, and the report with the page of the follow-up."""

import pickle
import time
from dataclasses import replace
from datetime import date

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

import vtk
from test_scene_followup import DAYS, in_folder, in_scene, phantoms  # noqa: F401 - phantoms is a fixture
from test_scene_life import nothing_is_logged  # noqa: F401 - a fixture of all tests here
from vtk.util.numpy_support import vtk_to_numpy

from COVIDQuantLib.ct.volume import CTWarning
from COVIDQuantLib.followup.lesions.change_map import CHANGE_COLOURS, CHANGE_LABELS, NEW, PERSISTING, RESOLVED
from COVIDQuantLib.progress import ProgressState
from COVIDQuantLib.quantification.thresholds import DEFAULT_THRESHOLDS, Thresholds
from COVIDQuantLib.scene.export.report_job import ReportJob
from COVIDQuantLib.scene.followup.change_nodes import legend_of
from COVIDQuantLib.scene.followup.change_views import hide_change_maps, show_change_map, shows_change_map
from COVIDQuantLib.scene.followup.exams import exam_of_folder, exam_of_result
from COVIDQuantLib.scene.followup.kept import comparison_of, keep, remove
from COVIDQuantLib.scene.followup.report_comparison import comparison_for_report, kept_exams
from COVIDQuantLib.scene.followup.run import FollowupRun, run_followup
from COVIDQuantLib.scene.headless_scene import HeadlessScene
from COVIDQuantLib.scene.nodes.node_geometry import as_numpy
from COVIDQuantLib.scene.nodes.volumes import voxels_of
from COVIDQuantLib.scene.reading_session import Reading


@pytest.fixture(scope="module")
def compared(phantoms, tmp_path_factory):  # noqa: F811
    """An exam in the scene compared with an earlier one of a folder; what was found."""
    session = HeadlessScene()
    later = in_scene(session.scene, phantoms[1], "later", DAYS[1])
    earlier = exam_of_folder(in_folder(tmp_path_factory.mktemp("earlier"), phantoms[0])).on(DAYS[0])
    return session, later, run_followup(FollowupRun([earlier, exam_of_result(later)], date(2020, 1, 25)))


@pytest.fixture
def kept(compared):
    """The comparison in the scene."""
    session, _, found = compared
    kept = keep(found, session.scene)
    yield kept
    remove(kept, session.scene)


def view(scene, name, volume):
    """A slice view that shows a CT."""
    composite = scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
    composite.SetLayoutName(name)
    composite.SetBackgroundVolumeID(volume.GetID())
    return composite


@pytest.fixture
def views(kept):
    """A view of the later exam, and one of another CT over which the reader has laid a label map of their own."""
    scene = kept.node.GetScene()
    other = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "other")
    own = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "own")
    nodes = [view(scene, "Red", kept.volume(2)), view(scene, "Green", other)]
    nodes[1].SetLabelVolumeID(own.GetID())
    yield *nodes, own
    for node in (*nodes, other, own):
        scene.RemoveNode(node)


def matrix_of(node):
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return as_numpy(matrix)


def on_grid_of(node, volume):
    """The labels of a map on the voxels of a CT."""
    image = node.GetImageData()
    i, j, k = image.GetDimensions()
    labels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(k, j, i)
    offset = np.linalg.inv(matrix_of(volume)) @ matrix_of(node) @ (0, 0, 0, 1)
    assert offset == pytest.approx(np.round(offset), abs=1e-3)
    first = np.round(offset[2::-1]).astype(int)
    whole = np.zeros(voxels_of(volume).shape, np.uint8)
    whole[tuple(slice(a, a + n) for a, n in zip(first, labels.shape, strict=True))] = labels
    return whole


def test_the_map_lies_on_the_later_exam(kept, phantoms):  # noqa: F811
    node = kept.change_map(1, 2)
    labels = on_grid_of(node, kept.volume(2))
    lesions = phantoms[1].lesions.astype(bool)
    assert np.array_equal(np.isin(labels, (PERSISTING, NEW)), lesions), "both together are the later exam's pneumonia"
    told = kept.record["lesions"]["pairs"][0]["change_map_ml"]
    voxel_ml = phantoms[1].ct.geometry.voxel_volume_ml
    for value, words in CHANGE_LABELS.items():
        assert np.count_nonzero(labels == value) * voxel_ml == pytest.approx(told[words])
    assert told[CHANGE_LABELS[RESOLVED]] > 1.0
    assert (kept.change_map(1, 3), kept.change_maps()) == (None, [node])


def test_its_labels_have_names_colours_and_a_legend(kept):
    node = kept.change_map(1, 2)
    colours, legend = node.GetDisplayNode().GetColorNode(), legend_of(node)
    for value, words in CHANGE_LABELS.items():
        assert colours.GetColorName(value) == words
        rgba = [0.0] * 4
        colours.GetColor(value, rgba)
        assert "#" + "".join(f"{round(255 * part):02X}" for part in rgba[:3]) == CHANGE_COLOURS[value]
        assert rgba[3] == 1.0
    transparent = [1.0] * 4
    colours.GetColor(0, transparent)
    assert transparent[3] == 0.0
    assert legend.GetTitleText() == f"Since {DAYS[0].isoformat()}"
    assert legend.GetPrimaryDisplayNode() is node.GetDisplayNode()
    assert legend.GetUseColorNamesForLabels()
    assert (legend.GetVisibility(), node.GetHideFromEditors()) == (1, 0)


def test_it_is_shown_over_its_own_exam_alone(kept, views):
    red, green, own = views
    display = kept.segmentation(2).GetDisplayNode()
    assert not shows_change_map(kept)
    assert show_change_map(kept, 1, 2)
    assert red.GetLabelVolumeID() == kept.change_map(1, 2).GetID()
    assert green.GetLabelVolumeID() == own.GetID(), "what the reader chose stays"
    assert shows_change_map(kept)
    assert not display.GetVisibility2DFill(), "two fills would mix"
    assert display.GetVisibility2DOutline()
    show_change_map(kept, 1, 2)
    hide_change_maps(kept.node.GetScene())
    assert (red.GetLabelVolumeID(), green.GetLabelVolumeID()) == (None, own.GetID())
    assert display.GetVisibility2DFill()
    display.SetVisibility2DFill(False)
    show_change_map(kept, 1, 2)
    hide_change_maps(kept.node.GetScene())
    assert not display.GetVisibility2DFill(), "a reader without fills has none afterwards"
    display.SetVisibility2DFill(True)


def test_it_is_not_shown_where_no_view_has_its_exam(kept, views):
    red, green, _ = views
    show_change_map(kept, 1, 2)
    red.SetBackgroundVolumeID(green.GetBackgroundVolumeID())
    assert not show_change_map(kept, 1, 2)
    assert red.GetLabelVolumeID() is None
    assert kept.segmentation(2).GetDisplayNode().GetVisibility2DFill()
    assert not show_change_map(kept, 1, 3), "these were not followed"


def test_it_is_saved_with_the_scene(kept, views, tmp_path):
    scene, before = kept.node.GetScene(), on_grid_of(kept.change_map(1, 2), kept.volume(2))
    show_change_map(kept, 1, 2)
    bundle = str(tmp_path / "case.mrb")
    assert scene.WriteToMRB(bundle)
    hide_change_maps(scene)
    session = HeadlessScene()
    assert session.scene.ReadFromMRB(bundle)
    again = comparison_of(session.scene.GetFirstNodeByName(kept.segmentation(2).GetName()))
    node = again.change_map(1, 2)
    assert np.array_equal(on_grid_of(node, again.volume(2)), before)
    assert node.GetDisplayNode().GetColorNode().GetColorName(NEW) == CHANGE_LABELS[NEW]
    assert legend_of(node).GetPrimaryDisplayNode() is node.GetDisplayNode()
    assert shows_change_map(again)
    hide_change_maps(session.scene)
    assert not shows_change_map(again)
    assert again.segmentation(2).GetDisplayNode().GetVisibility2DFill(), "the fill comes back after loading, too"


def test_nothing_of_it_is_left_behind(compared):
    session, _, found = compared
    count = session.scene.GetNumberOfNodes()
    kept = keep(found, session.scene)
    assert session.scene.GetNumberOfNodes() > count
    remove(kept, session.scene)
    assert session.scene.GetNumberOfNodes() == count


def test_exams_without_disease_have_no_map(compared):
    session, _, found = compared
    kept = keep(replace(found, pairs=(replace(found.pairs[0], changes=None),)), session.scene)
    assert kept.change_maps() == []
    assert not show_change_map(kept, 1, 2)
    remove(kept, session.scene)


# ---------------------------------------------------------------------------------------------------------- the report


@pytest.fixture
def reading(kept):
    """The later exam, read in the panel."""
    reading = Reading(None, kept.segmentation(2))
    yield reading
    reading.close()


def test_the_comparison_of_a_report_is_the_one_that_was_made(compared, kept):
    made, again = compared[2].comparison, kept_exams(kept).compare()
    for one, other in zip(made.pairs, again.pairs, strict=True):
        assert (one.kinds, one.interval_days) == (other.kinds, other.interval_days)
        assert (one.regions, one.published) == (other.regions, other.published)
    assert [exam.onset_days for exam in again.exams] == [7, 17]
    assert [exam.result.grade for exam in again.exams] == [exam.result.grade for exam in made.exams]
    assert again.lesions["pairs"][0]["counts"] == made.lesions["pairs"][0]["counts"]
    assert [warning.code for warning in again.warnings] == [warning.code for warning in made.warnings]
    sent = pickle.loads(pickle.dumps(kept_exams(kept)))
    assert sent.compare().overall.regions == made.overall.regions, "it goes to another process"


def test_both_pages_have_the_thresholds_of_the_reading(reading):
    reading.live.thresholds = Thresholds(-700, -250)
    reading.update()
    compared, left_out = comparison_for_report(reading)
    assert left_out == ""
    comparison = compared.compare()
    assert comparison.thresholds == Thresholds(-700, -250)
    assert comparison.tables[-1].rows == reading.live.metrics.rows
    reading.live.thresholds = DEFAULT_THRESHOLDS


def test_a_page_that_would_contradict_the_exam_is_left_out(kept, reading):
    assert comparison_for_report(reading)[0] is not None
    counts = kept.node.GetNodeReference("COVIDQuant.followup.counts")
    whole = counts.GetText()
    for damaged in ("", "[]", whole[:-30], whole.replace("compared-exams/1", "compared-exams/9")):
        counts.SetText(damaged)
        comparison, left_out = comparison_for_report(reading)
        assert comparison is None
        assert "damaged" in left_out
        assert "Compare the exams again" in left_out
    counts.SetText(whole)
    assert comparison_for_report(reading)[1] == ""
    reading.live.histogram.counts[1, 1, 500] += 1
    comparison, left_out = comparison_for_report(reading)
    assert (comparison, "edited since" in left_out) == (None, True)
    reading.live.histogram.counts[1, 1, 500] -= 1


def test_names_of_exams_stand_in_no_report(compared, reading):
    session, _, found = compared
    named = replace(
        found.comparison, warnings=(CTWarning("lesions-left-out", "since later pneumonia has no segmentation."),)
    )
    kept = keep(replace(found, comparison=named), session.scene)
    comparison, _ = comparison_for_report(reading)
    assert [warning.message for warning in comparison.warnings] == ["since exam 2 has no segmentation."]
    remove(kept, session.scene)
    assert comparison_for_report(reading) == (None, ""), "an exam that was never compared has one page"


def test_an_exam_before_the_last_has_one_page_and_says_where_the_other_is(compared):
    session, later, found = compared
    reading = Reading(None, later)
    kept = keep(replace(found, exams=(found.exams[1], found.exams[0])), session.scene)
    assert kept.exam_of(later) == 1
    comparison, left_out = comparison_for_report(reading)
    assert comparison is None
    assert "exam 1 of 2" in left_out
    reading.close()
    remove(kept, session.scene)


@pytest.mark.slow
def test_the_report_of_a_compared_exam_has_two_pages(reading, tmp_path):
    job = ReportJob(reading, tmp_path / "report")
    while isinstance(job.poll(), ProgressState):
        time.sleep(0.05)
    html = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert html.count('class="page ') == 2
    assert "Follow-up: 2 exams over 10 days" in html
    assert "later pneumonia" not in html
