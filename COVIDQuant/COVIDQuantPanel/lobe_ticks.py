"""Lobe names below the bars of the chart; Slicer's plot views would show numbers there."""

import vtk

from COVIDQuantLib.anatomy import LOBES
from COVIDQuantLib.scene.nodes.charts import LOBES_CHART_ROLE, is_chart
from COVIDQuantPanel.widgets.qt_calls import plot_axes


class LobeTicks:
    """Shows the names in every plot view with a chart of lobes, and removes them from other charts.

    Args:
        observer: an object of ``VTKObservationMixin``.
    """

    def __init__(self, observer):
        self._observer = observer
        self._named = set()

    def watch(self):
        """Start with the existing plot views."""
        for node, _ in plot_axes():
            if not self._observer.hasObserver(node, vtk.vtkCommand.ModifiedEvent, self._on_view):
                self._observer.addObserver(node, vtk.vtkCommand.ModifiedEvent, self._on_view)
        self._on_view()

    def close(self):
        """Reset every plot view to Slicer's default."""
        for node, axis in plot_axes():
            self._name(node, axis, wanted=False)

    def _on_view(self, _caller=None, _event=None):
        for node, axis in plot_axes():
            chart = node.GetPlotChartNode()
            self._name(node, axis, wanted=chart is not None and is_chart(chart, LOBES_CHART_ROLE))

    def _name(self, node, axis, *, wanted):
        name = node.GetID()
        if wanted == (name in self._named):
            return
        positions, labels = vtk.vtkDoubleArray(), vtk.vtkStringArray()
        for place, lobe in enumerate(LOBES):
            positions.InsertNextValue(place)
            labels.InsertNextValue(lobe.short)
        axis.SetCustomTickPositions(*((positions, labels) if wanted else (None, None)))
        (self._named.add if wanted else self._named.discard)(name)
