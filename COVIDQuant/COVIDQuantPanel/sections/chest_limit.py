"""Keep the lobes that a reader paints inside the chest, while the box is ticked."""

import slicer

from COVIDQuantLib.errors import COVIDQuantError
from COVIDQuantLib.scene.review.painting_bound import PaintingBound
from COVIDQuantLib.segment_roles import LESION_ROLE
from COVIDQuantPanel.presenters.review import cut_text
from COVIDQuantPanel.sections.section import say


class ChestLimit:
    """The chest of the current CT, looked for once a lobe is to be painted.

    Args:
        section: the review section.
    """

    def __init__(self, section):
        self._section = section
        self._bound = None
        self._failed = False

    @property
    def is_wanted(self):
        """Whether the reader wants lobes to stay in the chest."""
        return self._section.ui.chestCheckBox.checked

    def prepare(self, role, *, painting):
        """Look for the chest in the background if a lobe is painted next."""
        if role in {None, LESION_ROLE} or not painting or not self.is_wanted or self._bound is not None or self._failed:
            return
        try:
            volume = self._section.panel.reading.volume
            self._bound = PaintingBound(volume, slicer.util.startupEnvironment())
        except COVIDQuantError as error:
            self._fail(error)

    def apply(self, segment_id):
        """Remove from a lobe that was just painted what lies outside the chest, and say how much."""
        if self._bound is None or not self.is_wanted:
            return
        try:
            if not self._bound.poll():
                return
        except COVIDQuantError as error:
            self._fail(error)
            return
        reading = self._section.panel.reading
        removed = reading.keep_in_chest(segment_id, self._bound)
        if removed:
            say(self._section.ui.reviewLabel, cut_text(removed * reading.live.histogram.voxel_volume_ml))

    def stop(self):
        """Forget the chest; another CT is shown, or none."""
        bound, self._bound = self._bound, None
        self._failed = False
        if bound is not None:
            bound.cancel()

    def _fail(self, error):
        # Painting goes on without it; the checks still tell of lung outside the chest.
        self.stop()
        self._failed = True
        say(self._section.ui.reviewLabel, error.line())
