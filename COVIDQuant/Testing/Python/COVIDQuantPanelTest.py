"""The panel inside Slicer: it loads, waits for a CT, and lets go of the scene when that closes."""

import unittest

import slicer


class COVIDQuantPanelTest(unittest.TestCase):
    def setUp(self):
        slicer.mrmlScene.Clear()
        slicer.util.selectModule("COVIDQuant")
        self.widget = slicer.util.getModuleWidget("COVIDQuant")

    def test_nothing_can_be_quantified_without_a_ct(self):
        self.assertFalse(self.widget.ui.quantifyButton.enabled)

    def test_a_ct_enables_the_button(self):
        slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT")
        self.widget.initializeParameterNode()
        self.assertTrue(self.widget.ui.quantifyButton.enabled)

    def test_closing_the_scene_leaves_no_node_behind(self):
        slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT")
        self.widget.initializeParameterNode()
        slicer.mrmlScene.Clear()
        self.assertIsNone(self.widget.ui.tableView.mrmlTableNode())
        self.assertFalse(self.widget.ui.quantifyButton.enabled)
