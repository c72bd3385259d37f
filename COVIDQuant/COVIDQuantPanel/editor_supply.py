"""What Slicer's segment editor does when it is given a large CT, done before and in pieces."""

import slicer

_EDITOR_TAG = "COVIDQuant"
# An effect that asks the editor for its copy of the CT, and for the least and greatest value in it.
_EFFECT = "Threshold"


def editor_node():
    """The settings of our editor, apart from those of Slicer's Segment Editor."""
    node = slicer.mrmlScene.GetSingletonNode(_EDITOR_TAG, "vtkMRMLSegmentEditorNode")
    if node is None:
        made = slicer.mrmlScene.CreateNodeByClass("vtkMRMLSegmentEditorNode")
        made.UnRegister(None)
        made.SetSingletonTag(_EDITOR_TAG)
        node = slicer.mrmlScene.AddNode(made)
    return node


class EditorSupply:
    """Makes a large CT and its segments ready for the editor.

    Given a segmentation, the editor copies the CT onto the grid of the segments, and looks for the range of values of
    both: on a large CT the window would be held for more than a tenth of a second. All of it is kept by Slicer, so it
    can be done before, a step at a time. Nothing depends on it: what was not done, the editor does itself.

    Args:
        editor: the qMRMLSegmentEditorWidget.
    """

    def __init__(self, editor):
        self._editor = editor
        self._image = None
        self._closed = None

    def steps(self, reading):
        """Functions to be called in turn before the editor is given a result."""
        return (lambda: _look_for_range(reading.volume), lambda: self._copy(reading), self._look_at_copy)

    def keep(self):
        """Hold the segments of a scene that closes: the editor's history lets go of them when it gets others."""
        node = self._editor.segmentationNode()
        self._closed = None if node is None else node.GetSegmentation()

    def release(self):
        """Free one of the segments held; each is separated from the others first, which is a copy. To be called again.

        Returns:
            Whether there are more.
        """
        held = self._closed
        # Segments that belong to anybody else are left alone.
        if held is not None and held.GetReferenceCount() == 1 and held.GetNumberOfSegments():
            held.RemoveSegment(held.GetNthSegmentID(0))
            return True
        self._closed = None
        return False

    def _copy(self, reading):
        """Have the editor copy the CT, as for an effect, without it noticing the result yet."""
        self._image = None
        effect, node = self._editor.effectByName(_EFFECT), editor_node()
        if effect is None or self._editor.segmentationNode() is reading.segmentation:
            return
        self._editor.setMRMLSegmentEditorNode(node)
        before = node.GetSegmentationNode(), node.GetSourceVolumeNode()
        was_modifying = node.StartModify()
        try:
            _point(node, reading.segmentation, reading.volume)
            self._image = effect.sourceVolumeImageData()
        finally:
            _point(node, *before)
            node.EndModify(was_modifying)

    def _look_at_copy(self):
        image, self._image = self._image, None
        if image is not None:
            image.GetScalarRange()


def _point(node, segmentation, volume):
    node.SetAndObserveSegmentationNode(segmentation)
    node.SetAndObserveSourceVolumeNode(volume)


def _look_for_range(volume):
    image = volume.GetImageData()
    if image is not None:
        image.GetScalarRange()
