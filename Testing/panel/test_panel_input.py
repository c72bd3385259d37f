"""The input section: what may be quantified, and a quantification from the click to its end."""

import json
import os
import sys
from multiprocessing import spawn

import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

from worker_world import WorkerThat, is_running

from COVIDQuantLib.scene.nodes.volumes import voxels_of
from COVIDQuantLib.scene.quantification_run import QuantifyRun


def test_an_empty_scene_offers_nothing_and_says_why(world):
    for name in ("quantifyButton", "copyButton", "exportButton", "acceptAllButton", "searchButton", "recountButton"):
        button = getattr(world.ui, name)
        assert not button.enabled, name
        assert button.toolTip, name


def test_a_volume_that_is_no_ct_is_refused_beside_the_selector(world, phantom):
    volume = world.add_ct(phantom)
    assert "mm" in world.ui.fitnessLabel.text
    voxels_of(volume)[:] = 40
    volume.GetImageData().GetPointData().GetScalars().Modified()
    world.panel.parameters.inputVolume = world.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
    assert "no voxels" in world.ui.fitnessLabel.text
    world.panel.parameters.inputVolume = volume
    assert "not Hounsfield units" in world.ui.fitnessLabel.text
    assert not world.ui.quantifyButton.enabled
    assert world.ui.fitnessLabel.text in world.ui.quantifyButton.toolTip


def test_method_and_device_are_named_and_timed(world, phantom):
    world.add_ct(phantom)
    world.ui.methodCombo.currentIndex = 1
    assert world.panel.parameters.method == "model-free"
    assert not world.ui.deviceCombo.enabled
    assert world.ui.timeLabel.text.startswith("About")
    assert world.ui.quantifyButton.enabled
    assert "model-free" in world.ui.methodCombo.property("texts")[1]
    world.ui.methodCombo.currentIndex = 0
    world.ui.deviceCombo.currentIndex = 1
    assert world.panel.parameters.device == "cpu"


@pytest.fixture
def with_worker(world, monkeypatch):
    """The panel's next runs do what a function of worker_world does."""

    def use(name):
        workers = []

        def make():
            workers.append(WorkerThat(name))
            return workers[-1]

        section = world.panel.sections[0]
        section._run.close()
        section._run = QuantifyRun(make)
        world.ui.methodCombo.currentIndex = 1
        return workers

    return use


def test_quantify_shows_its_result_and_learns_the_time(world, phantom, with_worker, monkeypatch):
    # As it is in Slicer, where multiprocessing was imported before Slicer named its Python.
    monkeypatch.setattr(spawn, "_python_exe", b"")
    volume = world.add_ct(phantom)
    with_worker("answer")
    world.ui.quantifyButton.click()
    assert world.ui.quantifyButton.text == "Cancel"
    assert world.ui.progressBar.visible
    world.until(lambda: world.panel.reading)
    assert os.fsdecode(spawn.get_executable()) == sys.executable
    assert world.ui.quantifyButton.text == "Quantify"
    assert not world.ui.progressBar.visible
    assert world.panel.reading.volume is volume
    assert world.ui.segmentationSelector.currentNodeID == world.panel.reading.segmentation.GetID()
    assert world.view("figuresTable").table.shape[0] == 9
    key, text = world.qt.remember.call_args.args
    assert key == "COVIDQuant/RunTimes"
    assert json.loads(text)
    first = world.panel.reading.segmentation
    world.ui.quantifyButton.click()
    world.until(lambda: world.panel.reading and world.panel.reading.segmentation is not first)
    assert world.scene.IsNodePresent(first)


@pytest.mark.parametrize("end", ["cancel", "close the scene", "remove the CT", "quit"])
def test_a_run_ends_with_whatever_ends_it(world, phantom, with_worker, end):
    volume = world.add_ct(phantom)
    workers = with_worker("linger")
    voxels_of(volume)[0, 0, 0] = 0
    world.ui.quantifyButton.click()
    pid = workers[0].pid
    world.process_events()
    {
        "cancel": world.ui.quantifyButton.click,
        "close the scene": lambda: world.scene.Clear(0),
        "remove the CT": lambda: world.scene.RemoveNode(volume),
        "quit": world.widget.cleanup,
    }[end]()
    assert not is_running(pid)
    if end != "quit":
        world.process_events()
        assert world.ui.quantifyButton.text == "Quantify"
        assert not world.ui.progressBar.visible
    assert world.scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0


def test_a_failed_run_is_told_in_words(world, phantom, with_worker):
    volume = world.add_ct(phantom)
    with_worker("meet_with_a_fault")
    voxels_of(volume)[0, 0, 0] = 0
    world.ui.quantifyButton.click()
    world.until(lambda: world.ui.quantifyButton.text == "Quantify")
    assert world.ui.progressLabel.text
    assert len(world.errors) == 1
    world.errors.clear()


def test_a_reader_who_went_on_is_not_called_back(world, phantom, with_worker):
    first = world.add_ct(phantom, "first")
    with_worker("answer")
    world.ui.quantifyButton.click()
    second = world.add_ct(phantom, "second")
    world.until(lambda: world.ui.quantifyButton.text == "Quantify")
    assert world.panel.volume is second
    assert world.panel.reading is None
    world.panel.parameters.inputVolume = first
    assert world.panel.reading.volume is first


def test_several_cts_keep_their_results_apart(world, phantom):
    one = world.add_ct(phantom, "one")
    of_one = world.add_result(phantom, one)
    two = world.add_ct(phantom, "two")
    assert world.panel.parameters.segmentation is None
    assert world.panel.reading is None
    of_two = world.add_result(phantom, two)
    world.panel.parameters.inputVolume = one
    assert world.panel.parameters.segmentation is of_one
    world.process_events()
    assert of_one.GetDisplayNode().GetVisibility()
    assert not of_two.GetDisplayNode().GetVisibility()
    world.ui.segmentationSelector.currentNodeID = of_two.GetID()
    world.process_events()
    assert not of_one.GetDisplayNode().GetVisibility()
    assert of_two.GetDisplayNode().GetVisibility()
    assert world.panel.parameters.inputVolume is two
    assert world.panel.reading.segmentation is of_two
