"""The panel inside Slicer: it loads, waits for a CT, lets go of the scene when that closes; and its calls of Qt."""

import time
import types
import unittest

import qt
import slicer

_INPUT, _RESULTS, _REVIEW = 0, 1, 2


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

    def test_widgets_show_the_parameters_and_store_what_is_chosen(self):
        parameters, ui = self.panel.parameters, self.panel.sections[_INPUT].ui
        parameters.method = "model-free"
        self.assertEqual(ui.methodCombo.currentIndex, 1)
        self.assertIn("model-free", ui.methodCombo.currentText)
        ui.methodCombo.currentIndex = 0
        self.assertEqual(parameters.method, "network")
        first, second = (slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name) for name in "ab")
        parameters.inputVolume = first
        self.assertEqual(ui.inputSelector.currentNode(), first)
        ui.inputSelector.setCurrentNode(second)
        self.assertEqual(parameters.inputVolume, second)
        box = self.panel.sections[_REVIEW].ui.chestCheckBox
        before = box.checked
        box.click()
        self.assertEqual(parameters.keepInChest, not before)
        parameters.keepInChest = before
        self.assertEqual(box.checked, before)
        slicer.util.selectModule("Data")
        slicer.mrmlScene.RemoveNode(second)
        slicer.util.selectModule("COVIDQuant")
        self.assertEqual(ui.inputSelector.currentNode(), self.panel.parameters.inputVolume)

    def test_the_editors_own_selectors_are_hidden(self):
        editor = self.panel.sections[_REVIEW].ui.editor
        self.assertFalse(editor.segmentationNodeSelectorVisible)
        self.assertFalse(editor.sourceVolumeNodeSelectorVisible)
        self.assertFalse(editor.switchToSegmentationsButtonVisible)

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


class QtTableTest(unittest.TestCase):
    """The cells of a real QTableWidget, which is shown, as sizes are those of what is seen."""

    def setUp(self):
        slicer.util.selectModule("COVIDQuant")
        from COVIDQuantPanel.presenters.tables import Cell, Table
        from COVIDQuantPanel.widgets.qt_table import QtTable

        self.cell, self.table, self.told = Cell, Table, []
        self.widget = qt.QTableWidget()
        self.widget.setSelectionBehavior(qt.QAbstractItemView.SelectRows)
        self.widget.setSelectionMode(qt.QAbstractItemView.SingleSelection)
        self.cells = QtTable(
            self.widget,
            selected=lambda row: self.told.append(("selected", row)),
            clicked=lambda *place: self.told.append(("clicked", *place)),
            sort=lambda column: self.told.append(("sort", column)),
            changed=lambda *cell: self.told.append(("changed", *cell)),
        )
        self.widget.show()
        headings = (Cell("a", tip="of a"), Cell("b"))
        self.four = Table(headings, tuple((Cell(f"{n}", swatch=()), Cell("x")) for n in range(4)))

    def tearDown(self):
        self.widget.hide()

    def test_a_table_is_shown_silently_and_no_row_is_selected(self):
        self.cells.put(self.four)
        self.assertEqual(self.told, [])
        self.assertEqual([self.widget.item(n, 0).text() for n in range(4)], ["0", "1", "2", "3"])
        self.assertIn("of a", self.widget.horizontalHeaderItem(0).toolTip())
        self.assertEqual(self.widget.horizontalHeaderItem(1).toolTip(), "")
        self.assertFalse(self.widget.item(0, 0).flags() & (qt.Qt.ItemIsEditable | qt.Qt.ItemIsUserCheckable))
        self.cells.select(3)
        self.cells.put(self.four)
        self.assertEqual(self.widget.selectionModel().selectedRows(), ())
        self.assertEqual(self.told, [("selected", 3)])

    def test_a_long_table_is_as_high_as_its_first_rows(self):
        heights = []
        for most in (2, 3, None):
            self.cells.put(self.four, most=most)
            heights.append(self.widget.maximumHeight)
            self.assertEqual(self.widget.minimumHeight, heights[-1])
        self.assertEqual(heights[1] - heights[0], self.widget.rowHeight(2))
        self.assertEqual(heights[2] - heights[1], self.widget.rowHeight(3))
        self.cells.put(self.table(self.four.headings, ()))
        self.assertLess(self.widget.maximumHeight, heights[0])

    def test_new_figures_keep_the_cells_and_the_selection(self):
        self.cells.put(self.four)
        self.cells.select(1)
        rows = tuple((self.cell("n", "tip"), self.cell("y")) for _ in range(4))
        self.cells.write(self.table(self.four.headings, rows))
        self.assertEqual(self.widget.item(1, 1).text(), "y")
        self.assertIn("tip", self.widget.item(1, 0).toolTip())
        self.assertEqual([index.row() for index in self.widget.selectionModel().selectedRows()], [1])

    def test_boxes_colours_and_text_fields_are_set_up(self):
        box = self.cell("a", ticked=False, can_be_ticked=True)
        field = self.cell("b", can_be_edited=True, colour="#b3261e", to_right=True)
        self.cells.put(self.table((self.cell("1"), self.cell("2")), ((box, field),)))
        first, second = self.widget.item(0, 0), self.widget.item(0, 1)
        self.assertTrue(first.flags() & qt.Qt.ItemIsUserCheckable)
        self.assertFalse(first.flags() & qt.Qt.ItemIsEditable)
        self.assertTrue(second.flags() & qt.Qt.ItemIsEditable)
        self.assertEqual(second.foreground().color().name(), "#b3261e")
        self.assertTrue(second.textAlignment() & int(qt.Qt.AlignRight))
        self.cells.tick(0, 0)
        second.setText("c")
        self.assertEqual(self.told, [("changed", 0, 0, "a", True), ("changed", 0, 1, "c", False)])

    def test_what_the_reader_clicks_is_told(self):
        self.cells.put(self.four)
        self.widget.cellClicked(2, 1)
        self.widget.horizontalHeader().sectionClicked(1)
        self.assertEqual(self.told, [("clicked", 2, 1), ("sort", 1)])

    def test_the_panel_is_as_wide_as_columns_that_fit(self):
        headings = (self.cell("Lesion\nHU"), self.cell("n"), self.cell("last"))
        wide = self.table(headings, ((self.cell("7"), self.cell("389.6"), self.cell("")),), fits=True)
        wider = self.table(headings, ((self.cell("7"), self.cell("12345389.6"), self.cell("")),), fits=True)
        self.cells.put(wide)
        metrics = self.widget.horizontalHeader().fontMetrics()
        self.assertGreaterEqual(self.widget.columnWidth(0), metrics.width("Lesion"))
        self.assertTrue(self.widget.horizontalHeader().stretchLastSection)
        before = self.widget.columnWidth(1)
        self.assertGreaterEqual(self.widget.minimumWidth, self.widget.columnWidth(0) + before)
        self.cells.write(wider)
        after = self.widget.columnWidth(1)
        self.assertGreater(after, before)
        self.cells.write(wide)
        self.assertEqual(self.widget.columnWidth(1), after)
        self.cells.put(self.table(headings, wide.rows))
        self.assertEqual(self.widget.minimumWidth, 0)

    def test_a_column_of_long_texts_takes_what_is_left_of_the_width(self):
        self.cells.put(self.table(self.four.headings, self.four.rows, wraps=1))
        header, modes = self.widget.horizontalHeader(), qt.QHeaderView
        self.assertEqual(header.sectionResizeMode(0), modes.ResizeToContents)
        self.assertEqual(header.sectionResizeMode(1), modes.Stretch)
        self.assertEqual(self.widget.verticalHeader().sectionResizeMode(0), modes.ResizeToContents)

    def test_a_column_grows_with_what_is_written_in_it(self):
        self.cells.put(self.four)
        before = self.widget.columnWidth(0)
        rows = tuple((self.cell("removed by the reader"), self.cell("x")) for _ in range(4))
        self.cells.write(self.table(self.four.headings, rows, grows=0))
        self.assertGreater(self.widget.columnWidth(0), before)


class QtCallsTest(unittest.TestCase):
    """Each call of Qt does what its name says."""

    def setUp(self):
        slicer.util.selectModule("COVIDQuant")
        from COVIDQuantPanel.widgets import qt_calls

        self.calls, self.told = qt_calls, []

    def wait(self, condition):
        end = time.monotonic() + 60.0
        while not condition():
            self.assertLess(time.monotonic(), end, "waited in vain")
            slicer.app.processEvents()

    def test_timers_call_again_or_once_and_later_is_not_now(self):
        self.calls.later(lambda: self.told.append("later"))
        once = self.calls.timer(1, lambda: self.told.append("once"), once=True)
        again = self.calls.timer(1, lambda: self.told.append("again"))
        self.assertEqual(self.told, [])
        once.start()
        again.start()
        self.wait(lambda: self.told.count("again") > 2)
        again.stop()
        self.assertEqual((self.told.count("once"), self.told.count("later")), (1, 1))

    def test_settings_and_clipboard_keep_a_text(self):
        key = "COVIDQuant/Test"
        try:
            self.assertEqual(self.calls.remembered(key), "")
            self.calls.remember(key, "kept")
            self.assertEqual(self.calls.remembered(key), "kept")
        finally:
            qt.QSettings().remove(key)
        self.calls.copy_text("a\tb")
        self.assertEqual(self.calls.copied_text(), "a\tb")

    def test_a_key_is_of_its_widget_until_it_is_given_back(self):
        widget = qt.QWidget()
        shortcut = self.calls.add_key("F7", widget, lambda: self.told.append("F7"), with_focus=True)
        self.assertEqual(shortcut.context, qt.Qt.WidgetShortcut)
        self.assertEqual([(key, effect) for _, key, effect in self.calls.shortcuts_in(widget)], [("F7", None)])
        shortcut.activated()
        self.assertEqual(self.told, ["F7"])
        self.calls.remove_key(shortcut)
        self.assertEqual(self.calls.shortcuts_in(widget), [])

    def test_boxes_and_entries_of_a_menu_tell_when_they_are_ticked(self):
        widget, button = qt.QWidget(), qt.QToolButton()
        widget.setLayout(qt.QVBoxLayout())
        box = self.calls.add_box(widget, "segmentation", self.told.append)
        self.assertEqual((box.text, widget.layout().count()), ("segmentation", 1))
        box.click()
        entry = types.SimpleNamespace(text="Extent", tip="lesion / lung")
        actions = self.calls.add_menu(button, {"extent": entry}, self.told.append)
        self.assertIn("lesion / lung", actions["extent"].toolTip)
        self.assertEqual(button.menu().actions()[0].text, "Extent")
        actions["extent"].setChecked(True)
        self.assertEqual(self.told, [True, True])

    def test_a_combo_box_is_filled_silently(self):
        combo = qt.QComboBox()
        combo.connect("currentIndexChanged(int)", self.told.append)
        self.calls.fill(combo, ["a", "b", "c"], 1)
        self.assertEqual((combo.count, combo.currentText), (3, "b"))
        self.calls.fill(combo, [])
        self.assertEqual((combo.count, combo.currentIndex, self.told), (0, -1, []))
        combo.addItem("d")
        self.assertEqual(self.told, [0])

    def test_a_dialog_waits_until_it_is_closed(self):
        dialog = self.calls.wait_dialog("COVIDQuant", "Creating …")
        dialog.value = 50
        self.assertEqual(
            (dialog.windowTitle, dialog.labelText, dialog.wasCanceled), ("COVIDQuant", "Creating …", False)
        )
        self.assertEqual(dialog.windowModality, qt.Qt.ApplicationModal)
        dialog.close()
        self.assertFalse(dialog.visible)

    def test_every_plot_view_has_an_axis(self):
        layout = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLLayoutNode")
        before = layout.GetViewArrangement()
        layout.SetViewArrangement(slicer.vtkMRMLLayoutNode.SlicerLayoutConventionalPlotView)
        slicer.app.processEvents()
        try:
            ((node, axis),) = self.calls.plot_axes()
            self.assertTrue(node.IsA("vtkMRMLPlotViewNode"))
            self.assertTrue(axis.IsA("vtkAxis"))
        finally:
            layout.SetViewArrangement(before)
