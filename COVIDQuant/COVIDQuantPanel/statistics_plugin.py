"""COVIDQuant's measures in Slicer's own Segment Statistics."""

import slicer
from SegmentStatisticsPlugins import SegmentStatisticsPluginBase
from slicer.i18n import tr as _

from COVIDQuantLib.errors import COVIDQuantError
from COVIDQuantLib.quantification.measure_table import View
from COVIDQuantLib.quantification.measures import MEASURES
from COVIDQuantLib.scene.live.segment_measures import SegmentMeasures


class COVIDQuantSegmentStatisticsPlugin(SegmentStatisticsPluginBase):
    """Extent, weight and the other measures of lobes and pneumonia; nothing for other segments."""

    def __init__(self):
        super().__init__()
        self.name = "COVIDQuant"
        self.title = _("COVIDQuant")
        self.keys = list(MEASURES.names)
        self.defaultKeys = [measure.name for measure in MEASURES.shown_in(View.SEGMENTS)]
        self._nodes = None
        self._measures = None

    def computeStatistics(self, segmentID):
        """The requested measures of one segment."""
        requested = self.getRequestedKeys()
        chosen = self.getParameterNode()
        nodes = tuple(
            slicer.mrmlScene.GetNodeByID(chosen.GetParameter(name) or "") for name in ("ScalarVolume", "Segmentation")
        )
        if not requested or None in nodes:
            return {}
        if nodes != self._nodes:
            self._nodes, self._measures = nodes, SegmentMeasures(*nodes)
        try:
            values = self._measures.of_segment(segmentID)
        except COVIDQuantError:
            # A volume that is not a CT has no such measures; other plugins continue.
            return {}
        return {key: values[key] for key in requested if key in values}

    def getMeasurementInfo(self, key):
        """Name, definition and unit of a measure."""
        if key not in MEASURES.names:
            return None
        measure = MEASURES.named(key)
        title = f"{measure.title} [{measure.unit}]" if measure.unit else measure.title
        return self.createMeasurementInfo(f"COVIDQuant {measure.name}", title, measure.formula, measure.unit)


def register():
    """Register the measures with Segment Statistics, once."""
    from SegmentStatistics import SegmentStatisticsLogic

    known = {plugin.__name__ for plugin in SegmentStatisticsLogic.registeredPlugins}
    if COVIDQuantSegmentStatisticsPlugin.__name__ not in known:
        SegmentStatisticsLogic.registerPlugin(COVIDQuantSegmentStatisticsPlugin())
