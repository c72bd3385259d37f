"""Slices that are not aligned along their normal: gantry tilt, or damage."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from COVIDQuantLib.ct.dicom.frames import Frame
from COVIDQuantLib.ct.volume import CTWarning
from COVIDQuantLib.errors import UnfitInputError

# A stack may drift sideways by half a pixel before its slices are shifted, and deviate this much from a straight drift.
DRIFT_PIXELS = 0.5
STRAY_MM = 1.0
TILT_WARNS_DEGREES = 1.0
# No gantry tilts further; such a header would need a grid many times larger than the slices.
TILT_STOPS_DEGREES = 45.0


def sideways(lps: np.ndarray, axes: np.ndarray, pixel_mm: tuple[float, float], where: str) -> tuple[np.ndarray, float]:
    """Whole-pixel shifts that align sheared slices.

    Args:
        lps: positions of the slices ``[slice, 3]``, millimetres, lowest first.
        axes: unit vectors of ``i, j, k`` as rows.
        pixel_mm: millimetres between rows and between columns.
        where: the series, for messages.

    Returns:
        Shifts ``[slice, (j, i)]``, whole pixels from zero up, and the tilt in degrees.

    Raises:
        UnfitInputError: single slices are displaced, or the tilt is larger than any gantry's.
    """
    along = (lps - lps[0]) @ axes[2]
    drift = np.stack([(lps - lps[0]) @ axes[1], (lps - lps[0]) @ axes[0]], axis=1)
    pixels = drift / np.asarray(pixel_mm)
    shear = (drift[-1] - drift[0]) / along[-1]
    stray = np.abs(drift - along[:, None] * shear).max()
    if stray > max(STRAY_MM, DRIFT_PIXELS * max(pixel_mm)):
        raise UnfitInputError(
            f"its slices are displaced sideways by up to {stray:.1f} mm",
            where,
            "Give a series of one reconstruction with one centre.",
            code="displaced-slices",
        )
    tilt = float(np.degrees(np.arctan(np.hypot(*shear))))
    if tilt > TILT_STOPS_DEGREES:
        raise too_tilted(tilt, where)
    if np.abs(pixels).max() < DRIFT_PIXELS:
        return np.zeros(drift.shape, int), tilt
    shifts = np.rint(pixels).astype(int)
    return shifts - shifts.min(axis=0), tilt


def too_tilted(tilt: float, where: str) -> UnfitInputError:
    """The error for slices tilted further than any gantry."""
    return UnfitInputError(
        f"its slices are tilted by {tilt:.0f} degrees against their normal, more than any gantry allows",
        where,
        "Export the series again from the archive.",
        code="displaced-slices",
    )


def tilt_warning(tilt: float, frames: Sequence[Frame], *, moved: bool) -> list[CTWarning]:
    """The warning about a tilt that was measured (degrees), or that only the header states."""
    named = abs(frames[0].file.number("GantryDetectorTilt") or 0.0)
    if tilt >= TILT_WARNS_DEGREES:
        text = f"The gantry was tilted by {tilt:.1f} degrees"
        if moved:
            text += "; slices were shifted sideways by whole pixels to align them; values are unchanged"
    elif named >= TILT_WARNS_DEGREES:
        text = f"The header states a gantry tilt of {named:.1f} degrees that the slice positions do not show"
    else:
        return []
    return [CTWarning("gantry-tilt", f"{text}.")]
