"""The panel at a reader's desk: windows and keys, sections that open, a table that fits, on real nodes."""

import types

import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

import slicer

from COVIDQuantLib.anatomy import LOBES
from COVIDQuantLib.scene.nodes.volumes import node_of_ct


@pytest.fixture(scope="module")
def phantom(once):
    return once.phantom(seed=5, thickness_mm=8.0, matrix=64, extent_percent=14.0)


def window_of(volume):
    return volume.GetDisplayNode().GetWindow(), volume.GetDisplayNode().GetLevel()


def test_a_ct_opens_in_the_lung_window_once(world, phantom):
    volume = node_of_ct(world.scene, phantom.ct, "CT")
    volume.GetDisplayNode().SetWindowLevel(400.0, 40.0)
    world.panel.parameters.inputVolume = volume
    assert window_of(volume) == (1500.0, -600.0)
    volume.GetDisplayNode().SetWindowLevel(300.0, 50.0)
    other = world.add_ct(phantom, "other")
    world.panel.parameters.inputVolume = volume
    assert window_of(volume) == (300.0, 50.0), "what the reader set stays"
    assert window_of(other) == (1500.0, -600.0)


def test_the_keys_set_the_window_of_what_is_shown_while_the_module_is_open(world, phantom):
    volume, shown = world.add_ct(phantom), node_of_ct(world.scene, phantom.ct, "shown")
    world.scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode", "Red").SetBackgroundVolumeID(shown.GetID())
    for key, wanted in (("2", (400.0, 40.0)), ("3", (1800.0, 400.0)), ("1", (1500.0, -600.0))):
        world.press(key)
        assert window_of(volume) == window_of(shown) == wanted
    world.leave()
    table = world.ui.findingsTable
    assert [key for key, widget, _ in world.keys if widget is not table] == []
    world.open()
    assert sorted(key for key, widget, _ in world.keys if widget is not table) == ["1", "2", "3", "E", "L", "N"]


def test_the_segment_editors_keys_do_not_clash_with_ours(world):
    effects = [types.SimpleNamespace(enabled=True, effect=number) for number in (*range(21), -1)]
    others = types.SimpleNamespace(enabled=True, effect=None)
    world.qt.shortcuts_in.side_effect = lambda _window: [(one, "", one.effect) for one in (*effects, others)]
    for _ in range(2):
        world.widget.onSceneChanged(None, None)
        assert [one.effect for one in effects if not one.enabled] == [1, 2, 3]
    assert others.enabled
    keys = [key for key, widget, _ in world.keys if widget is world.window]
    assert [keys.count(key) for key in world.panel.keys.known] == [1] * 6, "two of a key reach nobody"


def test_sections_open_as_the_work_goes_on(world, phantom):
    def opened():
        return [type(s).__name__ for s in world.panel.sections if not s.box.collapsed]

    assert opened() == ["InputSection"]
    volume = world.add_ct(phantom)
    assert opened() == ["InputSection"]
    world.add_result(phantom, volume)
    assert opened() == ["ResultsSection", "ReviewSection"]
    world.ui.inputBox.collapsed = False
    world.process_events()
    assert "InputSection" in opened(), "what the reader opened stays open"
    world.ui.acceptAllButton.click()
    assert opened() == ["ResultsSection", "ExportSection"]
    world.panel.sections[1]._grade.stop()
    world.panel.parameters.segmentation = None
    assert opened() == ["InputSection"]


def test_the_next_lobe_is_a_key_away(world, phantom):
    red = world.scene.AddNewNodeByClass("vtkMRMLSliceNode", "Red")
    world.press("L")
    world.add_result(phantom, world.add_ct(phantom))
    seen = []
    for _ in range(6):
        world.press("L")
        row = world.view("figuresTable").row
        seen.append(world.cells("figuresTable")[row][0])
        assert red.GetSliceToRAS() is not None
    assert seen == [*(lobe.short for lobe in LOBES), LOBES[0].short]


def test_the_next_exam_is_a_key_away(world, phantom):
    world.press("E")
    first, second = (world.add_ct(phantom, name) for name in ("first", "second"))
    world.add_result(phantom, second)
    world.press("E")
    assert world.panel.volume is second
    world.panel.parameters.inputVolume = first
    world.add_result(phantom, first)
    world.press("E")
    assert world.panel.volume is second
    assert world.panel.reading.volume is second
    world.press("E")
    assert world.panel.reading.volume is first


def test_the_panel_is_as_wide_as_the_table_unless_many_columns_are_chosen(world, phantom):
    world.add_result(phantom, world.add_ct(phantom))
    view = world.view("figuresTable")
    assert view.table.fits
    assert [row[0] for row in view.table.texts][3:8] == [lobe.short for lobe in LOBES]
    assert view.table.rows[3][0].tip == LOBES[0].name
    for action in world.panel.sections[1]._actions.values():
        action.checked = True
    assert not view.table.fits


def test_the_list_of_findings_takes_no_room_before_the_search(world, phantom):
    world.add_result(phantom, world.add_ct(phantom))
    assert not world.ui.findingsTable.visible
    assert slicer.mrmlScene is world.scene
