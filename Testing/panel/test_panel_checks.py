"""The line above the figures: the grade, a click to the place and the segment, and checking again after edits."""

import json

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

from worker_world import is_running

from COVIDQuantLib.checks.run import check_labels
from COVIDQuantLib.export.table_file import read_metrics
from COVIDQuantLib.grades import Grade, findings_of
from COVIDQuantLib.scene.export.export_job import ExportJob
from COVIDQuantLib.scene.export.node_exam import exam_of_reading
from COVIDQuantLib.scene.nodes.tables import CHECKS_ATTRIBUTE, GRADE_ATTRIBUTE
from COVIDQuantLib.scene.nodes.volumes import ct_of_node
from COVIDQuantLib.scene.quantification_job import _add_segmentation
from COVIDQuantLib.scene.review.result_checks import kept_checks, point_of, segment_of
from COVIDQuantLib.segmentation.result import Segmentation


@pytest.fixture(scope="module")
def phantom(once):
    return once.phantom(seed=3, thickness_mm=6.0, matrix=96, extent_percent=8.0, motion=False)


def add_checked(world, phantom, damage=None):
    """The phantom's truth, or what a damage makes of it, checked as a job's result is."""
    volume = world.add_ct(phantom)
    lobes = phantom.lobes.astype(np.uint8)
    if damage:
        damage(lobes)
    checks = check_labels(phantom.ct, lobes, phantom.lesions)
    found = Segmentation(lobes, phantom.lesions, {}, [], checks)
    node = _add_segmentation(volume, "found", ct_of_node(volume), found)
    world.panel.parameters.segmentation = node
    return node


def table_in(lobes):
    """A box behind the patient is called left lower lobe."""
    lobes[4:12, -10:-3, 30:60] = 5


def text(world):
    return world.ui.gradeLabel.text


def settle(world):
    world.until(lambda: "checking" not in text(world))


def test_a_sound_result_says_so_and_nothing_else(world, phantom):
    add_checked(world, phantom)
    assert "Result sound" in text(world)
    assert "href" not in text(world)
    table = world.panel.reading.live.table
    assert table.GetAttribute(GRADE_ATTRIBUTE) == "sound"
    assert len(json.loads(table.GetAttribute(CHECKS_ATTRIBUTE))) > 20


def test_a_click_on_a_finding_goes_to_its_place_and_selects_the_segment(world, phantom):
    node = add_checked(world, phantom, table_in)
    found = findings_of(kept_checks(node).checks)
    assert found[0].code == "outside-patient"
    assert segment_of(found[0], node) == "left_lower_lobe"
    assert found[0].message in text(world)
    crosshair = world.scene.AddNewNodeByClass("vtkMRMLCrosshairNode", "default")
    world.ui.gradeLabel.emit("linkActivated", "0")
    assert crosshair.GetCrosshairRAS() == pytest.approx(point_of(found[0]))
    # It is selected once the editor has the result.
    world.settle()
    assert world.ui.editor.currentSegmentID() == "left_lower_lobe"


def test_a_result_that_was_never_checked_is_checked_by_a_click(world, phantom):
    world.add_result(phantom, world.add_ct(phantom))
    assert "Not checked yet" in text(world)
    assert world.panel.reading.checks.grade is None
    world.ui.gradeLabel.emit("linkActivated", "check")
    assert "checking" in text(world)
    settle(world)
    assert world.panel.reading.checks.grade is not None
    assert world.panel.reading.is_checked
    assert "Not checked" not in text(world)


def test_an_edit_makes_the_grade_one_of_before_until_it_is_accepted(world, phantom):
    node = add_checked(world, phantom)
    before = kept_checks(node)
    world.erase()
    assert world.whole() == 0
    assert "before the last edits" in text(world)
    assert world.panel.reading.live.table.GetAttribute(GRADE_ATTRIBUTE) is None
    assert world.panel.sections[1]._grade._job is None, "nothing runs while a reader paints"
    world.ui.acceptAllButton.click()
    settle(world)
    assert "before the last edits" not in text(world)
    assert kept_checks(node).digest != before.digest
    assert world.panel.reading.live.table.GetAttribute(GRADE_ATTRIBUTE) == kept_checks(node).grade


def test_accepting_what_was_checked_checks_nothing_again(world, phantom):
    add_checked(world, phantom)
    world.ui.acceptAllButton.click()
    assert "checking" not in text(world)
    assert world.panel.sections[1]._grade._job is None


def test_another_result_or_a_closed_scene_ends_a_check(world, phantom):
    world.add_result(phantom, world.add_ct(phantom))
    world.ui.gradeLabel.emit("linkActivated", "check")
    process = world.until(lambda: world.panel.sections[1]._grade._job._job.pid)
    world.scene.Clear(0)
    assert not is_running(process)
    assert not world.ui.gradeLabel.visible


def test_files_carry_the_checks_of_what_they_hold(world, phantom, tmp_path):
    add_checked(world, phantom, table_in)
    reading = world.panel.reading
    assert exam_of_reading(reading).grade is kept_checks(reading.segmentation).grade
    world.erase()
    exam = exam_of_reading(reading)
    assert exam.grade is not None
    job = ExportJob(reading, tmp_path, ["metrics"])
    world.until(lambda: isinstance(job.poll(), list))
    read = read_metrics(tmp_path)
    assert read.checks == tuple(exam.checks)
    assert read.grade is not Grade.SOUND


def test_damaged_checks_are_no_checks(world, phantom):
    node = add_checked(world, phantom)
    for rubbish in ("{", "[]", '{"checks": [{}]}', '{"checks": 1}'):
        node.SetAttribute(CHECKS_ATTRIBUTE, rubbish)
        assert kept_checks(node).grade is None
