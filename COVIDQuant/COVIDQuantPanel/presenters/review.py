"""What the reader can do with a result, and the bounds of painting."""

from dataclasses import dataclass

from COVIDQuantLib.review.status import Figures, SegmentStatus
from COVIDQuantLib.segment_roles import LESION_ROLE
from COVIDQuantPanel.presenters.controls import Control, needs_result
from COVIDQuantPanel.presenters.words import _


@dataclass(frozen=True)
class ReviewState:
    """The state of the current result; the defaults stand for none.

    Attributes:
        is_there: whether there is one.
        figures: whose figures they are.
        statuses: of its segments.
        has_original: whether the AI result is kept with it.
        is_edited: whether it differs from the AI result.
    """

    is_there: bool = False
    figures: Figures | None = None
    statuses: tuple[SegmentStatus, ...] = ()
    has_original: bool = False
    is_edited: bool = False

    def controls(self):
        """The section's buttons by name."""
        none = needs_result(self.is_there)
        accepted = "" if SegmentStatus.ACCEPTED in self.statuses else _("No segment is accepted")
        kept = "" if self.has_original else _("This segmentation was not made by COVIDQuant")
        edited = "" if self.is_edited else _("Nothing was edited")
        return {
            **dict.fromkeys(("acceptSegmentButton", "acceptAllButton", "searchButton"), Control(none)),
            "takeBackButton": Control(none or accepted),
            "restorePlaceButton": Control(none or kept),
            "restoreAllButton": Control(none or kept or edited),
        }

    def text(self, shown):
        """Text below the buttons, given the text shown now."""
        everything = _("Every segment is accepted.")
        if self.is_there and self.figures is Figures.ACCEPTED:
            return everything
        return "" if shown == everything else shown


def is_bounded(role, *, erasing):
    """Whether painting stays within the segments there are: pneumonia within the lungs, while a lobe may be anywhere.

    The eraser needs no such bounds, and Slicer is several times faster on a large CT without them.
    """
    return role == LESION_ROLE and not erasing


def cut_text(ml):
    """Text after painting outside the chest."""
    text = _("{ml:.1f} mL outside the chest were not painted. Untick Lobes only in the chest to paint there.")
    return text.format(ml=ml)


def restored_text(voxels):
    """Text after restoring one place."""
    nothing = _("Nothing was edited here. Hold Shift over the place in a slice view first, or select a finding.")
    return _("{n} voxels changed.").format(n=voxels) if voxels else nothing
