"""The grid of a NIfTI file: its two orientations (qform, sform) and voxel size, checked against each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from COVIDQuantLib.ct.files.volume_header import check_spacing, grid
from COVIDQuantLib.ct.volume import CTWarning
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.voxels.geometry import Geometry

# NIfTI's x runs to the right and y to the front, here x runs to the left and y to the back.
_TO_LPS = np.diag([-1.0, -1.0, 1.0])
# Voxel sizes by pixdim and by sform: every volume depends on them, so a difference beyond rounding is refused.
_SAME_SIZE = 0.01
# If axes of the two differ by more than this, they point to different sides of the patient.
_OTHER_SIDE_DEGREES = 45.0
# Warn if the two place a corner of the image further apart than this (voxels).
_TOLD_VOXELS = 0.5
_UNIT_QUATERNION = 1e-3
_HALF_TURN = 1e-7


@dataclass(frozen=True)
class Forms:
    """The header's orientation fields, as stored.

    Attributes:
        pixdim: voxel size along ``i, j, k``.
        handedness: ``pixdim[0]``; below 0 reverses the third axis of the qform.
        qform_code: 0 if there is no qform.
        sform_code: 0 if there is no sform.
        quaternion: its ``b, c, d``.
        offset: position of the first voxel by the qform.
        rows: the sform, 3×4.
        unit_mm: millimetres of the header's unit of length.
    """

    pixdim: Sequence[float]
    handedness: float
    qform_code: int
    sform_code: int
    quaternion: Sequence[float]
    offset: Sequence[float]
    rows: np.ndarray
    unit_mm: float


def grid_of(sizes: Sequence[int], forms: Forms, name: str) -> tuple[Geometry, list[CTWarning]]:
    """The grid in LPS millimetres: by the sform wherever it has a code, else by the qform, else bare.

    Args:
        sizes: voxels along ``i, j, k``.
        forms: what the header says.
        name: the file, for messages.

    Returns:
        The grid, and warnings ``orientations-disagree``, ``axes-straightened``.

    Raises:
        UnfitInputError: voxel size, quaternion or sform is invalid, or they contradict each other so that sides or
            volumes are uncertain.
    """
    spacing = [float(p) * forms.unit_mm for p in forms.pixdim]
    check_spacing(spacing, name)
    qform = _qform(forms, spacing, name) if forms.qform_code > 0 else None
    sform = _sform(forms, spacing, name) if forms.sform_code > 0 else None
    warnings = []
    if qform is not None and sform is not None:
        warnings = _compared(qform, sform, sizes, name)
    taken = sform if sform is not None else qform
    if taken is None:
        return grid(sizes, np.diag(spacing), (0.0, 0.0, 0.0), name, spacing)
    geometry, straightened = grid(sizes, taken[:3, :3], [float(c) for c in taken[:3, 3]], name, spacing)
    return geometry, warnings + straightened


def _qform(forms: Forms, spacing: Sequence[float], name: str) -> np.ndarray:
    b, c, d = (float(q) for q in forms.quaternion)
    length = b * b + c * c + d * d
    numbers = (length, forms.handedness, *forms.offset)
    if not all(map(math.isfinite, numbers)) or length > 1 + _UNIT_QUATERNION:
        raise UnfitInputError(
            "the header's orientation (qform) is not a valid rotation and position",
            name,
            "Export it again.",
            "bad-orientation",
        )
    # As NIfTI's own library does it: so near to half a turn single precision leaves nothing of the fourth number.
    a = math.sqrt(1 - length) if 1 - length >= _HALF_TURN else 0.0
    b, c, d = (q / math.sqrt(length if a == 0.0 else 1.0) for q in (b, c, d))
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    steps = rotation * np.array(spacing) * np.array([1, 1, -1 if forms.handedness < 0 else 1])
    return _in_lps(steps, [float(o) * forms.unit_mm for o in forms.offset])


def _sform(forms: Forms, spacing: Sequence[float], name: str) -> np.ndarray:
    rows = forms.rows * forms.unit_mm
    if not np.isfinite(rows).all():
        raise UnfitInputError(
            "the header's orientation (sform) holds an invalid number", name, "Export it again.", "bad-orientation"
        )
    with np.errstate(over="ignore"):
        lengths = np.sqrt((rows[:, :3] ** 2).sum(axis=0))
    if not np.allclose(lengths, spacing, rtol=_SAME_SIZE, atol=0):
        one, other = (" × ".join(f"{s:.4g}" for s in sizes) for sizes in (lengths, spacing))
        raise UnfitInputError(
            f"the header gives two voxel sizes, {one} mm (sform) and {other} mm (pixdim); volumes depend on them",
            name,
            "Export it again, or set both alike.",
            "voxel-sizes-disagree",
        )
    return _in_lps(rows[:, :3], rows[:, 3])


def _in_lps(steps: np.ndarray, origin: Sequence[float] | np.ndarray) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = _TO_LPS @ steps
    matrix[:3, 3] = _TO_LPS @ np.asarray(origin, float)
    return matrix


def _compared(qform: np.ndarray, sform: np.ndarray, sizes: Sequence[int], name: str) -> list[CTWarning]:
    one, other = (m[:3, :3] / np.sqrt((m[:3, :3] ** 2).sum(axis=0)) for m in (qform, sform))
    apart = np.degrees(np.arccos(np.clip((one * other).sum(axis=0), -1, 1))).max()
    if not apart <= _OTHER_SIDE_DEGREES:
        raise UnfitInputError(
            f"its two orientations (qform and sform) are {apart:.0f} degrees apart, so right and left, or head and "
            "feet, are not known",
            name,
            "Convert the original again, or remove the wrong one.",
            "orientations-contradict",
        )
    ends = np.array([(a, b, c, 1.0) for a in (0, 1) for b in (0, 1) for c in (0, 1)]).T
    ends[:3] *= np.array([[n - 1] for n in sizes])
    off = float(np.linalg.norm(((qform - sform) @ ends)[:3], axis=0).max())
    if off <= _TOLD_VOXELS * float(np.sqrt((sform[:3, :3] ** 2).sum(axis=0)).min()):
        return []
    text = (
        f"The two orientations of {name} (qform and sform) place it up to {off:.1f} mm and {apart:.1f} degrees apart; "
        "the sform was used, as in most programs."
    )
    return [CTWarning("orientations-disagree", text)]
