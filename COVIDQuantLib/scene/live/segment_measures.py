"""The measures of single segments, for Slicer's own Segment Statistics."""

from __future__ import annotations

from typing import Any

from COVIDQuantLib.anatomy import LOBES, OUTSIDE_LABEL, WHOLE_LUNG
from COVIDQuantLib.quantification.measure_table import Scope
from COVIDQuantLib.quantification.measures import MEASURES
from COVIDQuantLib.quantification.region_counts import region_counts
from COVIDQuantLib.quantification.thresholds import DEFAULT_THRESHOLDS, Thresholds
from COVIDQuantLib.scene.live.histogram_tracker import HistogramTracker
from COVIDQuantLib.scene.nodes.segments import roles_of
from COVIDQuantLib.segment_roles import LESION_ROLE

# For the pneumonia the measures of the whole lung and of what lies outside it; for a lobe its own row.
_LABELS = {lobe.label: (lobe.label,) for lobe in LOBES} | {LESION_ROLE: (*WHOLE_LUNG.labels, OUTSIDE_LABEL)}


class SegmentMeasures:
    """The measures of the segments of one segmentation on one CT; later calls count only what changed.

    Args:
        volume: the CT's vtkMRMLScalarVolumeNode.
        segmentation: the vtkMRMLSegmentationNode.
    """

    def __init__(self, volume: Any, segmentation: Any) -> None:
        self._segmentation = segmentation
        self._counted = HistogramTracker(volume, segmentation)

    def of_segment(self, segment_id: str, thresholds: Thresholds = DEFAULT_THRESHOLDS) -> dict[str, float]:
        """Values by name of the measure; empty for a segment that is neither lobe nor pneumonia.

        Args:
            segment_id: the segment.
            thresholds: bounds of ground glass and consolidation.

        Raises:
            UnfitInputError: the CT or the segments cannot be counted.
        """
        role = roles_of(self._segmentation.GetSegmentation()).get(segment_id)
        if role is None:
            return {}
        self._counted.refresh()
        counts = region_counts(self._counted.histogram, _LABELS[role], thresholds)
        lung = region_counts(self._counted.histogram, WHOLE_LUNG.labels, thresholds)
        values = {}
        for measure in MEASURES:
            if role == LESION_ROLE and measure.scope is Scope.LOBE:
                continue
            # Shares of the lung would count pneumonia outside it too.
            value = measure.of(lung if role == LESION_ROLE and measure.scope is Scope.REGION else counts)
            if value is not None:
                values[measure.name] = float(value)
        return values
