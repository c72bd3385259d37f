"""Charts of the figures as Slicer's plot nodes, kept up to date in place: bars per lobe, histogram against normal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk

from COVIDQuantLib.anatomy import LOBES, Colour
from COVIDQuantLib.ct.volume import HU_MIN
from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.quantification.reference import BIN_WIDTH_HU, distribution, lung_counts, shipped_reference
from COVIDQuantLib.quantification.table import MetricsTable
from COVIDQuantLib.scene.nodes.result_links import companion

LOBES_CHART_ROLE = "COVIDQuant.chart.lobes"
HISTOGRAM_CHART_ROLE = "COVIDQuant.chart.histogram"
_KIND_ATTRIBUTE = "COVIDQuant.chart"
_DATA_ROLE = "COVIDQuant.chart.data"
_SERIES_ROLE = "COVIDQuant.chart.series"
_LABELS = "lobe"
_HU = "HU"
# Lungs have next to nothing above; the chart would be empty there.
_LAST_HU = 200


@dataclass(frozen=True)
class _Series:
    """A column of a chart's table as it is drawn; colours are the Okabe-Ito ones, told apart by the colour-blind."""

    column: str
    colour: Colour
    dashed: bool = False


@dataclass(frozen=True)
class _Chart:
    role: str
    name: str
    x_title: str
    y_title: str
    plot_type: str
    x_column: str
    series: tuple[_Series, ...]


_BLUE, _ORANGE, _GREY = (0.00, 0.45, 0.70), (0.84, 0.37, 0.00), (0.45, 0.45, 0.45)
_CHARTS = (
    _Chart(
        LOBES_CHART_ROLE,
        "lobes",
        "Lobe",
        "% of the lobe",
        "Bar",
        "",
        (_Series("Ground glass", _BLUE), _Series("Consolidation", _ORANGE)),
    ),
    _Chart(
        HISTOGRAM_CHART_ROLE,
        "histogram",
        "HU",
        "% of the lung",
        "Scatter",
        _HU,
        (_Series("This patient", _ORANGE), _Series("Normal lungs", _GREY, dashed=True)),
    ),
)
_MEASURE_OF = {"Ground glass": "ggo_percent", "Consolidation": "consolidation_percent"}


class Charts:
    """The charts of one segmentation's figures; they belong to its table node and are saved with the scene.

    Args:
        table: the vtkMRMLTableNode of the figures.
        name: begins the names of new nodes.
    """

    def __init__(self, table: Any, name: str) -> None:
        self._nodes = {chart.role: _chart_node(table, chart, name) for chart in _CHARTS}

    @property
    def lobes(self) -> Any:
        """The vtkMRMLPlotChartNode of ground glass and consolidation per lobe."""
        return self._nodes[LOBES_CHART_ROLE]

    @property
    def histogram(self) -> Any:
        """The vtkMRMLPlotChartNode of the lungs' HU histogram beside that of normal lungs."""
        return self._nodes[HISTOGRAM_CHART_ROLE]

    def update(self, metrics: MetricsTable, histogram: JointHistogram) -> None:
        """Show other figures; costs a pass over a few hundred bins."""
        columns = {
            name: np.array([metrics.value(lobe.name, measure) or 0.0 for lobe in LOBES])
            for name, measure in _MEASURE_OF.items()
        }
        _write(self.lobes, columns, [lobe.short for lobe in LOBES])
        _write(self.histogram, _histogram_columns(histogram))


def is_chart(node: Any, role: str) -> bool:
    """Whether a vtkMRMLPlotChartNode is one of ours, of one role."""
    return str(node.GetAttribute(_KIND_ATTRIBUTE)) == role


def _histogram_columns(histogram: JointHistogram) -> dict[str, np.ndarray]:
    normal = shipped_reference().frequency
    bins = min(len(normal), (_LAST_HU - HU_MIN) // BIN_WIDTH_HU)
    counts = lung_counts(histogram)
    patient = distribution(counts) if counts.any() else np.zeros_like(normal)
    centres = HU_MIN + BIN_WIDTH_HU * (np.arange(bins) + 0.5)
    return {_HU: centres, "This patient": 100.0 * patient[:bins], "Normal lungs": 100.0 * normal[:bins]}


def _chart_node(table: Any, chart: _Chart, name: str) -> Any:
    node = companion(table, chart.role, "vtkMRMLPlotChartNode", f"{name} {chart.name}")
    node.SetAttribute(_KIND_ATTRIBUTE, chart.role)
    data = companion(node, _DATA_ROLE, "vtkMRMLTableNode", f"{name} {chart.name} data")
    if node.GetNumberOfPlotSeriesNodes() == len(chart.series):
        return node
    data.SetHideFromEditors(True)
    was_modifying = node.StartModify()
    for number, series in enumerate(chart.series):
        drawn = companion(node, f"{_SERIES_ROLE}.{number}", "vtkMRMLPlotSeriesNode", series.column)
        drawn.SetHideFromEditors(True)
        drawn.SetName(series.column)
        drawn.SetAndObserveTableNodeID(data.GetID())
        drawn.SetPlotType(drawn.GetPlotTypeFromString(chart.plot_type))
        drawn.SetXColumnName(chart.x_column)
        drawn.SetYColumnName(series.column)
        drawn.SetLabelColumnName("" if chart.x_column else _LABELS)
        drawn.SetColor(*series.colour)
        drawn.SetLineWidth(2.0)
        drawn.SetMarkerStyle(slicer.vtkMRMLPlotSeriesNode.MarkerStyleNone)
        drawn.SetLineStyle(
            slicer.vtkMRMLPlotSeriesNode.LineStyleDash if series.dashed else slicer.vtkMRMLPlotSeriesNode.LineStyleSolid
        )
        node.AddAndObservePlotSeriesNodeID(drawn.GetID())
    node.SetTitle(name)
    node.SetXAxisTitle(chart.x_title)
    node.SetYAxisTitle(chart.y_title)
    node.SetLegendVisibility(True)
    node.EndModify(was_modifying)
    return node


def _write(chart: Any, columns: dict[str, np.ndarray], labels: Sequence[str] = ()) -> None:
    """Put numbers into a chart's table, in place where the columns are there; listeners are told once."""
    data = chart.GetNodeReference(_DATA_ROLE)
    table = data.GetTable()
    if labels and table.GetColumnByName(_LABELS) is None:
        column = vtk.vtkStringArray()
        column.SetName(_LABELS)
        for label in labels:
            column.InsertNextValue(label)
        table.AddColumn(column)
    for name, values in columns.items():
        array = numpy_to_vtk(values.astype(float), deep=True)
        there = table.GetColumnByName(name)
        if there is None:
            array.SetName(name)
            table.AddColumn(array)
        else:
            there.DeepCopy(array)
            there.SetName(name)
    table.Modified()
