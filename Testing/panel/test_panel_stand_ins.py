"""The stand-ins for widgets are as strict as Slicer, so that a wrong name or type in the panel fails here, too."""

import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

from panel_widgets import make


def test_what_a_kind_has_not_is_an_error():
    label = make("QLabel", "text")
    for name in ("value", "setValue", "click_", "currentText"):
        with pytest.raises(AttributeError, match="QLabel has no"):
            getattr(label, name)
    with pytest.raises(AttributeError, match="no property checked"):
        label.checked = True
    with pytest.raises(TypeError, match="cannot be 3"):
        label.text = 3
    with pytest.raises(ValueError, match="no signal clicked"):
        label.connect("clicked(bool)", print)
    with pytest.raises(AttributeError, match="no property text"):
        make("QTableWidgetItem", "cell").text = "PythonQt has setText alone"


def test_a_change_is_told_once_and_not_while_signals_are_blocked():
    box, told = make("QCheckBox", "box"), []
    box.connect("toggled(bool)", told.append)
    box.connect("clicked()", lambda: told.append("clicked"))
    box.checked = True
    box.setChecked(True)
    assert told == [True]
    box.click()
    assert told == [True, False, "clicked"]
    assert box.blockSignals(True) is False
    box.click()
    assert box.blockSignals(False) is True
    box.enabled = False
    box.click()
    assert (told, box.checked) == ([True, False, "clicked"], True)
    button = make("QPushButton")
    button.setChecked(True)
    assert not button.checked, "it is not checkable"


def test_a_slider_stays_in_its_range_and_a_tooltip_is_rich_text():
    slider, told = make("ctkSliderWidget"), []
    slider.connect("valueChanged(double)", told.append)
    slider.value = 1000
    assert (slider.value, told) == (99.0, [99.0])
    slider.setToolTip("tip")
    assert slider.toolTip == "<p>tip</p>"


def test_a_table_has_no_cell_beyond_its_size_and_no_row_selected_that_is_gone():
    table, told = make("QTableWidget"), []
    table.connect("itemSelectionChanged()", lambda: told.append(table.selected))
    with pytest.raises(AssertionError):
        table.setItem(0, 0, make("QTableWidgetItem"))
    table.setRowCount(2)
    table.selectRow(1)
    table.selectRow(2)
    table.setRowCount(1)
    assert told == [1, None]
