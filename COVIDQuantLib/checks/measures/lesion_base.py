"""The check of a lung that was continued into the liver or spleen: dense pneumonia without a visible lower border."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from scipy import ndimage

from COVIDQuantLib.anatomy import LESION
from COVIDQuantLib.checks.evidence import Evidence
from COVIDQuantLib.checks.record import Measured
from COVIDQuantLib.voxels.morphology import mean_around, open_

_SOFT_HU = -200
_LUMP_MM = 6.0
# The layers compared above and below an underside are this thick, and leave out this much on either side of it.
_LAYER_MM = 6.0
_BORDER_MM = 3.0
# Noise is averaged over as much of the underside as lies within a cube of this size.
_SMOOTH_MM = 14.0
# Consolidation (20 to 40 HU without contrast medium) and liver (55 to 60 HU) differ by more than this.
_NO_BORDER_HU = 12.0
# A lump has no lower border if it has none along more than this share of its underside.
_MOSTLY = 0.35

_Faces = tuple[np.ndarray, ...]


def dense_base(evidence: Evidence) -> Iterator[Measured]:
    """Dense lumps of pneumonia that go on in soft tissue below them with no step in HU, percent of the lungs.

    Consolidation on the diaphragm differs from the liver in HU, and ends at aerated lung or the chest wall on much of
    its underside. A lobe continued into the abdomen has the same tissue on both sides of its lower end.
    """
    dense = evidence.lesions & (evidence.hu > _SOFT_HU)
    lumps, count = ndimage.label(open_(evidence.shares(dense) >= 0.5, _LUMP_MM, evidence.grids.block_spacing))
    # The label of the lump directly above each block that is in none.
    above = np.zeros_like(lumps)
    above[:-1] = np.where(lumps[:-1] == 0, lumps[1:], 0)
    under = np.bincount(above.ravel(), minlength=count + 1)
    soft = _soft(evidence) & (lumps == 0)
    faces: _Faces = np.nonzero((above > 0) & soft & evidence.cavity)
    seamless = np.abs(_steps(evidence, lumps, soft, faces)) < _NO_BORDER_HU
    without = np.bincount(above[faces][seamless], minlength=count + 1)
    rests = without > _MOSTLY * under
    rests[0] = False
    where = rests[lumps]
    ml = float(np.count_nonzero(where)) * evidence.block_ml
    text = f"{ml:.0f} mL of dense pneumonia rest on soft tissue without a visible border; liver or spleen?"
    yield Measured(evidence.percent_of_lung(ml), text, LESION.name, where)


def _soft(evidence: Evidence) -> np.ndarray:
    """Blocks of soft tissue outside the lungs."""
    return (evidence.block_hu > _SOFT_HU) & (evidence.lung_share < 0.5) & evidence.patient


def _steps(evidence: Evidence, lumps: np.ndarray, soft: np.ndarray, faces: _Faces) -> np.ndarray:
    """HU above an underside minus HU below it, smoothed along it; NaN where a layer is missing.

    Args:
        evidence: the result.
        lumps: labels on the blocks, 0 outside.
        soft: blocks of soft tissue outside lumps and lungs.
        faces: indices ``k, j, i`` of the blocks directly below lumps.
    """
    spacing = evidence.grids.block_spacing
    gap = max(1, round(_BORDER_MM / spacing[0]))
    k, j, i = faces
    same = lumps[k + 1, j, i]
    higher = _layer(evidence, faces, 1 + gap, 1, lambda n: lumps[n, j, i] == same)
    lower = _layer(evidence, faces, -gap, -1, lambda n: soft[n, j, i])
    steps = higher - lower
    known = np.isfinite(steps)
    size = [max(1, round(_SMOOTH_MM / mm)) for mm in spacing]
    at_faces = np.zeros(lumps.shape, bool)
    at_faces[faces] = True
    sums = []
    for values in (np.where(known, steps, 0.0), known):
        spread = np.zeros(lumps.shape, np.float32)
        spread[faces] = values
        sums.append(mean_around(spread, at_faces, size)[faces])
    enough = sums[1] > 1e-6
    return np.where(enough, sums[0] / np.where(enough, sums[1], 1.0), np.nan)


def _layer(
    evidence: Evidence, faces: _Faces, first: int, direction: int, belongs: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Mean HU of the layer of blocks above or below each face; NaN where no block of it belongs.

    Args:
        evidence: the result.
        faces: indices ``k, j, i``.
        first: how far from the face the layer begins, in blocks along ``k``.
        direction: 1 upwards, −1 downwards.
        belongs: for an index ``k`` for each face, whether that block belongs to the layer.
    """
    k, j, i = faces
    total, count = np.zeros(len(k)), np.zeros(len(k))
    for n in range(max(1, round(_LAYER_MM / evidence.grids.block_spacing[0]))):
        at = k + first + direction * n
        inside = (at >= 0) & (at < len(evidence.block_hu))
        at = at.clip(0, len(evidence.block_hu) - 1)
        taken = inside & belongs(at)
        total += np.where(taken, evidence.block_hu[at, j, i], 0.0)
        count += taken
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
