"""Compare inspiration: a different amount of air changes volumes, extent and density without any disease."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from COVIDQuantLib.anatomy import WHOLE_LUNG
from COVIDQuantLib.followup.changes import Change, RegionChange
from COVIDQuantLib.quantification.measures import MEASURES

# A lung volume that differs by more than this share of the earlier one means a different inspiration (or another lung).
DIFFERS_PERCENT = 15.0
_VOLUME = "volume_ml"


@dataclass(frozen=True)
class Inspiration:
    """How the inspiration of two exams compares.

    Attributes:
        volume: the change of the lung volume.
        differs: whether it is more than :data:`DIFFERS_PERCENT`.
        less_sensitive: changes of the whole lung that depend on it least.
    """

    volume: Change
    differs: bool
    less_sensitive: tuple[Change, ...]


def inspiration_of(regions: Sequence[RegionChange]) -> Inspiration:
    """Compare the inspiration of two exams by the volume of the whole lung."""
    lungs = next(region for region in regions if region.region == WHOLE_LUNG.name)
    volume = lungs.changes[_VOLUME]
    differs = volume.percent is not None and abs(volume.percent) > DIFFERS_PERCENT
    return Inspiration(
        volume, differs, tuple(lungs.changes[measure.name] for measure in MEASURES if measure.breath_free)
    )
