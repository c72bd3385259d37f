"""The part of the self-test in which the patient comes again."""

from dataclasses import replace
from datetime import date

import slicer

from COVIDQuantLib.pipeline import MODEL_FREE, Plan
from COVIDQuantLib.scene.followup.exams import set_day
from COVIDQuantLib.scene.followup.layouts import (
    BEFORE,
    SIDE_BY_SIDE,
    VIEWS,
    WITH_CHART,
    composite_nodes,
    is_ours,
    layout_node,
    slice_nodes,
)
from COVIDQuantLib.simulation.phantom import PhantomSettings
from COVIDQuantPanel.presenters.followup_exams import EXAM

FOLLOWUP = 4
# Small, so that the model-free method takes seconds.
SETTINGS = PhantomSettings(seed=1, thickness_mm=8.0, matrix=96, extent_percent=10.0, motion=True)


class FollowupStory:
    """The steps in order; the docstring of each says what it does.

    Args:
        test: the unittest.TestCase with the assertions.
        panel: the panel, with a result.
        wait: lets the window run until something is true.
    """

    def __init__(self, test, panel, wait):
        self._test = test
        self._panel = panel
        self._wait = wait
        self._section = panel.sections[FOLLOWUP]
        self.steps = (self.follow_up, self.side_by_side, self.time_course)

    def follow_up(self):
        """Compare with an earlier exam of the same patient, the window staying awake"""
        logic, parameters, ui = self._panel.logic, self._panel.parameters, self._section.ui
        shown, segmentation, before = parameters.inputVolume, parameters.segmentation, self._extent()
        earlier = logic.makeSample(replace(SETTINGS, extent_percent=25.0))
        logic.quantify(earlier, Plan(MODEL_FREE))
        set_day(earlier, date(2020, 2, 1))
        set_day(shown, date(2020, 2, 11))
        parameters.inputVolume = shown
        parameters.segmentation = segmentation
        self._section.on_enter()
        self._test.assertEqual(self._section.exam_list.table.shape[0], 2)
        self._test.assertFalse(ui.compareButton.enabled)
        self._section.exam_list.tick(0, EXAM)
        ui.onsetEdit.text = date(2020, 1, 28).isoformat()
        self._test.assertTrue(ui.compareButton.enabled)
        ui.compareButton.click()
        self._test.assertEqual(ui.compareButton.text, "Cancel")
        self._wait(lambda: ui.compareButton.text == "Compare")
        self._test.assertIn("contracted", ui.overviewLabel.text)
        self._test.assertIn("Registration good", ui.lesionsLabel.text)
        self._test.assertGreater(self._section.views.lesions.table.shape[0], 0)
        self._test.assertEqual(self._extent(), before)

    def side_by_side(self):
        """Show both exams side by side and go to the lesion that changed most"""
        ui, layout = self._section.ui, layout_node(slicer.mrmlScene)
        ui.sideBySideButton.click()
        slicer.app.processEvents()
        self._test.assertEqual(layout.GetViewArrangement(), SIDE_BY_SIDE)
        shown = composite_nodes(slicer.mrmlScene)
        views = slice_nodes(slicer.mrmlScene)
        for view in VIEWS:
            volume = slicer.mrmlScene.GetNodeByID(shown[view.name].GetBackgroundVolumeID())
            self._test.assertEqual(volume.GetTransformNodeID() is not None, view.side == BEFORE)
            self._test.assertEqual(views[view.name].GetViewGroup(), view.group)
        self._section.views.lesions.select(0)
        slicer.app.processEvents()
        depths = {views[view.name].GetSliceOffset() for view in VIEWS if view.orientation == "Axial"}
        self._test.assertEqual(len(depths), 1)
        ui.outlineCheckBox.click()
        ui.outlineCheckBox.click()
        self._change_map(shown)

    def _change_map(self, shown):
        """Show and hide where disease is new, persists or has gone"""
        ui = self._section.ui
        ui.changeMapCheckBox.click()
        slicer.app.processEvents()
        maps = {shown[view.name].GetLabelVolumeID() for view in VIEWS}
        self._test.assertEqual(len(maps), 1)
        self._test.assertTrue(maps.pop())
        self._test.assertIn("resolved", ui.changeMapLabel.text)
        ui.changeMapCheckBox.click()
        slicer.app.processEvents()
        self._test.assertEqual({shown[view.name].GetLabelVolumeID() for view in VIEWS}, {None})

    def time_course(self):
        """Show the time course beside the exams, then the usual layout again"""
        ui, layout = self._section.ui, layout_node(slicer.mrmlScene)
        ui.courseButton.click()
        slicer.app.processEvents()
        self._test.assertEqual(layout.GetViewArrangement(), WITH_CHART)
        ui.sideBySideButton.click()
        slicer.app.processEvents()
        self._test.assertFalse(is_ours(layout.GetViewArrangement()))
        self._test.assertFalse(ui.sideBySideButton.checked)

    def _extent(self):
        return self._panel.reading.live.metrics.value("whole lung", "extent_percent")
