"""Widgets that are bound to a parameter show it and store what is chosen, while the module is open."""

import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

from COVIDQuantLib.inference.device import DEVICES
from COVIDQuantLib.pipeline import METHODS


def test_every_parameter_is_shown_as_its_widget_shows_it_and_comes_back(world, phantom):
    from COVIDQuantPanel.widgets.bindings import as_shown, as_stored

    volume = world.add_ct(phantom)
    shown = [as_shown("device", device) for device in DEVICES]
    assert shown == list(range(len(DEVICES)))
    assert [as_stored("device", place) for place in shown] == list(DEVICES)
    assert as_shown("inputVolume", volume) == volume.GetID()
    assert as_stored("inputVolume", volume.GetID()) is volume
    assert as_shown("inputVolume", None) == ""
    assert as_stored("inputVolume", "") is None
    assert [as_stored("surfaces", as_shown("surfaces", on)) for on in (True, False)] == [True, False]


def test_widgets_follow_the_parameters_and_the_other_way_round(read, phantom):
    ui, parameters = read.ui, read.panel.parameters
    parameters.method = METHODS[1]
    parameters.keepInChest = False
    assert (ui.methodCombo.currentIndex, ui.chestCheckBox.checked) == (1, False)
    ui.methodCombo.currentIndex = 0
    ui.chestCheckBox.click()
    assert (parameters.method, parameters.keepInChest) == (METHODS[0], True)
    first = read.panel.volume
    second = read.add_ct(phantom, "second")
    assert (ui.inputSelector.currentNodeID, ui.segmentationSelector.currentNodeID) == (second.GetID(), "")
    ui.inputSelector.currentNodeID = first.GetID()
    assert parameters.inputVolume is first
    assert ui.segmentationSelector.currentNodeID == parameters.segmentation.GetID()


def test_nothing_is_stored_while_the_module_is_left(read):
    kept = read.panel.parameters
    read.leave()
    read.ui.inputSelector.currentNodeID = ""
    read.ui.deviceCombo.currentIndex = 2
    assert (kept.inputVolume.GetName(), kept.device) == ("CT", DEVICES[0])
    read.open()
    assert read.ui.inputSelector.currentNodeID == kept.inputVolume.GetID()
    assert read.ui.deviceCombo.currentIndex == 0


def test_a_choice_does_not_tell_of_a_change_that_is_none(world):
    told = []
    node = world.panel.parameters
    node.AddObserver("ModifiedEvent", lambda *_: told.append(1))
    world.ui.methodCombo.emit("currentIndexChanged", 0)
    assert told == []
    world.ui.methodCombo.emit("currentIndexChanged", 1)
    assert told
    assert node.method == METHODS[1]
