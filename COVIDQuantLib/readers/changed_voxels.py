"""What lies between two segmentations of one CT, exactly: every voxel counted by what it was and what it became."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from COVIDQuantLib.anatomy import LABEL_COUNT, OUTSIDE_LOBES, REGIONS, Region

# A voxel's kind: its lobe label, and 8 more in a lesion.
_LESION = 8
_KINDS = 2 * _LESION
_SLAB_VOXELS = 1 << 22
# The row of everything together, inside the lobes and outside.
EVERYWHERE = "everywhere"


@dataclass(frozen=True)
class Overlap:
    """How one mask became another.

    Attributes:
        before, after: voxels of both.
        common: voxels that are in both.
    """

    before: int
    after: int
    common: int

    @property
    def added(self) -> int:
        """Voxels that came in."""
        return self.after - self.common

    @property
    def removed(self) -> int:
        """Voxels that went out."""
        return self.before - self.common

    @property
    def dice(self) -> float | None:
        """Dice coefficient of both, 0..1; None if both are empty."""
        total = self.before + self.after
        return 2.0 * self.common / total if total else None


@dataclass(frozen=True)
class ChangedVoxels:
    """The voxels of a CT by what the AI found there and what is there finally.

    Attributes:
        table: int64 ``[16 kinds before, 16 kinds after]``; a kind is the lobe label, and 8 more in a lesion. What lay
            outside the lobes and in no lesion both times is not counted.
        voxel_volume_ml: volume of one voxel.
    """

    table: np.ndarray
    voxel_volume_ml: float

    @classmethod
    def of(
        cls,
        before: tuple[np.ndarray, np.ndarray],
        after: tuple[np.ndarray, np.ndarray],
        voxel_volume_ml: float,
        padding: np.ndarray | None = None,
    ) -> ChangedVoxels:
        """Count two segmentations.

        Args:
            before: lobes 0..5 and lesions (nonzero in lesion) of the AI, ``[k, j, i]``.
            after: the final ones, same shape.
            voxel_volume_ml: volume of one voxel.
            padding: true where nothing was measured; such voxels are never counted.

        Raises:
            ValueError: the shapes differ, or a label is not 0..5.
        """
        arrays = [*before, *after, *(() if padding is None else (padding,))]
        if len({array.shape for array in arrays}) != 1:
            raise ValueError(f"the segmentations differ in shape: {sorted({array.shape for array in arrays})}")
        table = np.zeros(_KINDS * _KINDS, np.int64)
        step = max(1, _SLAB_VOXELS // max(1, before[0][0].size if len(before[0]) else 1))
        for start in range(0, len(before[0]), step):
            slab = slice(start, start + step)
            # One byte holds both kinds.
            both = _kinds(before, slab) * np.uint8(_KINDS) + _kinds(after, slab)
            # Most voxels lie outside both times, where nothing is asked.
            inside = both != 0
            if padding is not None:
                inside &= ~padding[slab]
            counted = both[inside]
            table += np.bincount(counted, minlength=table.size)
        return cls(table.reshape(_KINDS, _KINDS), voxel_volume_ml)

    def region(self, region: Region) -> Overlap:
        """How a region's own voxels changed."""
        kinds = [*region.labels, *(label + _LESION for label in region.labels)]
        return self._overlap(kinds)

    def lesion(self, region: Region | None = None) -> Overlap:
        """How the lesion changed: within a region, or everywhere, outside the lobes too.

        Before, the region is that of the AI, afterwards the final one.
        """
        labels = range(LABEL_COUNT) if region is None else region.labels
        return self._overlap([label + _LESION for label in labels])

    def record(self) -> list[dict[str, Any]]:
        """A row per region of the table of figures, in its order, then one of the lesion everywhere; mL and Dice."""
        rows = []
        for region in REGIONS:
            if region.zone:
                continue
            whole = None if region is OUTSIDE_LOBES else self.region(region)
            rows.append(self._row(region.name, whole, self.lesion(region)))
        return [*rows, self._row(EVERYWHERE, None, self.lesion())]

    def _row(self, name: str, whole: Overlap | None, lesion: Overlap) -> dict[str, Any]:
        row: dict[str, Any] = {"region": name}
        for prefix, overlap in (("", whole), ("lesion_", lesion)):
            row[f"{prefix}added_ml"] = None if overlap is None else overlap.added * self.voxel_volume_ml
            row[f"{prefix}removed_ml"] = None if overlap is None else overlap.removed * self.voxel_volume_ml
            row[f"{prefix}dice"] = None if overlap is None else overlap.dice
        return row

    def _overlap(self, kinds: list[int]) -> Overlap:
        return Overlap(
            int(self.table[kinds].sum()), int(self.table[:, kinds].sum()), int(self.table[np.ix_(kinds, kinds)].sum())
        )


def _kinds(labels: tuple[np.ndarray, np.ndarray], slab: slice) -> np.ndarray:
    lobes, lesions = labels[0][slab], labels[1][slab]
    if lobes.size and (lobes.max() >= LABEL_COUNT or lobes.min() < 0):
        raise ValueError(f"lobe labels must be 0..{LABEL_COUNT - 1}, found {lobes.min()}..{lobes.max()}")
    kinds = (lesions != 0).view(np.uint8) * np.uint8(_LESION)
    kinds |= lobes.astype(np.uint8, copy=False)
    return kinds
