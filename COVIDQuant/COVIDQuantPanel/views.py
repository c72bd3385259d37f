"""How a result is shown in Slicer's views: charts, density colours, surfaces, volume rendering."""

import slicer
import vtk

from COVIDQuantLib.scene.followup.layouts import (
    AFTER,
    BEFORE,
    SIDE_BY_SIDE,
    VIEWS,
    WITH_CHART,
    arrange,
    is_ours,
    layout_node,
    usual_arrangement,
)
from COVIDQuantLib.scene.followup.side_by_side import align_views, release_views, view_side
from COVIDQuantLib.scene.nodes.segmentations import LESION_FILL, show_3d
from COVIDQuantLib.scene.review.segment_edits import segments_of_role
from COVIDQuantLib.segment_roles import LESION_ROLE
from COVIDQuantPanel.widgets.qt_calls import later

_DENSITY_OPACITY = 0.7


def show_chart(chart, *, beside_3d):
    """Show a chart in a layout that has a plot view, and a 3D view too if something is shown there."""
    layout = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    if layout is not None and beside_3d:
        _arrange(layout, slicer.vtkMRMLLayoutNode.SlicerLayoutConventionalPlotView)
    slicer.modules.plots.logic().ShowChartInLayout(chart)


def open_3d_view():
    """Switch to a layout with a 3D view, keeping a visible chart, and centre the view."""
    layout = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    views = slicer.util.getNodesByClass("vtkMRMLViewNode")
    if layout is not None and not any(view.IsMappedInLayout() for view in views):
        kind = slicer.vtkMRMLLayoutNode
        charts = slicer.util.getNodesByClass("vtkMRMLPlotViewNode")
        with_chart = any(view.IsMappedInLayout() for view in charts)
        _arrange(layout, kind.SlicerLayoutConventionalPlotView if with_chart else kind.SlicerLayoutFourUpView)
    # The object to centre is not in the view yet.
    later(_centre_3d_views)


def _centre_3d_views():
    # Without its main window Slicer has none.
    if slicer.app.layoutManager() is not None:
        slicer.util.resetThreeDViews()


def _arrange(layout, arrangement):
    if layout.GetViewArrangement() != arrangement:
        layout.SetViewArrangement(arrangement)


def show_density(reading, *, visible):
    """Colour the pneumonia in the slice views by density, or by its segment's colour."""
    if not visible and reading.density is None:
        return
    volume = reading.density_overlay().volume
    for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
        if visible and view_side(composite.GetLayoutName()) != BEFORE:
            composite.SetForegroundVolumeID(volume.GetID())
            composite.SetForegroundOpacity(_DENSITY_OPACITY)
        elif composite.GetForegroundVolumeID() == volume.GetID():
            composite.SetForegroundVolumeID(None)
    display = reading.segmentation.GetDisplayNode()
    for segment_id in segments_of_role(reading.segmentation, LESION_ROLE) if display else ():
        display.SetSegmentOpacity2DFill(segment_id, 0.0 if visible else LESION_FILL)


def show_surfaces(reading, *, visible):
    """Show or hide lobes and pneumonia as surfaces."""
    display = reading.segmentation.GetDisplayNode()
    if display is not None and bool(display.GetVisibility3D()) != visible:
        show_3d(reading.segmentation, visible=visible)
        if visible:
            open_3d_view()


def show_rendering(reading, *, visible):
    """Show or hide the pneumonia as a volume rendering coloured by density."""
    if not visible and reading.density is None:
        return
    rendering = slicer.modules.volumerendering.logic()
    overlay = reading.density_overlay()
    display = rendering.GetFirstVolumeRenderingDisplayNode(overlay.volume)
    if display is None:
        if not visible:
            return
        display = _hidden_rendering(rendering, overlay.volume)
    if visible:
        colour, opacity = overlay.rendering_functions()
        node = display.GetVolumePropertyNode()
        node.SetColor(colour)
        node.SetScalarOpacity(opacity)
        # Interpolation between a colour number and 0 would show other densities.
        node.GetVolumeProperty().SetInterpolationType(vtk.VTK_NEAREST_INTERPOLATION)
        node.GetVolumeProperty().ShadeOff()
    if bool(display.GetVisibility()) != visible:
        display.SetVisibility(visible)
        if visible:
            open_3d_view()


def _hidden_rendering(rendering, volume):
    """A new rendering that is hidden until it has our colours: drawn with the default ones, VTK reports errors."""
    display = rendering.CreateVolumeRenderingDisplayNode()
    display.UnRegister(None)
    display.SetVisibility(False)
    slicer.mrmlScene.AddNode(display)
    volume.AddAndObserveDisplayNodeID(display.GetID())
    with_roi = False
    rendering.UpdateDisplayNodeFromVolumeNode(display, volume, None, None, with_roi)
    for node in (display, display.GetVolumePropertyNode()):
        node.SetSaveWithScene(False)
    return display


class Mark:
    """Shows the crosshair at the current position, and restores the reader's setting afterwards."""

    def __init__(self):
        self._node = None

    def show(self):
        """Show it, unless the reader already does."""
        node = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
        if node is not None and node.GetCrosshairMode() == slicer.vtkMRMLCrosshairNode.NoCrosshair:
            # Its lines lead to the place, which need not be in the middle of the view.
            node.SetCrosshairMode(slicer.vtkMRMLCrosshairNode.ShowBasic)
            self._node = node

    def put_back(self):
        """Hide it if it was hidden."""
        node, self._node = self._node, None
        if node is not None:
            node.SetCrosshairMode(slicer.vtkMRMLCrosshairNode.NoCrosshair)


def step_back(reading):
    """Hide a result when another is selected; its nodes stay."""
    if reading.density is not None:
        show_rendering(reading, visible=False)
        show_density(reading, visible=False)
    _set_visible(reading.segmentation, visible=False)


def let_go(reading):
    """Remove display nodes of a result that cannot be followed any more."""
    if reading.density is not None and slicer.mrmlScene.IsNodePresent(reading.density.volume):
        show_rendering(reading, visible=False)
        show_density(reading, visible=False)
        slicer.mrmlScene.RemoveNode(reading.density.volume)


def step_forward(reading):
    """Show the selected result, and its CT if no slice view shows it."""
    show_result(reading.segmentation)
    composites = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
    if composites and not any(node.GetBackgroundVolumeID() == reading.volume.GetID() for node in composites):
        slicer.util.setSliceViewerLayers(background=reading.volume, fit=True)


def show_result(segmentation):
    """Show the segments of a result that may be hidden."""
    _set_visible(segmentation, visible=True)


def _set_visible(segmentation, *, visible):
    display = segmentation.GetDisplayNode()
    if display is not None:
        display.SetVisibility(visible)


def shows_side_by_side():
    """Whether the current layout is that of two exams side by side."""
    layout = layout_node(slicer.mrmlScene)
    return layout is not None and is_ours(layout.GetViewArrangement())


_before_side_by_side = []


def arrange_side_by_side(arrangement=SIDE_BY_SIDE):
    """Switch to the layout of two exams side by side."""
    before = arrange(slicer.mrmlScene, arrangement)
    if before is not None and not is_ours(before):
        _before_side_by_side[:] = [before]


def leave_side_by_side():
    """Return to the layout before, and show results everywhere again."""
    release_views(slicer.mrmlScene)
    before = _before_side_by_side.pop() if _before_side_by_side else usual_arrangement()
    arrange(slicer.mrmlScene, before)


def fit_side_by_side(kept, earlier, then):
    """Fit the views of two exams to the later exam, once they have their size.

    Args:
        kept: the comparison.
        earlier: number of the earlier exam; its views follow, unless only its CT is there.
        then: called afterwards.
    """
    side = AFTER if kept.volume(earlier + 1) is not None else BEFORE

    def fit():
        manager = slicer.app.layoutManager()
        names = manager.sliceViewNames() if manager is not None else ()
        for view in VIEWS:
            if view.side == side and view.name in names:
                manager.sliceWidget(view.name).sliceLogic().FitSliceToBackground()
        align_views(slicer.mrmlScene, side)
        then()

    later(fit)


def show_course(chart, *, beside_exams):
    """Show a time course, beside the exams if they are shown side by side."""
    if not beside_exams:
        show_chart(chart, beside_3d=False)
        return
    arrange_side_by_side(WITH_CHART)
    for view in slicer.util.getNodesByClass("vtkMRMLPlotViewNode"):
        if view.IsMappedInLayout():
            view.SetPlotChartNodeID(chart.GetID())


def proposed_ct():
    """The volume shown in a slice view, or else the first one; None if there is none."""
    volumes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    volumes = [n for n in volumes if n.GetClassName() == "vtkMRMLScalarVolumeNode" and not n.GetHideFromEditors()]
    shown = {view.GetBackgroundVolumeID() for view in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")}
    return next((volume for volume in volumes if volume.GetID() in shown), volumes[0] if volumes else None)
