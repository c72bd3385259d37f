"""What the panel does in turns of the event loop of its own, and what may happen between two of them."""

import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

import numpy as np
import slicer
from worker_world import WorkerThat

from COVIDQuantLib.anatomy import LESION
from COVIDQuantLib.scene.nodes.segmentations import labelmap_of_part, node_of_labelmaps
from COVIDQuantLib.scene.nodes.volumes import voxels_of
from COVIDQuantLib.scene.quantification_run import QuantifyRun


def new_result(world, name="result"):
    """A result of the chosen CT as a job leaves it in the scene: hidden."""
    volume = world.panel.volume
    labels = np.zeros(voxels_of(volume).shape, np.uint8)
    labels[2:4, 10:40, 10:40] = 1
    lesions = np.zeros_like(labels)
    lesions[3, 20:30, 20:30] = 1
    maps = [labelmap_of_part(volume, one) for one in (labels, lesions)]
    return node_of_labelmaps(world.scene, volume, *maps, name)


def is_shown(segmentation):
    return bool(segmentation.GetDisplayNode().GetVisibility())


def turn(world):
    world.panel.turns._timer.fire()


def test_steps_are_done_one_at_a_time_whatever_becomes_of_the_others(world):
    turns, done = world.panel.turns, []
    turns.then(
        lambda: done.append(1), lambda: 1 / 0, lambda: done.append(2), lambda: turns.then(lambda: done.append(3))
    )
    turn(world)
    assert done == [1]
    with pytest.raises(ZeroDivisionError):
        turn(world)
    world.settle()
    assert done == [1, 2, 3]
    turns.then(lambda: done.append(4))
    turns.drop()
    assert not turns.are_waiting
    turn(world)
    assert done == [1, 2, 3]


def test_a_new_result_is_looked_at_then_shown_then_edited(world, phantom):
    view = slicer.vtkMRMLSliceNode()
    view.SetLayoutName("Red")
    world.scene.AddNode(view)
    world.add_ct(phantom)
    result, editor = new_result(world), world.ui.editor
    before = view.GetSliceOffset()
    world.panel.take(result, place=(0.0, 0.0, before + 7.0))
    assert world.panel.reading.segmentation is result
    assert len(world.cells("figuresTable")) == 9
    assert (is_shown(result), editor.enabled, view.GetSliceOffset()) == (False, False, before)
    turn(world)
    assert (is_shown(result), view.GetSliceOffset()) == (False, pytest.approx(before + 7.0))
    turn(world)
    assert not is_shown(result), "the views get their new size before"
    turn(world)
    assert (is_shown(result), editor.segmentationNode(), editor.enabled) == (True, None, False)
    world.settle()
    assert editor.segmentationNode() is result
    assert editor.currentSegmentID() == LESION.segment_id
    assert editor.enabled
    assert (
        editor.logic.GetAlignedSourceVolume().GetDimensions()
        == result.GetNodeReference("COVIDQuant.volume").GetImageData().GetDimensions()
    )


@pytest.mark.parametrize("turns", range(6))
@pytest.mark.parametrize("end", ["close the scene", "remove the CT", "remove the result", "another result", "leave"])
def test_what_happens_between_two_turns_leaves_scene_and_panel_sound(world, phantom, end, turns):
    volume = world.add_ct(phantom)
    first, editor = new_result(world, "first"), world.ui.editor
    world.panel.take(first, place=(0.0, 0.0, 0.0))
    for _ in range(turns):
        turn(world)
    second = []
    {
        "close the scene": lambda: world.scene.Clear(0),
        "remove the CT": lambda: world.scene.RemoveNode(volume),
        "remove the result": lambda: world.scene.RemoveNode(first),
        "another result": lambda: second.append(new_result(world, "second")) or world.panel.take(second[0]),
        "leave": world.leave,
    }[end]()
    for _ in range(3):
        world.process_events()
    assert not world.panel.turns.are_waiting
    if end == "leave":
        assert is_shown(first)
        world.open()
        world.settle()
    followed = {"another result": second[:1], "leave": [first]}.get(end, [])
    assert ([world.panel.reading.segmentation] if world.panel.reading else []) == followed
    assert [editor.segmentationNode()] == (followed or [None])
    assert bool(editor.enabled) == bool(followed)
    results = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    assert [node for node in results if is_shown(node)] == followed


def test_a_result_may_go_before_it_is_taken_up_and_a_cancel_may_come_too_late(world, phantom):
    section = world.panel.sections[0]
    section._run.close()
    section._run = QuantifyRun(lambda: WorkerThat("answer"))

    def quantified():
        """The result in the scene, just before the panel takes it up."""
        if world.panel.volume is None:
            world.add_ct(phantom)
        world.panel.parameters.method = "model-free"
        world.ui.quantifyButton.click()
        (node,) = world.until(lambda: slicer.util.getNodesByClass("vtkMRMLSegmentationNode"))
        assert world.panel.reading is None
        assert world.ui.quantifyButton.text == "Cancel"
        return node

    for end in (world.scene.RemoveNode, lambda _node: world.scene.Clear(0)):
        end(quantified())
        world.process_events()
        assert world.panel.reading is None
        assert world.ui.quantifyButton.text == "Quantify"
        assert not world.ui.progressBar.visible
        assert slicer.util.getNodesByClass("vtkMRMLSegmentationNode") == []
    late = quantified()
    world.ui.quantifyButton.click()
    assert world.panel.reading.segmentation is late
    world.settle()
    assert is_shown(late)


def test_segments_of_a_closed_scene_are_freed_one_by_one(read):
    supply = read.panel.sections[2]._supply
    supply.keep()
    assert not supply.release(), "they belong to a node"
    assert read.panel.reading.segmentation.GetSegmentation().GetNumberOfSegments() == 6
    read.scene.Clear(0)
    read.ui.editor.logic.SetSegmentationHistory(slicer.vtkSegmentationHistory())
    assert [supply.release() for _ in range(7)] == [True] * 6 + [False]
