"""How a result is shown in Slicer's views: charts, density colours, surfaces, volume rendering."""

import qt
import slicer
import vtk

from COVIDQuantLib.scene.nodes.segmentations import LESION_FILL, show_3d
from COVIDQuantLib.scene.review.segment_edits import segments_of_role
from COVIDQuantLib.segment_roles import LESION_ROLE

_DENSITY_OPACITY = 0.7


def show_chart(chart, *, beside_3d):
    """Show a chart in a layout that has a plot view, and a 3D view too if something is shown there."""
    layout = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    if layout is not None and beside_3d:
        _arrange(layout, slicer.vtkMRMLLayoutNode.SlicerLayoutConventionalPlotView)
    slicer.modules.plots.logic().ShowChartInLayout(chart)


def open_3d_view():
    """Have a 3D view in the layout, beside a chart that is shown, and centre it."""
    layout = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    views = slicer.util.getNodesByClass("vtkMRMLViewNode")
    if layout is not None and not any(view.IsMappedInLayout() for view in views):
        kind = slicer.vtkMRMLLayoutNode
        charts = slicer.util.getNodesByClass("vtkMRMLPlotViewNode")
        with_chart = any(view.IsMappedInLayout() for view in charts)
        _arrange(layout, kind.SlicerLayoutConventionalPlotView if with_chart else kind.SlicerLayoutFourUpView)
    # What is to be centred is not in the view yet.
    qt.QTimer.singleShot(0, slicer.util.resetThreeDViews)


def _arrange(layout, arrangement):
    if layout.GetViewArrangement() != arrangement:
        layout.SetViewArrangement(arrangement)


def show_density(reading, *, visible):
    """Colour the pneumonia by density in the slice views, or by its segment's colour again."""
    if not visible and reading.density is None:
        return
    volume = reading.density_overlay().volume
    for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
        if visible:
            composite.SetForegroundVolumeID(volume.GetID())
            composite.SetForegroundOpacity(_DENSITY_OPACITY)
        elif composite.GetForegroundVolumeID() == volume.GetID():
            composite.SetForegroundVolumeID(None)
    display = reading.segmentation.GetDisplayNode()
    for segment_id in segments_of_role(reading.segmentation, LESION_ROLE) if display else ():
        display.SetSegmentOpacity2DFill(segment_id, 0.0 if visible else LESION_FILL)


def show_surfaces(reading, *, visible):
    """Show lobes and pneumonia as surfaces, or not."""
    display = reading.segmentation.GetDisplayNode()
    if display is not None and bool(display.GetVisibility3D()) != visible:
        show_3d(reading.segmentation, visible=visible)
        if visible:
            open_3d_view()


def show_rendering(reading, *, visible):
    """Show the pneumonia as a cloud coloured by density, or not."""
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
        # Between a colour number and none there is no other density.
        node.GetVolumeProperty().SetInterpolationType(vtk.VTK_NEAREST_INTERPOLATION)
        node.GetVolumeProperty().ShadeOff()
    if bool(display.GetVisibility()) != visible:
        display.SetVisibility(visible)
        if visible:
            open_3d_view()


def _hidden_rendering(rendering, volume):
    """A new rendering that is hidden until it has our colours: drawn once with the usual ones, VTK complains."""
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
    """The crosshair, which marks what is looked at until the reader has it back as it was."""

    def __init__(self):
        self._node = None

    def show(self):
        """Show it, unless the reader does."""
        node = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
        if node is not None and node.GetCrosshairMode() == slicer.vtkMRMLCrosshairNode.NoCrosshair:
            node.SetCrosshairMode(slicer.vtkMRMLCrosshairNode.ShowSmallBasic)
            self._node = node

    def put_back(self):
        """Hide it if it was hidden."""
        node, self._node = self._node, None
        if node is not None:
            node.SetCrosshairMode(slicer.vtkMRMLCrosshairNode.NoCrosshair)


def step_back(reading):
    """Take a result out of the views, for another is taken up; its nodes stay."""
    if reading.density is not None:
        show_rendering(reading, visible=False)
        show_density(reading, visible=False)
    _set_visible(reading, visible=False)


def let_go(reading):
    """Remove what was only made to show a result that cannot be followed any more."""
    if reading.density is not None and slicer.mrmlScene.IsNodePresent(reading.density.volume):
        show_rendering(reading, visible=False)
        show_density(reading, visible=False)
        slicer.mrmlScene.RemoveNode(reading.density.volume)


def step_forward(reading):
    """Show a result that is taken up, and its CT where no slice view shows it."""
    _set_visible(reading, visible=True)
    composites = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
    if composites and not any(node.GetBackgroundVolumeID() == reading.volume.GetID() for node in composites):
        slicer.util.setSliceViewerLayers(background=reading.volume, fit=True)


def _set_visible(reading, *, visible):
    display = reading.segmentation.GetDisplayNode()
    if display is not None:
        display.SetVisibility(visible)
