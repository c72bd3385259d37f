"""The self-test: a reader's complete workflow in Slicer, by clicks on the panel."""

import tempfile
import time
from pathlib import Path

import slicer

from COVIDQuantLib.review.status import Figures
from COVIDQuantLib.scene.nodes.windows import LUNG
from COVIDQuantLib.scene.review.segment_edits import remove_from_lesion
from COVIDQuantLib.voxels.box import Box
from COVIDQuantPanel.self_test_followup import FOLLOWUP, SETTINGS, FollowupStory
from COVIDQuantPanel.widgets.qt_calls import copied_text, shortcuts_in

_PATIENCE_S = 300.0
_INPUT, _RESULTS, _REVIEW, _READERS, _EXPORT, _ADVANCED = 0, 1, 2, 3, 5, 6


class Story:
    """The steps in order; the docstring of each says what it does.

    Args:
        test: the unittest.TestCase with the assertions.
    """

    def __init__(self, test):
        self._test = test
        self._volume = None
        self._extent = 0.0
        slicer.util.selectModule("COVIDQuant")
        self._panel = slicer.util.getModuleWidget("COVIDQuant").panel
        self.steps = (
            self.open,
            self.keys,
            self.refuse,
            self.cancel,
            self.quantify,
            self.read,
            self.stroke,
            self.edit,
            self.review,
            self.accept,
            self.rate,
            self.export,
            *FollowupStory(test, self._panel, self._wait).steps,
            self.reload,
            self.close,
        )

    def open(self):
        """Make a sample CT and open the module"""
        self._volume = self._panel.logic.makeSample(SETTINGS)
        slicer.util.setSliceViewerLayers(background=self._volume, fit=True)
        self._panel.parameters.inputVolume = self._volume
        self._panel.parameters.method = "model-free"
        self._test.assertTrue(self._ui(_INPUT).quantifyButton.enabled)
        self._test.assertFalse(self._ui(_EXPORT).exportButton.enabled)

    def keys(self):
        """Lung window at first; each key of ours reaches us alone, and only while the module is open"""
        display = self._volume.GetDisplayNode()
        self._test.assertEqual((display.GetWindow(), display.GetLevel()), (LUNG.width_hu, LUNG.level_hu))
        for key in self._panel.keys.known:
            self._test.assertEqual(self._having(key), 1)
        self._panel.exit()
        for key in "NLE":
            self._test.assertEqual(self._having(key), 0)
        self._panel.enter()

    def _having(self, key):
        """How many shortcuts of the window a key would reach; two would reach nobody."""
        return sum(bool(one.enabled) and its == key for one, its, _ in shortcuts_in(slicer.util.mainWindow()))

    def refuse(self):
        """Choose a volume that is no CT: the button says why not"""
        self._panel.parameters.inputVolume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
        self._test.assertFalse(self._ui(_INPUT).quantifyButton.enabled)
        self._test.assertIn("no voxels", self._ui(_INPUT).quantifyButton.toolTip)
        self._panel.parameters.inputVolume = self._volume

    def cancel(self):
        """Quantify and cancel: nothing is left"""
        button = self._ui(_INPUT).quantifyButton
        button.click()
        self._test.assertEqual(button.text, "Cancel")
        button.click()
        self._test.assertEqual(button.text, "Quantify")
        self._test.assertEqual(slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode"), 0)

    def quantify(self):
        """Quantify and wait, the window staying awake"""
        self._ui(_INPUT).quantifyButton.click()
        self._wait(lambda: self._panel.reading is not None)
        self._test.assertIs(self._panel.reading.volume, self._volume)
        self._extent = self._whole("extent_percent")
        self._test.assertGreater(self._extent, 0.0)
        self._test.assertFalse(self._panel.sections[_RESULTS].box.collapsed)
        self._test.assertTrue(self._panel.sections[_EXPORT].box.collapsed)

    def read(self):
        """Read the table, sort it, look at a lobe, move a threshold, show charts and colours"""
        ui = self._ui(_RESULTS)
        self._test.assertEqual(self._panel.sections[_RESULTS].view.table.shape[0], 9)
        self._test.assertIn("AI result", ui.stateLabel.text)
        section = self._panel.sections[_RESULTS]
        section.on_heading(1)
        section.on_heading(0)
        section.on_row(5, 0)
        before = self._whole("consolidation_volume_ml")
        ui.consolidationSlider.value = -600
        self._test.assertGreaterEqual(self._whole("consolidation_volume_ml"), before)
        self._ui(_ADVANCED).resetThresholdsButton.click()
        self._test.assertEqual(self._whole("consolidation_volume_ml"), before)
        ui.copyButton.click()
        self._test.assertEqual(len(copied_text().splitlines()), 10)
        ui.lobesChartButton.click()
        ui.histogramChartButton.click()
        for box in (ui.densityCheckBox, ui.surfacesCheckBox, ui.renderingCheckBox) * 2:
            box.click()
            slicer.app.processEvents()
        self._test.assertFalse(ui.renderingCheckBox.checked)

    def stroke(self):
        """Erase by a stroke of the mouse: the figures follow, and with undo they are the AI's again"""
        reading, editor = self._panel.reading, self._ui(_REVIEW).editor
        self._panel.sections[_RESULTS].on_row(0, 0)
        editor.setActiveEffectByName("Erase")
        draw_in_red_view()
        self._wait(lambda: self._whole("extent_percent") < self._extent)
        self._test.assertIs(reading.figures, Figures.EDITED)
        self._test.assertIn("edited", self._ui(_RESULTS).stateLabel.text)
        editor.undo()
        self._wait(lambda: self._whole("extent_percent") == self._extent)
        self._test.assertIs(reading.figures, Figures.AI)
        editor.setActiveEffectByName("")

    def edit(self):
        """Rub out half of the chest: the figures follow, undo brings them back"""
        reading, editor = self._panel.reading, self._ui(_REVIEW).editor
        self._test.assertEqual(editor.currentSegmentID(), "pneumonia")
        i, j, k = reading.volume.GetImageData().GetDimensions()
        _, lesions = reading.live.labels(Box.of_shape((k, j, i)))
        half = Box((0, 0, 0), (k, j, i // 2))
        editor.saveStateForUndo()
        remove_from_lesion(reading.segmentation, reading.volume, lesions[half.slices], half)
        self._wait(lambda: self._whole("extent_percent") < self._extent)
        self._test.assertIs(reading.figures, Figures.EDITED)
        editor.undo()
        self._wait(lambda: self._whole("extent_percent") == self._extent)
        self._test.assertIs(reading.figures, Figures.AI)
        editor.redo()
        self._wait(lambda: reading.is_edited)
        self._ui(_REVIEW).restoreAllButton.click()
        self._wait(lambda: not reading.is_edited)

    def review(self):
        """Look for motion artefacts, remove the first and take it back"""
        ui, reading = self._ui(_REVIEW), self._panel.reading
        ui.suspectedCheckBox.checked = False
        ui.searchButton.click()
        self._wait(lambda: reading.findings.found)
        findings = self._panel.sections[_REVIEW].findings.view
        self._test.assertEqual(findings.table.shape[0], len(reading.findings.found))
        findings.select(0)
        self._test.assertTrue(ui.removeButton.enabled)
        ui.removeButton.click()
        self._wait(lambda: reading.is_edited)
        findings.select(0)
        ui.reopenButton.click()
        self._wait(lambda: not reading.is_edited)

    def accept(self):
        """Accept everything"""
        self._ui(_REVIEW).acceptAllButton.click()
        self._test.assertIs(self._panel.reading.figures, Figures.ACCEPTED)
        self._test.assertIn("accepted", self._ui(_RESULTS).stateLabel.text)

    def rate(self):
        """Two readers rate it, blinded to each other"""
        ui = self._ui(_READERS)
        for initials, score in (("ab", 4), ("cd", 3)):
            self._test.assertNotIn("AB 4", ui.ratingLabel.text)
            ui.readerEdit.text = initials
            ui.scoreCombo.currentIndex = 1 + score
            ui.rateButton.click()
        self._test.assertIn("adequate", ui.ratingLabel.text)
        self._test.assertIn("AB 4", ui.ratingLabel.text)

    def export(self):
        """Export into a folder"""
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder, "export")
            self._panel.parameters.exports = ["segmentation", "metrics"]
            self._panel.parameters.exportFolder = str(target)
            self._ui(_EXPORT).exportButton.click()
            self._wait(lambda: self._ui(_EXPORT).exportButton.text == "Export")
            names = sorted(path.name for path in target.iterdir())
            self._test.assertEqual(names, ["metrics.csv", "metrics.json", "segmentation.seg.nrrd"])
            self._test.assertIn("metrics.csv", self._ui(_EXPORT).doneLabel.text)

    def reload(self):
        """Save the scene, close it and load it again: everything is as it was"""
        with tempfile.TemporaryDirectory() as folder:
            bundle = str(Path(folder, "case.mrb"))
            self._test.assertTrue(slicer.util.saveScene(bundle))
            slicer.mrmlScene.Clear()
            self._test.assertIsNone(self._panel.reading)
            slicer.util.loadScene(bundle)
        self._wait(lambda: self._panel.reading is not None)
        self._test.assertEqual(self._whole("extent_percent"), self._extent)
        self._test.assertIs(self._panel.reading.figures, Figures.ACCEPTED)
        self._test.assertEqual(self._panel.reading.readers.rating.mean, 3.5)
        self._test.assertIn("contracted", self._ui(FOLLOWUP).overviewLabel.text)
        self._test.assertGreater(self._panel.sections[FOLLOWUP].views.lesions.table.shape[0], 0)

    def close(self):
        """Close the scene while a job runs: nothing is left"""
        self._ui(_INPUT).quantifyButton.click()
        self._test.assertEqual(self._ui(_INPUT).quantifyButton.text, "Cancel")
        slicer.mrmlScene.Clear()
        self._test.assertIsNone(self._panel.reading)
        self._test.assertFalse(self._ui(_INPUT).quantifyButton.enabled)
        self._test.assertEqual(self._panel.sections[_RESULTS].view.table.shape[0], 0)

    def _ui(self, place):
        return self._panel.sections[place].ui

    def _whole(self, measure):
        return self._panel.reading.live.metrics.value("whole lung", measure)

    def _wait(self, condition):
        """Let the window run until something is true."""
        end = time.monotonic() + _PATIENCE_S
        while not condition():
            self._test.assertLess(time.monotonic(), end, "waited in vain")
            slicer.app.processEvents()
            time.sleep(0.01)


def draw_in_red_view():
    """Draw a line from the middle of the red slice view with the tool in hand, by the mouse."""
    red = slicer.app.layoutManager().sliceWidget("Red")
    middle = [size // 2 for size in red.mrmlSliceNode().GetDimensions()[:2]]
    # The brush comes into being as the mouse moves over the view.
    slicer.util.clickAndDrag(red, button="None", start=middle, end=middle)
    slicer.util.clickAndDrag(red, start=middle, end=[middle[0] + 40, middle[1] + 20])
