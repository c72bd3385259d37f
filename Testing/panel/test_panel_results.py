"""The figures of a result: table, headline, thresholds, charts, colours and surfaces."""

import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

import slicer
import vtk

from COVIDQuantLib.anatomy import LOBES


def test_table_headline_sorting_and_clipboard(read):
    texts = read.cells("figuresTable")
    assert [row[0] for row in texts][:3] == ["whole lung", "right lung", "left lung"]
    assert f"{read.whole():.2f}" in texts[0]
    assert f"{read.whole():.2f} %" in read.ui.headlineLabel.text
    assert "AI result" in read.ui.stateLabel.text
    read.tables["figuresTable"].sort(1)
    assert read.cells("figuresTable") != texts
    read.tables["figuresTable"].sort(0)
    assert read.cells("figuresTable") == texts
    read.ui.copyButton.click()
    assert len(read.qt.copied_text().splitlines()) == 10


def test_columns_are_chosen_and_kept(read):
    results = read.panel.sections[1]
    before = read.view("figuresTable").table.shape[1]
    results._actions["lung_weight_g"].click()
    assert "lung_weight_g" in read.panel.parameters.columns
    assert read.view("figuresTable").table.shape[1] == before + 1
    results._actions["lung_weight_g"].click()
    assert read.view("figuresTable").table.shape[1] == before


def test_headings_are_narrow(read):
    headings = [cell.text for cell in read.view("figuresTable").table.headings]
    assert "Consol.\n%" in headings
    assert "Lesion\nHU" in headings
    assert "CT\nscore" in headings
    assert all(len(line) <= 8 for text in headings for line in text.splitlines())
    read.panel.parameters.segmentation = None
    assert read.view("figuresTable").table.shape == (0, len(headings))


def test_the_bars_have_the_names_of_the_lobes(read):
    assert read.ticks() == []
    read.ui.lobesChartButton.click()
    assert read.ticks() == [lobe.short for lobe in LOBES]
    other = read.scene.AddNewNodeByClass("vtkMRMLPlotChartNode", "of another module")
    read.plot.SetPlotChartNodeID(other.GetID())
    assert read.ticks() == []
    read.ui.lobesChartButton.click()
    read.ui.histogramChartButton.click()
    assert read.ticks() == []
    read.ui.lobesChartButton.click()
    read.widget.cleanup()
    assert read.ticks() == []


def test_what_is_switched_on_in_3d_is_seen(read):
    kind = slicer.vtkMRMLLayoutNode
    layout = read.scene.AddNewNodeByClass("vtkMRMLLayoutNode")
    for arrangement in (kind.SlicerLayoutFourUpPlotView, kind.SlicerLayoutConventionalPlotView,
                        kind.SlicerLayoutFourUpView):  # fmt: skip
        layout.AddLayoutDescription(arrangement, "<layout/>")
    three_d, plot = (read.scene.AddNewNodeByClass(f"vtkMRML{name}Node") for name in ("View", "PlotView"))
    layout.SetViewArrangement(kind.SlicerLayoutFourUpPlotView)
    plot.SetMappedInLayout(True)
    read.ui.surfacesCheckBox.click()
    assert layout.GetViewArrangement() == kind.SlicerLayoutConventionalPlotView
    plot.SetMappedInLayout(False)
    read.ui.renderingCheckBox.click()
    assert layout.GetViewArrangement() == kind.SlicerLayoutFourUpView
    read.ui.histogramChartButton.click()
    assert layout.GetViewArrangement() == kind.SlicerLayoutConventionalPlotView
    three_d.SetMappedInLayout(True)
    layout.SetViewArrangement(kind.SlicerLayoutFourUpPlotView)
    read.ui.renderingCheckBox.click()
    read.ui.renderingCheckBox.click()
    assert layout.GetViewArrangement() == kind.SlicerLayoutFourUpPlotView


def test_a_click_on_a_row_moves_the_slices(read):
    red = read.scene.AddNewNodeByClass("vtkMRMLSliceNode", "Red")
    matrix = [red.GetSliceToRAS().GetElement(n, 3) for n in range(3)]
    row = [r[0] for r in read.cells("figuresTable")].index(LOBES[2].short)
    read.tables["figuresTable"].clicked(row, 0)
    assert [red.GetSliceToRAS().GetElement(n, 3) for n in range(3)] != matrix


def test_thresholds_act_at_once_and_never_cross(read):
    before = read.whole("consolidation_volume_ml")
    read.ui.consolidationSlider.value = -600.0
    assert read.whole("consolidation_volume_ml") > before
    read.ui.ggoSlider.value = -500.0
    thresholds = read.panel.reading.live.thresholds
    assert (thresholds.ggo_hu, thresholds.consolidation_hu) == (-500, -500)
    assert read.ui.consolidationSlider.value == -500
    read.ui.consolidationSlider.value = -700.0
    assert read.panel.reading.live.thresholds.ggo_hu == -700
    read.ui.resetThresholdsButton.click()
    assert read.whole("consolidation_volume_ml") == before
    assert read.ui.ggoSlider.value == -750


def test_charts_and_views(read):
    charts = read.panel.reading.charts
    read.ui.lobesChartButton.click()
    assert read.plot.GetPlotChartNode() is charts.lobes
    read.ui.histogramChartButton.click()
    assert read.plot.GetPlotChartNode() is charts.histogram
    composite = read.scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode", "Red")
    display = read.panel.reading.segmentation.GetDisplayNode()
    fill = display.GetSegmentOpacity2DFill("pneumonia")
    read.ui.densityCheckBox.click()
    assert composite.GetForegroundVolumeID() == read.panel.reading.density.volume.GetID()
    assert display.GetSegmentOpacity2DFill("pneumonia") == 0
    read.ui.densityCheckBox.click()
    assert composite.GetForegroundVolumeID() is None
    assert display.GetSegmentOpacity2DFill("pneumonia") == pytest.approx(fill)
    read.ui.surfacesCheckBox.click()
    assert display.GetVisibility3D()
    read.ui.surfacesCheckBox.click()
    assert not display.GetVisibility3D()


def test_a_result_brings_its_ct_into_the_views(read, phantom):
    composite = read.scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode", "Red")
    other = read.add_ct(phantom, "other")
    read.ui.densityCheckBox.click()
    read.add_result(phantom, other)
    assert composite.GetBackgroundVolumeID() == other.GetID()
    density = read.panel.reading.density.volume
    assert composite.GetForegroundVolumeID() == density.GetID()
    read.panel.parameters.segmentation = None
    assert composite.GetForegroundVolumeID() is None


def test_the_volume_rendering_can_be_switched(read, monkeypatch):
    update, seen = read.rendering.UpdateDisplayNodeFromVolumeNode, []

    def watched(display, *more):
        seen.append((display.GetScene(), display.GetVisibility()))
        update(display, *more)

    monkeypatch.setattr(read.rendering, "UpdateDisplayNodeFromVolumeNode", watched)
    read.ui.renderingCheckBox.click()
    assert seen == [(read.scene, 0)], "visible, it would be drawn with other colours"
    assert read.scene.GetNumberOfNodesByClass("vtkMRMLMarkupsROINode") == 0, "a box would stand in the reader's lists"
    shown = read.rendering.GetFirstVolumeRenderingDisplayNode(read.panel.reading.density.volume)
    assert shown.GetVisibility()
    how = shown.GetVolumePropertyNode()
    assert how.GetVolumeProperty().GetInterpolationType() == vtk.VTK_NEAREST_INTERPOLATION
    step = how.GetScalarOpacity().GetValue(100)
    read.ui.consolidationSlider.value = -700.0
    assert how.GetScalarOpacity().GetValue(100) > step
    read.ui.renderingCheckBox.click()
    assert not shown.GetVisibility()
