"""The patient's time course as Slicer plots, a chart per measure, with the published curves behind it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk

from COVIDQuantLib.anatomy import Colour
from COVIDQuantLib.followup.time_course import TrajectoryPoint, charted_measures, has_onset
from COVIDQuantLib.quantification.measure_table import Measure
from COVIDQuantLib.quantification.time_courses import ALL, MODERATE, SEVERE, Curve, curves_of
from COVIDQuantLib.scene.nodes.result_links import companion

CHART_ROLE = "COVIDQuant.followup.course"
_SERIES_ROLE, _DATA_ROLE = "COVIDQuant.followup.course.series", "COVIDQuant.followup.course.data"
_DAYS, _VALUES = "days", "values"
_CURVE_POINTS = 200
_PLOT = slicer.vtkMRMLPlotSeriesNode
# Paul Tol's bright scheme, as in the picture that compare writes; apart by their dashes, too.
_STYLES: dict[str, tuple[Colour, int]] = {
    MODERATE: ((0.27, 0.47, 0.67), _PLOT.LineStyleDash),
    SEVERE: ((0.93, 0.40, 0.47), _PLOT.LineStyleSolid),
    ALL: ((0.13, 0.53, 0.20), _PLOT.LineStyleDot),
}
_PATIENT: Colour = (0.07, 0.07, 0.07)


def chart_of(owner: Any, measure: str) -> Any:
    """The vtkMRMLPlotChartNode of a measure; None if it was not made or was removed."""
    return owner.GetNodeReference(f"{CHART_ROLE}.{measure}")


def write_course_charts(owner: Any, trajectory: Sequence[TrajectoryPoint], name: str) -> None:
    """Make a chart for each measure with published curves; they belong to a node and are saved with the scene.

    Args:
        owner: the node of the comparison.
        trajectory: the patient's exams by date.
        name: of the patient or CT, for the titles.
    """
    onset = has_onset(trajectory)
    for measure in charted_measures():
        chart = companion(
            owner, f"{CHART_ROLE}.{measure.name}", "vtkMRMLPlotChartNode", f"{name} {measure.title} course"
        )
        was_modifying = chart.StartModify()
        chart.RemoveAllPlotSeriesNodeIDs()
        for number, curve in enumerate(curves_of(measure.name) if onset else ()):
            days = np.linspace(*curve.span, _CURVE_POINTS)
            series = _series(chart, number, _label(curve), days, np.asarray(curve.at(days)))
            colour, line = _STYLES[curve.group]
            _draw(series, colour, line, _PLOT.MarkerStyleNone, 1.5)
            chart.AddAndObservePlotSeriesNodeID(series.GetID())
        known = [(point, value) for point in trajectory if (value := point.values[measure.name]) is not None]
        days = np.array([_day(point, onset=onset) for point, _ in known])
        series = _series(chart, len(curves_of(measure.name)), "this patient", days, np.array([v for _, v in known]))
        _draw(series, _PATIENT, _PLOT.LineStyleSolid, _PLOT.MarkerStyleCircle, 2.5)
        series.SetMarkerSize(9.0)
        chart.AddAndObservePlotSeriesNodeID(series.GetID())
        _title(chart, measure, onset=onset)
        chart.EndModify(was_modifying)


def _title(chart: Any, measure: Measure, *, onset: bool) -> None:
    chart.SetTitle(f"{measure.title}, whole lung")
    chart.SetXAxisTitle("days since onset of symptoms" if onset else "days since the first exam")
    chart.SetYAxisTitle(f"{measure.title}{', ' + measure.unit if measure.unit else ''}")
    chart.SetLegendVisibility(True)


def _series(chart: Any, number: int, label: str, days: np.ndarray, values: np.ndarray) -> Any:
    """A series with a table of its own, as the curves are drawn on days other than the patient's."""
    data = companion(chart, f"{_DATA_ROLE}.{number}", "vtkMRMLTableNode", f"{label} data")
    data.SetHideFromEditors(True)
    table = vtk.vtkTable()
    for name, column in ((_DAYS, days), (_VALUES, values)):
        array = numpy_to_vtk(np.ascontiguousarray(column, float), deep=True)
        array.SetName(name)
        table.AddColumn(array)
    data.SetAndObserveTable(table)
    series = companion(chart, f"{_SERIES_ROLE}.{number}", "vtkMRMLPlotSeriesNode", label)
    series.SetHideFromEditors(True)
    # The legend shows it.
    series.SetName(label)
    series.SetAndObserveTableNodeID(data.GetID())
    series.SetPlotType(_PLOT.PlotTypeScatter)
    series.SetXColumnName(_DAYS)
    series.SetYColumnName(_VALUES)
    return series


def _draw(series: Any, colour: Colour, line: int, marker: int, width: float) -> None:
    series.SetColor(*colour)
    series.SetLineStyle(line)
    series.SetLineWidth(width)
    series.SetMarkerStyle(marker)


def _label(curve: Curve) -> str:
    paper = curve.source.partition(" ")[0]
    return f"{paper}, {curve.group}{' (corrected)' if curve.correction else ''}"


def _day(point: TrajectoryPoint, *, onset: bool) -> float:
    return float(point.onset_days if onset and point.onset_days is not None else point.days)
