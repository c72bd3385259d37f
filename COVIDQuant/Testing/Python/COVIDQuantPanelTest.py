"""The panel inside Slicer: it loads, waits for a CT, and lets go of the scene when that closes."""

import unittest

import slicer

_INPUT, _RESULTS = 0, 1


class COVIDQuantPanelTest(unittest.TestCase):
    def setUp(self):
        slicer.mrmlScene.Clear()
        slicer.util.selectModule("COVIDQuant")
        self.panel = slicer.util.getModuleWidget("COVIDQuant").panel

    def test_nothing_can_be_quantified_without_a_ct(self):
        self.assertFalse(self.panel.sections[_INPUT].ui.quantifyButton.enabled)
        self.assertTrue(self.panel.sections[_INPUT].ui.quantifyButton.toolTip)

    def test_a_volume_without_voxels_is_refused_in_words(self):
        self.panel.parameters.inputVolume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT")
        self.assertFalse(self.panel.sections[_INPUT].ui.quantifyButton.enabled)
        self.assertIn("no voxels", self.panel.sections[_INPUT].ui.fitnessLabel.text)

    def test_closing_the_scene_leaves_nothing_behind(self):
        slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT")
        self.panel.connect()
        self.assertIsNotNone(self.panel.volume)
        slicer.mrmlScene.Clear()
        self.assertIsNone(self.panel.reading)
        self.assertIsNone(self.panel.volume)
        self.assertEqual(self.panel.sections[_RESULTS].ui.figuresTable.rowCount, 0)

    def test_the_module_can_be_left_and_reloaded(self):
        slicer.util.selectModule("Data")
        self.assertIsNone(self.panel.parameters)
        slicer.util.selectModule("COVIDQuant")
        slicer.util.reloadScriptedModule("COVIDQuant")
        self.assertIsNotNone(slicer.util.getModuleWidget("COVIDQuant").panel.parameters)
