"""Names of the lobes below the bars of their chart: Slicer's plot views have numbers there, whatever the chart says."""

import slicer
import vtk

from COVIDQuantLib.anatomy import LOBES
from COVIDQuantLib.scene.nodes.charts import LOBES_CHART_ROLE, is_chart


class LobeTicks:
    """Keeps the names in every plot view that shows a chart of lobes, and other charts free of them.

    Args:
        observer: an object of ``VTKObservationMixin``.
    """

    def __init__(self, observer):
        self._observer = observer
        self._named = set()

    def watch(self):
        """Take up the plot views that are there."""
        for widget in _plot_widgets():
            node = widget.mrmlPlotViewNode()
            if not self._observer.hasObserver(node, vtk.vtkCommand.ModifiedEvent, self._on_view):
                self._observer.addObserver(node, vtk.vtkCommand.ModifiedEvent, self._on_view)
        self._on_view()

    def close(self):
        """Leave every plot view as Slicer made it."""
        for widget in _plot_widgets():
            self._name(widget, wanted=False)

    def _on_view(self, _caller=None, _event=None):
        for widget in _plot_widgets():
            chart = widget.mrmlPlotViewNode().GetPlotChartNode()
            self._name(widget, wanted=chart is not None and is_chart(chart, LOBES_CHART_ROLE))

    def _name(self, widget, *, wanted):
        name = widget.mrmlPlotViewNode().GetID()
        if wanted == (name in self._named):
            return
        positions, labels = vtk.vtkDoubleArray(), vtk.vtkStringArray()
        for place, lobe in enumerate(LOBES):
            positions.InsertNextValue(place)
            labels.InsertNextValue(lobe.short)
        axis = widget.plotView().chart().GetAxis(vtk.vtkAxis.BOTTOM)
        axis.SetCustomTickPositions(*((positions, labels) if wanted else (None, None)))
        (self._named.add if wanted else self._named.discard)(name)


def _plot_widgets():
    manager = slicer.app.layoutManager()
    # There is none where Slicer runs without its window.
    return [manager.plotWidget(place) for place in range(manager.plotViewCount)] if manager is not None else []
