"""The densities that part a lesion into ground glass and consolidation."""

from __future__ import annotations

from dataclasses import dataclass

from COVIDQuantLib.ct.volume import HU_MAX, HU_MIN
from COVIDQuantLib.errors import UsageError


@dataclass(frozen=True)
class Thresholds:
    """Lower bounds in HU, each included (papers.md row P3).

    Attributes:
        ggo_hu: ground-glass opacity begins here; a lesion voxel below is 'below GGO threshold'.
        consolidation_hu: consolidation begins here.

    Raises:
        UsageError: not in order, or outside −1024..3071.
    """

    ggo_hu: int = -750
    consolidation_hu: int = -350

    def __post_init__(self) -> None:
        if not HU_MIN <= self.ggo_hu <= self.consolidation_hu <= HU_MAX:
            raise UsageError(
                f"thresholds of {self.ggo_hu} HU for ground glass and {self.consolidation_hu} HU for consolidation "
                "are not in order",
                remedy=f"Give whole numbers in {HU_MIN}..{HU_MAX}, ground glass below consolidation.",
            )

    def as_record(self) -> dict[str, int]:
        """The thresholds for ``metrics.json``."""
        return {"ggo_hu": self.ggo_hu, "consolidation_hu": self.consolidation_hu}


DEFAULT_THRESHOLDS = Thresholds()
