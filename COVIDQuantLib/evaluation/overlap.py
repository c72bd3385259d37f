"""Cross-tabulate two segmentations of one scan: a small table from which every overlap follows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from COVIDQuantLib.anatomy import LABEL_COUNT, OUTSIDE_LOBES, REGIONS, WHOLE_LUNG
from COVIDQuantLib.progress import Report, silent

# Voxels per slab, so that working arrays stay small.
_SLAB_VOXELS = 1 << 20
_CODES = 2 * LABEL_COUNT
ALL_LABELS = tuple(range(LABEL_COUNT))


@dataclass(frozen=True)
class Structure:
    """A structure to compare.

    Attributes:
        name: a region of the contract, or ``lesions``.
        labels: lobe label values it holds; of the lesions, those of the lungs.
        needs: what both segmentations must contain: ``lungs``, ``lobes`` or ``lesions``.
    """

    name: str
    labels: tuple[int, ...]
    needs: str


LUNGS = Structure(WHOLE_LUNG.name, WHOLE_LUNG.labels, "lungs")
LESIONS = Structure("lesions", WHOLE_LUNG.labels, "lesions")
LOBE_STRUCTURES = tuple(Structure(region.name, region.labels, "lobes") for region in REGIONS if region.is_lobe)
STRUCTURES: tuple[Structure, ...] = (
    LUNGS,
    *(Structure(r.name, r.labels, "lobes") for r in REGIONS if r not in (WHOLE_LUNG, OUTSIDE_LOBES) and not r.zone),
    LESIONS,
)


@dataclass(frozen=True)
class Overlap:
    """How much of one structure is in both and in each alone, in voxels or millilitres.

    Attributes:
        both: in both.
        only_predicted: in the predicted one alone (false positive).
        only_reference: in the reference alone (false negative).
    """

    both: float = 0
    only_predicted: float = 0
    only_reference: float = 0

    def __add__(self, other: Overlap) -> Overlap:
        """The sum, for several scans as one."""
        return Overlap(
            self.both + other.both,
            self.only_predicted + other.only_predicted,
            self.only_reference + other.only_reference,
        )

    def times(self, unit: float) -> Overlap:
        """The same in another unit, e.g. voxels times the voxel's volume."""
        return Overlap(self.both * unit, self.only_predicted * unit, self.only_reference * unit)

    @property
    def predicted(self) -> float:
        """All of the predicted one."""
        return self.both + self.only_predicted

    @property
    def reference(self) -> float:
        """All of the reference."""
        return self.both + self.only_reference

    @property
    def dice(self) -> float | None:
        """2·both / (predicted + reference); None if both are empty, since 0/0 is neither agreement nor failure."""
        return _ratio(2 * self.both, self.predicted + self.reference)

    @property
    def iou(self) -> float | None:
        """Intersection over union; None if both are empty."""
        return _ratio(self.both, self.predicted + self.only_reference)

    @property
    def sensitivity(self) -> float | None:
        """Share of the reference that was found; None if there was nothing to find."""
        return _ratio(self.both, self.reference)

    @property
    def ppv(self) -> float | None:
        """Positive predictive value, the share of the prediction that is correct; None if nothing was predicted."""
        return _ratio(self.both, self.predicted)


def mask_overlap(predicted: np.ndarray, reference: np.ndarray) -> Overlap:
    """How two masks coincide, in voxels.

    Args:
        predicted: bool, any shape.
        reference: bool, same shape.

    Raises:
        ValueError: shapes differ.
    """
    if predicted.shape != reference.shape:
        raise ValueError(f"the masks differ in shape: {predicted.shape} and {reference.shape}")
    both = int(np.count_nonzero(predicted & reference))
    return Overlap(both, int(np.count_nonzero(predicted)) - both, int(np.count_nonzero(reference)) - both)


def dice(predicted: np.ndarray, reference: np.ndarray, both_empty: float = math.nan) -> float:
    """Dice coefficient of two bool masks of one shape; ``both_empty`` where neither has a voxel."""
    value = mask_overlap(predicted, reference).dice
    return both_empty if value is None else value


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def joint_counts(
    predicted: tuple[np.ndarray | None, np.ndarray | None],
    reference: tuple[np.ndarray | None, np.ndarray | None],
    padding: np.ndarray | None = None,
    report: Report = silent,
) -> np.ndarray:
    """Count voxels by their labels in both segmentations, in one pass.

    Args:
        predicted: its lobes (label values 0..5, ``[k, j, i]``) and lesions (nonzero inside), None where it has none.
        reference: the same of the other, on the same grid.
        padding: true where the scanner measured nothing; not counted.
        report: progress.

    Returns:
        int64 ``[predicted label 6, predicted lesion 2, reference label 6, reference lesion 2]``.

    Raises:
        ValueError: shapes differ, nothing was given, or a label is not 0..5.
    """
    arrays = [array for array in (*predicted, *reference, padding) if array is not None]
    shapes = {array.shape for array in arrays}
    if len(shapes) != 1:
        raise ValueError(f"the segmentations differ in shape: {sorted(shapes)}")
    shape = arrays[0].shape
    total = np.zeros(_CODES * _CODES, np.int64)
    step = max(1, _SLAB_VOXELS // max(1, int(np.prod(shape[1:]))))
    for start in range(0, shape[0], step):
        slab = slice(start, start + step)
        code = _codes(predicted, slab).astype(np.intp) * _CODES + _codes(reference, slab)
        kept = code.ravel() if padding is None else code[~padding[slab]]
        total += np.bincount(kept, minlength=_CODES * _CODES)
        report(min(1.0, (start + step) / shape[0]))
    return total.reshape(LABEL_COUNT, 2, LABEL_COUNT, 2)


def _codes(labels: tuple[np.ndarray | None, np.ndarray | None], slab: slice) -> np.ndarray:
    """Per voxel ``2 × lobe label + lesion`` as one byte; a segmentation with neither gives a single zero."""
    lobes, lesions = labels
    code = np.zeros((1, 1, 1), np.uint8)
    if lobes is not None:
        if lobes[slab].max(initial=0) >= LABEL_COUNT or lobes[slab].min(initial=0) < 0:
            raise ValueError(f"lobe labels must be 0..{LABEL_COUNT - 1}")
        code = lobes[slab].astype(np.uint8) * np.uint8(2)
    return code if lesions is None else code + (lesions[slab] != 0)


def overlap_of(structure: Structure, counts: np.ndarray) -> Overlap:
    """The overlap of one structure, in voxels.

    Args:
        structure: what to compare.
        counts: from :func:`joint_counts`.
    """
    if structure is LESIONS:
        predicted, reference = counts[:, 1].sum(), counts[..., 1].sum()
        both = counts[:, 1, :, 1].sum()
    else:
        labels = list(structure.labels)
        predicted, reference = counts[labels].sum(), counts[:, :, labels].sum()
        both = counts[labels][:, :, labels].sum()
    return Overlap(int(both), int(predicted - both), int(reference - both))
