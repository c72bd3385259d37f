"""The stand-ins for widgets are as strict as Slicer, so that a wrong name or type in the panel fails here, too."""

import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

from panel_widgets import Widget


def test_what_a_kind_has_not_is_an_error():
    label = Widget("QLabel")
    for name in ("value", "setValue", "click_", "currentText"):
        with pytest.raises(AttributeError, match="QLabel has no"):
            getattr(label, name)
    with pytest.raises(AttributeError, match="no property checked"):
        label.checked = True
    with pytest.raises(TypeError, match="cannot be 3"):
        label.text = 3
    with pytest.raises(ValueError, match="no signal clicked"):
        label.connect("clicked(bool)", print)


def test_a_change_is_told_once_and_not_while_signals_are_blocked():
    box, told = Widget("QCheckBox"), []
    box.connect("toggled(bool)", told.append)
    box.connect("clicked(bool)", lambda: told.append("clicked"))
    box.checked = True
    box.checked = True
    assert told == [True]
    box.click()
    assert told == [True, False, "clicked"]
    assert box.blockSignals(True) is False
    box.click()
    assert box.blockSignals(False) is True
    box.enabled = False
    box.click()
    assert (told, box.checked) == ([True, False, "clicked"], True)
    button = Widget("QPushButton")
    button.checked = True
    assert not button.checked, "it is not checkable"


def test_only_calls_of_qt_that_there_are_can_be_made_and_only_as_they_are(world):
    from COVIDQuantPanel.widgets import qt_calls
    from COVIDQuantPanel.widgets.qt_table import QtTable

    assert not hasattr(qt_calls, "beep")
    with pytest.raises(TypeError, match="milliseconds"):
        qt_calls.timer(method=print)
    with pytest.raises(TypeError, match="clickd"):
        QtTable(Widget("QTableWidget"), clickd=print)
    with pytest.raises(AttributeError, match="resize"):
        QtTable(Widget("QTableWidget"), selected=print).resize()


def test_a_parameter_is_of_its_type_and_one_of_its_choices(world):
    parameters = world.panel.parameters
    for name, value in (
        ("device", "abacus"),
        ("method", 1),
        ("surfaces", "yes"),
        ("inputVolume", "CT"),
        ("exports", 3),
    ):
        with pytest.raises(ValueError, match=f"{name} cannot be"):
            setattr(parameters, name, value)
    with pytest.raises(KeyError):
        parameters.colour = "red"
    with pytest.raises(AttributeError):
        _ = parameters.colour
